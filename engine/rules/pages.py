"""Every page of calculus: importing this room registers all rules."""

from . import activations, arithmetic, attention, choices, linear, norms, pooling, resampling, shapes
from .registry import ACTIVATIONS, VJPS

PAGES = (activations, arithmetic, attention, choices, linear, norms, pooling, resampling, shapes)

__all__ = ["ACTIVATIONS", "PAGES", "VJPS"]
