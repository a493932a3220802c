"""A network of one's own in one file, with its explanation: python examples/own_network.py PHOTO OUT.pt OUT.png

The network stands for yours: functional calls, a skip and an activation written by hand are seen like any other.
Its numbers are random here; load your own weights before compiling.
"""

import sys

import convlens
import cv2
import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Own(nn.Module):
    """Two convolutions with a skip, and a head of three classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 7, stride=4, padding=3), nn.BatchNorm2d(16))
        self.block = nn.Conv2d(16, 16, 3, padding=1)
        self.head = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] -> logits [N, 3]."""
        x = F.relu(self.stem(x))
        y = self.block(x)
        x = x + y * torch.sigmoid(y)  # a SiLU, as papers write it
        return self.head(x.mean((2, 3)))


if len(sys.argv) != 4:
    sys.exit(__doc__)
source, file, target = sys.argv[1:]

torch.manual_seed(0)
network = Own().eval()  # gradients depend on BatchNorm's and Dropout's mode: evaluation is what is explained
explainer = convlens.compile_model(
    network,
    torch.zeros(1, 3, 160, 160),  # sets size and precision; its values do not matter
    layers="all",  # the block too, which the skip leads around; "trunk", if left out, is what all paths cross
    labels=["cat", "dog", "neither"],
    # How a photo becomes the input: resized to 180 on its shorter side, its middle 160 × 160 cut out, normalised.
    preprocess=convlens.Geometry(180, (160, 160), "bilinear", mean=(0.5,) * 3, std=(0.25,) * 3),
    source={"name": "own", "title": "My network", "weights": "random, seed 0", "licence": "mine"},
)
print(explainer.coverage)
print("largest deviation from autograd:", max(explainer.manifest["certificate"]["methods"].values()))

photo = torch.from_numpy(convlens.load_photo(source))
x = explainer.preprocess(photo)
logits, heat = explainer.answer(x, ["cat"], "grad_cam", "block")  # by the module's name, as in named_modules()
print({label: round(float(p), 3) for label, p in zip(explainer.labels, logits[0].softmax(0), strict=True)})
cv2.imwrite(target, cv2.cvtColor(explainer.overlay(photo, heat[0]).numpy(), cv2.COLOR_RGB2BGR))

convlens.save(explainer, file)  # who has torch and this file needs nothing else
same = torch.jit.load(file).explain(x, explainer.one_hot("cat"), "grad_cam", explainer.layer_index("block"))
assert torch.allclose(same, heat, atol=1e-5 * float(heat.max()))
