"""Pictures by optimisation: what a class, a channel, a unit or a layer of a compiled file would like to see."""
