"""Module to listing."""
