"""A part of a listing as torch.export keeps it: functional ATen, and nothing of the machine it was made on."""

from collections.abc import Sequence

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram

from ..compiler.export import MAX_BATCH
from ..listing.program import Program, aten


def graph_module(program: Program, outputs: Sequence[fx.Node]) -> fx.GraphModule:
    """The part of the listing that `outputs` take, with its constants, as a module (image, seed) -> outputs."""
    assert program.seed is not None
    graph = fx.Graph()
    copies = {node: graph.placeholder(name) for node, name in ((program.image, "image"), (program.seed, "seed"))}
    constants = nn.Module()
    for node in program.needed(outputs):
        if node in copies:
            continue
        copies[node] = graph.node_copy(node, copies.__getitem__)
        copies[node].meta.clear()  # of the network's own graph; this one is exported anew
        if node.target is aten.size:
            copies[node].target = aten.sym_size.int  # the other one would make a number of the batch
        elif node.op == "get_attr":
            constants.register_buffer(str(node.target), program.constants[str(node.target)])
    graph.output([copies[node] for node in outputs])
    return fx.GraphModule(constants, graph)


def exported(explained: nn.Module, program: Program, example: Tensor) -> ExportedProgram:
    """A module (image [N, C, H, W], seed [N, K]) -> answers on parts of the listing, exported for any N.

    example: [N, C, H, W]; sets size, dtype and device.
    """
    image = torch.zeros(2, *example.shape[1:], dtype=example.dtype, device=example.device)
    seed = image.new_zeros(2, *map(int, program.logits.meta["val"].shape[1:]))
    batch = {0: Dim("batch", min=1, max=MAX_BATCH)}
    found = torch.export.export(explained.eval(), (image, seed), dynamic_shapes=(batch, batch), strict=False)
    found.example_inputs = (_of_one_number(image), _of_one_number(seed)), {}
    for node in found.graph.nodes:
        node.meta.pop("stack_trace", None)  # it tells the paths of this machine's sources
    return found


def _of_one_number(like: Tensor) -> Tensor:
    """Zeros shaped like a tensor. AOTInductor asks a program for an example, and a file carries it: an image of a
    single number, wherever it is read, takes some bytes there in the place of a megabyte."""
    return like.new_zeros(1).expand(like.shape)
