"""Every text that a visitor can meet, as the code has it: in English, with the names of its fields in braces."""

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.demo.examples import CREDIT
from engine.demo.panels import PANELS
from engine.demo.panels.compare import COMPARISONS, SCALES
from engine.demo.panels.computed import GLOSSARY
from engine.demo.panels.erase import BRUSHES, GRAYS
from engine.demo.panels.localise import KNOWN
from engine.demo.panels.sides import BESIDE, COLOURED, GATES, VIEWS
from engine.demo.scripts import SCRIPTS, said
from engine.demo.stories import STORIES
from engine.methods import ASKS, METHODS
from engine.models.zoo import MODELS
from engine.pictures.figures import EMPTY
from engine.pictures.foreign import _SIGNATURES
from engine.trust import plots
from engine.trust.one_picture import SENTENCES

ROOT = Path(__file__).parent.parent.parent
DEMO = sorted((ROOT / "engine" / "demo").rglob("*.py"))
# What the engine refuses on the page: photos, and weights of the zoo's models that can't be had.
ENGINE = [
    *sorted((ROOT / "engine" / "pictures").glob("*.py")),
    *(ROOT / "engine" / "models" / f"{name}.py" for name in ("weights", "loading")),
]
# Who takes a text, and from which of its arguments on, all of them or that one.
TAKES = {
    "say": slice(0, 1), "retold": slice(1, None), "_one_of": slice(0, 1), "_share": slice(0, 1),
    "_whole": slice(0, 1), "PhotoError": slice(0, 1), "WeightsError": slice(0, 1), "_foreign": slice(0, 2),
}  # fmt: skip


def calls(path: Path) -> Iterator[tuple[str, ast.expr]]:
    """Who is given a text in a file, and the text as it stands there."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in TAKES:
            yield from ((node.func.id, given) for given in node.args[TAKES[node.func.id]])


def module_of(path: Path) -> ModuleType:
    name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
    return importlib.import_module(name.removesuffix(".__init__"))


def known(given: ast.expr, module: ModuleType) -> list[str]:
    """The texts that an argument stands for, where it is one or names some of the module; else none."""
    if isinstance(given, ast.Starred):
        given = given.value
    if not isinstance(given, ast.Constant | ast.Name | ast.Attribute):
        return []
    try:
        found: Any = eval(ast.unparse(given), vars(module))
    except (NameError, AttributeError):
        return []
    return [found] if isinstance(found, str) else [*found] if isinstance(found, tuple) else []


def of_the_code() -> set[str]:
    """The texts that the code gives to those who say them."""
    return {
        text for path in [*DEMO, *ENGINE] for _, given in calls(path) for text in known(given, module_of(path))
    }


def of_the_tables() -> set[str]:
    """The texts of the tables that the page is made of."""
    texts = {text for method in METHODS.values() for text in (method.title, method.says, method.inner) if text}
    texts |= {method.cite for method in METHODS.values() if not re.search(", (arXiv|doi):", method.cite)}
    texts |= {text for story in STORIES for text in (story.title, *(step.text for step in story.steps))}
    texts |= {text for panel in PANELS.values() for text in (panel.title, panel.says)}
    texts |= {text for row in COMPARISONS.values() for text in (row.title, row.why) if text}
    texts |= {
        *SCALES.values(),
        *GATES.values(),
        *BESIDE.values(),
        *VIEWS.values(),
        *COLOURED,
        *GLOSSARY.values(),
        *GRAYS.values(),
    }
    texts |= {
        *SENTENCES.values(),
        *plots.LINES.values(),
        *plots.TITLES.values(),
        *plots.AXES.values(),
        plots.CAUTION,
    }
    texts |= {title for _, title in (*BRUSHES, *KNOWN)}
    texts |= {text for _, _, *texts_of_one in _SIGNATURES for text in texts_of_one}
    return texts | {*ASKS.values(), *EMPTY.values(), *CREDIT.values(), *(spec.licence for spec in MODELS.values())}


def of_files() -> set[str]:
    """Why a method does not apply to a network, as the compiler writes it into files."""
    found = set(re.findall(r'return -1, "(.+)"', (ROOT / "engine/compiler/pooled.py").read_text()))
    return found | set(re.findall(r'reason = "(.+)"', (ROOT / "engine/files/compiling.py").read_text()))


def of_the_browser() -> set[str]:
    return {text for path in SCRIPTS for text in said(path.read_text(encoding="utf-8"))}


def all_texts() -> set[str]:
    return of_the_code() | of_the_tables() | of_files() | of_the_browser()
