"""Which layer a CAM is of: the one that a global-pooling and linear head pools."""

from torch import fx

from ..listing.program import Program, aten


def pooled_layer(program: Program) -> tuple[int, str]:
    """The index of the layer that a global-pooling + linear head pools, for CAM; -1 and the reason elsewhere."""
    flat = _input_of(program.logits, aten.linear)
    if flat is None:
        return -1, "CAM needs a linear layer that gives the logits, and this network ends in something else"
    while (source := _input_of(flat, aten.reshape, aten.flatten, aten.squeeze)) is not None:
        flat = source
    pooled = _input_of(flat, aten.adaptive_avg_pool2d, aten.mean)
    if pooled is None or not _averages_all_pixels(flat):
        return -1, "CAM needs global average pooling right before the linear layer, and this head has more in it"
    # CAM's weights are the linear layer's own only where nothing that bends lies between the pool and that layer.
    for index, layer in enumerate(program.layers):
        if layer.node is pooled:
            return index, ""
    return -1, "CAM needs the layer that the head pools, and that layer was not asked for"


def _input_of(node: fx.Node, *ops: object) -> fx.Node | None:
    """The value that goes into `node`, where `node` calls one of `ops`."""
    return node.args[0] if node.target in ops and isinstance(node.args[0], fx.Node) else None


def _averages_all_pixels(node: fx.Node) -> bool:
    if node.target is aten.mean:
        return sorted(dim % 4 for dim in node.args[1]) == [2, 3]  # type: ignore[operator,union-attr]
    return list(node.args[1]) in ([1], [1, 1])  # type: ignore[arg-type]
