"""What runs in the browser beside gradio's own, with what it says in each language."""

import json
import re
from pathlib import Path

from .language import ENGLISH, LANGUAGES, texts

HERE = Path(__file__).parent
# What the others speak by comes first.
SCRIPTS = sorted(HERE.rglob("*.js"), key=lambda path: (path.name != "language.js", path))


def said(script: str) -> list[str]:
    """The texts that a script gives to its `say`, in the order in which they stand there."""
    return [json.loads(text) for text in re.findall(r'\bsay\(("(?:[^"\\]|\\.)*")', script)]


def head(paths: list[Path]) -> str:
    """The scripts as HTML, and with them what they say in each language."""
    scripts = [path.read_text(encoding="utf-8") for path in paths]
    wanted = {text for script in scripts for text in said(script)}
    found = {
        language: {text: told for text, told in texts(language).items() if text in wanted}
        for language in LANGUAGES
        if language != ENGLISH
    }
    told = json.dumps(found, ensure_ascii=False).replace("</", "<\\/")
    return "".join(f"<script>{script.replace('TEXTS;', f'{told};')}</script>" for script in scripts)


HEAD = head(SCRIPTS)  # it is in the page before any component
