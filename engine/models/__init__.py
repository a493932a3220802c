"""Names to networks."""
