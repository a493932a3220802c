"""One question with its answer: what is settled before it, what is refused, and what the answer says of itself."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from engine import Explainer, compile_model
from engine.methods import METHODS
from engine.methods.paths import noisy_copies
from engine.pictures.boxes import boxes_on_photo
from engine.pictures.figures import robust_scale
from engine.pictures.render import on_photo, overlay
from engine.run.watched import watched
from engine.trust.one_picture import flat
from tests.oracle import deviation
from tests.whole.test_reference import SEED, Small, X

LABELS = ["a <b>", "c", "d & e", "f", "g"]


@pytest.fixture(scope="module")
def small() -> Explainer:
    return compile_model(Small().double().eval(), X)


@pytest.fixture(scope="module")
def asked() -> tuple[Explainer, Tensor]:
    torch.manual_seed(3)
    body = [nn.Conv2d(3, 6, 3), nn.ReLU(), nn.Conv2d(6, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    x = torch.rand(2, 3, 12, 12)
    net = nn.Sequential(*body, nn.Linear(6, 5)).eval()
    net[-1].bias.data -= net(x).mean(0).detach()  # so that no class is far ahead
    return compile_model(net, x, labels=LABELS), x


def test_the_class_is_settled_on_the_image_without_noise(asked: tuple[Explainer, Tensor]) -> None:
    explainer, x = asked
    tops = explainer.forward(x).argmax(1)
    noise = {"steps": 12.0, "spread": 1.0}
    noisy = noisy_copies(x, torch.empty(0), noise, 0, 12)[0].flatten(0, 1)
    assert not torch.equal(explainer.forward(noisy).argmax(1).view(12, 2), tops.expand(12, 2)), "a change of class"
    seed = torch.eye(5)[tops]
    for options, smooth, method in ((noise, 0, "smooth_grad"), (None, 12, "grad_cam")):
        found = explainer.ask(x, None, method, options=options, smooth=smooth, spread=1.0)
        wanted = explainer.ask(x, None, method, seed=seed, options=options, smooth=smooth, spread=1.0)
        assert torch.equal(found.values, wanted.values)
        assert found.asked == tuple(LABELS[int(top)] for top in tops)


def test_smooth_is_the_mean_of_explain_on_the_noisy_copies(asked: tuple[Explainer, Tensor]) -> None:
    explainer, x = asked
    points, _ = noisy_copies(x, torch.empty(0), {"spread": 0.3}, 0, 5)
    maps = torch.stack([explainer.explain(point, explainer.one_hot(2), "grad_cam", 0) for point in points])
    found = explainer.ask(x, 2, "grad_cam", 0, smooth=5, spread=0.3)
    assert deviation(found.values, maps.mean(0)) < 1e-5
    assert (found.passes, found.layers) == (5, (explainer.layers[0],))


def test_a_question_of_one_pass_is_what_explain_and_sweep_answer(asked: tuple[Explainer, Tensor]) -> None:
    explainer, x = asked
    rather = explainer.ask(x, "c", "gradient", contrast="f")
    assert torch.equal(rather.values, explainer.explain(x, explainer.contrast("c", "f"), "gradient"))
    assert rather.asked == ("c rather than f",) * 2 and rather.layers == () and rather.signed
    every = explainer.ask(x, 1, "hires_cam", "all")
    assert torch.equal(every.values, explainer.sweep(x, explainer.one_hot(1), "hires_cam"))
    assert every.layers == tuple(explainer.layers) and not every.signed


@pytest.mark.parametrize(("layer", "method"), [(-1, "grad_cam"), (0, "hires_cam"), ("all", "hires_cam")])
def test_where_no_method_is_named_it_is_the_one_that_knows_the_class_there(
    asked: tuple[Explainer, Tensor], layer: int | str, method: str
) -> None:
    explainer, x = asked
    assert explainer.ask(x, layer=layer).method == method


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"method": "smooth_grad", "options": {"step": 3}},
            "smooth_grad has no option 'step'; it has steps, spread",
        ),
        ({"method": "recipro_cam", "options": {"steps": 3}}, "recipro_cam has no option 'steps'; it has none"),
        ({"method": "smooth_grad", "options": {"spread": -1}}, "spread is -1.0: it lies between 0 and"),
        ({"method": "smooth_grad", "options": {"steps": 0}}, "steps is 0.0: it lies between 1 and"),
        ({"method": "rise", "options": {"cells": 2.5}}, "cells is 2.5: it is a whole number"),
        ({"method": "gradient", "options": {"steps": 3}}, "gradient takes one pass and has no options; smooth=25"),
        ({"method": "smooth_grad", "smooth": 3}, "smooth repeats a method of one pass"),
        ({"method": "grad_cam", "layer": "all", "smooth": 3}, "smooth repeats a method of one pass"),
        ({"method": "grad_cam", "smooth": -1}, "smooth is -1"),
        ({"method": "grad_cam", "smooth": 3, "spread": -0.5}, "spread -0.5"),
        (
            {"method": "occlusion", "baseline": "white"},
            "no baseline is called 'white'; there are mean, black, blur",
        ),
        ({"method": "occlusion", "baseline": torch.zeros(1, 3, 4, 4)}, r"baseline is \[1, 3, 4, 4\]"),
        ({"method": "occlusion", "baseline": torch.zeros(3, 3, 12, 12)}, "3 baselines for 2 images"),
        ({"method": "recipro_cam", "layer": "all"}, "recipro_cam takes many passes, for one layer at a time"),
        ({"method": "gradient", "target": 1, "seed": torch.ones(1, 5)}, "leave target and contrast out"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_name(
    asked: tuple[Explainer, Tensor], options: dict[str, object], said: str
) -> None:
    explainer, x = asked
    with pytest.raises(ValueError, match=said):
        explainer.ask(x, **options)


def test_a_layer_beside_other_paths_is_refused() -> None:
    class Skip(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.stem, self.inner, self.head = nn.Conv2d(1, 2, 1), nn.Conv2d(2, 2, 1), nn.Linear(2, 4)

        def forward(self, x: Tensor) -> Tensor:
            x = torch.relu(self.stem(x))
            return self.head((x + self.inner(x)).mean((2, 3)))

    explainer = compile_model(Skip().double().eval(), X, layers="all")
    for method in ("recipro_cam", "ablation_cam", "score_cam"):
        with pytest.raises(ValueError, match=f"the values of inner, which {method} asks"):
            explainer.ask(X, 0, method, "inner")


def test_progress_is_told_in_rising_steps(small: Explainer) -> None:
    told: list[tuple[int, int]] = []
    threads = set()

    def progress(done: int, steps: int) -> None:
        told.append((done, steps))
        threads.add(threading.current_thread())

    found = small.ask(X, 0, "rise", options={"steps": 20000}, progress=progress)
    done = [now for now, _ in told]
    assert done == sorted(set(done)) and told[-1] == (20000, 20000) and {steps for _, steps in told} == {20000}
    assert threads == {threading.current_thread()}
    assert torch.equal(found.values, small.ask(X, 0, "rise", options={"steps": 20000}).values)


def test_what_progress_raises_ends_the_question(small: Explainer) -> None:
    before, told = threading.active_count(), []

    def progress(done: int, steps: int) -> None:
        told.append(done)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small.ask(X, 0, "smooth_grad", options={"steps": 1_000_000}, progress=progress)
    assert len(told) == 1 and told[0] < 1_000_000 and threading.active_count() == before


def test_a_call_that_is_ended_is_told_to_stop() -> None:
    stopped = []

    def call(state: Tensor) -> None:
        state[0], state[1] = 1, 2
        for _ in range(500):
            if state[2]:
                stopped.append(state.tolist())
                return
            time.sleep(0.01)

    def progress(done: int, steps: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watched(call, progress)
    assert stopped == [[1, 2, 1]]


def test_what_a_question_raises_is_raised_where_it_was_asked() -> None:
    def call(state: Tensor) -> Tensor:
        raise ZeroDivisionError(str(state.tolist()))

    with pytest.raises(ZeroDivisionError, match=r"\[0, 0, 0\]"):
        watched(call, lambda done, steps: None)
    with pytest.raises(ZeroDivisionError, match=r"\[\]"):
        watched(call, None)


def test_how_far_it_is_from_complete_comes_with_the_answer(small: Explainer) -> None:
    found = small.ask(X, 0, "integrated_gradients", options={"steps": 50})
    assert found.completeness is not None and float(found.completeness) == pytest.approx(0.18 / 54)
    assert "all parts make up what the score gained since the baseline but for 0.3%" in found.told()
    assert "from 50 passes at most" in found.told()[1]
    assert small.ask(X, 0, "smooth_grad").completeness is None


def test_grad_cam_below_the_last_layer_says_that_it_knows_no_class(small: Explainer) -> None:
    for layer in ("conv", 0, -2, "all"):
        assert [note[:22] for note in small.ask(X, 0, "grad_cam", layer).notes] == ["Not class-specific her"]
    for layer in ("relu", 1, -1):
        assert small.ask(X, 0, "grad_cam", layer).notes == ()
    assert small.ask(X, 0, "hires_cam", 0).notes == () and small.ask(X, 0, "gradient").notes == ()


def test_an_answer_is_saved_as_it_is(small: Explainer, tmp_path: Path) -> None:
    found = small.ask(X, seed=SEED, method="gradient")
    assert found.asked == ("the seed that was given",)
    found.save(tmp_path / "map.npy")
    assert np.array_equal(np.load(tmp_path / "map.npy"), found.values.float().numpy())
    with pytest.raises(ValueError, match=r"map\.png: the values are written as \.npy"):
        found.save(tmp_path / "map.png")


def test_an_answer_draws_itself_on_its_photo(asked: tuple[Explainer, Tensor]) -> None:
    explainer, x = asked
    photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    heat = explainer.ask(photo, 0, "grad_cam")
    assert heat.picture().shape == photo.shape and heat.picture().dtype == np.uint8
    assert explainer.ask(photo, 0, "hires_cam", "all").picture(layer=0).shape == photo.shape
    assert heat.logits.tolist() == explainer.forward(explainer.preprocess(torch.from_numpy(photo))).tolist()
    without = explainer.ask(x, 0, "grad_cam")
    assert np.array_equal(without.picture(photo, image=1).shape, photo.shape)
    with pytest.raises(ValueError, match="heat is drawn on a photo"):
        without.picture()


def test_relevance_is_drawn_as_what_a_pixel_has(asked: tuple[Explainer, Tensor]) -> None:
    """Beside the photo, and wherever it is drawn, it is the sum over the channels, in the colours of two signs."""
    explainer, x = asked
    photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    answer = explainer.ask(photo, 0, "lrp_epsilon_plus")
    window = explainer.geometry.window(30, 40)
    sums = answer.values[0].double().numpy().sum(0)
    heat, seen = on_photo(np.clip(sums / robust_scale(sums), -1, 1), window, (30, 40))
    wanted = overlay(photo, heat, seen, signed=True, pale=True)
    assert np.abs(answer.picture().astype(int) - wanted).max() <= 2  # a level of the colours, by rounding
    assert answer.signed and "<img" in answer._repr_html_()
    (box,) = boxes_on_photo(sums, window, (30, 40), 0.2, False, answer.asked[0])
    assert answer.boxes()[0].score == pytest.approx(box.score) and answer.boxes()[0].left == box.left
    smooth = explainer.ask(photo, 0, "lrp_epsilon_plus", smooth=2)  # of which no share that arrived is told
    assert smooth.picture().shape == photo.shape and smooth.boxes()
    without = explainer.ask(x, 0, "lrp_epsilon_plus")
    assert "<img" not in without._repr_html_()
    with pytest.raises(ValueError, match="heat is drawn on a photo"):
        without.picture()


@patch.dict(METHODS)
def test_a_method_of_ones_own_is_told_of_by_its_file(asked: tuple[Explainer, Tensor]) -> None:
    explainer, x = asked
    before = explainer.ask(x, 0, "lrp_epsilon_plus")
    del METHODS["lrp_epsilon_plus"]
    after = explainer.ask(x, 0, "lrp_epsilon_plus")
    assert (after.title, after.signed) == (before.title, before.signed) == ("LRP epsilon-plus", True)
    assert torch.equal(flat(after.values, after.method, after.at), before.values.sum(1))


def test_a_notebook_is_shown_no_markup_of_a_label(asked: tuple[Explainer, Tensor]) -> None:
    explainer, x = asked
    photo = np.zeros((12, 12, 3), np.uint8)
    answers = [
        explainer.ask(*question) for question in ((photo, 0, "grad_cam"), (x, 0, "grad_cam"), (x, 0, "gradient"))
    ]
    for answer in answers:
        shown = answer._repr_html_()
        assert "<b>" not in shown and "a &lt;b&gt;" in shown
        assert ("<img" in shown) == (answer.photo is not None or answer.values.ndim == 4)
    assert "a <b>" in repr(explainer.ask(x, 0, "grad_cam"))


def test_boxes_are_those_of_the_map_that_is_answered(asked: tuple[Explainer, Tensor]) -> None:
    explainer, x = asked
    photo = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    answer = explainer.ask(photo, 1, "hires_cam", 1, contrast="f")
    for several in (False, True):
        boxes = explainer.boxes(photo, 1, "hires_cam", 1, 0.4, "f", several)
        assert boxes and boxes == answer.boxes(0.4, several)
        heat = answer.values[0].numpy()
        window = explainer.geometry.window(30, 40)
        assert boxes == boxes_on_photo(heat, window, (30, 40), 0.4, several, "c rather than f")
    every = explainer.ask(photo, 1, "hires_cam", "all")
    assert every.boxes(layer=1) == explainer.boxes(photo, 1, "hires_cam", 1)
    batch = explainer.ask(x, method="grad_cam")
    assert [box.label for box in batch.boxes(photo=photo, image=1)] in ([], [batch.asked[1]])
    with pytest.raises(ValueError, match="boxes are in a photo's pixels"):
        batch.boxes()
    with pytest.raises(ValueError, match="give the photo"):
        explainer.boxes(x)
    with pytest.raises(ValueError, match="boxes are of one layer"):
        explainer.boxes(photo, layer="all")
    with pytest.raises(ValueError, match="gradient has a value for each channel"):
        explainer.boxes(photo, method="gradient")


def test_a_map_of_nothing_has_no_box(asked: tuple[Explainer, Tensor]) -> None:
    explainer, _ = asked
    photo = np.zeros((30, 40, 3), np.uint8)
    answer = explainer.ask(photo, 1, "grad_cam")
    assert replace(answer, values=torch.zeros_like(answer.values)).boxes() == []
