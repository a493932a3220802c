"""A class, a channel, a unit or a layer in, the picture that it would like to see out."""

import argparse
from functools import partial
from typing import Any

from ..dream.ascent import Dream
from ..dream.images import channel_image, class_image, deep_dream, invert, unit_image
from ..pictures.photo import load_photo
from ..run.explainer import Explainer
from .photos import check_format, explainer_of, told_progress, write_picture


def dream(options: argparse.Namespace) -> int:
    """Optimise a picture and write it."""
    check_format(options.output)
    _check(options)
    photos = [load_photo(path) for path in options.photo]
    explainer = explainer_of(options)
    title, found = _dreamt(explainer, options, photos)
    write_picture(options.output, found.picture)
    print(f"{title}: {found.course[0]:.4g} at first, {found.value:.4g} in the picture")
    print(f"{title} -> {options.output} ({found.picture.shape[1]} × {found.picture.shape[0]})")
    return 0


def _check(options: argparse.Namespace) -> None:
    """Raise ValueError, which names the options, where they do not make one question."""
    if (options.target is None) == (options.layer is None):
        raise ValueError("a dream is of a class or at a layer: give --target CLASS or --layer NAME, one of them")
    of_photo = options.target is None and options.channel is None
    if options.channel is None and options.at is not None:
        raise ValueError("--at is a unit's place: give its --channel too")
    if options.target is not None and options.channel is not None:
        raise ValueError("--channel is of a layer: give --layer in the place of --target")
    if options.invert and not of_photo:
        raise ValueError("--invert is of all of a layer: give --layer and --photo alone with it")
    if of_photo and len(options.photo) != 1:
        told = "inverting a layer" if options.invert else "a layer's deep dream"
        raise ValueError(f"{told} takes one photo: give --photo, or for one channel --channel")
    if of_photo and not options.invert and options.parametrisation:
        raise ValueError("a deep dream changes a photo's pixels: leave --as out, or take --invert")
    if options.octaves is not None and (options.invert or not of_photo):
        raise ValueError("--octaves are a deep dream's: give --layer and --photo alone with them")
    if options.photo and not of_photo and options.parametrisation != "maco":
        raise ValueError(
            "--photo gives --as maco its magnitudes here; for a deep dream leave --target and --channel"
        )


def _dreamt(explainer: Explainer, options: argparse.Namespace, photos: list[Any]) -> tuple[str, Dream]:
    """What is asked, in words, and its picture."""
    asked = {name: getattr(options, name) for name in ("steps", "octaves", "parametrisation")}
    asked = {name: value for name, value in asked.items() if value is not None}
    asked |= {"seed": options.seed, "progress": told_progress()}
    if options.target is not None:
        target = explainer.class_index(options.target)
        return explainer.labels[target], class_image(explainer, target, photos=photos, **asked)
    layer = explainer.layers[explainer.layer_index(options.layer)]
    if options.channel is None:
        made = partial(invert if options.invert else deep_dream, explainer, photos[0], layer)
        return f"{layer}, {'inverted' if options.invert else 'dreaming'}", made(**asked)
    title = f"channel {options.channel} of {layer}"
    if options.at is None:
        return title, channel_image(explainer, layer, options.channel, photos=photos, **asked)
    title = f"{title} at {options.at[0]}, {options.at[1]}"
    return title, unit_image(explainer, layer, options.channel, options.at, photos=photos, **asked)
