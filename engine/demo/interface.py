"""The endpoints as gradio has them: named, and told in the words of their docstrings."""

from typing import Any

import gradio as gr
from gradio.events import api
from gradio.utils import get_function_description

from .programs import ENDPOINTS, Programs


def open_to_programs(demo: gr.Blocks, programs: Programs) -> None:
    """Make the endpoints, inside of `demo`, with the names and the sentences of their docstrings."""
    for name, function in ENDPOINTS.items():
        made = api(function.__get__(programs), api_name=name, concurrency_id="engine")
        describe(demo.fns[made["id"]])


def without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an argument that may be left out: that it may be null is told by its default."""
    for several in ("oneOf", "anyOf"):
        if several in schema:
            kinds = [kind for kind in schema[several] if kind != {"type": "null"}]
            return kinds[0] if len(kinds) == 1 else {several: kinds}
    return schema


def describe(made: Any) -> None:
    """Write into an endpoint what its docstring says of each argument and each value.

    gradio calls them "1st" and "2nd", and shows their sentences to MCP alone.
    """
    _, arguments, values = get_function_description(made.fn)
    for part, (name, told) in zip(made.inputs, arguments.items(), strict=True):
        part.label, part._api_info = name, without_null(part._api_info) | {"additional_description": told}
    for part, line in zip(made.outputs, values, strict=True):
        part.label, _, told = line.partition(": ")
        part._api_info = part._api_info | {"description": told}
