"""A report as HTML: a whole page, or a fragment for a notebook; it loads nothing."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from relume.diagnostics.text_report import HEAD, row_of

if TYPE_CHECKING:
    from relume.diagnostics.report import Distribution, LayerReport, Report

STYLE = """
.relume{font:14px/1.45 system-ui,sans-serif;color:#1f2328;background:#fff;padding:1em;
max-width:72em;margin:auto}
.relume h1{font-size:1.4em}.relume h2{font-size:1.1em;margin:1.4em 0 .4em}
.relume table{border-collapse:collapse}.relume .wide{overflow-x:auto}
.relume th,.relume td{padding:.25em .6em;text-align:right;border-bottom:1px solid #d0d7de}
.relume th:first-child,.relume td:first-child{text-align:left}
.relume figure{display:inline-block;margin:.4em 1em .4em 0}.relume figcaption{font-size:.9em}
.relume svg{background:#f6f8fa}.relume rect{fill:#0072b2}
.relume text{fill:#57606a;font-size:10px}
.relume .ill{border-left:4px solid #d55e00;padding-left:.7em}
@media(prefers-color-scheme:dark){.relume{color:#e6edf3;background:#0d1117}
.relume th,.relume td{border-color:#30363d}.relume svg{background:#161b22}
.relume rect{fill:#56b4e9}.relume text{fill:#9da7b1}.relume .ill{border-color:#e69f00}}
"""
TOOLTIPS = {
    "layer": "number and arguments of the layer",
    "units": "number of outputs of the layer",
    "zeros": "share of outputs that are exactly 0",
    "dead": "number of units that are 0 on all rows and get no gradient",
    "nearly dead": "number of units that are active on under 1 % of rows",
    "saturated": "share of outputs within 1 % of an end of the activation's range",
    "mean": "mean of the outputs",
    "std": "standard deviation of the outputs",
    "gradient": "norm of the gradient of a row's loss at the pre-activations, root mean square "
    "over rows",
    "update": "norm of the optimizer's next update divided by the norm of the weights",
}
HEIGHT, BAR = 60, 5


def page_of(report: Report) -> str:
    """The report as a whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width"/>'
        f"<title>relume: {len(report.layers)} layers inspected</title></head>"
        f"<body>{fragment_of(report)}</body></html>\n"
    )


def fragment_of(report: Report) -> str:
    """The report as a part of a page."""
    loss = "" if report.loss is None else f", mean loss {report.loss:.4g}"
    return (
        f'<div class="relume"><style>{STYLE}</style>'
        f"<h1>{len(report.layers)} layers inspected on {report.rows:,} rows{loss}</h1>"
        f"{_advice(report)}<h2>Layers</h2>{_table(report)}"
        f"<h2>Distribution of values on a sample of rows</h2>{_histograms(report)}"
        f"{_notes(report)}</div>"
    )


def _advice(report):
    if not report.advice:
        return "<h2>Advice</h2><p>None: no problem was found.</p>"
    items = "".join(f"<li>{html.escape(str(advice))}</li>" for advice in report.advice)
    return f'<h2>Advice</h2><ul class="ill">{items}</ul>'


def _table(report):
    head = "".join(
        f'<th scope="col" title="{html.escape(TOOLTIPS[name])}">{name}</th>' for name in HEAD
    )
    rows = "".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row_of(layer)) + "</tr>"
        for layer in report.all_layers
    )
    return (
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div>"
    )


def _notes(report):
    return "".join(f"<p>Note: {html.escape(note)}.</p>" for note in report.notes)


def _histograms(report):
    pairs = [
        (layer, name, values)
        for layer in report.all_layers
        for name, values in (
            ("pre-activations", layer.pre_activations), ("outputs", layer.activations)
        )
        if values is not None
    ]  # fmt: skip
    return "".join(_histogram(*pair) for pair in pairs)


def _histogram(layer: LayerReport, name: str, values: Distribution) -> str:
    """Bars whose heights are shares, and the same in words for a screen reader."""
    title = f"{layer.name}, {name}"
    words = (
        f"{title}: min {values.min:.3g}, max {values.max:.3g}, mean {values.mean:.3g}, "
        f"std {values.std:.3g}; {layer.zero_fraction:.0%} of the outputs are 0"
    )
    max_count = max(values.counts) or 1
    bars = "".join(
        f'<rect x="{i * BAR}" y="{HEIGHT - HEIGHT * count / max_count:.1f}" width="{BAR - 1}" '
        f'height="{HEIGHT * count / max_count:.1f}"/>'
        for i, count in enumerate(values.counts)
        if count
    )
    width = BAR * len(values.counts)
    ends = (
        f'<text x="0" y="{HEIGHT + 12}">{values.edges[0]:.3g}</text>'
        f'<text x="{width}" y="{HEIGHT + 12}" text-anchor="end">{values.edges[-1]:.3g}</text>'
    )
    return (
        f'<figure><svg role="img" aria-label="{html.escape(words)}" width="{width}" '
        f'height="{HEIGHT + 16}"><title>{html.escape(words)}</title>{bars}{ends}</svg>'
        f"<figcaption>{html.escape(title)} (x: value, height: share of values)</figcaption>"
        "</figure>"
    )
