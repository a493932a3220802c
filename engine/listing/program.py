"""The explicit listing: what a compiled network computes, one functional ATen call per line."""

import operator
import re
from collections import Counter
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from ..errors import ProgramError
from .names import reserved
from .origins import Origins

aten = torch.ops.aten
TORCH = str(Path(torch.__file__).parent)  # whose lines are not the network's own

INTEGER_OPS = {operator.mul: "*", operator.add: "+", operator.sub: "-", operator.floordiv: "//"}


@dataclass(frozen=True, eq=False)
class Layer:
    """A named forward value that a map can be drawn for: a stack of maps, [C, H, W] for each image.

    `node` holds the value. Where a BatchNorm was folded into the convolution that ends here, `node` holds
    `value * scale + shift` (per channel) instead; where it lies as tokens, in windows or channels last, `axes`
    tells how. The compiler gives the value back as [N, C, H, W] on demand.
    """

    name: str
    node: fx.Node
    shape: tuple[int, ...]  # [C, H, W]
    aliases: tuple[str, ...] = ()
    scale: fx.Node | None = None
    shift: fx.Node | None = None
    axes: Any = None  # None: [N, C, H, W] already


@dataclass(frozen=True, eq=False)
class Intercept:
    """What a call adds of its own, where a cotangent comes to it; see `rules.intercepts`.

    how, value: as there. drawn: is ct·b a stack of maps [N, C, H, W] of more than one pixel each? The calls that
    compute the value bear its number among the policy's, and run where it is asked for alone.
    """

    how: str
    ct: fx.Node
    value: fx.Node
    drawn: bool


