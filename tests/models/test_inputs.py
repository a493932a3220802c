"""What is said of the input otherwise than the published weights do."""

import pytest

from engine.models.inputs import coloured, resized
from engine.pictures.geometry import Geometry

IMAGENET = Geometry(256, (224, 224), "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_another_size_shows_as_much_of_a_photo() -> None:
    assert resized(IMAGENET, None) == IMAGENET
    smaller = resized(IMAGENET, (112, 112))
    assert (smaller.resize, smaller.crop) == (128, (112, 112))
    wide = resized(IMAGENET, (60, 120))
    assert (wide.resize, wide.crop) == (round(256 * 120 / 224), (60, 120))
    assert resized(IMAGENET, (1, 224)).resize >= 224


def test_squashed_it_shows_all_of_it() -> None:
    for size in (None, (60, 120)):
        squashed = resized(IMAGENET, size, "squash")
        assert squashed.resize == squashed.crop == (size or (224, 224))
        assert squashed.window(300, 451) == (0, 0, 300, 451)
    with pytest.raises(ValueError, match=r"fit must be crop or squash; got 'stretch'"):
        resized(IMAGENET, None, "stretch")  # type: ignore[arg-type]


def test_mean_and_std_are_those_that_were_said() -> None:
    said, notes = coloured(IMAGENET, 3, 0.5, (0.1, 0.2, 0.3))
    assert (said.mean, said.std, notes) == ((0.5, 0.5, 0.5), (0.1, 0.2, 0.3), [])
    assert coloured(IMAGENET, 3, None, None) == (IMAGENET, [])
    said, notes = coloured(IMAGENET, 4, (0.1, 0.2, 0.3, 0.4), 1)
    assert (said.mean, said.std, notes) == ((0.1, 0.2, 0.3, 0.4), (1.0,) * 4, [])


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_for_other_channels_they_are_averaged_and_that_is_noted(channels: int) -> None:
    said, (note,) = coloured(IMAGENET, channels, None, None)
    assert said.mean == pytest.approx([(0.485 + 0.456 + 0.406) / 3] * channels)
    assert said.std == pytest.approx([(0.229 + 0.224 + 0.225) / 3] * channels)
    assert f"takes {channels} channel" in note and "mean and std" in note
    assert "their std" in coloured(IMAGENET, channels, 0.5, None)[1][0]


def test_as_many_as_there_are_channels() -> None:
    with pytest.raises(ValueError, match=r"^mean has 2 numbers, the network takes 3 channels$"):
        coloured(IMAGENET, 3, (0.5, 0.5), None)
    with pytest.raises(ValueError, match=r"^std has 3 numbers, the network takes 1 channels$"):
        coloured(IMAGENET, 1, None, (0.5, 0.5, 0.5))
