"""From an nn.Module to the forward half of a Program: functional ATen calls and named layers."""

import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export.graph_signature import InputKind
from torch.utils._pytree import tree_unflatten

from ..errors import CaptureError
from ..listing.layers import MADE_LIKE, active_nodes, name_layers
from ..listing.origins import Origins, note
from ..listing.program import INTEGER_OPS, Program, aten, constant_name, op_name, place, source_line
from ..rules.pages import VJPS
from .brought import WHERE, Brought, bring
from .decompose import decompositions
from .export import export_network, refuse_open_shapes
from .fold_constants import evaluate_constants
from .heads import below_ending, choose_head, find_ending, shape_logits
from .recognise import name_activations

# Calls that give their input back, in evaluation; that copy it, so that writing into one leaves the other; that do
# either.
IDENTITIES = (aten.resolve_conj, aten.resolve_neg, aten.alias, aten.dropout, aten.dropout_)
COPIES = (aten.clone, aten.lift_fresh_copy, aten._to_copy)
EITHER = (aten.contiguous, aten.to, aten.type_as)
CASTS = (aten.to, aten.type_as, aten._to_copy)

# What is called otherwise here: a view of a channels_last tensor is not always possible.
# A lazy conjugate is one that is computed.
SYNONYMS = {
    aten.view: aten.reshape, aten._unsafe_view: aten.reshape, aten.sym_size: aten.size,
    aten.conj: aten.conj_physical, aten._conj: aten.conj_physical,
}  # fmt: skip

# Calls whose rules read what the call computes on the way.
WITH_RESIDUALS = {aten.max_pool2d: aten.max_pool2d_with_indices, aten.layer_norm: aten.native_layer_norm}

# Values made from nothing lie where the image lies, in its precision, wherever the file is moved.
FACTORIES = {aten.zeros: aten.new_zeros, aten.ones: aten.new_ones, aten.full: aten.new_full}
PLACEMENT = ("device", "layout", "pin_memory", "memory_format")

TRAINING_NORMS = (aten._native_batch_norm_legit, aten._native_batch_norm_legit_functional)
_DIFFERENTIABLE = {*VJPS, operator.getitem}


class NotFunctional(Exception):  # noqa: N818 - a signal between two functions of this room
    """The exported graph writes into a value that has other names, or holds an op that is not known here."""


def capture(
    module: nn.Module | Brought, example: Tensor, head: str | int | None = None, below_softmax: bool = False
) -> Program:
    """Export `module` and return its forward half, with every possible layer named.

    module: a network in evaluation mode that maps [N, C, H, W] to logits [N, K], or to values [N] or [N, K, …].
    example: [N, C, H, W]; its size is the program's, its batch is free.
    head: which output holds the logits, by key, field or place; the first if None.
    below_softmax: take the value that a final softmax, log_softmax or sigmoid is given for the logits, through
    views, casts and scalings by constants.
    Raises CaptureError where torch.export cannot take the module, with its reason.
    """
    exported = export_network(bring(module, example), example)
    with torch.no_grad():
        try:
            program = _as_program(exported, head)
        except NotFunctional:
            # torch's own functionalisation takes any graph, and three quarters of the time.
            program = _as_program(_taken_apart(exported, {}), head, known_only=False)
        # A rule keeps an op whole. Where there is none, torch may know it as a few that have rules.
        if not all(node.target in _DIFFERENTIABLE for node in active_nodes(program)[1:]):
            program = _as_program(_taken_apart(exported, decompositions()), head, known_only=False)
    refuse_open_shapes(program)
    program.ending, program.below = find_ending(program), below_softmax
    if below_softmax:
        program.logits = below_ending(program)
    shape_logits(program)
    evaluate_constants(program)
    name_activations(program)
    program.layers = name_layers(program)
    return program


def _taken_apart(exported: torch.export.ExportedProgram, table: dict[Any, Any]) -> torch.export.ExportedProgram:
    """The program as torch's functionalisation has it, with what `table` says taken apart too."""
    try:
        apart: torch.export.ExportedProgram = exported.run_decompositions(table)
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        raise CaptureError(f"torch.export cannot take the network apart into functional steps: {reason}") from None
    return apart


