"""A method of one's own, in the model's file like any other: python examples/own_method.py PHOTO OUT.pt

The method is HiResCAM (Draelos and Carin 2020, arXiv:2011.08891): each value of a layer times its own gradient,
summed over the channels, where Grad-CAM takes one weight for a whole channel.
"""

import sys
from pathlib import Path

import convlens
import torch
from torch import Tensor


def elementwise_sum(primal: Tensor, ct: Tensor) -> Tensor:
    """max(0, Σ_c A_c ∂ logit / ∂ A_c): [N, h, w]. TorchScript compiles it into the file as it stands."""
    return torch.relu((primal * ct).sum(1))


if len(sys.argv) != 3:
    sys.exit(__doc__)
source, file = sys.argv[1:]

convlens.register_method(
    convlens.Method(
        "my_hires_cam", "gradient", convlens.Place.LAYER, elementwise_sum, "My HiResCAM",
        "Draelos and Carin 2020, arXiv:2011.08891",
        "A layer's values times their gradients: warm regions speak for the class.",
    ),
    # What every file is certified by: the same once more, by other means, with autograd's gradient.
    formula=lambda primal, ct: torch.einsum("nchw,nchw->nhw", primal, ct),
)  # fmt: skip

explainer = convlens.build("efficientnet_lite0", methods=["my_hires_cam", "grad_cam"])
print("deviation from autograd:", explainer.manifest["certificate"]["methods"]["my_hires_cam"])
convlens.save(explainer, file)

net = torch.jit.load(file)  # knows neither this program nor convlens
x = net.preprocess(torch.from_numpy(convlens.load_photo(source)))
for layer in ("blocks.3.2", "blocks.5.3", "bn2.act"):
    with torch.inference_mode(), torch.jit.optimized_execution(False):
        maps = [net.explain(x, net.one_hot(282), name, net.layers.index(layer)) for name in explainer.methods]
    same = torch.nn.functional.cosine_similarity(*(map.flatten(1) for map in maps))
    print(f"{layer}: cosine with Grad-CAM {float(same):.2f}")
print(f"{Path(file).name}: {', '.join(explainer.methods)}")
