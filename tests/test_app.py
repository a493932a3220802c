import json
import re
import struct
import threading
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import cv2
import httpx
import numpy as np
import pytest
import torch
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

import app
from engine import MODELS, Explainer
from engine.pictures.render import on_photo, unit
from ui import words
from ui.cache import Cache
from ui.cores import Cores
from ui.question import CONTROLS, Look, Question, RefusalError, read_question, uploaded
from ui.scene import Model, Photo, Scene
from ui.state import chosen, merge, offered, shown
from ui.studio import Studio, settle

TIGER_CAT, EGYPTIAN_CAT = 282, 285
LITE = "efficientnet_lite0"


@pytest.fixture(scope="module")
def chelsea(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return app.write_examples(tmp_path_factory.mktemp("examples"))[0]


@pytest.fixture(scope="module")
def studio(artifacts: Path, tmp_path_factory: pytest.TempPathFactory) -> Studio:
    return Studio(tmp_path_factory.mktemp("views"), artifacts)


@pytest.fixture(scope="module")
def scene(studio: Studio, chelsea: Path) -> Scene:
    return studio.scene(Question(chelsea, LITE))


def asks(scene: Scene, **changed: Any) -> Scene:
    return replace(scene, question=replace(scene.question, **changed))


# The cache


def test_the_cache_makes_a_value_once_and_forgets_the_one_unused_for_longest() -> None:
    made: list[str] = []
    dropped: list[str] = []

    def value(name: str) -> str:
        return cache.get(name, lambda: made.append(name) or name)  # type: ignore[func-returns-value]

    cache: Cache[str, str] = Cache(10, cost=len, drop=dropped.append)
    assert [value(name) for name in ("aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb")] == [
        "aaaa", "bbbb", "aaaa", "cccc", "aaaa", "bbbb",
    ]  # fmt: skip
    assert made == ["aaaa", "bbbb", "cccc", "bbbb"]
    assert dropped == ["bbbb", "cccc"]
    assert (len(cache), cache.total) == (2, 8)


def test_the_cache_keeps_a_value_that_is_larger_than_all_its_room() -> None:
    cache: Cache[str, str] = Cache(3, cost=len)
    cache.get("small", lambda: "x")
    assert cache.get("large", lambda: "xxxxx") == cache.get("large", lambda: "made again")
    assert len(cache) == 1


# Questions


@pytest.fixture
def posted(tmp_path: Path) -> dict[str, Any]:
    (tmp_path / "cat.png").write_bytes(b"a photo")
    return CONTROLS | {"photo": {"path": str(tmp_path / "cat.png")}, "layer": 30.0, "target": 5, "contrast": 7}


def test_a_question_counts_layers_from_zero_and_reads_every_control(
    posted: dict[str, Any], tmp_path: Path
) -> None:
    changed = {"untrained": True, "view": "negative", "gray": True, "show": "alone", "strength": 1}
    question = read_question(posted | changed, tmp_path)
    assert question == Question(
        tmp_path / "cat.png", LITE, "random", "grad_cam", 29, 5, 7, Look("negative", True, True, 1.0)
    )
    assert read_question({"photo": posted["photo"]}, tmp_path) == Question(tmp_path / "cat.png", LITE)


@pytest.mark.parametrize(
    ("control", "value", "complaint"),
    [
        ("model", "resnet-fifty", "no model 'resnet-fifty'"),
        ("model", ["vgg16"], "no model"),
        ("model", "x" * 5000, "…"),
        ("view", "inverted", "all, positive, negative"),
        ("layer", "last", "layer is a whole number"),
        ("layer", 2.5, "layer is a whole number"),
        ("layer", float("nan"), "layer is a whole number"),
        ("target", float("inf"), "target is a whole number"),
        ("contrast", {}, "contrast is a whole number"),
        ("strength", 1.01, "between 0 and 1"),
        ("strength", float("nan"), "between 0 and 1"),
        ("strength", None, "between 0 and 1"),
    ],
)
def test_a_control_never_offered_this(
    posted: dict[str, Any], tmp_path: Path, control: str, value: Any, complaint: str
) -> None:
    with pytest.raises(RefusalError, match=re.escape(complaint)) as refusal:
        read_question(posted | {control: value}, tmp_path)
    assert len(str(refusal.value)) < 200


def test_only_files_in_the_upload_folder_are_photos(tmp_path: Path) -> None:
    folder, outside = tmp_path / "uploads", tmp_path / "secret.png"
    (folder / "a").mkdir(parents=True)
    outside.write_bytes(b"a secret")
    inside = folder / "a" / "cat.png"
    inside.write_bytes(b"a photo")
    (folder / "link.png").symlink_to(outside)
    assert uploaded({"path": str(inside)}, folder) == inside
    hostile = [
        {"path": "/etc/passwd"},
        {"path": str(folder / "a" / ".." / ".." / "secret.png")},
        {"path": str(folder / "link.png")},
        {"path": str(folder)},
        {"path": str(folder / "gone.png")},
        {"path": str(inside) + "\0.png"},
        {"path": "data:image/png;base64,AAAA"},
        {"path": "https://example.org/cat.png"},
        {"path": 7},
        {},
        str(inside),
        None,
    ]
    for payload in hostile:
        with pytest.raises(RefusalError, match="not uploaded here"):
            uploaded(payload, folder)


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"method": "lime"}, "no method 'lime'"),
        ({"layer": 73}, "no layer 74: this model has 73"),
        ({"layer": -1}, "no layer 0"),
        ({"target": 1000}, "no class 1000: this model has 1000"),
        ({"contrast": -5}, "no class -5"),
    ],
)
def test_what_the_model_does_not_have(scene: Scene, changed: dict[str, Any], complaint: str) -> None:
    with pytest.raises(RefusalError, match=re.escape(complaint)):
        settle(replace(scene.question, **changed), scene.model, TIGER_CAT)


