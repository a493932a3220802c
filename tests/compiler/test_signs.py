"""What is proven never to lie below zero does not, on any image; and what follows a ReLU is proven."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.compiler.capture import capture
from engine.compiler.signs import nonnegative
from engine.listing.program import op_name


class Signs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.second, self.head = nn.Conv2d(3, 4, 3), nn.Conv2d(8, 4, 1), nn.Linear(4, 3)
        self.scale, self.shift = nn.Parameter(torch.rand(4, 1, 1)), nn.Parameter(torch.randn(4, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.conv(image))
        y = F.max_pool2d(x * self.scale, 3, 1, 1)
        z = torch.cat([x + self.shift, F.hardtanh(y, -1, 1)], 1)
        z = torch.cat([F.pad(y, (1, 1, 1, 1)), F.pad(x - 1, (1, 1, 1, 1), value=2.0)], 1) + F.pad(z, (1, 1, 1, 1))
        z = F.relu6(self.second(z)) + F.avg_pool2d(F.pad(x, (2, 2, 2, 2)), 3, 1)
        return self.head((z.permute(0, 2, 3, 1).flatten(1, 2) * -1).abs().amax(1))


def test_what_is_found_holds_and_what_follows_a_relu_is_found() -> None:
    torch.manual_seed(0)
    program = capture(Signs().double().eval(), torch.zeros(1, 3, 8, 8, dtype=torch.float64))
    found = nonnegative(program)
    images = torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64) * 5
    calls = [node for node in program.graph.nodes if node.op == "call_function"]
    for node, value in zip(calls, program.run(calls, image=images), strict=True):
        value = value[0] if isinstance(value, tuple) else value
        if node in found:
            assert value.min() >= 0, f"{node.name} lies below zero"
        elif isinstance(value, Tensor) and op_name(node) in ("conv2d", "sub", "linear"):
            assert value.min() < 0
    names = {op_name(node) for node in found if node.op == "call_function"}
    assert {"relu", "max_pool2d_with_indices", "mul", "avg_pool2d", "permute", "abs", "amax"} <= names
    assert not names & {"conv2d", "linear", "sub"}
