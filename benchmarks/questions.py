"""What all tools are asked: one network, its images, a class for each, and where."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine import load_model
from engine.models.zoo import Size

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}


@dataclass(frozen=True)
class Question:
    """A network in evaluation mode, images [N, C, S, S], the seed [N, K] of one class each, and the layers."""

    module: nn.Module
    x: Tensor
    seed: Tensor
    layers: list[str]  # from the image to the logits, modules of the network all of them

    @property
    def targets(self) -> list[int]:
        """The class that each image is asked for."""
        return [int(index) for index in self.seed.argmax(1)]

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return int(self.x.shape[2]), int(self.x.shape[3])

    def own(self) -> "Question":
        """The same with a module of its own, on the same weights: some tools change what they are given."""
        weights = {id(value): value for value in (*self.module.parameters(), *self.module.buffers())}
        return Question(copy.deepcopy(self.module, weights), self.x, self.seed, self.layers)

    def laid_out(self, layout: str) -> "Question":
        """The same with weights and images in one of LAYOUTS."""
        form = LAYOUTS[layout]
        module = copy.deepcopy(self.module).to(memory_format=form)
        return Question(module, self.x.contiguous(memory_format=form), self.seed, self.layers)


def question(
    name: str, batch: int, layers: Sequence[str], device: str = "cpu", size: Size | None = None
) -> Question:
    """Ask a model of the zoo with random weights: the values do not matter to the time.

    layers: names of a program's layers; those that are no module of the network can't be asked of other tools, and
    are left out. The weights ask for no gradient: tools that call `backward` would compute it for nothing.
    """
    model = load_model(name, "random", size=size)
    module = model.module.to(device).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn((batch, *model.example.shape[1:]), generator=generator).to(device)
    seed = nn.functional.one_hot(torch.arange(batch) % len(model.labels), len(model.labels)).float().to(device)
    parts = dict(module.named_modules())
    return Question(module, x, seed, [layer for layer in layers if layer in parts])
