"""A data set's table: the numbers of single pictures, kept as they come, and never without the controls."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from engine import Explainer, compile_model
from engine.errors import PhotoError
from engine.trust import deletion, gini, spearman
from engine.trust.controls import CONTROLS
from engine.trust.evaluate import Item, evaluate
from engine.trust.evaluation import COLUMNS, Evaluation
from engine.trust.one_picture import flat
from engine.trust.table import Table, standing

ASKED = ["hires_cam", "hires_cam@0", "deconvnet"]


def sees_colours() -> nn.Module:
    """Four classes, red, green, blue and none of them, each told by what it adds to the mean."""
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 4))
    with torch.no_grad():
        network[0].weight.copy_(
            torch.tensor([[1.0, -1, -1], [-1, 1, -1], [-1, -1, 1], [-1, -1, -1]])[:, :, None, None]
        )
        network[0].bias.copy_(torch.tensor([0.0, 0, 0, 0.5]))
        network[4].weight.copy_(20 * torch.eye(4))
        network[4].bias.zero_()
    return network.eval()


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    torch.manual_seed(0)
    methods = ["hires_cam", "grad_cam", "deconvnet", "occlusion", "input_x_gradient"]
    return compile_model(
        sees_colours(), torch.rand(1, 3, 32, 32), "all", methods, ["red", "green", "blue", "dark"]
    )


def patch(channel: int | None) -> NDArray[np.uint8]:
    """A square of one colour on black, a little off the middle."""
    photo = np.zeros((32, 32, 3), np.uint8)
    if channel is not None:
        photo[4:24, 6:26, channel] = 255
    return photo


def items() -> list[Item]:
    return [Item(f"{number}.png", lambda c=c: patch(c)) for number, c in enumerate((0, 1, 2, None))]


def test_the_numbers_are_those_of_the_metrics(explainer: Explainer) -> None:
    table = evaluate(Evaluation(explainer, ASKED), items())
    assert len(table.photos) == 4
    x = explainer.preprocess(torch.from_numpy(patch(1)))
    asked = explainer.ask(x, 1, "hires_cam")
    map = flat(asked.values, "hires_cam", asked.at)
    curve = deletion(lambda images: explainer.forward(images).softmax(1)[:, 1], x, map)
    own = table.photos[1]["hires_cam"]
    assert own["deletion"] == pytest.approx(float(curve.auc), abs=1e-6)
    assert own["gini"] == pytest.approx(float(gini(map)))
    hidden = explainer.ask(x, 1, "occlusion").values
    assert own["hiding"] == pytest.approx(float(spearman(map, hidden.float())), abs=1e-6)
    names = {who: {name for row in table.photos for name in row[who]} for who in (*ASKED, *CONTROLS)}
    assert names["random"] == names["sobel"] == names["centre"]
    assert names["hires_cam"] == names["random"], "no column without its controls"


def test_each_photo_has_another_random_map(explainer: Explainer) -> None:
    same = [Item(name, lambda: patch(0)) for name in "ab"]
    first, second = evaluate(Evaluation(explainer, ["hires_cam"], ["gini", "road"]), same, mosaics=0).photos
    assert first["hires_cam"] == second["hires_cam"] and first["random"] != second["random"]


def test_a_map_that_knows_its_class_stands_above_the_controls(explainer: Explainer) -> None:
    found = evaluate(Evaluation(explainer, ASKED), items(), mosaics=4).summary()
    assert found["hires_cam"]["grid_energy"].mean > 0.8 and found["random"]["grid_energy"].mean < 0.4
    assert standing(found, "hires_cam", "grid_energy") == 1
    assert standing(found, "random", "grid_energy") == 0 and standing(found, "hires_cam", "gini") == 0


def test_sentences_follow_from_the_numbers() -> None:
    def row(same_class: float, deletion: float) -> dict[str, float]:
        return {"same_class": same_class, "same_weights": 0.1, "deletion": deletion}

    control = {name: {"same_class": 1.0, "same_weights": 1.0, "deletion": 0.5} for name in CONTROLS}
    photos = [{"deconvnet": row(0.99, 0.6), "hires_cam": row(0.2, 0.1)} | control] * 3
    table = Table(["deconvnet", "hires_cam"], ["same_class", "same_weights", "deletion"], photos)
    assert table.sentences() == [
        "Deconvnet does not know the class: the map of another one is 0.99 the same.",
        "Deconvnet is no better than a map that knows nothing in: Deletion.",
    ]


def test_it_goes_on_where_it_was(explainer: Explainer, tmp_path: Path) -> None:
    read = list[str]()

    def item(name: str, channel: int | None, broken: bool = False) -> Item:
        def opened() -> NDArray[np.uint8]:
            read.append(name)
            if broken:
                raise PhotoError("The file is empty. Choose another photo.")
            return patch(channel)

        return Item(name, opened)

    def asked() -> Evaluation:
        return Evaluation(explainer, ["hires_cam"], ["gini", "deletion"])

    broken = [item("a", 0), item("b", 1, broken=True)]
    first = evaluate(asked(), broken, tmp_path)
    assert read == ["a", "b"] and len(first.photos) == 1
    assert "1 could not be read" in first.told[1] and "b: The file is empty." in first.told[1]
    rows = tmp_path / "rows.jsonl"
    rows.write_text(rows.read_text() + '{"photo": "c", "values": {"hi')  # as a kill leaves it
    mended = evaluate(asked(), [item("a", 0), item("b", 1), item("c", 2)], tmp_path)
    assert read == ["a", "b", "b", "c"] and len(mended.photos) == 3
    assert mended.photos[0] == first.photos[0]
    names = [json.loads(line).get("photo") for line in rows.read_text().splitlines()]
    assert names == [None, "a", "b", "c"]
    assert evaluate(asked(), [item("c", 2)], tmp_path).photos == mended.photos[2:] and read[4:] == []
    with pytest.raises(ValueError, match="evaluation with other columns: choose another folder"):
        evaluate(Evaluation(explainer, ["hires_cam"], ["gini"]), broken, tmp_path)


def test_what_there_is_not_is_refused_before_the_first_photo(explainer: Explainer) -> None:
    for asked, columns, said in (
        (["grad_cat"], ["gini"], "the file has no 'grad_cat'"),
        (["grad_cam@top"], ["gini"], "the file has no layer 'top'"),
        (["grad_cam"], ["ginny"], "there is no column 'ginny'"),
        ([], ["gini"], "no method is asked for"),
    ):
        with pytest.raises(ValueError, match=said):
            Evaluation(explainer, asked, columns)

    def broken() -> NDArray[np.uint8]:
        raise PhotoError("The file is empty.")

    with pytest.raises(ValueError, match=r"none of 1 photos can be read: The file is empty\."):
        evaluate(Evaluation(explainer, ["grad_cam"]), [Item("a", broken)])


def test_few_sure_photos_make_no_mosaic(explainer: Explainer) -> None:
    table = evaluate(Evaluation(explainer, ["hires_cam"], ["grid_energy", "gini"]), items()[:2])
    assert "The network gives 0.5 or more to photos of 2 classes: a mosaic takes four." in table.told
    assert "grid_energy" not in table.summary()["hires_cam"] and table.mosaics == []


@pytest.mark.parametrize("write", [Table.as_markdown, lambda table: table.as_html("Head")])
def test_what_is_written_has_every_row(explainer: Explainer, write: Callable[[Table], str]) -> None:
    table = evaluate(Evaluation(explainer, ASKED), items(), mosaics=2)
    text = write(table)
    for name in ("HiResCAM", "HiResCAM, 0", "Deconvnet", "control: by chance", "control: edges", "Deletion"):
        assert name in text
    numbers = json.loads(json.dumps(table.as_json(), allow_nan=False))["table"]
    assert numbers.keys() == {*ASKED, *CONTROLS} and numbers["random"].keys() <= COLUMNS.keys()
    assert "nan" not in text and "://" not in text
