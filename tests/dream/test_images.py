"""The pictures: an objective rises, the same seed gives the same one, and what does not fit is named."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from engine import Dream, Explainer, Natural, Shaking, channel_image, class_image, deep_dream, invert, unit_image
from engine.dream import images
from engine.dream.ascent import Adam, Lens
from engine.dream.objectives import of_class
from engine.dream.views import Views, shaken, tiled
from tests.dream.small import tiny

PHOTO = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    return tiny()


ASKED: dict[str, Callable[..., Dream]] = {
    "class": lambda e, **k: class_image(e, "dog", steps=40, **k),
    "class in pixels": lambda e, **k: class_image(e, "dog", steps=40, parametrisation="pixels", **k),
    "class by phase": lambda e, **k: class_image(e, "dog", steps=40, parametrisation="maco", **k),
    "class by a photo's phase": lambda e, **k: class_image(
        e, "dog", steps=40, parametrisation="maco", photos=[PHOTO], **k
    ),
    "class in views": lambda e, **k: class_image(e, 2, steps=40, shaking=Shaking(4, 0.2, 3), **k),
    "channel": lambda e, **k: channel_image(e, "inner", 3, steps=40, **k),
    "unit": lambda e, **k: unit_image(e, "inner", 3, (2, 5), steps=40, **k),
    "deep dream": lambda e, **k: deep_dream(e, PHOTO, "inner", octaves=2, steps=6, side=24, **k),
    "inversion": lambda e, **k: invert(e, PHOTO, "inner", steps=60, **k),
}


@pytest.mark.parametrize("name", ASKED)
def test_the_objective_rises_and_the_same_seed_gives_the_same_picture(explainer: Explainer, name: str) -> None:
    told: list[tuple[int, int]] = []
    found = ASKED[name](explainer, seed=1, progress=lambda done, total: told.append((done, total)))
    total = len(found.course)
    assert told == [(done, total) for done in range(1, total + 1)]
    height, width = (24, 36) if name == "deep dream" else (16, 20)
    assert found.picture.dtype == np.uint8 and found.picture.shape == (height, width, 3)
    assert found.value > found.course[0] and np.mean(found.course[-3:]) > np.mean(found.course[:3])
    again, other = ASKED[name](explainer, seed=1), ASKED[name](explainer, seed=2)
    assert np.array_equal(found.picture, again.picture) and found.course == again.course
    assert not np.array_equal(found.picture, other.picture)


def test_the_value_is_what_the_network_says_of_the_picture(explainer: Explainer) -> None:
    found = class_image(explainer, "dog", steps=10)
    x = torch.from_numpy(found.picture).permute(2, 0, 1)[None].double() / 255
    mean, std = (torch.tensor(each, dtype=x.dtype).view(1, 3, 1, 1) for each in
                 (explainer.geometry.mean, explainer.geometry.std))  # fmt: skip
    assert float(explainer.forward((x - mean) / std)[0, 1]) == pytest.approx(found.value, rel=1e-9)


def test_inversion_comes_close_to_the_layer(explainer: Explainer) -> None:
    found = invert(explainer, PHOTO, "inner", steps=150, natural=Natural())
    assert -0.1 < found.value <= 0 and found.course[0] < -0.4


def test_what_keeps_it_natural_does(explainer: Explainer) -> None:
    def roughness(natural: Natural) -> float:
        found = class_image(explainer, "dog", steps=40, parametrisation="pixels", natural=natural).picture / 255
        return float(np.square(np.diff(found, axis=0)).mean())

    assert roughness(Natural(tv=100.0)) < 0.2 * roughness(Natural())


def test_a_network_on_gray_images_and_one_in_float32() -> None:
    for explainer in (tiny(1), tiny(3, torch.float32)):
        found = class_image(explainer, "dog", steps=20)
        assert found.value > found.course[0]
        assert deep_dream(explainer, PHOTO, "inner", octaves=1, steps=2).picture.shape == (16, 24, 3)
        gray = len(explainer.geometry.mean) == 1
        assert np.array_equal(found.picture[..., 0], found.picture[..., 2]) == gray


def test_progress_may_end_it(explainer: Explainer) -> None:
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        class_image(explainer, "dog", progress=stop)


def test_the_gradient_is_that_of_the_mean_over_views(explainer: Explainer) -> None:
    """Through normalisation and views, by a small step."""
    lens, generator = Lens(explainer, of_class(explainer, "dog")), torch.Generator().manual_seed(0)
    views = shaken((16, 20), (16, 20), 3, 0.2, 3, generator)
    image, step = (torch.rand(3, 16, 20, dtype=torch.float64, generator=generator) for _ in range(2))
    slope = float((lens.look(image, views)[1] * step).sum())
    up, down = (lens.look(image + by * step, views)[0] for by in (1e-4, -1e-4))
    assert slope == pytest.approx((up - down) / 2e-4, rel=1e-6)


def test_octaves_grow_and_hand_on_what_was_dreamt(explainer: Explainer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def still(sides: tuple[int, int], size: tuple[int, int], generator: torch.Generator) -> Views:
        seen.append(sides)
        return tiled(sides, size, torch.Generator().manual_seed(0))

    monkeypatch.setattr(images, "tiled", still)
    alone = deep_dream(explainer, PHOTO, "inner", octaves=1, steps=4, side=28)
    seen.clear()
    found = deep_dream(explainer, PHOTO, "inner", octaves=3, steps=4, side=28)
    assert [*dict.fromkeys(seen)] == [(14, 21), (20, 30), (28, 42)]  # each 1.4 times the one before
    assert found.course[8] > alone.course[0]  # the last octave begins at more than the photo
    assert found.value > alone.value


def test_adam_is_torchs() -> None:
    value, adam = torch.tensor([1.0, -2.0, 3.0]), Adam(0.1)
    theirs = torch.nn.Parameter(value.clone())
    optimiser = torch.optim.Adam([theirs], lr=0.1, maximize=True)
    for step in range(5):
        gradient = torch.tensor([1.0, -0.5, 0.01]) * (step - 1.5)
        theirs.grad = gradient.clone()
        optimiser.step()
        value = value + adam.step(gradient)
    torch.testing.assert_close(value, theirs.detach())


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (lambda e: class_image(e, "dog", steps=0), "steps is 0"),
        (lambda e: class_image(e, "dog", shaking=Shaking(jitter=-1)), "jitter is -1"),
        (lambda e: class_image(e, "dog", shaking=Shaking(zoom=1.0)), "zoom is 1"),
        (lambda e: class_image(e, "dog", shaking=Shaking(views=0)), "views is 0"),
        (lambda e: class_image(e, "dog", parametrisation="oil"), "no parametrisation is called 'oil'"),
        (lambda e: deep_dream(e, PHOTO, "inner", octaves=0), "octaves is 0"),
        (lambda e: deep_dream(e, PHOTO, "inner", rate=0.0), "rate is 0"),
        (lambda e: deep_dream(e, PHOTO / 255, "inner"), r"photo is torch.float64 \[20, 30, 3\]: it is uint8"),
        (lambda e: deep_dream(e, PHOTO, "outer"), "outer"),
        (lambda e: class_image(tiny(2), "dog"), "the network takes 2 bands: a picture is RGB or gray"),
    ],
)
def test_what_does_not_fit_is_named(explainer: Explainer, asked: Callable[[Explainer], object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        asked(explainer)
