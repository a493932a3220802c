"""A data set's rows: the engine's own answers, every photo once, whatever ends a run, and read by other tools."""

import json
import os
import random
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from engine import Explainer, compile_model, save
from engine.batch.answering import at_own_size
from engine.batch.exports import write_zarr
from engine.batch.questions import Questions
from engine.batch.reading import read_maps
from engine.batch.run import Progress, explain_folder
from engine.batch.sources import photos_of
from engine.batch.store import metadata, parts, rows_of
from engine.errors import ArtifactError
from engine.methods import Place
from engine.trust.one_picture import flat

LABELS = ["red", "green", "blue", "dark"]


def network() -> nn.Module:
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(), nn.Linear(8, 4),
    ).eval()  # fmt: skip


@pytest.fixture(scope="module")
def explainer() -> Explainer:
    methods = ["hires_cam", "grad_cam", "saliency", "lrp_epsilon_plus", "occlusion", "integrated_gradients"]
    return compile_model(network(), torch.rand(1, 3, 32, 32), "all", methods, LABELS)


def drawn(seed: int, size: tuple[int, int] = (40, 36)) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def folder_of(root: Path, count: int, broken: tuple[str, ...] = ()) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        cv2.imwrite(str(root / f"{number:03d}.png"), drawn(number))
    for name in broken:
        (root / name).write_bytes(b"\x89PNG not really")
    return root


def test_noisy_copies_baselines_and_options_are_the_engines(explainer: Explainer, tmp_path: Path) -> None:
    photos = folder_of(tmp_path / "photos", 3)
    steps = {"integrated_gradients": {"steps": 8}}
    for asked, how in (
        ("saliency", Questions(("saliency",), smooth=4)),
        ("hires_cam@1", Questions(("hires_cam@1",), "runner-up", smooth=4)),
        ("integrated_gradients", Questions(("integrated_gradients",), options=steps, baseline="black")),
    ):
        out = tmp_path / asked
        explain_folder(photos, out, explainer, how, batch=2)
        method, _, layer = asked.partition("@")
        for number, map in enumerate(read_maps(out)):
            x = explainer.preprocess(torch.from_numpy(drawn(number)[:, :, ::-1].copy()))
            ranks = explainer.forward(x).argsort(1, descending=True)[0].tolist()
            contrast = ranks[1] if how.target == "runner-up" else None
            told = explainer.ask(
                x, ranks[0], method, layer or -1, contrast=contrast, smooth=how.smooth, baseline=how.baseline,
                options=how.options.get(method),
            )  # fmt: skip
            wanted = flat(told.values, method, told.at)[0].numpy()
            assert np.abs(map.at_input - wanted).max() <= 2e-3 * np.abs(wanted).max() + 1e-7
            without = explainer.ask(x, ranks[0], method, layer or -1, contrast=contrast)
            plain = flat(without.values, method, without.at)[0]
            assert np.abs(map.at_input - plain.numpy()).max() > 1e-2 * np.abs(wanted).max()


def paths(out: Path) -> list[str]:
    return [row["path"] for row in rows_of(out, ["path"])]


