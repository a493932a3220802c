"""Curves as SVG, which a page takes as it is: no script, and the page's own colours."""

from collections.abc import Mapping
from html import escape

from .curves import Curve

WIDTH, HEIGHT = 340, 200
LEFT, RIGHT, TOP, BOTTOM = 36, 8, 8, 26  # of the axes, in pixels
LINES = {"map": "this map", "random": "by chance", "centre": "the middle", "sobel": "edges"}
TITLES = {
    "deletion": "Deletion: the class's probability while the map's pixels are taken away. Low is good.",
    "insertion": "Insertion: the same while they are given back to a blurred photo. High is good.",
}
AXES = {"deletion": "share of pixels taken away", "insertion": "share of pixels given back"}
CAUTION = (
    "The two contradict each other often, and edges alone do well in insertion: read them beside the controls, "
    "and rank no methods by them."
)
DASHES = {"random": "1 4", "centre": "6 4", "sobel": "10 3 2 3"}  # of the controls; the map's own line is whole


def curves_svg(curves: Mapping[str, Curve], names: Mapping[str, str], title: str, axis: str) -> str:
    """The curves of the first image, by their names: the map's a thick line, those of controls thin and dashed,
    with a legend that tells the area under each.

    names: "map" and the controls, in words. title: what is drawn, for who hears it. axis: what lies below.
    """
    top = max([1e-12, *(float(curve.values[0].max()) for curve in curves.values())])
    bottom = min([0.0, *(float(curve.values[0].min()) for curve in curves.values())])

    def at(share: float, value: float) -> str:
        x = LEFT + share * (WIDTH - LEFT - RIGHT)
        y = TOP + (1 - (value - bottom) / (top - bottom)) * (HEIGHT - TOP - BOTTOM)
        return f"{x:.1f},{y:.1f}"

    lines, legend = "", ""
    for name, curve in reversed([*curves.items()]):  # the map's own lies above all
        points = " ".join(at(float(s), float(v)) for s, v in zip(curve.shares, curve.values[0], strict=True))
        look = f'stroke-dasharray="{DASHES[name]}" stroke-width="1.5"' if name in DASHES else 'stroke-width="3"'
        lines += f'<polyline class="{name}" points="{points}" fill="none" stroke="currentColor" {look}/>'
    for name, curve in curves.items():
        look = f'stroke-dasharray="{DASHES[name]}" stroke-width="1.5"' if name in DASHES else 'stroke-width="3"'
        line = (
            f'<svg viewBox="0 0 30 6" width="30" height="6"><path d="M0 3H30" stroke="currentColor" {look}/></svg>'
        )
        area = f"{float(curve.auc):.3f}".removeprefix("0")
        legend += f'<li class="{name}">{line} {escape(names[name])} <b>{area}</b></li>'
    ticks = "".join(
        f'<text x="{LEFT - 5}" y="{at(0, value).partition(",")[2]}" text-anchor="end" dy="4">{value:.2g}</text>'
        for value in (bottom, top)
    )
    ticks += f'<text x="{(WIDTH + LEFT) / 2}" y="{HEIGHT - 7}" text-anchor="middle">{escape(axis)}</text>'
    corner, end = at(0, bottom), at(1, bottom)
    frame = f'<path d="M{at(0, top)} L{corner} L{end}" fill="none" stroke="currentColor" opacity=".4"/>'
    return (
        f'<figure class="curves"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(title)}" '
        f'font-size="12" fill="currentColor">{frame}{lines}{ticks}</svg>'
        f'<figcaption>{escape(title)}</figcaption><ul class="legend">{legend}</ul></figure>'
    )
