"""The lines of a compiled program that one question runs, as a person reads them.

A file's `walk` serves every question: conditions in it tell which layers are read, and how far each policy goes
back. TorchScript prints it as Python that assigns each name once. For one question every condition is known, so
what is left of it is a list of calls; names that only carry a value to its use are put in their place.
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

COMPARED: dict[str, Callable[[Any, Any], bool]] = {
    "le": operator.le, "lt": operator.lt, "ge": operator.ge, "gt": operator.gt, "eq": operator.eq,
    "ne": operator.ne, "__contains__": operator.contains,
}  # fmt: skip
COLLECT, VALUES = "collect", "values"  # what a walk hands a layer's values to, see `torchscript.collecting`
UNKNOWN = object()


@dataclass(frozen=True)
class Call:
    """A statement that is carried out, and the names that it binds. block: the number of the statement of `walk`
    that it stands in."""

    names: tuple[str, ...]
    value: ast.expr
    block: int

    @property
    def op(self) -> str:
        """The last name of what it calls; empty where it calls nothing."""
        called = self.value.func if isinstance(self.value, ast.Call) else None
        return str(getattr(called, "attr", getattr(called, "id", "")))


@dataclass
class Run:
    """What a question runs: calls in their order, and what `walk` returns.

    reads: policy -> what a layer's reading is given under it: the methods, the primal, and, unless the policy is
    none, "", the cotangent and the shift of a folded BatchNorm. read_in: the block of that. known: the values that
    a question settles, by name. layers: the names of the layers' values, where they are known.
    """

    calls: list[Call] = field(default_factory=list)
    reads: dict[str, list[ast.expr]] = field(default_factory=dict)
    returned: list[ast.expr] = field(default_factory=list)
    known: dict[str, Any] = field(default_factory=dict)
    read_in: int = -1
    layers: list[str] = field(default_factory=list)
    _inlined: dict[str, ast.expr] = field(default_factory=dict)
    _same: dict[str, str] = field(default_factory=dict)  # name -> another name of the same value

    def root(self, name: str) -> str:
        """The name under which a value was first bound."""
        while name in self._same:
            name = self._same[name]
        return name

    def shown(self, name: str) -> str:
        """The shortest of a value's names: the printer numbers those that are bound on several ways."""
        root = self.root(name)
        names = [root, *(other for other in self._same if self.root(other) == root)]
        if not any(map(self._is_of_a_layer, names)):
            names += [short for name in names for short in (name[:-1], name[:-2]) if self._is_of_a_layer(short)]
        return min(names, key=lambda name: (len(name), name))

    def _is_of_a_layer(self, name: str) -> bool:
        """Is it the name of a layer's value, or of its cotangent, which begins with the policy's?"""
        value = name.rpartition("ct_")[2] if name not in self.layers else name
        return value in self.layers

    def listed(self, node: ast.expr) -> list[str]:
        """The names of a list of values."""
        return [name.id for name in self.items(node) if isinstance(name, ast.Name)]

    def items(self, node: ast.expr | None) -> list[ast.expr]:
        """What a list or a tuple holds, whether it has a name or stands there."""
        node = self._inlined.get(node.id, node) if isinstance(node, ast.Name) else node
        return node.elts if isinstance(node, ast.List | ast.Tuple) else []

    def text(self, node: ast.expr) -> str:
        """An expression as it is read."""
        return ast.unparse(_Readable(self).visit(_copy(node)))

    def line(self, call: Call) -> str:
        """A call as it is read."""
        return f"{', '.join(map(self.shown, call.names))} = {self.text(call.value)}"

    def maker(self, name: str) -> Call | None:
        """The call that a value is made by; None for what the question brings along."""
        root = self.root(name)
        return next((call for call in self.calls if root in call.names), None)

    def reads_of(self, node: ast.expr) -> list[str]:
        """The values that an expression takes, each under its first name."""
        expanded = _Readable(self, names=False).visit(_copy(node))
        return [self.root(name.id) for name in ast.walk(expanded) if isinstance(name, ast.Name)]

    def behind(self, name: str, ends: Sequence[str]) -> list[Call]:
        """The calls that a value is made by, in their order, back to the values `ends`."""
        wanted, done = [self.root(name)], {self.root(end) for end in ends} - {self.root(name)}
        found = list[Call]()
        while wanted:
            root = wanted.pop()
            if root not in done and (call := self.maker(root)) is not None:
                found.append(call)
                wanted += self.reads_of(call.value)
            done.add(root)
        return [call for call in self.calls if call in found]


