"""Charts as SVG, drawn here: columns of what was sent, what failed and what was kept back.

Whoever cannot see one reads the same numbers in the table beside it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from tornado.escape import xhtml_escape

WIDTH, HEIGHT, GAP = 280, 60, 2
# From the bottom to the top; the classes of the stylesheet.
PARTS = ("sent", "screened", "failed")


class Column(NamedTuple):
    """What a column stands for, and its parts."""

    name: str
    sent: int
    screened: int
    failed: int


def columns(values: Sequence[Column], title: str, *, small: bool = False) -> str:
    """Draw columns as an SVG; small: to stand within a line, without words of its own."""
    most = max((one.sent + one.screened + one.failed for one in values), default=0)
    width = WIDTH / max(len(values), 1)
    drawn = [_column(one, index * width, width - GAP, most) for index, one in enumerate(values)]
    size = "spark" if small else "chart"
    return (
        f'<svg class="{size}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" preserveAspectRatio="none"'
        f' aria-label="{xhtml_escape(title)}"><line class="ground" x1="0" x2="{WIDTH}"'
        f' y1="{HEIGHT}" y2="{HEIGHT}"/>{"".join(drawn)}</svg>'
    )


def _column(one: Column, x: float, width: float, most: int) -> str:
    drawn, top = [], float(HEIGHT)
    for part in PARTS:
        count = getattr(one, part)
        if count:
            height = max(count / most * (HEIGHT - 2), 1.5)
            top -= height
            drawn.append(
                f'<rect class="{part}" x="{x:.1f}" y="{top:.1f}" width="{width:.1f}"'
                f' height="{height:.1f}"/>'
            )
    said = ", ".join(f"{getattr(one, part)} {part}" for part in PARTS if getattr(one, part))
    title = f"<title>{xhtml_escape(f'{one.name}: {said or 0}')}</title>"
    return f"<g>{title}{''.join(drawn)}</g>"
