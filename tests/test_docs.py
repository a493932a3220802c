"""What the pages print is what the compiler prints, and what they name is there."""

import ast
import re
import textwrap
from pathlib import Path

import pytest
import torch
from torch import nn

from engine.commands.models import _outputs
from engine.compiler.passes import compile_program
from engine.torchscript import printing

ROOT = Path(__file__).parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *(ROOT / "examples").rglob("*.md")])


def plain(source: str) -> str:
    """Source without its layout: pages are formatted as files are."""
    return ast.unparse(ast.parse(source))


def block(page: str, start: str) -> str:
    """The block of Python on a page that begins so."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [text for text in blocks if text.startswith(start)]
    return plain(found)


@pytest.mark.parametrize("page", ["README.md", "docs/architecture.md"])
def test_the_listing_is_what_the_compiler_prints(page: str) -> None:
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(784, 10)
    )
    program = compile_program(network.eval(), torch.zeros(1, 3, 16, 16), methods="guided_backprop").program
    assert block(page, "def program") == plain(program.listing(_outputs(program, "guided_backprop")))


def test_the_walk_is_the_sample_that_its_own_test_holds() -> None:
    told = textwrap.dedent(printing.__doc__ or "")
    assert block("docs/architecture.md", "def walk") == plain(textwrap.dedent(told[told.index("    def walk(") :]))


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_names_files_that_are_there(page: Path) -> None:
    """Links, and paths in backticks that begin with a folder of this project."""
    text = page.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)[^)]*\)", text) if not link.startswith("http")]
    assert [link for link in links if not (page.parent / link).exists()] == []
    named = re.findall(r"`((?:engine|tests|docs|examples|benchmarks|\.ci)/[\w./-]*)`", text)
    assert [path for path in named if not (ROOT / path).exists()] == []
