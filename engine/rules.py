"""Every page of calculus: importing this room registers all rules."""

from engine import activations, moves, norms, pooling, products, resampling, switches
from engine.vjps import ACTIVATIONS, VJPS

PAGES = (activations, moves, norms, pooling, products, resampling, switches)

__all__ = ["ACTIVATIONS", "PAGES", "VJPS"]
