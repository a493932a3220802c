from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import torch

from engine import METHODS, MODELS
from engine.demo import words
from engine.demo.question import Look
from engine.demo.scene import Photo, Scene
from engine.demo.state import chosen, merge, offered, shown
from engine.pictures.render import on_photo, unit
from tests.demo.hands import EGYPTIAN_CAT, TIGER_CAT, asks


def test_the_cat_is_a_cat(scene: Scene) -> None:
    top = [scene.model.labels[i] for i in scene.probabilities.argsort()[::-1][:3]]
    assert top == ["tiger cat", "Egyptian cat", "tabby"]
    assert (scene.question.target, scene.layer) == (TIGER_CAT, len(scene.model.layers) - 1)


def test_every_method_shows_what_the_explainer_answers(scene: Scene) -> None:
    explainer = scene.model.explainer
    x, seed = explainer.preprocess(torch.from_numpy(scene.photo.pixels)), explainer.one_hot(TIGER_CAT)
    for method in explainer.one_pass_methods:
        asked = asks(scene, method=method, layer=40)
        if not METHODS[method].light:  # the studio asks it alone
            asked = replace(asked, attributions={method: explainer.survey(x, seed, [method])[method][0].numpy()})
        answer = explainer.explain(x, seed, method, -1 if method == "cam" else 40)[0].numpy()
        np.testing.assert_allclose(
            asked.attribution(asked.layer), answer, rtol=1e-4, atol=1e-5 * np.abs(answer).max()
        )


def test_a_method_has_a_map_for_each_layer_for_one_or_for_the_image(scene: Scene) -> None:
    last = len(scene.model.layers) - 1
    expected = {"grad_cam": (list(range(last + 1)), 4), "cam": ([last], last), "gradient": ([], 4)}
    for method, (layers, layer) in expected.items():
        asked = asks(scene, method=method, layer=4)
        assert (asked.layers, asked.layer) == (layers, layer), method


def test_heat_lies_where_the_network_saw_the_photo_at_any_size(scene: Scene) -> None:
    large = replace(scene, photo=Photo("large", cv2.resize(scene.photo.pixels, (1353, 900))))
    drawn = large.draw(20, 451)
    heat, seen = on_photo(
        unit(scene.attribution(20)), scene.model.explainer.geometry.window(300, 451), scene.photo.pixels.shape[:2]
    )
    assert drawn.shape == (300, 451, 3)
    gray = (drawn == drawn[:, :, :1]).all(2)
    assert (gray[~seen]).all() and gray[seen].mean() < 0.05
    hottest = np.unravel_index(heat.argmax(), heat.shape)
    alone = asks(large, look=Look(alone=True)).draw(20, 451)
    reds = np.abs(alone.astype(int) - alone[hottest]).sum(2)
    assert np.hypot(*(np.argwhere(reds <= 3) - hottest).T).min() < 3


def test_the_strongest_half_percent_has_full_brightness(scene: Scene) -> None:
    for gray in (False, True):
        picture = asks(scene, method="gradient", look=Look("all", gray)).draw(0, 224)
        extreme = (np.abs(picture.astype(int) - 128) >= 127).mean()
        assert 0.003 < extreme < 0.007
    saliency = asks(scene, method="saliency", look=Look(alone=True))
    assert (unit(saliency.attribution(0), np.percentile(saliency.attribution(0), 99.5)) == 1).mean() < 0.006


def test_a_photo_is_never_enlarged_and_shrinks_to_the_longer_side() -> None:
    for (height, width), expected in {
        (600, 3000): (205, 1024),
        (3000, 600): (1024, 205),
        (300, 451): (300, 451),
    }.items():
        assert Photo("", np.zeros((height, width, 3), np.uint8)).fit(1024).shape == (*expected, 3)


def test_labels_that_classes_share_are_told_apart() -> None:
    assert words.unique(["crane", "tabby", "crane"]) == ["crane (0)", "tabby", "crane (2)"]


def test_the_controls_that_apply_are_shown(scene: Scene) -> None:
    applies = {
        "grad_cam": {"layer", "every", "show", "strength"},
        "guided_grad_cam": {"layer", "every", "view", "gray"},
        "gradient": {"view", "gray"},
        "saliency": {"show", "strength"},
        "cam": {"show", "strength"},
    }
    for method, names in applies.items():
        props = shown(asks(scene, method=method), Path("x.jpg"))
        assert {name for name, settings in props.items() if settings.get("visible")} == names, method
    assert all(METHODS[name].says for name in scene.model.explainer.one_pass_methods)


def test_the_target_is_marked_and_words_are_escaped(scene: Scene) -> None:
    second = shown(asks(scene, target=EGYPTIAN_CAT, contrast=TIGER_CAT), Path("x.jpg"))
    assert second["classes"]["elem_classes"] == ["chosen-2"]
    assert "<b>Egyptian cat</b> rather than <b>tiger cat</b>" in second["heading"]["value"]
    assert chosen(scene) == {"target": {"value": TIGER_CAT}, "contrast": {"value": -1}}
    found = (0.0001, 812, 1000)
    escaped = words.heading("<script>", "<b>", "Grad-CAM", "x", found, (0.5, 1, 1000))
    assert "<script>" not in escaped and "&lt;script&gt; below 0.1 %, rank 812 of 1000" in escaped
    assert "&lt;b&gt; 50.0 %, rank 1 of 1000" in escaped


def test_a_class_has_its_rank_among_all(scene: Scene) -> None:
    order = scene.probabilities.argsort()[::-1]
    for rank in (1, 2, 500, 1000):
        probability, found, classes = scene.standing(int(order[rank - 1]))
        assert (found, classes) == (rank, 1000)
        assert probability == scene.probabilities[order[rank - 1]]


def test_all_models_and_classes_are_offered(scene: Scene) -> None:
    props = merge(shown(scene, Path("x.jpg")), offered(scene))
    assert [name for _, name in props["model"]["choices"]] == list(MODELS)
    assert props["model"]["choices"][0][0].endswith("included")
    assert len(props["target"]["choices"]) == 1000 == len(props["contrast"]["choices"]) - 1
    assert props["layer"] == {"visible": True, "maximum": 73, "value": 73}
