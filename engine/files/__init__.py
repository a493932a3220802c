"""The one file and its relatives."""
