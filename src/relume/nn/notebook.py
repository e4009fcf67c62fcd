"""HTML for notebooks: tables, and sparklines as inline SVG.

Lines and text have the colors of the page around them, so they suit light and dark themes alike.
Nothing is loaded, there is no script, and all text is escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence

STYLE = """
.relume-table{border-collapse:collapse;margin:.3em 0}
.relume-table th,.relume-table td{padding:.2em .7em;text-align:right;white-space:pre;
background:none;color:inherit;border:0;
border-bottom:1px solid rgba(128,128,128,.35)}
.relume-table th:first-child,.relume-table td:first-child,.relume-words td{text-align:left}
.relume-words td:last-child{white-space:pre-wrap}
.relume-table svg{vertical-align:middle}
""".replace("\n", "")
WIDTH, HEIGHT = 120, 22  # of a sparkline, in pixels
MAX_POINTS = 240  # two a pixel


class Drawing(str):
    """HTML that goes into a table as it is; other cells are escaped."""


def fragment(title: str, *parts: str) -> str:
    """A part of a page: a title, and tables or paragraphs below it."""
    return (
        f"<div><style>{STYLE}</style><p><strong>{html.escape(title)}</strong></p>"
        f"{''.join(parts)}</div>"
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose first column names its rows; it scrolls by itself where it is too wide."""
    names = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in head)
    return _scrolling("relume-table", f"<thead><tr>{names}</tr></thead>", rows)


def settings(rows: Iterable[Sequence[str]]) -> str:
    """A table without a head, of names and their values in words."""
    return _scrolling("relume-table relume-words", "", rows)


def _scrolling(classes, head, rows):
    lines = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div style="overflow-x:auto"><table class="{classes}">{head}<tbody>{lines}</tbody>'
        "</table></div>"
    )


def _cell(value):
    return f"<td>{value if isinstance(value, Drawing) else html.escape(value)}</td>"


def number(value: float) -> str:
    """A number with four digits, or as much of it as is finite."""
    return f"{value:.4g}"


def sparkline(values: Sequence[float], name: str) -> Drawing:
    """A line without axes, from the lowest value at the bottom to the highest at the top.

    Parameters
    ----------
    values : sequence of float
        In the order of time. Values that are not finite are gaps.
    name : str
        What they are, for readers who cannot see the line.
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return Drawing("")
    low, high = min(finite), max(finite)
    words = f"{name} from {number(finite[0])} to {number(finite[-1])}"
    if len(finite) > 1:
        words += f" in {len(values)} epochs, min {number(low)}, max {number(high)}"
    every = math.ceil(len(values) / MAX_POINTS)
    count = max(1, (len(values) - 1) // every)
    lines: list[list[str]] = [[]]
    for i, value in enumerate(values[::every]):
        if not math.isfinite(value):
            lines.append([])
            continue
        # Halves, since a difference of floats may overflow.
        height = (value / 2 - low / 2) / (high / 2 - low / 2) if high > low else 0.5
        x, y = 2 + (WIDTH - 4) * i / count, 2 + (HEIGHT - 4) * (1 - height)
        lines[-1].append(f"{x:.1f},{y:.1f}")
    paths = "".join(
        f'<polyline points="{" ".join(points)}"/>'
        if len(points) > 1
        else f'<circle cx="{x}" cy="{y}" r="1"/>'
        for points in lines
        if points
        for x, y in [points[0].split(",")]
    )
    return Drawing(
        f'<svg role="img" aria-label="{html.escape(words)}" width="{WIDTH}" height="{HEIGHT}" '
        f'fill="none" stroke="currentColor" stroke-width="1.5">'
        f"<title>{html.escape(words)}</title>{paths}</svg>"
    )
