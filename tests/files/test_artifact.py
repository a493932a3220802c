"""The file: the same answers after a save and in a process that knows only torch, and clear refusals."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from engine.errors import ArtifactError
from engine.files.artifact import Explainer, load, save
from engine.files.compiling import compile_model
from engine.files.manifest import read_manifest
from engine.methods import METHODS, Place
from engine.pictures.geometry import Geometry
from engine.trust.certificate import AT_IMAGE, AT_LAYER, certify
from engine.trust.many_passes import JOINED
from engine.trust.reference import layer_reference
from tests.oracle import randomise


class Net(nn.Module):
    """A stem, a residual block and a pooled head: BatchNorm folded, layers restored, one skip."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True)
        )
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.SiLU())
        self.head = nn.Linear(8, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        return self.head((x + self.block(x)).mean((2, 3)))


LABELS = ["tiger cat", "tabby", "espresso", "tripod", "missile", "tabby, striped"]
GEOMETRY = Geometry(20, (16, 16), "bilinear", (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    torch.manual_seed(0)
    module = randomise(Net().eval(), torch.randn(4, 3, 16, 16))
    return compile_model(module, torch.zeros(1, 3, 16, 16), labels=LABELS, preprocess=GEOMETRY)


@pytest.fixture(scope="module")
def path(explainer: Explainer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("artifacts") / "net.pt"
    save(explainer, path)
    return path


@pytest.fixture(scope="module")
def question() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 16, 16, generator=generator), torch.randn(2, 6, generator=generator)


def test_shapes_are_those_of_the_contract(explainer: Explainer, question: tuple[Tensor, Tensor]) -> None:
    x, seed = question
    layers = len(explainer.layers)
    assert explainer.forward(x).shape == (2, 6)
    for method in explainer.one_pass_methods:
        row = METHODS[method]
        signed = method == "guided_grad_cam" or (row.at.at_image and row.signed)
        assert explainer.explain(x, seed, method).shape == ((2, 3, 16, 16) if signed else (2, 16, 16)), method
    assert explainer.sweep(x, seed, "grad_cam").shape == (2, layers, 16, 16)
    assert explainer.sweep(x, seed, "guided_grad_cam").shape == (2, layers, 3, 16, 16)
    logits, primals, cotangents, image = explainer.probe(x, seed, "guided")
    assert logits.shape == (2, 6)
    assert image.shape == x.shape
    shapes = [(2, *layer["shape"]) for layer in explainer.manifest["layers"]]
    assert [tuple(p.shape) for p in primals] == [tuple(c.shape) for c in cotangents] == shapes


def test_a_sweep_is_explain_at_each_layer(explainer: Explainer, question: tuple[Tensor, Tensor]) -> None:
    for method in ("grad_cam", "guided_grad_cam"):
        swept = explainer.sweep(*question, method)
        for index, name in enumerate(explainer.layers):
            torch.testing.assert_close(
                swept[:, index], explainer.explain(*question, method, name), rtol=1e-6, atol=1e-7
            )


def test_a_survey_is_each_method_alone(explainer: Explainer, question: tuple[Tensor, Tensor]) -> None:
    for name, answer in explainer.survey(*question, explainer.one_pass_methods).items():
        at = next(entry["at"] for entry in explainer.manifest["methods"] if entry["name"] == name)
        alone = explainer.sweep(*question, name) if not Place(at).at_image else explainer.explain(*question, name)
        torch.testing.assert_close(answer, alone, rtol=1e-6, atol=1e-7)


def test_loaded_answers_are_the_compiled_ones(
    explainer: Explainer, path: Path, question: tuple[Tensor, Tensor]
) -> None:
    loaded = load(path)
    assert loaded.manifest == explainer.manifest
    assert (loaded.layers, loaded.methods, loaded.labels) == (explainer.layers, explainer.methods, LABELS)
    assert loaded.coverage == "2 of 2 activations gated, 1 of them smooth (silu)"
    assert torch.equal(loaded.forward(question[0]), explainer.forward(question[0]))
    for method in explainer.one_pass_methods:
        assert torch.equal(loaded.explain(*question, method), explainer.explain(*question, method))


CONSUMER = """
import sys, torch
net = torch.jit.load(sys.argv[1])
x = net.preprocess(torch.arange(24 * 31 * 3, dtype=torch.int64).remainder(256).to(torch.uint8).reshape(24, 31, 3))
seed = net.contrast(0, 2)
answers = [net.forward(x), net.explain(x, seed, "guided_grad_cam", 1), net.sweep(x, seed, "grad_cam")]
answers += net.probe(x, seed, "deconvnet")[2]
assert net.labels[2] == "espresso" and "grad_cam" in net.methods and len(net.layers) == answers[2].shape[1]
assert not {"engine", "torchvision", "timm"} & {name.split(".")[0] for name in sys.modules}
torch.save(answers, sys.argv[2])
"""


def test_a_process_that_knows_only_torch_gets_the_same(explainer: Explainer, path: Path, tmp_path: Path) -> None:
    script = tmp_path / "consumer.py"
    script.write_text(CONSUMER)
    command = [sys.executable, "-W", "ignore", str(script), str(path), str(tmp_path / "answers")]
    subprocess.run(command, check=True, cwd=tmp_path, timeout=120)
    found = torch.load(tmp_path / "answers", weights_only=True)
    photo = torch.arange(24 * 31 * 3).remainder(256).to(torch.uint8).reshape(24, 31, 3)
    x, seed = explainer.preprocess(photo), explainer.contrast("tiger cat", "espresso")
    wanted = [explainer.forward(x), explainer.explain(x, seed, "guided_grad_cam", 1)]
    wanted += [explainer.sweep(x, seed, "grad_cam"), *explainer.probe(x, seed, "deconvnet")[2]]
    for ours, theirs in zip(wanted, found, strict=True):
        torch.testing.assert_close(theirs, ours, rtol=1e-6, atol=1e-7)


def test_the_manifest_tells_the_model(path: Path) -> None:
    manifest = read_manifest(path)
    assert manifest["geometry"] == GEOMETRY.as_dict()
    assert {"convlens", "torch", "made", "model", "coverage"} <= set(manifest)
    assert set(manifest["certificate"]["policies"]) == {"gradient", "deconvnet", "guided", "lrp_epsilon_plus"}
    assert set(manifest["certificate"]["methods"]) == {method["name"] for method in manifest["methods"]}
    for deviations in (manifest["certificate"]["policies"], manifest["certificate"]["methods"]):
        assert max(deviations.values()) <= manifest["certificate"]["bound"] == 1e-5
    assert manifest["certificate"]["original"]["gradient"] <= 1e-5


class Layouts(nn.Module):
    """Layers whose values are not those of the listing: behind a fold, channels last, and as tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU())
        self.last = nn.Sequential(nn.LayerNorm(6), nn.Linear(6, 4), nn.GELU())
        self.extra = nn.Parameter(torch.randn(1, 1, 4))
        self.norm = nn.LayerNorm(4)
        self.out = nn.Linear(4, 4)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(**self.values(x))

    def answer(self, tokens: Tensor, **_: Tensor) -> Tensor:
        attended = tokens + (tokens @ tokens.transpose(1, 2)).softmax(-1) @ tokens
        return self.head(self.out(attended)[:, 0])

    def values(self, x: Tensor) -> dict[str, Tensor]:
        convolved = self.stem[0](x)
        channels_last = self.last(self.stem[2](self.stem[1](convolved)).permute(0, 2, 3, 1))
        tokens = torch.cat([self.extra.expand(x.shape[0], -1, -1), channels_last.flatten(1, 2)], 1)
        return {"convolved": convolved, "channels_last": channels_last, "tokens": self.norm(tokens)}


def test_the_certificate_finds_each_layer_s_own_cotangent() -> None:
    """The network's own values are asked of autograd, and laid out by hand."""
    torch.manual_seed(0)
    module = randomise(Layouts().eval(), torch.randn(4, 3, 16, 16)).double()
    x, seed = torch.randn(2, 3, 16, 16).double(), torch.randn(2, 5).double()
    explainer = compile_model(module, x, layers=["stem.0", "last", "norm"], methods=["grad_cam"])
    values = module.values(x.requires_grad_())
    grads = torch.autograd.grad((module.answer(**values) * seed).sum(), list(values.values()))
    layouts = (
        lambda value: value,
        lambda value: value.permute(0, 3, 1, 2),
        lambda value: value[:, 1:].transpose(1, 2).unflatten(2, (8, 8)),
    )
    found = layer_reference(explainer.module, x.detach(), seed)
    for value, ct, (primal, found_ct), maps in zip(values.values(), grads, found, layouts, strict=True):
        assert ct.abs().max() > 0
        torch.testing.assert_close(primal, maps(value.detach()), rtol=1e-9, atol=1e-12)
        torch.testing.assert_close(found_ct, maps(ct), rtol=1e-9, atol=1e-12)


def test_the_certificate_knows_every_method() -> None:
    one_pass = {name: method for name, method in METHODS.items() if not method.path}
    assert set(AT_IMAGE) == {name for name, method in one_pass.items() if method.at == "image"}
    assert set(AT_LAYER) == {name for name, method in one_pass.items() if not method.at.at_image}
    assert {method.finish for method in METHODS.values() if method.of} == {*JOINED}


class Off:
    """An artifact with one method that is off by a thousandth, at one layer if it has any."""

    def __init__(self, module: torch.jit.ScriptModule, method: str) -> None:
        self.module, self.method = module, method

    def __getattr__(self, name: str) -> object:
        return getattr(self.module, name)

    def survey(self, x: Tensor, seed: Tensor, methods: list[str]) -> list[Tensor]:
        answers = self.module.survey(x, seed, methods)
        wrong = answers[methods.index(self.method)]
        if self.module.at_of[self.method] == "layer":
            wrong = wrong[:, 1]
        wrong *= 1.001
        return answers


def test_a_method_that_is_off_at_one_layer_is_off_in_the_certificate(explainer: Explainer) -> None:
    for method in explainer.one_pass_methods:
        deviations = certify(Off(explainer.module, method))["methods"]  # type: ignore[arg-type]
        assert 1e-4 < deviations.pop(method) < 1.1e-3, method
        assert max(deviations.values()) < 1e-5, method


def test_specialisation_drops_what_is_not_asked(question: tuple[Tensor, Tensor]) -> None:
    torch.manual_seed(0)
    module = Net().eval()
    only = compile_model(module, question[0], layers=["add"], methods=["grad_cam"])
    assert (only.layers, only.methods, only.policies) == (["add"], ["grad_cam"], ["gradient"])
    everything = compile_model(module, question[0])
    torch.testing.assert_close(
        only.explain(*question, "grad_cam"), everything.explain(*question, "grad_cam", "add")
    )
    assert len(only.module.walk.code) < len(everything.module.walk.code)


def test_moving_the_module_moves_the_answers(
    explainer: Explainer, question: tuple[Tensor, Tensor], path: Path
) -> None:
    """Nothing of the program is frozen in: `.to` reaches all of it."""
    double = load(path).module.to(torch.float64)
    found = double.explain(question[0].double(), question[1].double(), "grad_cam", 0)
    assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), explainer.explain(*question, "grad_cam", 0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("moved", [False, True])
def test_all_of_a_pass_lies_on_the_device_of_the_file(
    path: Path, question: tuple[Tensor, Tensor], moved: bool
) -> None:
    """The meta device holds shapes alone, and refuses to mix with any other as a GPU does."""
    loaded = Explainer(load(path).module.to("meta"), read_manifest(path)) if moved else load(path, "meta")
    x, seed = (tensor.to("meta") for tensor in question)
    logits, *values = loaded.probe(x, seed, "guided")
    answers = loaded.survey(x, seed, loaded.one_pass_methods)
    seeds = [loaded.one_hot("tabby"), loaded.contrast(0, 2)]
    for tensor in (loaded.forward(x), logits, *values[0], *values[1], values[2], *answers.values(), *seeds):
        assert tensor.device.type == "meta"


@pytest.mark.parametrize("device", ["cuda:99", "gpu"])
def test_a_device_that_is_not_there_is_refused(path: Path, device: str) -> None:
    with pytest.raises(ValueError, match=f"torch can't use the device '{device}' here: "):
        load(path, device)


def test_threads_share_one_explainer(explainer: Explainer, question: tuple[Tensor, Tensor]) -> None:
    calls = [(method, layer) for method in explainer.one_pass_methods if method != "cam" for layer in range(3)]
    serial = {call: explainer.explain(*question, *call) for call in calls}
    wrong: list[object] = []

    def ask(offset: int) -> None:
        for step in range(25):
            call = calls[(offset * 7 + step) % len(calls)]
            if not torch.allclose(explainer.explain(*question, *call), serial[call], rtol=1e-6, atol=1e-8):
                wrong.append(call)

    threads = [threading.Thread(target=ask, args=(offset,)) for offset in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda e, x, s: e.explain(x, s, "gradcam"), "no method is called 'gradcam'; this file has gradient"),
        (
            lambda e, x, s: e.explain(x, s, "grad_cam", "stem.9"),
            "no layer is called 'stem.9'; the nearest are stem",
        ),
        (lambda e, x, s: e.explain(x, s, "grad_cam", 99), r"layer 99 is not one of 0\.\.3"),
        (lambda e, x, s: e.explain(x, s, "cam", 0), "cam has one layer, 'add'"),
        (lambda e, x, s: e.sweep(x, s, "saliency"), "saliency explains the image and has no layers"),
        (
            lambda e, x, s: e.probe(x, s, "relu"),
            "no policy is called 'relu'; this file has gradient, deconvnet, guided",
        ),
        (
            lambda e, x, s: e.explain(x[:, :, :8], s, "gradient"),
            r"x is \[2, 3, 8, 16\], this network takes \[N, 3, 16",
        ),
        (
            lambda e, x, s: e.explain(x, s[[0, 1, 1]], "gradient"),
            r"seed is \[3, 6\], for these images it is \[2, 6\]",
        ),
        (lambda e, x, s: e.one_hot("zebra"), "no class is called 'zebra'"),
        (lambda e, x, s: e.one_hot(6), r"class 6 is not one of 0\.\.5"),
    ],
)
def test_wrong_questions_are_answered_with_the_way_out(
    explainer: Explainer, question: tuple[Tensor, Tensor], ask: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        ask(explainer, *question)  # type: ignore[operator]


def test_the_file_itself_refuses_wrong_questions(explainer: Explainer, question: tuple[Tensor, Tensor]) -> None:
    """As C++ would ask: without the Python wrapper."""
    x, seed = question
    for ask in (
        lambda m: m.explain(x, seed, "gradcam", 0),
        lambda m: m.explain(x, seed, "grad_cam", 6),
        lambda m: m.explain(x, seed, "cam", 1),
        lambda m: m.explain(x[:, :1], seed, "gradient", 0),
        lambda m: m.explain(x, seed[:, :2], "gradient", 0),
        lambda m: m.probe(x, seed, "no"),
        lambda m: m.sweep(x, seed, "gradient"),
        lambda m: m.one_hot(-1),
    ):
        with pytest.raises(torch.jit.Error, match=r"is |has |no |class "):
            ask(explainer.module)


def test_an_exact_class_name_wins_over_one_that_starts_like_it(explainer: Explainer) -> None:
    assert explainer.class_index("tabby") == 1
    assert explainer.class_index("Tabby, s") == 5
    assert explainer.class_index("3") == 3


def test_wrong_labels_and_geometry_are_refused() -> None:
    x = torch.zeros(1, 3, 16, 16)
    with pytest.raises(ValueError, match="2 labels for 6 logits"):
        compile_model(Net().eval(), x, labels=["a", "b"])
    with pytest.raises(ValueError, match=r"preprocess makes \[3, 8, 8\], the example is \[3, 16, 16\]"):
        compile_model(Net().eval(), x, preprocess=Geometry(8, (8, 8), "bilinear", (0.0,) * 3, (1.0,) * 3))
    with pytest.raises(ValueError, match="no method is called 'gradcam'; the nearest are grad_cam"):
        compile_model(Net().eval(), x, methods=["gradcam"])
    with pytest.raises(ValueError, match="no layer is called 'steam'; the nearest are stem"):
        compile_model(Net().eval(), x, layers=["steam"])


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ArtifactError, match=r"there is no file gone\.pt; python -m engine export MODEL -o gone\.pt"
    ):
        load(tmp_path / "gone.pt")


def test_a_failed_save_leaves_the_old_file(
    explainer: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "net.pt"
    target.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("disk full")

    monkeypatch.setattr(torch.jit, "save", fail)
    with pytest.raises(RuntimeError, match="disk full"):
        save(explainer, target)
    assert target.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.pt"]
