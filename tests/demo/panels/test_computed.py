"""The lines of the program that are shown are those that run, and the lines to type ask the same."""

import html
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from engine import METHODS
from engine.demo.panels import PANELS
from engine.demo.panels.carried_out import carried_out, returned_names
from engine.demo.panels.computed import listing_of, one_pass_of
from engine.demo.scene import Scene
from engine.demo.studio import Studio
from engine.methods import Place
from engine.torchscript.kernels import ConvSteps, Epilogue
from tests.demo.hands import EGYPTIAN_CAT, asks

WALK = """
def walk(self: A,
    image: Tensor,
    depth: Dict[str, int]) -> Tuple[Tensor, List[Tensor]]:
  guided = depth["guided"]
  nothing = torch.empty([0])
  out = annotate(Dict[str, List[Tensor]], {})
  for _1 in range(2):
    torch._set_item(out, "a", annotate(List[Tensor], []))
  size = torch.size(image, 0)
  if torch.le(first, 1):
    _2 = torch.le(1, last)
  else:
    _2 = False
  if _2:
    weights = self.weights
    conv_weight = weights.conv_weight
    _3 = __torch__.house.kernels.ConvSteps([1, 1])
    conv0 = (self.kernels).conv(image, conv_weight, _3, )
    relu6 = torch.relu(conv0)
    relu, conv = relu6, conv0
  else:
    relu, conv = nothing, nothing
  values, places = torch.max(relu, 1)
  seed = (self).seed_at_logits(values, )
  if torch.le(guided, -1):
    ct = torch.mul(seed, relu)
    ct_image = torch.relu(ct)
    image_guided = ct_image
  else:
    image_guided = nothing
  if torch.__contains__(wanted, "cam"):
    _4 = (self.readings).collect("guided", wanted, relu, ct, nothing, False, out, )
  else:
    pass
  _5 = [image_guided]
  return (values, _5)
"""


def asked(first: int = 1, guided: int = -1, wanted: str = "cam") -> dict[str, Any]:
    return {"depth": {"guided": guided}, "first": first, "last": 1, "wanted": [wanted], "nothing": None}


def test_a_question_leaves_a_list_of_calls() -> None:
    run = carried_out(WALK, asked())
    lines = [run.line(call) for call in run.calls if call.op != "annotate"]
    assert lines == [
        "size = torch.size(image, 0)",
        "conv = kernels.conv(image, weights.conv_weight, ConvSteps([1, 1]))",
        "relu = torch.relu(conv)",
        "values, places = torch.max(relu, 1)",
        "seed = seed_at_logits(values)",
        "ct = torch.mul(seed, relu)",
        "ct_image = torch.relu(ct)",
    ]
    assert run.shown(run.listed(run.returned[1])[0]) == "ct_image"  # the shorter of its two names
    assert [run.shown(given.id) for given in run.reads["guided"][1:3]] == ["relu", "ct"]  # type: ignore[attr-defined]
    assert [call.names[0] for call in run.behind("image_guided", ["relu"])] == ["values", "seed", "ct", "ct_image"]
    assert returned_names(WALK) == ["image_guided"]


def test_what_another_question_runs_is_left_out() -> None:
    run = carried_out(WALK, asked(first=2, guided=0, wanted="other"))
    assert [call.names[0] for call in run.calls] == ["out", "size", "values", "seed"]
    assert run.reads == {} and run.known["relu"] is None


