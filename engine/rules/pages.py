"""Every page of calculus: importing this room registers all rules."""

from engine.rules import activations, norms, pooling, resampling
from engine.rules import attention as products
from engine.rules import choices as switches
from engine.rules import shapes as moves
from engine.rules.registry import ACTIVATIONS, VJPS

PAGES = (activations, moves, norms, pooling, products, resampling, switches)

__all__ = ["ACTIVATIONS", "PAGES", "VJPS"]
