"""What a way back starts with: seeds of classes and of units, and a layer's seed as the listing holds the layer.

TorchScript compiles these functions into every file.
"""

import torch
from torch import Tensor


def from_map(
    map: Tensor, factors: list[int], order: list[int], shape: list[int], lead_axis: int, lead: int
) -> Tensor:
    """What undoes `as_map`; class tokens, which are no pixels, are zero. See `listing.axes.WayBack`."""
    value = map.reshape(factors).permute(order).reshape(shape)
    if lead_axis < 0:
        return value
    front = list(value.shape)
    front[lead_axis] = lead
    return torch.cat([value.new_zeros(front), value], lead_axis)


def at_units(value: Tensor, units: Tensor) -> Tensor:
    """A one at each image's unit, zero elsewhere, shaped like a layer's value [N, C, h, w].

    units: int64 [N, 3], channel, row and column; row -1 for the channel's largest value, the first of several, and
    -2 for ones in all of the channel.
    """
    flat = value.flatten(2)
    channel = units[:, :1, None].expand(-1, 1, flat.shape[2])
    row, column = units[:, 1:2], units[:, 2:3]
    place = torch.where(
        row < 0, flat.gather(1, channel)[:, 0].argmax(1, keepdim=True), row * value.shape[3] + column
    )
    ones = torch.zeros_like(flat[:, 0]).scatter(1, place, 1.0)
    ones = torch.where(row == -2, torch.ones_like(ones), ones)
    return torch.zeros_like(flat).scatter(1, channel, ones[:, None]).view_as(value)


def at_classes(logits: Tensor, seed: Tensor) -> Tensor:
    """The seed itself where it is one, and of classes, int64 [N, 1], their one-hots; see `resolve_seed`."""
    if seed.dtype != torch.int64:
        return seed
    # Made of the logits, it lies where they are and has their precision.
    if logits.dim() == 2:
        index = torch.where(seed < 0, logits.argmax(1, keepdim=True), seed)
        return torch.zeros_like(logits).scatter(1, index, 1.0)
    flat = logits.flatten(2)
    tops = torch.zeros_like(flat).scatter(1, flat.argmax(1, keepdim=True), 1.0)
    index = torch.where(seed < 0, tops.sum(2).argmax(1, keepdim=True), seed)[:, :, None]
    index = index.expand([-1, -1, flat.shape[2]])
    places = tops.gather(1, index)
    places = torch.where(places.sum(2, keepdim=True) > 0, places, torch.ones_like(places))
    return torch.zeros_like(flat).scatter(1, index, places).view_as(logits)
