"""All photos of a folder, eight at a time: python examples/folder.py PHOTOS OUT

Writes a heatmap for each photo, and table.csv: its best class, how sure the network is, where it looked, or why it
could not be read.
"""

import csv
import sys
from pathlib import Path

import convlens
import cv2
import torch

BATCH = 8

if len(sys.argv) != 3:
    sys.exit(__doc__)
photos, out = Path(sys.argv[1]), Path(sys.argv[2])
out.mkdir(parents=True, exist_ok=True)
explainer = convlens.open_model("efficientnet_lite0")  # compiled at its first use, and kept

with (out / "table.csv").open("w", newline="") as file:
    table = csv.writer(file)
    table.writerow(["photo", "class", "probability", "row", "column", "error"])
    files = sorted(path for path in photos.iterdir() if path.is_file())
    for start in range(0, len(files), BATCH):
        seen = {}
        for path in files[start : start + BATCH]:
            try:
                seen[path] = torch.from_numpy(convlens.load_photo(path))
            except convlens.PhotoError as error:  # one bad file stops nobody, and is told
                table.writerow([path.name, "", "", "", "", error])
        if not seen:
            continue
        x = torch.cat([explainer.preprocess(photo) for photo in seen.values()])
        logits, maps = explainer.answer(x, None, "grad_cam")  # None: of each photo its own best class
        for path, photo, row, heat in zip(seen, seen.values(), logits.softmax(1), maps, strict=True):
            best, peak = int(row.argmax()), divmod(int(heat.argmax()), heat.shape[1])
            table.writerow([path.name, explainer.labels[best], f"{row[best]:.3f}", *peak, ""])
            picture = explainer.overlay(photo, heat).numpy()
            cv2.imwrite(str(out / f"{path.stem}.jpg"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
print((out / "table.csv").read_text(), end="")
