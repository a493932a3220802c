"""Which layers stand for the growth of a network."""

from benchmarks import growth


def test_layers_are_spread_with_the_last_among_them() -> None:
    layers = list("abcdefgh")
    assert growth.spread(layers, 0.0) == ["h"]
    assert growth.spread(layers, 0.5) == ["b", "d", "f", "h"]
    assert growth.spread(layers, 1.0) == layers