def test_rows_hold_what_the_engine_answers(explainer: Explainer, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 5), tmp_path / "out"
    asked = (
        "hires_cam",
        "grad_cam@1",
        "saliency",
        "lrp_epsilon_plus",
        "lrp_epsilon_plus@1",
        "integrated_gradients",
    )
    explain_folder(photos, out, explainer, Questions(asked), batch=2)
    rows = list(rows_of(out))
    assert [row["path"] for row in rows] == [f"{n:03d}.png" for n in range(5)]
    for number, row in enumerate(rows):
        x = explainer.preprocess(torch.from_numpy(cv2.imread(str(photos / row["path"]))[:, :, ::-1].copy()))
        logits = explainer.forward(x)[0]
        order = logits.argsort(descending=True).tolist()
        assert [one["index"] for one in row["top"]] == order and row["error"] is None
        chances = logits.softmax(0)
        assert row["top"][0]["probability"] == pytest.approx(float(chances.max()), abs=1e-6)
        for map in row["maps"]:
            method, _, layer = map["asked"].partition("@")
            answer = explainer.ask(x, order[0], method, layer or -1)
            wanted = flat(answer.values, method, answer.at)[0]
            values = torch.tensor(map["values"]).view(1, 1, map["rows"], map["columns"])
            found = torch.nn.functional.interpolate(values, (32, 32), mode="bilinear")[0, 0]
            coarse = map["layer"] is None  # kept in half precision
            assert torch.allclose(found, wanted, atol=float(wanted.abs().max()) * (1e-3 if coarse else 1e-5)), (
                number
            )
            assert map["target"] == order[0] and map["label"] == LABELS[order[0]]
            if answer.arrived is not None:
                at = 1 + explainer.layers.index(layer) if layer else 0
                assert map["arrived"] == pytest.approx(float(answer.arrived[0, at]), rel=1e-4, abs=1e-6)
        by_name = {map["asked"]: map for map in row["maps"]}
        assert (by_name["grad_cam@1"]["rows"], by_name["grad_cam@1"]["columns"]) == (16, 16)
        assert (by_name["hires_cam"]["rows"], by_name["saliency"]["rows"]) == (8, 32)
        assert by_name["hires_cam"]["stride"] == [4.0, 4.0] and by_name["saliency"]["stride"] is None
        assert by_name["integrated_gradients"]["missing"] < 0.06


@pytest.mark.parametrize("size", [(7, 7), (14, 9), (32, 31)])
def test_a_map_is_kept_as_it_was_before_it_was_enlarged(size: tuple[int, int]) -> None:
    map = torch.randn(size, generator=torch.Generator().manual_seed(1))
    larger = torch.nn.functional.interpolate(map[None, None], (224, 224), mode="bilinear")[0, 0]
    assert torch.allclose(at_own_size(larger, size), map, atol=1e-5)


def test_boxes_lie_on_the_photo(explainer: Explainer, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 3), tmp_path / "out"
    explain_folder(photos, out, explainer)
    for one in read_maps(out):
        photo = cv2.imread(str(photos / one.path))[:, :, ::-1].copy()
        (wanted,) = explainer.ask(photo, one.target, "hires_cam").boxes() or (None,)
        found = one.boxes[0] if one.boxes else None
        assert (found is None) == (wanted is None)
        if found and wanted:
            sides = ("left", "top", "right", "bottom")
            assert [getattr(found, s) for s in sides] == pytest.approx(
                [getattr(wanted, s) for s in sides], abs=1e-3
            )
        assert one.overlay().shape == photo.shape and one.at_input.shape == (32, 32)


def test_a_map_is_drawn_as_its_answer_is(explainer: Explainer, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 2), tmp_path / "out"
    explain_folder(photos, out, explainer, Questions(("hires_cam@0", "saliency", "lrp_epsilon_plus")))
    for one in read_maps(out):
        photo = cv2.imread(str(photos / one.path))[:, :, ::-1].copy()
        wanted = explainer.ask(photo, one.target, one.method, one.layer or -1).picture().astype(int)
        assert np.abs(one.overlay() - wanted).mean() < 1