class Ran:
    """Lines of a listing, run by Python with the file's own weights and kernels."""

    def __init__(self, scene: Scene, policy: str) -> None:
        explainer = scene.model.explainer
        self.module, photo = explainer.module, torch.from_numpy(scene.photo.pixels)
        x, seed = explainer.preprocess(photo), explainer.one_hot(282)
        with torch.inference_mode(), torch.jit.optimized_execution(False):
            names = returned_names(self.module.primals.code)
            primals = dict(zip(names, self.module.primals(x)[1], strict=True))
            _, _, cts, _ = explainer.probe(x, seed, policy)
        self.names, self.primals = names, primals
        self.cts = {f"ct_{name}": ct for name, ct in zip(names, cts, strict=True)}
        self.given = {
            "torch": torch.ops.aten, "kernels": self.module.kernels, "weights": self.module.weights,
            "ConvSteps": ConvSteps, "Epilogue": Epilogue, "size": 1, "seed": seed, "image": x,
        }  # fmt: skip

    def run(self, lines: list[str], values: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        # What is written over belongs to the line that reads it.
        found = {name: value.clone() for name, value in values.items()}
        with torch.inference_mode():
            for line in lines:
                exec(line, self.given, found)
        return found


@pytest.mark.parametrize("layer", [1, 2, 8, 20, 31, 61, 72])
def test_the_lines_that_are_shown_compute_the_layer(scene: Scene, layer: int) -> None:
    ran = Ran(scene, "gradient")
    found = listing_of(scene.model.explainer, "hires_cam", layer)
    assert found.forward and found.backward and found.calls[0] > 50 and len(found.read) == 2
    before = {name: ran.primals[name] for name in ran.names[:layer]}
    primal, ct = found.read
    forward = ran.run(found.forward, before)
    assert torch.allclose(forward[primal], ran.primals[primal], atol=1e-4)
    behind = {name: value for name, value in ran.cts.items() if ran.names.index(name[3:]) > layer}
    backward = ran.run(found.backward, ran.primals | behind)
    # At a gate's very edge a value passes or does not by its last digits, which kernels round in their own way.
    off = (backward[ct] - ran.cts[ct]).abs() > 1e-4 * ran.cts[ct].abs().max()
    assert off.double().mean() < 1e-3


def test_a_folded_layer_is_given_back_for_methods_that_are_no_sum(scene: Scene) -> None:
    layer = scene.model.explainer.layers.index("blocks.6.0.conv_pw")
    ran = Ran(scene, "gradient")
    found = listing_of(scene.model.explainer, "layer_cam", layer)
    assert found.read == ["blocks_6_0_conv_pw", "ct_blocks_6_0_conv_pw"] and not found.shifted
    forward = ran.run(found.forward, {name: ran.primals[name] for name in ran.names[:layer]})
    assert torch.allclose(forward[found.read[0]], ran.primals[found.read[0]], atol=1e-4)
    behind = {name: value for name, value in ran.cts.items() if ran.names.index(name[3:]) > layer + 1}
    backward = ran.run(found.backward, ran.primals | behind)[found.read[1]]
    assert (backward - ran.cts[found.read[1]]).abs().max() <= 1e-4 * backward.abs().max()
    assert listing_of(scene.model.explainer, "hires_cam", layer).shifted


@pytest.mark.parametrize("method", ["gradient", "guided_backprop", "deconvnet", "full_grad"])
def test_image_methods_run_down_to_the_image(scene: Scene, method: str) -> None:
    found = listing_of(scene.model.explainer, method, 72)
    policy = METHODS[method].policy
    assert found.read == ["image", f"image_{policy}"] and found.backward[-1].startswith(f"image_{policy} = ")
    assert (len(found.forward), len(found.backward)) == found.calls
    gates = [line for line in found.backward if "hardtanh_backward(" in line]
    passed = [line for line in found.backward if "torch.relu" in line or "torch.clamp" in line]
    assert bool(gates) is (policy != "deconvnet") and bool(passed) is (policy != "gradient")


def test_every_method_and_model_layer_has_an_answer(studio: Studio, scene: Scene) -> None:
    for method in scene.model.methods:
        for layer in (0, 1, 36, 72) if METHODS[method].at.at_every_layer else (72,):
            shown = replace(scene, question=replace(scene.question, method=method, layer=layer))
            (answer,) = PANELS["computed"].steps(studio, shown, {})
            assert METHODS[method].title in answer
            if METHODS[method].at is Place.THROUGHOUT:
                at_layers = replace(scene, question=replace(shown.question, at="layers", layer=36))
                (inner,) = PANELS["computed"].steps(studio, at_layers, {})
                assert "Backward, from" in inner and inner != answer
            assert answer.count('<pre class="lines"') == (
                0 if not one_pass_of(method) else 1 + bool(METHODS[method].policy)
            )


def test_the_certificate_is_the_manifests(studio: Studio, scene: Scene) -> None:
    (answer,) = PANELS["computed"].steps(studio, scene, {})
    manifest = scene.model.explainer.manifest
    assert f"HiResCAM deviated by {manifest['certificate']['methods']['hires_cam']:.1e} at most" in answer
    assert "On the way back: every call keeps its derivative." in answer
    assert f"on {manifest['certificate']['inputs']};" in answer
    gated = studio.scene(asks(scene, method="guided_backprop").question)
    (answer,) = PANELS["computed"].steps(studio, gated, {})
    assert "33 of 33 activations gated" in answer and "Guided backprop did not deviate" in answer


@pytest.mark.parametrize(
    ("method", "contrast"),
    [
        ("hires_cam", None),
        ("hires_cam", EGYPTIAN_CAT),
        ("gradient", None),
        pytest.param("integrated_gradients", None, marks=pytest.mark.sweep),
    ],
)
def test_the_lines_of_python_ask_the_same(
    studio: Studio, scene: Scene, method: str, contrast: int | None, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = studio.scene(asks(scene, method=method, contrast=contrast).question)
    (answer,) = PANELS["computed"].steps(studio, scene, {})
    lines = html.unescape(re.findall(r'<pre id="lines-0"[^>]*>(.*?)</pre>', answer, re.DOTALL)[0])
    assert scene.file_lines["Python"] == lines and len(lines.splitlines()) == 2
    (tmp_path / "efficientnet_lite0.pt").symlink_to(studio.offer.file("efficientnet_lite0", "default"))
    monkeypatch.chdir(tmp_path)
    found: dict[str, Any] = {"torch": torch, "photo": torch.from_numpy(scene.photo.pixels)}
    with pytest.warns() as _, torch.inference_mode():
        exec(lines, found)
    wanted = scene.attribution(scene.layer)
    # Kernels that are laid out otherwise move a value across a gate now and then.
    assert np.linalg.norm(found["heat"][0].numpy() - wanted) <= 0.02 * np.linalg.norm(wanted)
