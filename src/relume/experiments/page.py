"""The page: one HTML file that loads nothing, for light and dark themes and any width."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

import relume
from relume.experiments.charts import BAND, cells, chart
from relume.experiments.data import Data
from relume.experiments.experiment import VERDICTS, Part, Quantity
from relume.experiments.page_style import CSS
from relume.plots import text_alternative, to_svg

if TYPE_CHECKING:
    from relume.experiments.run import Result

# The symbol and CSS class of each verdict, so that it does not depend on color alone.
SIGNS = dict(zip(VERDICTS, (("✓", "yes"), ("◐", "part"), ("✗", "no")), strict=True))


def page(results: Sequence["Result"], quick: bool, machine: str) -> str:
    """The whole page."""
    seeds = "few seeds and epochs (--quick)" if quick else "the full number of seeds and epochs"
    total = sum(result.seconds for result in results)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Claims about ReLU, tested</title>
<style>{CSS}</style>
</head>
<body>
<header>
<h1>Claims about ReLU, tested</h1>
<p>relume {escape(relume.__version__)} ran {len(results)} experiments with {seeds} in
{total:,.0f} seconds. Every verdict follows from the data by a rule that was written before the
measurement. The rule and its source code are shown with each experiment. Brackets and bands show
the {BAND}; each method says what differs from seed to seed. The networks and data sets are small,
so a result may not hold for larger ones.</p>
</header>
<nav aria-labelledby="verdicts"><h2 id="verdicts">Verdicts</h2>
{_summary(results)}
</nav>
<main>
{"".join(_section(result) for result in results)}
</main>
<footer><h2>The machine</h2>
<pre>{escape(machine)}</pre>
<p>The file <code>results.json</code> next to this page has all values for each seed.</p>
</footer>
</body>
</html>
"""


def _verdict(verdict: str) -> str:
    sign, kind = SIGNS[verdict]
    return f'<span class="verdict {kind}"><span aria-hidden="true">{sign}</span> {verdict}</span>'


def _summary(results: Sequence["Result"]) -> str:
    """The table of contents, which also shows the verdicts."""
    rows = [
        f'<tr><td><a href="#{each.experiment.name}">{escape(each.experiment.title)}</a></td>'
        f"<td>{escape(each.experiment.claim)}</td><td>{_verdict(each.verdict)}<br>"
        f"<small>{sum(part.holds for part in each.parts)} of {len(each.parts)} parts</small></td>"
        "</tr>"
        for each in results
    ]
    head = "<tr><th>Experiment</th><th>Claim</th><th>Verdict</th></tr>"
    return f'<table class="summary"><thead>{head}</thead><tbody>{"".join(rows)}</tbody></table>'


def _section(result: "Result") -> str:
    experiment = result.experiment
    settings = ", ".join(f"{name} = {value}" for name, value in result.settings.items())
    images = "".join(_figure(result.data, each) for each in experiment.quantities)
    tables = "".join(
        f'<div class="wide">{_table(*cells(result.data, each), caption=each.title)}</div>'
        for each in experiment.quantities
    )
    return f"""<section id="{experiment.name}" aria-labelledby="{experiment.name}-title">
<h2 id="{experiment.name}-title">{escape(experiment.title)} {_verdict(result.verdict)}</h2>
<div class="columns"><div>
<p class="question">{escape(experiment.question)}</p>
<p><strong>Claim.</strong> {escape(experiment.claim)}</p>
<p><strong>Method.</strong> {escape(experiment.method)} <small>({escape(settings)};
{result.seconds:.1f} seconds)</small></p>
<p><strong>Rule.</strong> {escape(experiment.rule)} The claim holds if all parts
hold, and holds in part if some do.</p>
{_parts(result.parts)}
</div>
<div>{images}</div></div>
<details><summary>Values</summary>{tables}</details>
<details><summary>Source code of the rule</summary>
<pre>{escape(experiment.rule_source())}</pre></details>
<p><a href="#verdicts">Back to the verdicts</a></p>
</section>
"""


def _parts(parts: Iterable[Part]) -> str:
    items = "".join(
        f'<li class="{"yes" if part.holds else "no"}">'
        f'<span aria-hidden="true">{"✓" if part.holds else "✗"}</span> '
        f"{escape(part.statement)}: <strong>{'yes' if part.holds else 'no'}</strong> "
        f"<small>({escape(part.numbers)})</small></li>"
        for part in parts
    )
    return f'<ul class="parts">{items}</ul>'


def _figure(data: Data, quantity: Quantity) -> str:
    """A chart in both themes, of which a browser shows one, and its text alternative."""
    light, dark = (chart(data, quantity, theme) for theme in ("light", "dark"))
    words = escape(text_alternative(light), quote=True)
    return (
        f'<figure><picture><source media="(prefers-color-scheme: dark)" srcset="{_inline(dark)}">'
        f'<img src="{_inline(light)}" alt="{words}"></picture>'
        f"<figcaption><details><summary>{escape(quantity.title)}, in words</summary>{words}"
        "</details></figcaption></figure>"
    )


def _inline(figure) -> str:
    encoded = base64.b64encode(to_svg(figure).encode()).decode()
    return f"data:image/svg+xml;base64,{encoded}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str) -> str:
    columns = "".join(f'<th scope="col">{escape(each)}</th>' for each in head)
    lines = "".join(
        f'<tr><th scope="row">{escape(first)}</th>'
        + "".join(f"<td>{escape(each)}</td>" for each in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return (
        f"<table><caption>{escape(caption)}</caption><thead><tr>{columns}</tr></thead>"
        f"<tbody>{lines}</tbody></table>"
    )