def test_targets(explainer: Explainer, tmp_path: Path) -> None:
    for number in range(4):
        folder_of(tmp_path / "photos" / LABELS[number], 2)
    photos = photos_of(tmp_path / "photos", LABELS)
    assert {(photo.path.partition("/")[0], photo.label) for photo in photos} == {
        (n, i) for i, n in enumerate(LABELS)
    }

    def rows(target: str) -> list[dict]:
        explain_folder(tmp_path / "photos", tmp_path / target, explainer, Questions(target=target))
        return list(rows_of(tmp_path / target))

    assert all(row["maps"][0]["target"] == row["label_index"] for row in rows("label"))
    assert all(row["maps"][0]["label"] == "blue" for row in rows("blue"))
    for row in rows("runner-up"):
        assert row["maps"][0]["target"] == row["top"][0]["index"]
        assert row["maps"][0]["rather_than"] == row["top"][1]["label"]
        photo = cv2.imread(str(tmp_path / "photos" / row["path"]))[:, :, ::-1].copy()
        answer = explainer.ask(photo, row["top"][0]["index"], "hires_cam", contrast=row["top"][1]["index"])
        values = torch.tensor(row["maps"][0]["values"]).view(1, 1, 8, 8)
        found = torch.nn.functional.interpolate(values, (32, 32), mode="bilinear")[0, 0]
        assert torch.allclose(found, answer.values[0], atol=1e-5 * float(answer.values.abs().max()) + 1e-9)
    with pytest.raises(ValueError, match="no class is called 'violet'"):
        rows("violet")


def test_trust_numbers_have_their_controls(explainer: Explainer, tmp_path: Path) -> None:
    photos = folder_of(tmp_path / "photos", 2)
    explain_folder(photos, tmp_path / "out", explainer, Questions(("hires_cam",), trust=("deletion", "gini")))
    for row in rows_of(tmp_path / "out"):
        assert {(one["map"], one["column"]) for one in row["trust"]} == {
            (who, what) for who in ("hires_cam", "random", "centre", "sobel") for what in ("deletion", "gini")
        }
    with pytest.raises(ValueError, match="grid_hit is asked of mosaics"):
        explain_folder(photos, tmp_path / "no", explainer, Questions(trust=("grid_hit",)))


def test_broken_photos_are_rows_and_are_tried_again(explainer: Explainer, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 4, ("bad.png", "worse.png")), tmp_path / "out"
    state = explain_folder(photos, out, explainer)
    assert (state.done, state.errors) == (6, 2)
    errors = {row["path"]: row["error"] for row in rows_of(out) if row["error"]}
    assert errors.keys() == {"bad.png", "worse.png"} and all("photo" in told for told in errors.values())
    before = [part.read_bytes() for part in parts(out)]
    assert explain_folder(photos, out, explainer).errors == 0, "nothing is left to do"
    assert [part.read_bytes() for part in parts(out)] == before
    cv2.imwrite(str(photos / "bad.png"), drawn(9))
    assert explain_folder(photos, out, explainer, retry_errors=True).errors == 1
    assert sorted(paths(out)) == sorted({*paths(out)}) and len(paths(out)) == 6
    assert [row["path"] for row in rows_of(out) if row["error"]] == ["worse.png"]


def test_another_question_is_another_folder(explainer: Explainer, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 2), tmp_path / "out"
    explain_folder(photos, out, explainer)
    with pytest.raises(ValueError, match="holds rows of another run, with other asked: choose another folder"):
        explain_folder(photos, out, explainer, Questions(("grad_cam",)))
    torch.manual_seed(6)
    other = compile_model(network(), torch.rand(1, 3, 32, 32), "all", ["hires_cam"], LABELS[::-1])
    with pytest.raises(ValueError, match="with other program"):
        explain_folder(photos, out, other)
    assert metadata(out)["asked"]["asked"] == ["hires_cam"]
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "part-000000.parquet").write_bytes(parts(out)[0].read_bytes()[:50])
    with pytest.raises(Exception, match=r"(?i)parquet"):
        explain_folder(photos, tmp_path / "other", explainer)


