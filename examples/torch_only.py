"""A photo in, the five best classes and a heatmap out: torch, Pillow, and one file that explains itself.

python examples/torch_only.py MODEL.pt PHOTO OUT.png [METHOD]
"""

import sys

import torch
from PIL import Image

if len(sys.argv) not in (4, 5):
    sys.exit(__doc__)
model, source, target, method = [*sys.argv[1:], "grad_cam"][:4]

net = torch.jit.load(model)
image = Image.open(source).convert("RGB")
photo = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(image.height, image.width, 3)

# Without profiling, which the file does not need, the second call is as fast as the tenth.
with torch.inference_mode(), torch.jit.optimized_execution(False):
    x = net.preprocess(photo)
    logits = net.forward(x)
    seed, none = net.one_hot(int(logits.argmax())), torch.empty(0)
    if method in net.path_of:  # of many passes, with what holds where nothing is said: see net.options(method)
        map, _ = net.explain_along(x, seed, method, -1, {}, none, none)
    else:
        map = net.explain(x, seed, method, -1)
    heat = map if map.dim() == 3 else map.abs().amax(1)
    picture = net.overlay(photo, heat[0], 0.85)

for probability, index in zip(*logits[0].softmax(0).topk(min(5, logits.shape[1])), strict=True):
    print(f"{probability:6.1%}  {net.labels[index]} ({index})")
Image.fromarray(picture.numpy()).save(target)