@dataclass(eq=False)
class Program:
    """A graph of functional ATen calls, its constants, and the values that have a meaning outside.

    The graph has no output node: `primals` and `cotangents` name what can be asked for, and `needed` is the
    part of the listing that an answer takes.
    """

    graph: fx.Graph
    constants: dict[str, Tensor]
    image: fx.Node
    logits: fx.Node
    layers: list[Layer] = field(default_factory=list)
    seed: fx.Node | None = None
    primals: list[fx.Node] = field(default_factory=list)  # one per layer
    cotangents: dict[str, list[fx.Node]] = field(default_factory=dict)  # policy -> one per layer
    image_cotangents: dict[str, fx.Node] = field(default_factory=dict)  # policy -> at the image
    intercepts: dict[str, list[Intercept]] = field(default_factory=dict)  # policy -> from the logits down
    additive: list[str] = field(default_factory=list)  # of calls that may have an intercept: drawn, counted or ""
    head: str = ""  # which of the network's outputs the logits are, and all that it has
    heads: list[str] = field(default_factory=list)
    ending: Any = None  # what the network does to its logits at the end, see `compiler.heads`
    below: bool = False  # are the logits those below the ending?
    origins: Origins = field(default_factory=Origins)  # of the constants
    stem: set[fx.Node] = field(default_factory=set)  # the calls that stay in float32 where others are rounded
    relevances: set[str] = field(default_factory=set)  # policies whose cotangents are relevance
    ends: list[list[float]] = field(
        default_factory=list
    )  # the lowest and the highest values of an image's channels
    results: dict[Any, Any] = field(default_factory=dict)  # memo: what a call on such shapes returns

    def needed(self, outputs: Iterable[fx.Node]) -> list[fx.Node]:
        """The nodes that `outputs` depend on, themselves included, in the order of the listing."""
        marked: set[fx.Node] = set()
        pending = list(outputs)
        while pending:
            node = pending.pop()
            if node not in marked:
                marked.add(node)
                pending.extend(node.all_input_nodes)
        return [node for node in self.graph.nodes if node in marked]

    def only(self, policies: Iterable[str]) -> "Program":
        """The same listing, of which these policies alone are asked for."""
        names, kept = ("cotangents", "image_cotangents", "intercepts"), set(policies)
        tables = {name: {p: v for p, v in getattr(self, name).items() if p in kept} for name in names}
        return replace(self, **tables)  # type: ignore[arg-type]

    def precisions(self) -> set[torch.dtype]:
        """The precisions that the forward half computes in."""
        values = [node.meta["val"] for node in self.needed([self.logits])]
        return {value.dtype for value in values if isinstance(value, Tensor) and value.is_floating_point()}

    def asked(self) -> list[fx.Node]:
        """Every value that can be asked for: logits, primals, cotangents."""
        return [
            self.logits,
            *self.primals,
            *(ct for cts in self.cotangents.values() for ct in cts),
            *self.image_cotangents.values(),
        ]

    def added(self) -> list[fx.Node]:
        """What calls add of their own, and the cotangents that it meets."""
        return [node for found in self.intercepts.values() for one in found for node in (one.ct, one.value)]

    def constant(self, name: str, value: Tensor, fake: Tensor) -> fx.Node:
        """Add a constant under a name that is not taken yet and return the node that reads it."""
        name = constant_name(name, self.constants)
        self.constants[name] = value
        with self.graph.inserting_after(self.image):
            node = self.graph.create_node("get_attr", name, name=name)
        node.meta["val"] = fake
        return node

    def prune(self) -> None:
        """Drop every node and constant that no asked value depends on, and nothing that calls add."""
        keep = {*self.needed([*self.asked(), *self.added()]), self.image}
        for node in reversed(list(self.graph.nodes)):
            if node not in keep and node is not self.seed:
                self.graph.erase_node(node)
        read = {node.target for node in self.graph.nodes if node.op == "get_attr"}
        self.constants = {name: value for name, value in self.constants.items() if name in read}

    def rename(self, wanted: dict[fx.Node, str]) -> None:
        """Name the values anew: those in `wanted` as it says, the others after their ops, each name once."""
        taken = reserved(self.cotangents)
        taken |= {node.name for node in self.graph.nodes if node.op != "call_function"}
        used = Counter[str]()
        for node in [*wanted, *(node for node in self.graph.nodes if node not in wanted)]:
            if node.op == "call_function":
                name = base = identifier(wanted.get(node, op_name(node)))
                while name in taken:
                    used[base] += 1
                    name = f"{base}_{used[base]}"
                node.name = name
                taken.add(name)

    def check(self) -> None:
        """Raise ProgramError unless the listing is functional, complete, and bound once, and unless each
        cotangent is shaped and typed like its primal."""
        names: set[str] = set()
        for node in self.graph.nodes:
            if node.name in names:
                raise ProgramError(f"{node.name} is bound twice")
            names.add(node.name)
            for source in node.all_input_nodes:
                if source.name not in names:
                    raise ProgramError(f"{node.name} reads {source.name} before it is bound")
            if "val" not in node.meta:
                raise ProgramError(f"{node.name} has no shape")
            if node.op == "get_attr" and node.target not in self.constants:
                raise ProgramError(f"{node.name} reads the constant {node.target}, which is not there")
            if node.op == "call_function" and not _functional(node):
                raise ProgramError(f"{node.name} calls {node.target}, which is not a functional ATen op")
            if node.op not in ("placeholder", "get_attr", "call_function"):
                raise ProgramError(f"{node.name} is a {node.op}; a listing has calls only")
        for policy, cotangents in self.cotangents.items():
            for layer, primal, ct in zip(self.layers, self.primals, cotangents, strict=True):
                _same_shape(f"{policy} at {layer.name}", primal, ct)
        for policy, ct in self.image_cotangents.items():
            _same_shape(f"{policy} at the image", self.image, ct)

    def lines(self, nodes: Iterable[fx.Node]) -> Iterator[str]:
        """The listing of `nodes`, one statement per call, as Python (and TorchScript) reads it."""
        for node in nodes:
            if node.op == "call_function":
                yield f"{node.name} = {expression(node)}"

    def listing(self, outputs: dict[str, fx.Node]) -> str:
        """A function that computes `outputs` (name -> node), printed for people: the forward half, then the
        backward half, each layer announced where its value is complete."""
        nodes = self.needed(outputs.values())
        arguments = [node.name for node in nodes if node.op == "placeholder"]
        primals = self.primals or [layer.node for layer in self.layers]
        announced = dict(zip(primals, self.layers, strict=True))
        text = [f"def program({', '.join(arguments)}):"]
        for node in nodes:
            text += [f"    {line}" for line in self.lines([node])]
            if node in announced:
                text[-1] += f"  # {announced[node].name} {list(announced[node].shape)}"
        text.append(f"    return {', '.join(node.name for node in outputs.values())}")
        return "\n".join(text)

    def run(self, outputs: Iterable[fx.Node], **placeholders: Tensor) -> list[Tensor]:
        """Interpret the listing, for tests and for looking inside; the artifact is the fast way."""
        outputs = list(outputs)
        environment: dict[fx.Node, Any] = {}
        for node in self.needed(outputs):
            if node.op == "placeholder":
                environment[node] = placeholders[node.name]
            elif node.op == "get_attr":
                environment[node] = self.constants[str(node.target)]
            else:
                given: Any = fx.map_arg((node.args, node.kwargs), environment.__getitem__)
                environment[node] = node.target(*given[0], **given[1])  # type: ignore[operator]
        return [environment[node] for node in outputs]