def test_an_absent_method_tells_its_reason(scene: Scene) -> None:
    explainer = scene.model.explainer
    without = Model(
        Explainer(explainer.module, explainer.manifest | {"absent": {"cam": "the head is no linear layer"}})
    )
    with pytest.raises(RefusalError, match=r"CAM does not apply here: the head is no linear layer\."):
        settle(replace(scene.question, method="cam"), without, TIGER_CAT)
    line = words.method_line("grad_cam", without.explainer.manifest["absent"])
    assert "No CAM here: the head is no linear layer." in line and "arxiv.org/abs/1610.02391" in line


# Scenes


def test_the_cat_is_a_cat(scene: Scene) -> None:
    top = [scene.model.labels[i] for i in scene.probabilities.argsort()[::-1][:3]]
    assert top == ["tiger cat", "Egyptian cat", "tabby"]
    assert (scene.question.target, scene.layer) == (TIGER_CAT, len(scene.model.layers) - 1)


def test_every_method_shows_what_the_explainer_answers(scene: Scene) -> None:
    explainer = scene.model.explainer
    x, seed = explainer.preprocess(torch.from_numpy(scene.photo.pixels)), explainer.one_hot(TIGER_CAT)
    for method in explainer.methods:
        asked = asks(scene, method=method, layer=40)
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


# The studio


