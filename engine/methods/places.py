"""Where a method reads its maps."""

from enum import StrEnum
from typing import Any, TypeVar

Values = TypeVar("Values", bound=Any)  # an array, or a tensor


class Place(StrEnum):
    """Where a method reads its maps. Files and manifests hold the word."""

    IMAGE = "image", "at the image"  # one map
    CALLS = "calls", "at the image and at each call that adds something"  # one map of all that they add
    LAYER = "layer", "at every layer"  # one map for each
    THROUGHOUT = "throughout", "at the image and at every layer"  # one map of the image, and one for each layer
    POOLED = "pooled", "at the pooled layer"  # one map, at the layer that a global-pooling + linear head pools

    says: str

    def __new__(cls, word: str, says: str = "") -> "Place":
        """A place is its word, and knows how people say it."""
        place = str.__new__(cls, word)
        place._value_, place.says = word, says
        return place

    @property
    def at_image(self) -> bool:
        """Is the map one of the image itself? Then it has no layer, unless one is asked for."""
        return self in (Place.IMAGE, Place.CALLS, Place.THROUGHOUT)

    @property
    def has_layers(self) -> bool:
        """May a layer be asked for?"""
        return self not in (Place.IMAGE, Place.CALLS)

    @property
    def at_every_layer(self) -> bool:
        """Does whoever asks choose the layer?"""
        return self is Place.LAYER

    def per_pixel(self, values: Values) -> Values:
        """What is drawn of the values of one image, [C, S, S] or [S, S]. Relevance is, as everywhere in its field,
        what the channels of a pixel sum up to: [S, S]; whatever else has channels is drawn with them."""
        summed: Values = values.sum(0) if self is THROUGHOUT and values.ndim == 3 else values
        return summed

    def layers(self, count: int, pooled: int) -> range:
        """Which of so many layers it reads. pooled: the layer that the head pools, -1 where there is none."""
        every, one = range(count), range(pooled, pooled + 1)
        return {LAYER: every, THROUGHOUT: every, POOLED: one}.get(self, range(0))


IMAGE, CALLS, LAYER, THROUGHOUT, POOLED = Place