def test_what_fits_nothing_is_refused_before_the_first_photo(explainer: Explainer, tmp_path: Path) -> None:
    photos = folder_of(tmp_path / "photos", 1)
    with pytest.raises(ValueError, match="batch is 0"):
        explain_folder(photos, tmp_path / "out", explainer, batch=0)
    with pytest.raises(ValueError, match=r"0 to 1; got 20\.0"):
        Questions(threshold=20.0)
    with pytest.raises(ValueError, match="smooth is a number of noisy copies; got -2"):
        Questions(smooth=-2)
    with pytest.raises(ValueError, match="no baseline is called 'white'; there are mean"):
        Questions(baseline="white")
    with pytest.raises(ValueError, match="trust is measured of maps as their methods make them"):
        Questions(trust=("gini",), smooth=3)
    for wrong, why in (
        (Questions(("occlusion",), smooth=3), "smooth repeats a method of one pass"),
        (Questions(("hires_cam@all",), smooth=3), "smooth repeats a method of one pass at one layer"),
        (Questions(("hires_cam",), baseline="blur"), "none of those is asked"),
        (Questions(("hires_cam",), options={"hires_cam": {"steps": 3}}), "takes one pass and has no options"),
        (Questions(("hires_cam",), options={"occlusion": {"steps": 3}}), "'occlusion', which is not asked for"),
        (Questions(("occlusion",), options={"occlusion": {"stepps": 3}}), "no option 'stepps'"),
    ):
        with pytest.raises(ValueError, match=why):
            explain_folder(photos, tmp_path / "out", explainer, wrong)
    with pytest.raises(ValueError, match="the file has no 'grad_cat'"):
        explain_folder(photos, tmp_path / "out", explainer, Questions(("grad_cat",)))
    dense = compile_model(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)).eval(), torch.rand(1, 3, 8, 8)
    )
    with pytest.raises(ValueError, match="rows are of one answer for each"):
        explain_folder(photos, tmp_path / "out", dense)
    assert not list(tmp_path.glob("out/part-*"))


def test_two_processes_do_not_write_into_one_folder(explainer: Explainer, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 2), tmp_path / "out"

    def meanwhile(_: Progress) -> None:
        with pytest.raises(ArtifactError, match="another process writes"):
            explain_folder(photos, out, explainer)

    explain_folder(photos, out, explainer, progress=meanwhile)
    assert len(paths(out)) == 2


def test_sources_of_every_kind(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "photos", 3)
    (tmp_path / "list.csv").write_text("path,class\nphotos/000.png,red\nphotos/001.png,\nphotos/000.png,red\n")
    listed = photos_of(tmp_path / "list.csv")
    assert [(photo.path, photo.label) for photo in listed] == [("photos/000.png", "red"), ("photos/001.png", None)]
    from pyarrow import Table, parquet

    parquet.write_table(Table.from_pylist([{"path": "photos/002.png", "label": 3}]), tmp_path / "list.parquet")
    (only,) = photos_of(tmp_path / "list.parquet")
    assert only.label == 3 and only.read() == (folder / "002.png").read_bytes()
    with tarfile.open(tmp_path / "shard.tar", "w") as archive:
        for number in range(2):
            archive.add(folder / f"{number:03d}.png", f"a/{number}.png")
            (tmp_path / "told").write_text(str(number) if number else json.dumps({"label": "green"}))
            archive.add(tmp_path / "told", f"a/{number}.{'cls' if number else 'json'}")
    archived = photos_of(tmp_path / "shard.tar")
    assert [(photo.path, photo.label) for photo in archived] == [("a/0.png", "green"), ("a/1.png", "1")]
    assert [photo.read() for photo in archived] == [(folder / f"{n:03d}.png").read_bytes() for n in range(2)]
    datasets = pytest.importorskip("datasets")
    saved = datasets.Dataset.from_dict(
        {"image": [str(folder / "000.png"), str(folder / "001.png")], "label": [1, 0]},
        features=datasets.Features(
            {"image": datasets.Image(), "label": datasets.ClassLabel(names=["red", "blue"])}
        ),
    )
    saved.save_to_disk(str(tmp_path / "saved"))
    from_saved = photos_of(tmp_path / "saved")
    assert [(photo.path, photo.label) for photo in from_saved] == [("0", "blue"), ("1", "red")]
    assert from_saved[1].read() == (folder / "001.png").read_bytes()
    for name, said in (("none", "there is no 'none'"), ("list.txt", r"a list is \.csv")):
        (tmp_path / "list.txt").touch()
        with pytest.raises(ValueError, match=said):
            photos_of(tmp_path / name)
    (tmp_path / "bad.csv").write_text("name\nx.png\n")
    with pytest.raises(ValueError, match="has the columns name: photos are in one called path"):
        photos_of(tmp_path / "bad.csv")


