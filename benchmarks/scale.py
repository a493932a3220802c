"""Write docs/scale.md: what a data set takes, beside a bare loop and captum, with the commands.

    python -m benchmarks.scale [-o docs/scale.md] [--photos 1000] [--long 10000] [--rounds 2]

Photos are crops of scikit-image's, 640 pixels, JPEG; the network is EfficientNet-Lite0, the question Grad-CAM at
its last layer. Needs benchmarks/requirements.txt and tests/requirements.txt, and minutes.
"""

import argparse
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import skimage.data
import torch

from benchmarks import machine
from benchmarks.process import ROOT, fresh
from engine import build, explain_folder, load, load_model, load_photo, save
from engine.batch.questions import Questions
from engine.batch.report import write_report
from engine.batch.store import Store, parts, rows_of, told_there

PAGE = ROOT / "docs" / "scale.md"
BATCH, SIDE = 8, 640
QUESTIONS = Questions(("grad_cam",))
TEXT = """# From one photo to a data set

Made by `python -m benchmarks.scale --photos {count} --long {rows} --rounds {rounds}`.

```bash
pip install "convlens[batch]"
convlens batch photos/ -o rows --methods hires_cam,lrp_epsilon_plus@blocks.4.2
convlens report rows -o report.html
```

`photos/` may be a folder (folders in it that are called like classes are labels), a `.csv` or `.parquet` with a
column `path` and maybe one called `label`, a `.tar` of WebDataset, or a folder that Hugging Face `datasets`
saved. `--target` is the top class, the `label`, the top one rather than the `runner-up`, or a class. `--trust
deletion,insertion` measures each map beside controls, `--overlays DIR`, `--coco FILE`, `--label-studio FILE`
and `--zarr DIR` write what other tools read. In Python:

```python
explainer = convlens.open_model("efficientnet_lite0")
convlens.explain_folder("photos", "rows", explainer, convlens.Questions(("hires_cam",)))
for map in convlens.read_maps("rows"):
    map.path, map.values.shape, map.boxes, map.overlay()
```

## What a row is

One row for each photo, in `rows/part-*.parquet` (zstd): its path, size, label, the five likeliest classes, and
for each question the map at its layer's own size with the layer's stride and offset, boxes in the photo's
pixels, and what arrived or is missing where that is defined. A photo that can't be read is a row with the
reason. The file's metadata tell program, question, model and versions. pandas, `datasets`, DuckDB, Polars and
Spark read them as they are.

A map of {shape} takes {bytes} bytes a photo so, with all else in the row.

## Never lost, never repeated

A part bears its name only once it is whole on the disk, so a run that is killed at any moment, and started
again with the same command, ends with each photo once (tests/batch kills it twenty times). Another model or
question is refused in the same folder; so is a second process. `--retry-errors` asks again about photos that
could not be read. A disk that is about to be full is told before it is.

## How fast

{machine}

{count} photos of {side} pixels, JPEG, {rounds} interleaved rounds, the median of each:

| what | photos a second | of the bare loop |
| --- | --- | --- |
{rates}

The bare loop reads, decodes, preprocesses and asks, {batch} photos at once, and keeps nothing. captum asks the
same of the network itself, by `LayerGradCam`, with photos from a `DataLoader` with one worker.

Memory: {memory}. It holds two batches of photos and at most 256 rows, however many photos there are.

The report of {rows} rows took {report:.1f} s.

## On several machines

`pip install "convlens[ray]"`, then `--engine ray`: processes of one thread each, on this machine or, by
`--address` or `RAY_ADDRESS`, on a cluster whose machines see the photos under the same paths. The rows are the
plain loop's, and become parts of the same store by the process that asked, so a node that dies loses none of
them: its batch is answered by another one (tests/batch/test_on_ray.py kills one of two nodes). Starting and
ending Ray takes about ten seconds, so few photos are done sooner without. Whoever reaches a Ray cluster's ports
can run any code on it: keep them to a network of your own.

Without Ray: rows know nothing of each other, so a data set is split by a list for each machine, and their parts
read as one:

```bash
# Slurm: sbatch --array=0-9; lists/00.csv to lists/09.csv have a column `path` each
convlens batch lists/$(printf %02d $SLURM_ARRAY_TASK_ID).csv -o rows-$SLURM_ARRAY_TASK_ID --model /shared/lite.pt
```

```python
# Spark: mapInPandas over binaryFile; the same rows, one explainer for each process
def answered(frames):
    answering = Answering(convlens.load("/shared/lite.pt"), Questions(("hires_cam",)))
    for frame in frames:
        photos = [Photo(path, lambda content=content: content) for path, content in zip(frame.path, frame.content)]
        yield pandas.DataFrame(answering.rows([(photo, opened(photo)) for photo in photos]))
```

with `Answering`, `Questions` and `opened` of `convlens.batch.questions` and `Photo` of
`convlens.batch.sources`. At the rate above a million photos take {hours:.1f} hours on one such machine, and on
ten a tenth of that: each reads and decodes its own photos, {mb:.0f} MB a second at {kb:.0f} kB a photo, which a
network carries for {machines:.0f} machines for each gigabit.
"""


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
        rates: dict[str, list[float]] = {"a bare loop": [], "`convlens batch`": [], "captum": []}
        memory = 0.0
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds}", flush=True)
            rates["a bare loop"].append(fresh(bare, file, folder))
            rate, memory = fresh(rows, file, folder, out)
            rates["`convlens batch`"].append(rate)
            rates["captum"].append(fresh(by_captum, folder))
        size = sum(part.stat().st_size for part in parts(out)) / options.photos
        shape = next(row["maps"][0] for row in rows_of(out) if row["maps"])
        print(f"{options.long} photos, for memory", flush=True)
        _, most = fresh(rows, file, many, str(Path(place) / "many-rows"))
        report = fresh(report_seconds, out, folder, options.long)
        kilobytes = sum(photo.stat().st_size for photo in photos) / len(photos) / 1000
    base = median(rates["a bare loop"])
    lines = "\n".join(
        f"| {name} | {median(found):.1f} | {median(found) / base:.2f} |" for name, found in rates.items()
    )
    rate = median(rates["`convlens batch`"])
    text = TEXT.format(
        machine=machine.text(machine.facts()), count=options.photos, side=SIDE, rounds=options.rounds, rates=lines,
        batch=BATCH, memory=f"{memory:.0f} MB at the most with {options.photos} photos, {most:.0f} MB with "
        f"{options.long}", rows=options.long, report=report, shape=f"{shape['rows']} × {shape['columns']}",
        bytes=f"{size:.0f}", hours=1e6 / rate / 3600, kb=kilobytes, mb=rate * kilobytes / 1000,
        machines=125 / (rate * kilobytes / 1000),
    )  # fmt: skip
    options.output.write_text(text, encoding="utf-8")
    print(f"-> {options.output}")


if __name__ == "__main__":
    from benchmarks import scale  # by its name, which the fresh processes import

    scale.main()