class _Copy:
    """Copies exported calls into a functional graph.

    A call in place, `x.relu_()`, becomes a value of its own that `x` means from there on. That is right as long
    as nothing else is a view of x; otherwise NotFunctional is raised.
    """

    def __init__(self, known_only: bool) -> None:
        self.graph, self.known_only = fx.Graph(), known_only
        self.values: dict[fx.Node, fx.Node] = {}  # exported node -> what it means at this point
        self.same: dict[fx.Node, fx.Node] = {}  # exported node -> the node whose tensor it is
        self.fixed: set[fx.Node] = set()  # nodes that are views, have views, or come from outside
        self.results: dict[Any, list[fx.Node]] = {}  # what a region returns
        self.active: set[fx.Node] = set()  # copies that depend on the image
        self.image: fx.Node | None = None

    def whole(self, node: Any) -> fx.Node:
        """The exported node whose tensor `node` is: x for x.relu_(), which gives x back."""
        found: fx.Node = self.same.get(node, node)
        return found

    def value(self, node: fx.Node) -> fx.Node:
        """What an exported node means at this point of the copy."""
        return self.values[self.whole(node)]

    def call(self, node: fx.Node) -> None:
        """Copy one exported call, or note that it is none in a functional graph in evaluation."""
        if node.target is torch.ops.higher_order.wrap_with_autocast:
            self.inline(node)
            return
        if node.target is operator.getitem and node.args[0] in self.results:
            self.values[node] = self.results[node.args[0]][int(node.args[1])]  # type: ignore[arg-type]
            return
        args: Any = fx.map_arg(node.args, self.value)
        kwargs: Any = fx.map_arg(node.kwargs, self.value)
        op: Any = getattr(node.target, "overloadpacket", node.target)
        name = op_name(node)
        if args and args[0] in self.active and (op in TRAINING_NORMS or (op is aten.batch_norm and args[5])):
            raise CaptureError(
                f"BatchNorm at {place(node)} runs in training mode: its output depends on the "
                "other images of the batch. Call .eval() on the module."
            )
        if op in (aten.dropout, aten.dropout_) and args[2]:
            raise CaptureError(f"dropout at {place(node)} runs in training mode: call .eval()")
        if op in IDENTITIES:
            # The very tensor: what is later written into one of the two has to be seen through the other name.
            self.same[node] = self.whole(node.args[0])
        elif op in (*COPIES, *EITHER) and args[0].meta["val"].dtype == node.meta["val"].dtype:
            self.values[node] = args[0]
            if op in EITHER:
                # Whether torch copied depends on strides, which no graph tells: nothing may write into them.
                self.fixed |= {node, self.whole(node.args[0])}
        elif op is operator.getitem and args[0].target is aten.batch_norm:
            # The exported norm returns statistics too; the one that stands for it here is the value alone.
            self.values[node] = args[0]
        elif op is aten._native_batch_norm_legit_no_training:
            new = self.append(node, aten.batch_norm, (*args[:5], False, *args[5:], False), {})
            new.meta["val"] = node.meta["val"][0]
        elif op is aten.expand_as and args[0].meta["val"].ndim == node.meta["val"].ndim:
            lengths = [-1 if isinstance(length, torch.SymInt) else length for length in node.meta["val"].shape]
            self.append(node, aten.expand, (args[0], lengths), {})
            self.note_views(node)
        elif op in WITH_RESIDUALS:
            self.append_with_residuals(node, WITH_RESIDUALS[op], args, kwargs)
        elif name.endswith("_") and not name.startswith("_"):
            # x.relu_() is relu(x), which x means from here on; right as long as no view of x is about.
            target = self.whole(node.args[0])
            if target in self.fixed:
                raise NotFunctional(f"{name} writes into a value that has other names")
            self.same[node] = target
            self.append(node, getattr(aten, name[:-1]), args, kwargs, meaning=target)
        else:
            self.append(node, SYNONYMS.get(op, op), args, kwargs)
            self.note_views(node)

    def inline(self, node: fx.Node) -> None:
        """Copy the calls of a region without autocast; one with it computes in another precision: refused."""
        _, _, enabled, _, body, *arguments = node.args
        if enabled:
            raise CaptureError(f"autocast is switched on at {place(node)}: compile without it")
        inner: Any = getattr(node.graph.owning_module, str(body.target))  # type: ignore[union-attr]
        given = iter(arguments)
        for step in inner.graph.nodes:
            if step.op == "placeholder":
                self.same[step] = self.whole(next(given))
            elif step.op == "call_function":
                self.call(step)
            elif step.op == "output":
                self.results[node] = [self.value(output) for output in step.args[0]]

    def append(self, node: fx.Node, op: Any, args: Any, kwargs: Any, meaning: fx.Node | None = None) -> fx.Node:
        """Append a functional call of `op`; `meaning` is the exported node whose value it is from here on."""
        if op is operator.neg:
            op, args = operator.mul, (args[0], -1)
        if op in CASTS:  # to where the file lies, whatever device the network names
            op, args, kwargs = aten.to, (args[0], node.meta["val"].dtype), {}
        random = torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())
        if random and op not in (*VJPS, aten.rrelu) and _is_elementary(node.target):
            raise CaptureError(
                f"{op_name(node)} at {place(node)}{source_line(node)} draws random numbers, so that every answer "
                "would be another: draw them once and register them as a buffer"
            )
        known = op in (*VJPS, *INTEGER_OPS, operator.getitem, aten.size, aten.detach)
        if self.known_only and not known and not _is_elementary(node.target):
            raise NotFunctional(f"{op} has no rule")
        if op is aten.rrelu and not (len(args) > 3 and args[3]):
            op, args, kwargs = aten.leaky_relu, (args[0], sum((*args[1:3], 1 / 8, 1 / 3)[:2]) / 2), {}
        if op in FACTORIES and any(isinstance(length, fx.Node) for length in args[0]):
            op, args = FACTORIES[op], (self.image, *args)
        if op in MADE_LIKE and kwargs.get("dtype") == args[0].meta["val"].dtype:
            kwargs = {name: value for name, value in kwargs.items() if name != "dtype"}
        kwargs = {name: value for name, value in kwargs.items() if name not in PLACEMENT}
        new = self.graph.call_function(op, args, kwargs)
        new.meta.update(node.meta)
        if not self.active.isdisjoint(new.all_input_nodes):
            self.active.add(new)
        self.values[meaning or node] = new
        return new

    def append_with_residuals(self, node: fx.Node, op: Any, args: Any, kwargs: Any) -> None:
        """Append a call that returns what its rule reads too (where the maximum was), and its first."""
        if op is aten.native_layer_norm:
            args = (*args, *(None, None, 1e-5)[len(args) - 2 :])[:5]
        group = self.graph.call_function(op, args, kwargs)
        fake = fx.map_arg(args, lambda source: source.meta["val"])
        with node.meta["val"].fake_mode:
            group.meta.update(node.meta, val=op(*fake, **kwargs))
        if not self.active.isdisjoint(group.all_input_nodes):
            self.active.add(group)
        self.append(node, operator.getitem, (group, 0), {})

    def note_views(self, node: fx.Node) -> None:
        """Remember a view and what it is a view of: a write into either is seen in both."""
        schema = getattr(node.target, "_schema", None)
        if schema is None or any(result.alias_info for result in schema.returns):
            self.fixed |= {node, *map(self.whole, node.all_input_nodes)}


