"""Write docs/scale.md: what a data set takes, beside a bare loop and captum, with the commands.

    python -m benchmarks.scale [-o docs/scale.md] [--photos 1000] [--long 10000] [--rounds 2]

Photos are crops of scikit-image's, 640 pixels, JPEG; the network is EfficientNet-Lite0, the question Grad-CAM at
its last layer. Needs benchmarks/requirements.txt and tests/requirements.txt, and minutes.
"""

import argparse
import os
import pickle
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import skimage.data
import torch

from benchmarks import machine
from benchmarks.process import ROOT, fresh
from benchmarks.scale_page import TEXT
from engine import build, explain_folder, load, load_model, load_photo, save
from engine.batch.on_ray import explain_on_ray
from engine.batch.questions import Questions
from engine.batch.report import write_report
from engine.batch.run import keep
from engine.batch.sources import photos_of
from engine.batch.store import Store, parts, rows_of, told_there

PAGE = ROOT / "docs" / "scale.md"
BATCH, SIDE = 8, 640
QUESTIONS = Questions(("grad_cam",))


def drawn_photos(folder: str, count: int) -> None:
    """Crops of scikit-image's photos."""
    draw = np.random.default_rng(0)
    known = [getattr(skimage.data, name)() for name in ("chelsea", "coffee", "astronaut", "rocket")]
    for number in range(count):
        photo = known[number % len(known)]
        side = int(draw.integers(200, min(photo.shape[:2]) + 1))
        top, left = (int(draw.integers(0, length - side + 1)) for length in photo.shape[:2])
        crop = cv2.resize(photo[top : top + side, left : left + side], (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(Path(folder) / f"{number:06d}.jpg"), np.asarray(crop)[:, :, ::-1])


def bare(file: str, folder: str) -> float:
    """Photos a second of a loop that keeps nothing."""
    explainer, photos = load(file), sorted(Path(folder).iterdir())
    began = time.perf_counter()
    for first in range(0, len(photos), BATCH):
        pixels = [load_photo(photo) for photo in photos[first : first + BATCH]]
        x = torch.cat([explainer.preprocess(torch.from_numpy(one)) for one in pixels])
        explainer.answer(x, None, "grad_cam", -1)
    return len(photos) / (time.perf_counter() - began)


def rows(file: str, folder: str, out: str) -> tuple[float, float]:
    """Photos a second of `explain_folder`, and the process's memory at its most, in MB."""
    explainer = load(file)
    shutil.rmtree(out, ignore_errors=True)
    began = time.perf_counter()
    state = explain_folder(folder, out, explainer, QUESTIONS)
    taken = time.perf_counter() - began
    return state.total / taken, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def one_thread(file: str, folder: str) -> float:
    """`bare` by one thread."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    return bare(file, folder)


def side_by_side(file: str, folder: str, count: int) -> float:
    """Photos a second of so many of `one_thread` at once, which know nothing of each other: what the machine gives
    to processes that share its caches and memory."""
    with ThreadPoolExecutor(count) as pool:
        rates = list[float](pool.map(lambda _: fresh(one_thread, file, folder), range(count)))
    return sum(rates)


def by_ray(file: str, folder: str, out: str, actors: int) -> float:
    """Photos a second of so many actors of one thread each, after the first batch."""
    shutil.rmtree(out, ignore_errors=True)
    told = list[tuple[float, int]]()
    explain_on_ray(
        folder, out, file, QUESTIONS, batch=BATCH, actors=actors,
        progress=lambda state: told.append((time.perf_counter(), state.done)),
    )  # fmt: skip
    (began, first), (ended, last) = told[0], told[-1]
    return (last - first) / (ended - began)


def taken_in(folder: str, out: str, count: int) -> float:
    """Rows a second that the process which writes them takes in, as they come from others, those of `out` again
    and again."""
    known, told, photos = list(rows_of(out)), told_there(out), photos_of(folder)
    groups = [pickle.dumps(known[first : first + BATCH]) for first in range(0, len(known), BATCH)]
    many = [groups[number % len(groups)] for number in range(count // BATCH)]
    with tempfile.TemporaryDirectory() as place:
        store, left = Store(place, told["asked"], told), [photos[0]] * count
        began = time.perf_counter()
        keep(store, count, left, map(pickle.loads, many), None)
        return count / (time.perf_counter() - began)


def by_captum(folder: str) -> float:
    """Photos a second of captum's Grad-CAM in a loop over a DataLoader."""
    from captum.attr import LayerGradCam  # type: ignore[import-untyped]
    from torch.utils.data import DataLoader, Dataset

    model, photos = load_model("efficientnet_lite0"), sorted(Path(folder).iterdir())
    network = model.module.eval()
    layer = dict(network.named_modules())["bn2.act"]
    tool = LayerGradCam(network, layer)

    class Photos(Dataset):  # type: ignore[type-arg]
        """The photos as the network takes them."""

        def __len__(self) -> int:
            return len(photos)

        def __getitem__(self, index: int) -> torch.Tensor:
            return preprocessed(load_photo(photos[index]))[0]

    from engine.pictures.geometry import preprocess

    geometry = model.geometry

    def preprocessed(photo: Any) -> torch.Tensor:
        return preprocess(
            torch.from_numpy(photo), geometry.sides, list(geometry.crop), geometry.interpolation,
            list(geometry.mean), list(geometry.std),
        )  # fmt: skip

    began = time.perf_counter()
    for x in DataLoader(Photos(), BATCH, num_workers=1):
        with torch.no_grad():
            classes = network(x).argmax(1)
        tool.attribute(x, target=classes).relu()
    return len(photos) / (time.perf_counter() - began)


def report_seconds(out: str, folder: str, count: int) -> float:
    """How long a report of so many rows takes, which are those of `out` again and again."""
    known, told = list(rows_of(out)), told_there(out)
    with tempfile.TemporaryDirectory() as place:
        store = Store(Path(place) / "rows", told["asked"], told)
        for first in range(0, count, 1000):
            store.add([known[(first + number) % len(known)] for number in range(min(1000, count - first))])
        began = time.perf_counter()
        write_report(Path(place) / "rows", Path(place) / "report.html")
        return time.perf_counter() - began


def plan(node: float, driver: float, kilobytes: float, row: float) -> str:
    """What 1, 10 and 100 nodes do, each with `node` photos a second; one process takes in all rows."""
    lines = []
    for nodes in (1, 10, 100):
        rate = min(nodes * node, driver)
        hours = 1e6 / rate / 3600
        lines.append(
            f"| {nodes} | {rate:.0f} | {hours:.2f} | {nodes * hours:.1f} | {rate * kilobytes / 1000:.0f} | "
            f"{rate * row / 1e6:.2f} |"
        )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale", description=__doc__)
    parser.add_argument("-o", "--output", type=Path, default=PAGE)
    parser.add_argument("--photos", type=int, default=1000, metavar="N")
    parser.add_argument("--long", type=int, default=10000, metavar="N", help="photos of the run for memory")
    parser.add_argument("--rounds", type=int, default=2, metavar="N")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as place:
        folder, many, file, out = (str(Path(place) / name) for name in ("photos", "many", "lite.pt", "rows"))
        for one in (folder, many):
            Path(one).mkdir()
        drawn_photos(folder, options.photos)
        photos = sorted(Path(folder).iterdir())
        for number in range(options.long):
            os.link(photos[number % len(photos)], Path(many) / f"{number:06d}.jpg")
        save(build("efficientnet_lite0"), file)
        cores = len(os.sched_getaffinity(0))
        names = (
            "a bare loop",
            "`convlens batch`",
            "captum",
            "a bare loop by one thread",
            f"{cores} of those at once",
            "Ray, 1 actor",
            f"Ray, {cores}",
        )
        rates: dict[str, list[float]] = {name: [] for name in names}
        memory = 0.0
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            rate, memory = fresh(rows, file, folder, out)
            found = (
                fresh(bare, file, folder), rate, fresh(by_captum, folder), fresh(one_thread, file, folder),
                side_by_side(file, folder, cores),
                fresh(by_ray, file, folder, f"{out}-1", 1), fresh(by_ray, file, folder, f"{out}-n", cores),
            )  # fmt: skip
            print(", ".join(f"{one:.1f}" for one in found), flush=True)
            for name, one in zip(names, found, strict=True):
                rates[name].append(one)
        size = sum(part.stat().st_size for part in parts(out)) / options.photos
        shape = next(row["maps"][0] for row in rows_of(out) if row["maps"])
        print(f"{options.long} photos, for memory", flush=True)
        _, most = fresh(rows, file, many, str(Path(place) / "many-rows"))
        report = fresh(report_seconds, out, folder, options.long)
        driver = fresh(taken_in, folder, out, 20 * options.photos)
        kilobytes = sum(photo.stat().st_size for photo in photos) / len(photos) / 1000
    middle = {name: median(found) for name, found in rates.items()}
    lines = "\n".join(f"| {name} | {one:.1f} | {one / middle[names[0]]:.2f} |" for name, one in middle.items())
    ray = middle[names[-1]]
    text = TEXT.format(
        machine=machine.text(machine.facts()), count=options.photos, side=SIDE, rounds=options.rounds, rates=lines,
        batch=BATCH, memory=f"{memory:.0f} MB at the most with {options.photos} photos, {most:.0f} MB with "
        f"{options.long}", rows=options.long, report=report, shape=f"{shape['rows']} × {shape['columns']}",
        bytes=f"{size:.0f}", kb=kilobytes, cores=cores, scaling=ray / cores / middle[names[-2]], ray=ray,
        apart=middle[names[-3]] / cores / middle[names[-4]], of_apart=ray / middle[names[-3]],
        driver=driver, plan=plan(ray, driver, kilobytes, size), full=driver / ray, link=1.25e6 / (ray * kilobytes),
    )  # fmt: skip
    options.output.write_text(text, encoding="utf-8")
    print(f"-> {options.output}")


if __name__ == "__main__":
    from benchmarks import scale  # by its name, which the fresh processes import

    scale.main()
