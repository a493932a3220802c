"""What is printed: the sample that the room shows, and no name that a value of a network could take."""

import ast
import textwrap
from collections import OrderedDict

import pytest
import torch
from torch import nn

from engine.compiler.passes import Compiled, compile_program
from engine.listing.names import reserved
from engine.methods import METHODS
from engine.torchscript import printing
from engine.torchscript.printing import functions
from engine.torchscript.staging import stages
from engine.torchscript.statements import Calls


def tiny(methods: list[str] | None, layers: str | list[str] = "trunk") -> Compiled:
    parts = OrderedDict[str, nn.Module](
        conv=nn.Conv2d(3, 4, 3), act=nn.ReLU(), pool=nn.MaxPool2d(2), flat=nn.Flatten(), head=nn.Linear(36, 5)
    )
    return compile_program(nn.Sequential(parts).eval(), torch.zeros(1, 3, 8, 8), layers, methods)


def printed(compiled: Compiled) -> dict[str, str]:
    calls: Calls = {}
    return functions(*stages(compiled.program, compiled.methods), calls)


def test_the_sample_in_the_docstring_is_what_is_printed() -> None:
    told = printing.__doc__ or ""
    sample = textwrap.dedent(told[told.index("    def walk(") :])
    found = printed(tiny(["grad_cam", "gradient"], ["conv"]))["walk"]
    # Only how lines are broken differs.
    assert ast.unparse(ast.parse(sample)) == ast.unparse(ast.parse(found))


class Steep(nn.Module):
    """Folded BatchNorms, a sum, a stride and two layers of one value."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm, self.act = nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU6()
        self.inner, self.outer, self.head = nn.Conv2d(8, 8, 3, 1, 1), nn.BatchNorm2d(8), nn.Linear(8, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.stem(x)))
        return self.head(torch.relu(x + self.outer(self.inner(x))).mean([2, 3]))


REFUSED = {"cam", "attention_rollout", "gradient_rollout"}  # by networks without a pooled layer or attention


@pytest.mark.parametrize("layers", ["trunk", "all"])
@pytest.mark.parametrize("methods", [None, *([name] for name in METHODS if name not in REFUSED)], ids=str)
def test_every_name_of_generated_code_is_a_value_or_reserved(methods: list[str] | None, layers: str) -> None:
    """Of the functions that bind values; the others can't meet any."""
    for compiled in (
        tiny(methods, layers),
        compile_program(Steep().eval(), torch.zeros(1, 3, 8, 8), layers, methods),
    ):
        program = compiled.program
        values = {node.name for node in program.graph.nodes if node.op != "get_attr"}
        texts = printed(compiled)
        for name in {"tail_of", "primals", *(text for text in texts if text.startswith("walk"))} - {"walk_alone"}:
            tree = ast.parse(texts[name])
            used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            used |= {node.arg for node in ast.walk(tree) if isinstance(node, ast.arg)}
            assert values & used
            assert used - values <= reserved(program.cotangents)
            taken = {node.name for node in program.graph.nodes if node.op == "call_function"}
            assert not taken & reserved(program.cotangents)