class _Readable(ast.NodeTransformer):
    """Puts in place what only carries a value, and writes what is long and says nothing shorter."""

    def __init__(self, run: Run, names: bool = True) -> None:
        self.run, self.names = run, names

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.run._inlined:
            inlined: ast.expr = self.visit(_copy(self.run._inlined[node.id]))
            return inlined
        return ast.Name(self.run.shown(node.id) if self.names else node.id)

    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        if ast.unparse(node).startswith("__torch__."):  # a class, told with the room that it lies in
            return ast.Name(node.attr)
        owner = self.visit(node.value)
        of_self = isinstance(owner, ast.Name) and owner.id == "self"
        return ast.Name(node.attr) if of_self else ast.Attribute(owner, node.attr)


def carried_out(code: str, asked: Mapping[str, Any]) -> Run:
    """What `walk` does for a question. code: as TorchScript prints it; asked: the names whose values the question
    settles, its arguments that are no tensors among them."""
    run = Run(known=dict(asked))
    for block, statement in enumerate(_body(code)):
        _follow(statement, run, block)
    return run


def returned_names(code: str) -> list[str]:
    """The values of the list that a function returns last, by name: of `primals`, those of the layers."""
    run = carried_out(code, {})
    return run.listed(run.returned[-1])


def _body(code: str) -> list[ast.stmt]:
    function = ast.parse(code).body[0]
    assert isinstance(function, ast.FunctionDef)
    return function.body


def _follow(statement: ast.stmt, run: Run, block: int) -> None:
    if isinstance(statement, ast.If):
        test = _value(statement.test, run)
        for inner in statement.body if test is True else statement.orelse if test is False else []:
            _follow(inner, run, block)
    elif isinstance(statement, ast.Return):
        run.returned = run.items(statement.value)
    elif isinstance(statement, ast.Assign):
        target = statement.targets[0]
        if isinstance(target, ast.Tuple) and isinstance(statement.value, ast.Tuple):
            for name, value in zip(target.elts, statement.value.elts, strict=True):
                _bind(name, value, run, block)
        else:
            _bind(target, statement.value, run, block)
    # Loops fill dictionaries, and bare calls are bookkeeping of the same kind.


def _bind(target: ast.expr, value: ast.expr, run: Run, block: int) -> None:
    if not isinstance(target, ast.Name):
        names = tuple(name.id for name in getattr(target, "elts", []) if isinstance(name, ast.Name))
        run.calls.append(Call(names, value, block))
        return
    found = run.known.get(target.id, _value(value, run))
    if found is not UNKNOWN:
        run.known[target.id] = found
    elif isinstance(value, ast.Name):
        run._same[target.id] = value.id
    elif isinstance(value, ast.Call) and (call := Call((target.id,), value, block)).op in (COLLECT, VALUES):
        policy, *given = value.args if call.op == COLLECT else [ast.Constant(""), *value.args]
        run.reads[_value(policy, run)] = given
        run.read_in = block
    elif isinstance(value, ast.Attribute) or target.id.startswith("_"):
        run._inlined[target.id] = value
    else:
        run.calls.append(Call((target.id,), value, block))


def _value(node: ast.expr, run: Run) -> Any:
    """What an expression is for this question, or UNKNOWN."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value  # type: ignore[operator]
    if isinstance(node, ast.Name):
        return run.known.get(node.id, UNKNOWN)
    if isinstance(node, ast.Subscript):
        owner, key = _value(node.value, run), _value(node.slice, run)
        known = isinstance(owner, dict) and key in owner
        return owner[key] if known else UNKNOWN
    if isinstance(node, ast.Call) and (op := Call((), node, 0).op) in COMPARED:
        found = [_value(argument, run) for argument in node.args]
        return UNKNOWN if any(one is UNKNOWN for one in found) else COMPARED[op](*found)
    return UNKNOWN


def _copy(node: ast.expr) -> ast.expr:
    return ast.parse(ast.unparse(node), mode="eval").body
