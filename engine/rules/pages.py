"""Every page of calculus: importing this room registers all rules."""

from . import activations, norms, pooling, resampling
from . import attention as products
from . import choices as switches
from . import shapes as moves
from .registry import ACTIVATIONS, VJPS

PAGES = (activations, moves, norms, pooling, products, resampling, switches)

__all__ = ["ACTIVATIONS", "PAGES", "VJPS"]
