"""Every page of calculus: importing this room registers all rules."""

from . import activations, arithmetic, attention, choices, linear, norms, pooling, resampling, shapes, spectra
from .registry import KINDS, VJPS, ops_of

PAGES = (activations, arithmetic, attention, choices, linear, norms, pooling, resampling, shapes, spectra)

__all__ = ["KINDS", "PAGES", "VJPS", "ops_of"]