def _as_program(
    exported: torch.export.ExportedProgram, head: str | int | None, known_only: bool = True
) -> Program:
    """Copy the exported graph: parameters become constants, overloads become packets, every call functional."""
    constants = dict[str, Tensor]()
    tensors = {**exported.state_dict, **exported.constants}
    specs = {spec.arg.name: spec for spec in exported.graph_signature.input_specs}
    copy = _Copy(known_only)
    image, heads, origins = None, dict[str, fx.Node](), Origins()
    for node in exported.graph.nodes:
        if node.op == "placeholder":
            spec = specs[node.name]
            if spec.kind == InputKind.USER_INPUT:
                new = image = copy.image = copy.graph.placeholder("image")
                copy.active.add(new)
            else:
                if spec.kind == InputKind.TOKEN:
                    raise CaptureError(
                        "the network checks its values while it runs, as torch.linalg.inv does for singular "
                        "matrices, and a listing computes alone: inv_ex, solve_ex and the like check nothing"
                    )
                if not isinstance(tensors.get(spec.target), Tensor):
                    raise CaptureError(
                        f"the network holds {spec.target or node.name}, which is no tensor, and a listing has "
                        "tensors only: make it in `forward`, or register it as a buffer"
                    )
                own = str(spec.target).removeprefix(f"{WHERE}.")
                name = constant_name(own, constants)
                constants[name] = tensors[spec.target].detach()
                note(origins, name, own, constants[name], spec.kind == InputKind.PARAMETER)
                new = copy.graph.create_node("get_attr", name, name=name)
            new.meta["val"] = node.meta["val"]
            copy.values[node] = new
            copy.fixed.add(node)
        elif node.op == "call_function" and "val" in node.meta:  # an assertion has no value
            copy.call(node)
        elif node.op == "output":
            # Buffers that the network counts in are outputs too; they are no heads.
            values = {o.name: copy.value(o) for o in node.args[0] if isinstance(o, fx.Node)}
            wanted = list(exported.graph_signature.user_outputs)
            named = tree_unflatten(wanted, exported.call_spec.out_spec)
            heads = {name: values[output] for name, output in named.items() if output in values}
    if image is None or not heads:
        raise CaptureError("the module must take one image batch and return a tensor")
    name = choose_head(heads, head, image.meta["val"].shape[0])
    return Program(copy.graph, constants, image, heads[name], head=name, heads=list(heads), origins=origins)


def _is_elementary(target: Any) -> bool:
    """Is this an op that torch takes apart no further, and whose result is no view?"""
    schema = getattr(target, "_schema", None)
    if schema is None or any(value.alias_info for value in (*schema.arguments, *schema.returns)):
        return False
    return not torch._C._dispatch_has_kernel_for_dispatch_key(target.name(), "CompositeImplicitAutograd")
