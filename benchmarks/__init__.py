"""This project and the tools of the field, measured side by side."""