def test_kills_lose_nothing_and_repeat_nothing(explainer: Explainer, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 120, ("bad.png",)), tmp_path / "out"
    save(explainer, tmp_path / "net.pt")
    program = (
        "import sys; sys.path.insert(0, sys.argv[4]); import engine.batch.run as run; run.PART = 8\n"
        "from engine import load\n"
        "tell = lambda state: print(state.done, flush=True)\n"
        "run.explain_folder(*sys.argv[1:3], load(sys.argv[3]), batch=4, progress=tell)"
    )
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", program, str(photos), str(out), str(tmp_path / "net.pt"), root]
    draw, kills = random.Random(3), 0
    for _ in range(40):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"})
        assert process.stdout
        for _ in range(draw.randrange(1, 4)):  # so many batches, and some moment of the next one
            process.stdout.readline()
        time.sleep(draw.random() * 0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        kills += 1
        whole = paths(out) if parts(out) else []
        assert len(whole) == len({*whole})
        if len(whole) == 121 or kills == 20:
            break
    explain_folder(photos, out, explainer)
    assert sorted(paths(out)) == sorted(path.name for path in photos.iterdir())
    assert kills > 5 and not list(out.glob(".part-*"))


def test_every_layer_comes_from_one_pass(explainer: Explainer, tmp_path: Path) -> None:
    photos, out = folder_of(tmp_path / "photos", 3), tmp_path / "out"
    asked = Questions(("hires_cam@all", "lrp_epsilon_plus@all", "saliency", "grad_cam"))
    assert len(explainer.layers) == 4
    explain_folder(photos, out, explainer, asked)
    single = [f"{method}@{layer}" for method in ("hires_cam", "lrp_epsilon_plus") for layer in explainer.layers]
    explain_folder(photos, tmp_path / "single", explainer, Questions((*single, "saliency", "grad_cam")))
    for row, one in zip(rows_of(out), rows_of(tmp_path / "single"), strict=True):
        assert [map["asked"] for map in row["maps"]] == [map["asked"] for map in one["maps"]]
        for map, own in zip(row["maps"], one["maps"], strict=True):
            largest = max(abs(value) for value in own["values"])
            assert map["values"] == pytest.approx(own["values"], abs=1e-5 * largest + 1e-12)
            assert map["arrived"] == pytest.approx(own["arrived"]) and map["stride"] == own["stride"]
    assert len(list(read_maps(out, "hires_cam@all"))) == 12 and len(list(read_maps(out, single[0]))) == 3
    with pytest.raises(ValueError, match="'grad_cam@2' was not asked there"):
        list(read_maps(out, "grad_cam@2"))
    assert write_zarr(out, tmp_path / "maps.zarr") == 3
    assert len(list(pytest.importorskip("zarr").open_group(str(tmp_path / "maps.zarr"), mode="r").arrays())) == 10
    for wrong, told in (
        ("saliency@all", "saliency explains the image, and is read at no layer"),
        ("saliency@1", "saliency explains the image, and is read at no layer"),
        ("grad_cam@nowhere", "the file has no layer 'nowhere': it has"),
        ("nothing", "the file has no 'nothing': it has"),
    ):
        with pytest.raises(ValueError, match=told):
            explain_folder(photos, tmp_path / "none", explainer, Questions((wrong,)))


def test_a_map_of_pixels_is_not_shrunk_to_its_layer(explainer: Explainer, tmp_path: Path) -> None:
    """Guided Grad-CAM belongs to a layer, and is as sharp as the image."""
    own = compile_model(network(), torch.rand(1, 3, 32, 32), "all", ["guided_grad_cam"], LABELS)
    photos, out = folder_of(tmp_path / "photos", 2), tmp_path / "out"
    explain_folder(photos, out, own, Questions(("guided_grad_cam@2",)))
    for row in rows_of(out):
        x = own.preprocess(torch.from_numpy(cv2.imread(str(photos / row["path"]))[:, :, ::-1].copy()))
        _, map = own.answer(x, None, "guided_grad_cam", "2")
        (found,) = row["maps"]
        wanted = flat(map, "guided_grad_cam", Place.LAYER)[0]
        assert (found["rows"], found["columns"], found["layer"]) == (32, 32, "2")
        assert torch.allclose(torch.tensor(found["values"]).reshape(32, 32), wanted, rtol=1e-2, atol=1e-6)


def test_a_full_disk_is_told_before_it_is_full(
    explainer: Explainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.batch import store

    photos, out = folder_of(tmp_path / "photos", 3), tmp_path / "out"
    usage = store.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(store.shutil, "disk_usage", lambda _: usage._replace(free=1 << 20))
    with pytest.raises(OSError, match=r"has 1 MiB left.*run the same command again; nothing is lost"):
        explain_folder(photos, out, explainer)
    monkeypatch.undo()
    assert explain_folder(photos, out, explainer).done == 3 and len(paths(out)) == 3


def test_other_tools_read_what_is_written(explainer: Explainer, tmp_path: Path) -> None:
    from engine.batch.exports import write_coco, write_label_studio, write_overlays

    photos, out = folder_of(tmp_path / "photos", 4, ("bad.png",)), tmp_path / "out"
    explain_folder(photos, out, explainer, Questions(("hires_cam", "grad_cam@1")))
    pandas = pytest.importorskip("pandas")
    table = pandas.read_parquet(out, columns=["path", "top", "maps"])
    assert len(table) == 5 and len(table["maps"][0][0]["values"]) == 64
    datasets = pytest.importorskip("datasets")
    loaded = datasets.Dataset.from_parquet([str(part) for part in parts(out)], cache_dir=str(tmp_path / "cache"))
    assert loaded.num_rows == 5 and len(loaded[0]["maps"][0]["values"]) == 64
    boxes = sum(len(map["boxes"]) for row in rows_of(out) for map in row["maps"])
    assert write_coco(out, tmp_path / "coco.json") == boxes > 0
    coco = pytest.importorskip("pycocotools.coco").COCO(str(tmp_path / "coco.json"))
    assert len(coco.getImgIds()) == 4 and len(coco.getAnnIds()) == boxes
    (first, *_) = coco.loadAnns(coco.getAnnIds())
    left, top, wide, tall = first["bbox"]
    assert 0 <= left < left + wide <= 36.01 and 0 <= top < top + tall <= 40.01
    assert write_label_studio(out, tmp_path / "tasks.json") == 4
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    value = next(r["value"] for t in tasks for p in t["predictions"] for r in p["result"])
    assert value["rectanglelabels"][0] in LABELS and 0 < value["x"] + value["width"] <= 100.01
    assert write_overlays(out, tmp_path / "drawn") == 8
    assert cv2.imread(str(tmp_path / "drawn" / "hires_cam@2" / "000.jpg")) is not None or list(
        (tmp_path / "drawn").rglob("000.jpg")
    )
    zarr = pytest.importorskip("zarr")
    assert write_zarr(out, tmp_path / "maps.zarr") == 5
    group = zarr.open_group(str(tmp_path / "maps.zarr"), mode="r")
    assert group["grad_cam@1"].shape == (5, 16, 16) and len(group.attrs["paths"]) == 5
    place = list(group.attrs["paths"]).index("bad.png")
    assert np.isnan(group["grad_cam@1"][place]).all() and np.isfinite(group["grad_cam@1"][(place + 1) % 5]).all()
    with pytest.raises(ValueError, match="'saliency' was not asked there: hires_cam, grad_cam@1"):
        list(read_maps(out, "saliency"))
