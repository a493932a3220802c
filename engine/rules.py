"""Every page of calculus: importing this room registers all rules."""

from engine import activations, moves, norms, products
from engine.vjps import ACTIVATIONS, VJPS

PAGES = (activations, moves, norms, products)

__all__ = ["ACTIVATIONS", "PAGES", "VJPS"]