def test_one_pass_per_photo_model_and_classes(
    studio: Studio, chelsea: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[str] = []
    explainer = studio.open(LITE, "default").explainer
    for name in ("forward", "survey", "answers"):
        run = getattr(explainer, name)
        monkeypatch.setattr(
            explainer, name, lambda *given, run=run, name=name: passes.append(name) or run(*given), raising=True
        )
    question = Question(chelsea.with_name("coffee.png"), LITE)
    top = studio.scene(question).question.target
    assert passes == ["answers"]
    for changed in (
        {"layer": 3}, {"method": "guided_grad_cam"}, {"method": "saliency"}, {"look": Look(strength=0.9)},
        {"look": Look("negative", True)}, {"target": top}, {"contrast": top},
    ):  # fmt: skip
        again = studio.scene(replace(question, **changed))
        studio.picture(again)
        studio.frames(again)
    assert passes == ["answers"]
    studio.scene(replace(question, contrast=EGYPTIAN_CAT))
    studio.scene(replace(question, target=EGYPTIAN_CAT))
    copy = tmp_path / "the same photo again.png"
    copy.write_bytes(question.photo.read_bytes())
    studio.scene(replace(question, photo=copy))
    assert passes == ["answers", "survey", "survey"]


def test_a_contrast_is_the_difference_of_two_classes(studio: Studio, chelsea: Path) -> None:
    question = Question(chelsea, LITE, target=TIGER_CAT)
    one, other, both = (
        studio.scene(replace(question, **changed)).attributions["gradient"]
        for changed in ({}, {"target": EGYPTIAN_CAT}, {"contrast": EGYPTIAN_CAT})
    )
    np.testing.assert_allclose(both, one - other, atol=1e-4 * np.abs(one).max())


def test_frames_are_one_per_layer_and_drawn_once(studio: Studio, scene: Scene) -> None:
    frames = studio.frames(scene)
    assert [line for _, line in frames] == scene.model.layers
    assert frames[-1][1].endswith("1280 × 7 × 7 · 73 of 73")
    last = cv2.imread(str(frames[-1][0]))[:, :, ::-1].astype(int)
    assert np.abs(last - scene.draw(72, 768)).mean() < 3  # JPEG is not exact
    times = [path.stat().st_mtime_ns for path, _ in frames]
    assert [path.stat().st_mtime_ns for path, _ in studio.frames(scene)] == times
    frames[0][0].unlink()  # as gradio's own cleaning does
    assert studio.frames(scene)[0][0].is_file()
    assert studio.frames(asks(scene, method="cam")) == studio.frames(asks(scene, method="saliency")) == []


def test_old_pictures_go_and_pinned_ones_stay(tmp_path: Path, scene: Scene) -> None:
    studio = Studio(tmp_path)
    studio._homes.limit = 2
    homes = []
    for strength in (0.1, 0.2, 0.3, 0.4):
        other = asks(scene, look=Look(strength=strength))
        homes.append(studio.picture(other).parent)
        if strength == 0.1:
            studio.pinned.add(studio.home(other))
    assert [home.exists() for home in homes] == [True, False, True, True]


def test_the_contact_sheet_has_every_layer(studio: Studio, scene: Scene) -> None:
    sheet = cv2.imread(str(studio.sheet(scene, "Grad-CAM for tiger cat")))
    assert sheet.shape[0] * sheet.shape[1] > 73 * 220 * 146
    with pytest.raises(RefusalError, match="single map"):
        studio.sheet(asks(scene, method="gradient"), "")


@pytest.mark.filterwarnings(
    "ignore:.*torch.jit.load.* is deprecated:FutureWarning"
)  # what a user's own two lines call
def test_the_models_file_needs_only_torch(studio: Studio, scene: Scene) -> None:
    path = studio.artifact(LITE, "default")
    assert path == studio.artifact(LITE, "default") and path.name == f"{LITE}.pt"
    code = re.search(r"```python\n(.*)```", shown(scene, path)["notes"]["value"], re.S)
    assert code is not None
    names: dict[str, Any] = {"torch": torch, "photo": torch.from_numpy(scene.photo.pixels)}
    exec(code[1].replace(f'"{LITE}.pt"', repr(str(path))), names)
    np.testing.assert_allclose(names["heat"][0].numpy(), scene.attribution(72), rtol=1e-4, atol=1e-6)


def test_who_is_alone_has_all_cores_and_of_several_each_has_one() -> None:
    cores, both = Cores(2), threading.Barrier(2)
    assert cores.run(torch.get_num_threads) == 2

    def meet() -> int:
        both.wait(10)
        return torch.get_num_threads()

    with ThreadPoolExecutor(2) as visitors:
        asked = [visitors.submit(cores.run, meet) for _ in range(2)]
        assert sorted(found.result() for found in asked) == [1, 2]  # the one who came first was alone then
    with pytest.raises(ZeroDivisionError):
        cores.run(lambda: 1 // 0)
    assert cores._idle == {0, 1}


# What the page shows


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
    assert set(applies) <= set(words.METHOD_LINES) == set(scene.model.explainer.methods)


def test_the_target_is_marked_and_words_are_escaped(scene: Scene) -> None:
    second = shown(asks(scene, target=EGYPTIAN_CAT, contrast=TIGER_CAT), Path("x.jpg"))
    assert second["classes"]["elem_classes"] == ["chosen-2"]
    assert "<b>Egyptian cat</b> rather than <b>tiger cat</b>" in second["heading"]["value"]
    assert chosen(scene) == {"target": {"value": TIGER_CAT}, "contrast": {"value": -1}}
    assert "&lt;script&gt;" in words.heading("<script>", None, "Grad-CAM", "x")


def test_all_models_and_classes_are_offered(scene: Scene) -> None:
    props = merge(shown(scene, Path("x.jpg")), offered(scene))
    assert [name for _, name in props["model"]["choices"]] == list(MODELS)
    assert props["model"]["choices"][0][0].endswith("included")
    assert len(props["target"]["choices"]) == 1000 == len(props["contrast"]["choices"]) - 1
    assert props["layer"] == {"visible": True, "maximum": 73, "value": 73}


# Through the network


@pytest.fixture(scope="module")
def client(site: str) -> Client:
    return Client(site, verbose=False)


@pytest.fixture(scope="module")
def ask(client: Client, chelsea: Path) -> Callable[..., Any]:
    def ask(**given: Any) -> Any:
        return client.predict(**({"photo": handle_file(str(chelsea))} | given), api_name="/explain")

    return ask


def test_explain(ask: Callable[..., Any]) -> None:
    picture, classes = ask()
    assert list(classes)[:3] == ["tiger cat", "Egyptian cat", "tabby"]
    assert cv2.imread(picture).shape == (300, 451, 3)
    assert cv2.imread(ask(method="guided_backprop")[0]).shape == (224, 224, 3)
    first, contrast = ask(layer=1)[0], ask(contrast=EGYPTIAN_CAT)[0]
    assert len({Path(path).read_bytes() for path in (picture, first, contrast)}) == 3


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"model": "resnet-fifty"}, "no model 'resnet-fifty'"),
        ({"method": "lime"}, "no method 'lime'"),
        ({"layer": 74}, "no layer 74: this model has 73"),
        ({"layer": 0}, "no layer 0"),
        ({"target": 1000}, "no class 1000"),
        ({"target": "cat"}, "whole number"),
        ({"method": "<img src=x onerror=alert(1)>"}, "&lt;img"),
    ],
)
def test_errors_are_told_in_plain_words(ask: Callable[..., Any], given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(AppError, match=re.escape(complaint)):
        ask(**given)


def huge_png(side: int) -> bytes:
    """A PNG that says it has `side` x `side` pixels, and holds none."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("notes.txt", b"not a photo at all", "not a photo"),
        ("empty.png", b"", "not a photo|empty"),
        ("cut.png", None, "damaged"),
        ("bomb.png", huge_png(30000), "too big"),
        ("large.png", huge_png(6000), "36.0 million"),
    ],
    ids=["text", "empty", "cut", "bomb", "large"],
)
def test_files_that_are_no_photos(
    ask: Callable[..., Any], chelsea: Path, tmp_path: Path, name: str, content: bytes | None, complaint: str
) -> None:
    path = tmp_path / name
    path.write_bytes(chelsea.read_bytes()[:20000] if content is None else content)
    with pytest.raises(AppError, match=complaint) as error:
        ask(photo=handle_file(str(path)))
    assert str(tmp_path) not in str(error.value)


def test_weights_that_cannot_be_had(ask: Callable[..., Any]) -> None:
    with pytest.raises(
        AppError, match=r"VGG16: vgg16-397923af.pth could not be fetched .* \$TORCH_HOME/hub/checkpoints"
    ):
        ask(model="vgg16")


def post(site: str, handler: str, values: list[Any]) -> str:
    """Post to a handler of the page as a browser does, and return the events that come back."""
    config = httpx.get(f"{site}config").json()
    index = next(entry["id"] for entry in config["dependencies"] if entry["api_name"] == handler)
    body = {"data": values, "fn_index": index, "session_hash": (session := uuid4().hex)}
    assert httpx.post(f"{site}gradio_api/queue/join", json=body).status_code == 200
    with httpx.stream("GET", f"{site}gradio_api/queue/data?session_hash={session}", timeout=60) as stream:
        for line in stream.iter_lines():
            if "process_completed" in line or "unexpected_error" in line:
                return line
    return ""


@pytest.mark.parametrize("path", ["/etc/passwd", "../../etc/passwd", __file__])
@pytest.mark.parametrize("meta", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_no_file_of_the_host_is_read(site: str, path: str, meta: dict[str, Any]) -> None:
    payload = {"path": path} | meta
    event = json.loads(post(site, "explain", [payload, LITE, "grad_cam", None, None, None]).removeprefix("data: "))
    assert event["success"] is False
    error = event["output"]["error"]
    # Gradio itself refuses what claims to be an upload, and tells nothing at all.
    assert error is None if meta else error.startswith("That photo was not uploaded here")


def test_the_handlers_of_the_page_check_what_is_posted(site: str, chelsea: Path) -> None:
    config = httpx.get(f"{site}config").json()
    kinds = {entry["id"]: entry["type"] for entry in config["components"]}
    dependency = next(entry for entry in config["dependencies"] if entry["api_name"] == "explain_class")
    for photo in ({"path": "/etc/passwd"}, None):
        values = [photo if kinds[part] == "image" else LITE for part in dependency["inputs"]]
        event = json.loads(post(site, "explain_class", values).removeprefix("data: "))
        assert event["success"] is False and event["output"]["error"]


def test_only_explain_is_in_the_public_interface(client: Client) -> None:
    assert list(client.view_api(return_format="dict")["named_endpoints"]) == ["/explain"]


def test_the_queue_cannot_be_skipped(site: str, chelsea: Path) -> None:
    files = {"files": ("chelsea.png", chelsea.read_bytes())}
    (path,) = httpx.post(f"{site}gradio_api/upload", files=files).json()
    photo = {"path": path, "meta": {"_type": "gradio.FileData"}}
    body = {"data": [photo, LITE, "grad_cam", None, None, None]}
    for route in ("run/explain", "api/explain"):
        reply = httpx.post(f"{site}gradio_api/{route}", json=body)
        assert reply.status_code == 404 and "does not accept direct HTTP POST" in reply.text, reply.text


def test_nothing_but_uploads_and_pictures_is_served(site: str, artifacts: Path) -> None:
    for path in ("/etc/passwd", app.__file__, artifacts / f"{LITE}.pt"):
        assert httpx.get(f"{site}gradio_api/file={path}").status_code == 403, path


def test_uploads_are_limited(site: str) -> None:
    files = {"files": ("big.png", b"\0" * 21_000_000)}
    assert httpx.post(f"{site}gradio_api/upload", files=files, timeout=60).status_code == 413


def test_a_wrong_model_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["app.py", "--model", "resnet-fifty"])
    with pytest.raises(SystemExit):
        app.main()
    assert "invalid choice: 'resnet-fifty'" in capsys.readouterr().err
