"""A report as text: a table of the layers, notes, and advice."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from relume.diagnostics.report import LayerReport, Report

WIDTH = 99
HEAD = ["layer", "units", "zeros", "dead", "nearly dead", "saturated", "mean", "std", "gradient",
        "update"]  # fmt: skip


def text_of(report: Report) -> str:
    """What `print(report)` shows."""
    lines = [f"{report.rows:,} rows" + _loss(report), ""]
    lines += table_of([HEAD, *(row_of(layer) for layer in report.all_layers)])
    lines += ["", *_folded(f"note: {note}" for note in report.notes)]
    if report.advice:
        lines += ["", "advice:", *_folded(f"- {advice}" for advice in report.advice)]
    else:
        lines += ["", "advice: none, no problem was found"]
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def _loss(report):
    return "" if report.loss is None else f", mean loss {report.loss:.4g}"


def _folded(texts):
    for text in texts:
        yield from textwrap.wrap(text, WIDTH, subsequent_indent="  ")


def row_of(layer: LayerReport) -> list[str]:
    """The cells of a layer; a dash where a statistic does not apply."""
    values, dies = layer.activations, "dead" in layer.checks
    number = layer.name.removeprefix("layer ")
    return [
        f"{number}  {textwrap.shorten(layer.description, 34, placeholder='...')}",
        f"{layer.units}",
        f"{layer.zero_fraction:.0%}",
        f"{len(layer.dead_units)}" if dies else "-",
        f"{len(layer.nearly_dead_units)}" if dies else "-",
        f"{layer.saturated_fraction:.0%}" if "saturated" in layer.checks else "-",
        f"{values.mean:.3g}",
        f"{values.std:.3g}",
        "-" if layer.gradient is None else f"{layer.gradient.norm:.2g}",
        "-" if layer.update_ratio is None else f"{layer.update_ratio:.1g}",
    ]


def table_of(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Lines of columns: the first column is left-aligned, the others right-aligned."""
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    for row in rows:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        yield "  ".join(cells).rstrip()
