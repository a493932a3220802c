"""A file, asked from Python."""
