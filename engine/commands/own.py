"""What the command line says of weights of one's own: the options, and what they are to `load_model`."""

import argparse
from typing import Any, cast

from ..models.loading import Own
from ..models.zoo import Size


def add_own(parser: argparse.ArgumentParser) -> None:
    """Add the options to a command that takes weights."""
    parser.add_argument("--weights", default="default", metavar="default|random|PATH")
    own = parser.add_argument_group("weights of one's own")
    own.add_argument("--key", metavar="A.B", help="which of a checkpoint's weights, as in model.ema")
    own.add_argument("--labels", metavar="FILE", help="a name on each line, or JSON: a list or {index: name}")
    own.add_argument("--size", type=_size, metavar="SIDE|HxW", help="of the input; the network's own if left out")
    own.add_argument(
        "--mean", type=_numbers, metavar="R,G,B", help="for values in 0..1; one number for all channels"
    )
    own.add_argument("--std", type=_numbers, metavar="R,G,B", help="the same")
    own.add_argument("--fit", choices=["crop", "squash"], help="a photo's middle (if left out), or all of it")
    own.add_argument(
        "--transform-input", choices=["yes", "no"], help="of GoogLeNet and Inception v3: as they were trained"
    )


def own_of(options: argparse.Namespace) -> Own:
    """The options that were given, as `load_model` calls them; `size` goes by itself."""
    own: dict[str, Any] = {name: getattr(options, name) for name in ("key", "labels", "mean", "std", "fit")}
    if options.transform_input:
        own["transform_input"] = options.transform_input == "yes"
    return cast("Own", {name: value for name, value in own.items() if value is not None})


def given(options: argparse.Namespace) -> list[str]:
    """The options that only a model which is yet to be compiled can take, as they are typed."""
    names = [f"--{name.replace('_', '-')}" for name in own_of(options)]
    names += ["--size"] if options.size else []
    return names + (["--weights"] if options.weights != "default" else [])


def _size(text: str) -> Size:
    sides = [int(side) for side in text.split("x")]
    if len(sides) > 2 or min(sides) < 1:
        raise ValueError(text)
    return sides[0], sides[-1]


def _numbers(text: str) -> list[float]:
    return [float(number) for number in text.split(",")]
