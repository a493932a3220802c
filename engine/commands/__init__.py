"""What the command line does, one room for each thing that it is about."""
