"""Photo to input, attribution to picture."""
