"""Rows in the forms that other tools read: pictures, COCO's results, Label Studio's predictions, Zarr."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2

from ..errors import PhotoError
from ..files.archive import publish, temporary_beside
from ..pictures.boxes import draw_boxes
from .places import on_this_machine
from .reading import read_maps
from .store import rows_of, told_there


def write_overlays(out: str | Path, folder: str | Path) -> int:
    """Every map on its photo, with its boxes, as JPEG under the photo's own name; how many. A photo that is not
    there any more is left out; PhotoError where none is."""
    count, gone, folder = 0, None, on_this_machine(folder, "overlays")
    for one in read_maps(out):
        target = folder / one.question / Path(one.path.lstrip("/")).with_suffix(".jpg")
        if folder.resolve() not in target.resolve().parents:
            raise ValueError(f"{one.path!r} leads out of {folder.name}: overlays stay inside")
        try:
            drawn = draw_boxes(one.overlay(), one.boxes)
        except PhotoError as error:
            gone = error
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        done, data = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR))
        if done:
            target.write_bytes(data.tobytes())
            count += 1
    if gone and not count:
        raise gone
    return count


def write_coco(out: str | Path, file: str | Path) -> int:
    """Boxes as COCO has them: images, categories, and annotations that have a score as results do; how many."""
    told = told_there(out)
    images, annotations = [], list[dict[str, Any]]()
    for number, row in enumerate(rows_of(out), 1):
        if row["error"] is not None:
            continue
        images.append({"id": number, "file_name": row["path"], "height": row["height"], "width": row["width"]})
        for map in row["maps"]:
            for box in map["boxes"]:
                wide, tall = box["right"] - box["left"], box["bottom"] - box["top"]
                annotations.append(
                    {
                        "id": len(annotations) + 1, "image_id": number, "category_id": map["target"],
                        "bbox": [box["left"], box["top"], wide, tall], "area": wide * tall, "iscrowd": 0,
                        "score": box["score"], "method": map["asked"],
                    }
                )  # fmt: skip
    categories = [{"id": index, "name": name} for index, name in enumerate(told["classes"])]
    _write(file, {"images": images, "categories": categories, "annotations": annotations})
    return len(annotations)


def write_label_studio(out: str | Path, file: str | Path, root: str = "/data/local-files/?d=") -> int:
    """Boxes as predictions for Label Studio, in percent of the photo; how many photos. root: what stands before a
    photo's path in the place where it looks for files."""
    tasks = []
    for row in rows_of(out):
        if row["error"] is not None:
            continue
        predictions = [
            {
                "model_version": map["asked"],
                "score": max((box["score"] for box in map["boxes"]), default=0.0),
                "result": [_rectangle(box, map["label"], row["height"], row["width"]) for box in map["boxes"]],
            }
            for map in row["maps"]
        ]
        tasks.append({"data": {"image": root + quote(row["path"])}, "predictions": predictions})
    _write(file, tasks)
    return len(tasks)


def write_zarr(out: str | Path, folder: str | Path) -> int:
    """Every question's maps as one array [photos, h, w] beside the paths, for stacks of many layers; how many
    photos. Maps of photos with an error are NaN. Needs zarr."""
    try:
        import zarr
    except ModuleNotFoundError:
        raise ValueError("--zarr needs zarr: pip install zarr") from None
    import numpy as np

    paths = [row["path"] for row in rows_of(out, ["path"])]
    place = {path: number for number, path in enumerate(paths)}
    group = zarr.open_group(str(on_this_machine(folder, "arrays")), mode="w")
    group.attrs["paths"] = paths
    arrays: dict[str, Any] = {}
    for one in read_maps(out):
        name = one.question
        if name not in arrays:
            shape = (len(paths), *one.values.shape)
            arrays[name] = group.create_array(
                name, shape=shape, chunks=(min(256, len(paths)), *one.values.shape), dtype="float32",
                fill_value=float("nan"),
            )  # fmt: skip
        arrays[name][place[one.path]] = np.asarray(one.values, np.float32)
    return len(paths)


def _rectangle(box: dict[str, float], label: str, height: int, width: int) -> dict[str, Any]:
    return {
        "from_name": "label", "to_name": "image", "type": "rectanglelabels", "original_width": width,
        "original_height": height,
        "value": {
            "x": 100 * box["left"] / width, "y": 100 * box["top"] / height,
            "width": 100 * (box["right"] - box["left"]) / width,
            "height": 100 * (box["bottom"] - box["top"]) / height, "rotation": 0, "rectanglelabels": [label],
        },
    }  # fmt: skip


def _write(file: str | Path, content: Any) -> None:
    """Whole, or not at all."""
    path = on_this_machine(file, "boxes")
    with temporary_beside(path) as part:
        part.write_text(json.dumps(content), encoding="utf-8")
        publish(part, path)
