"""Listing to scripted module: all that is compiled into every file."""