def expression(node: fx.Node) -> str:
    """The right-hand side of a node's statement."""
    args = [literal(argument) for argument in node.args]
    if node.target is operator.getitem:
        return f"{args[0]}[{args[1]}]"
    if node.target in INTEGER_OPS:
        return f"{args[0]} {INTEGER_OPS[node.target]} {args[1]}"
    args += [f"{name}={literal(value)}" for name, value in node.kwargs.items()]
    return f"aten.{op_name(node)}({', '.join(args)})"


def op_name(node: fx.Node) -> str:
    """`conv2d` for a call of aten.conv2d."""
    return str(getattr(node.target, "__name__", node.target)).split(".")[0]


def identifier(text: str) -> str:
    """A Python identifier that reads like `text`: `layer1.0.relu` becomes `layer1_0_relu`."""
    name = "".join(character if character.isalnum() else "_" for character in text)
    return name if name and not name[0].isdigit() else f"m_{name}"


def constant_name(text: str, taken: Container[str]) -> str:
    """A name for a constant that reads like `text`: not taken, and not what a module calls something else."""
    name = identifier(text)
    return unique(f"{name}_value" if hasattr(nn.Module, name) else name, taken)


def unique(name: str, taken: Container[str]) -> str:
    """`name`, or `name_2`, `name_3`, … where it is taken."""
    candidate, count = name, 1
    while candidate in taken:
        count += 1
        candidate = f"{name}_{count}"
    return candidate


def literal(argument: Any) -> str:
    """An argument as a listing writes it."""
    if isinstance(argument, fx.Node):
        return f"self.weights.{argument.target}" if argument.op == "get_attr" else argument.name
    if isinstance(argument, (list, tuple)):
        return f"[{', '.join(literal(item) for item in argument)}]"
    if isinstance(argument, float) and (argument != argument or argument in (float("inf"), float("-inf"))):
        return f'float("{argument}")'
    return repr(argument)


def _functional(node: fx.Node) -> bool:
    if node.target is operator.getitem or node.target in INTEGER_OPS:
        return True
    return (
        isinstance(node.target, torch._ops.OpOverloadPacket)
        and getattr(aten, op_name(node), None) is node.target
        and not op_name(node).endswith("_")
        and not any(_writes(getattr(node.target, overload), node) for overload in node.target.overloads())
    )


def _writes(overload: Any, node: fx.Node) -> bool:
    """Does this overload write into one of the arguments that the node gives?"""
    arguments = [a for a in overload._schema.arguments if not str(a.type).startswith("List")]  # of aten.sort, one
    written = [a for a in arguments if a.alias_info and a.alias_info.is_write]
    return any(a.name in node.kwargs or not a.kwarg_only for a in written)


def _same_shape(where: str, primal: fx.Node, ct: fx.Node) -> None:
    wanted, found = primal.meta["val"], ct.meta["val"]
    if wanted.shape != found.shape or wanted.dtype != found.dtype:
        raise ProgramError(
            f"cotangent of {where}: {found.dtype} {list(found.shape)}, "
            f"its primal is {wanted.dtype} {list(wanted.shape)}"
        )


def place(node: fx.Node) -> str:
    """The module that a call stands in, for error messages."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    return str(stack[-1][0] if stack else "") or "the top level"


def source_line(node: fx.Node) -> str:
    """The line of the network's own source that a call stands in: " (net.py, line 12)"; empty where unknown."""
    lines = re.findall(r'File "([^"]+)", line (\d+)', str(node.meta.get("stack_trace") or ""))
    own = [line for line in lines if not line[0].startswith(TORCH)]
    return f" ({Path(own[-1][0]).name}, line {own[-1][1]})" if own else ""
