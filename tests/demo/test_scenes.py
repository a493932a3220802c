import re
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
from engine.demo.studio import Studio
from engine.demo.words import arrived_told
from engine.methods import Place
from engine.pictures.colours import colors_of
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
        layer = -1 if method == "cam" or METHODS[method].at is Place.THROUGHOUT else 40  # of the latter: the image
        answer = explainer.explain(x, seed, method, layer)[0].numpy()
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


def test_one_scale_for_all_layers_keeps_a_weak_one_weak(scene: Scene) -> None:
    """Only a layer that holds the largest value of all has the last colour then."""
    largest = [scene.range(layer)[1] for layer in scene.layers]
    strong, weak = int(np.argmax(largest)), int(np.argmin(np.where(np.array(largest) > 0, largest, np.inf)))
    last = colors_of("turbo")[-1].astype(int)

    def reached(look: Look, layer: int) -> int:
        return int(np.abs(asks(scene, look=look).draw(layer, 451).astype(int) - last).sum(2).min())

    own = Look(alone=True, colormap="turbo")
    common = replace(own, scale="common")
    assert reached(own, strong) == reached(common, strong) < 60
    assert reached(own, weak) < 60 < reached(common, weak)
    assert asks(scene, look=common).range_told(weak).endswith("scaled to the largest of all layers.")
    assert asks(scene, method="saliency", look=common).scale is None


def test_an_empty_layer_is_the_photo_alone_and_says_so(scene: Scene) -> None:
    """As Grad-CAM is at some layers of the cat."""
    asked = asks(scene, method="grad_cam", look=Look(strength=1.0))
    empty = next(layer for layer in asked.layers if not asked.attribution(layer).any())
    _, seen = on_photo(np.zeros((7, 7)), scene.model.explainer.geometry.window(300, 451), (300, 451))
    assert np.array_equal(asked.draw(empty, 451)[seen], scene.photo.pixels[seen])
    assert asked.range_told(empty) == "Nothing here speaks for the class (max 0)."
    assert asked.caption(empty).endswith("\nmax 0: nothing for the class")
    assert "max 0" not in asked.caption(asked.layers[-1])


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
        "grad_cam": {"layer", "film", "stages", "show", "strength", "colours", "scale"},
        "guided_grad_cam": {"layer", "film", "stages", "view", "gray", "scale"},
        "gradient": {"view", "gray"},
        "saliency": {"show", "strength", "colours"},
        "cam": {"show", "strength"},
    }
    for method, names in applies.items():
        props = shown(asks(scene, method=method), Path("x.jpg"))
        assert {name for name, settings in props.items() if settings.get("visible")} == names, method
        assert ("single" in props["tabs"]["elem_classes"]) is ("layer" not in names)
    assert all(METHODS[name].says for name in scene.model.explainer.one_pass_methods)


def test_the_target_is_marked_and_words_are_escaped(scene: Scene) -> None:
    second = shown(asks(scene, target=EGYPTIAN_CAT, contrast=TIGER_CAT), Path("x.jpg"))
    assert second["classes"]["elem_classes"] == ["chosen-2"]
    sentence = re.sub("<.*?>", "", second["heading"]["value"])
    assert sentence.startswith("Why Egyptian cat rather than tiger cat?")
    assert [index for index, _ in second["heading"]["top"]][:2] == [TIGER_CAT, EGYPTIAN_CAT]
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
    assert len(props["heading"]["labels"]) == 1000
    assert props["layer"] == {"visible": True, "maximum": 73, "value": 73}


def test_relevance_is_drawn_as_the_sum_of_a_pixels_channels_with_what_arrived(
    scene: Scene, studio: Studio
) -> None:
    found = studio.scene(replace(scene.question, method="lrp_epsilon_plus"))
    explainer = scene.model.explainer
    answer = explainer.ask(scene.photo.pixels, scene.question.target, "lrp_epsilon_plus")
    np.testing.assert_allclose(found.shown(0), answer.values[0].sum(0).numpy(), rtol=1e-4, atol=1e-10)
    assert found.layers == [] and not found.signed
    assert answer.arrived is not None
    assert found.range_told(0).endswith(f" {arrived_told(float(answer.arrived[0, 0]))}")


def test_relevance_is_read_at_every_layer_too(scene: Scene, studio: Studio) -> None:
    found = studio.scene(replace(scene.question, method="lrp_epsilon_plus", at="layers", layer=40))
    answer = scene.model.explainer.ask(scene.photo.pixels, scene.question.target, "lrp_epsilon_plus", "all")
    assert found.layers == list(range(73)) and not found.at_image
    for layer in (0, 40, 72):
        wanted = answer.values[0, layer].numpy()
        np.testing.assert_allclose(found.shown(layer), wanted, rtol=1e-3, atol=1e-6 * np.abs(wanted).max())
        assert answer.arrived is not None
        told = arrived_told(float(answer.arrived[0, 1 + layer]))
        assert found.range_told(layer).endswith(told)
    assert {arrived_told(0.5)} != {told}
    props = shown(found, Path("x.jpg"))
    assert props["at"] == {"visible": True} and props["layer"]["visible"] and props["tabs"] == {"elem_classes": []}
    assert shown(scene, Path("x.jpg"))["at"] == {"visible": False}
    assert len(studio.frames(found)) == 73
