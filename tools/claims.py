"""The pages of the experiments, from their kept results; `make experiments` renews these.

    python tools/claims.py build/experiments/results.json

keeps the results of a run in docs/experiments.json, where experiments that it did not run keep
theirs. docs/conf.py calls `write`, which makes a page for each. Verdicts are not kept: they follow
from the data by the present rule.
"""

import json
import sys
from pathlib import Path

from relume.experiments import EXPERIMENTS, Data, verdict_of
from relume.experiments.charts import cells

sys.path.append(str(Path(__file__).parent))
from page_files import renew

KEPT = Path(__file__).resolve().parents[1] / "docs" / "experiments.json"
SIGNS = {True: "✓", False: "✗"}


def keep(path):
    """Keep the results of a run."""
    run = json.loads(path.read_text(encoding="utf-8"))
    kept = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.exists() else {}
    for each in run["experiments"]:
        records = [[r["quantity"], r["condition"], r["x"], list(map(_rounded, r["values"]))]
                   for r in each["data"]]  # fmt: skip
        about = {"machine": run["machine"], "settings": each["settings"]}
        kept[each["name"]] = {**about, "seconds": each["seconds"], "data": records}
    ordered = {name: kept[name] for name in EXPERIMENTS if name in kept}
    lines = [f" {json.dumps(name)}: {json.dumps(each)}" for name, each in ordered.items()]
    KEPT.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


def _rounded(value):
    return float(f"{value:.9g}")


def kept():
    """The kept results by experiment."""
    found = json.loads(KEPT.read_text(encoding="utf-8"))
    return {name: found[name] for name in EXPERIMENTS if name in found}


def data_of(name):
    """The kept data of an experiment."""
    return Data.of(kept()[name]["data"])


def _heading(text, line):
    return [text, line * len(text), ""]


def _table(head, rows):
    """A list table with a header."""
    lines = [".. list-table::", "   :header-rows: 1", "   :stub-columns: 1", ""]
    for row in [head, *rows]:
        lines += [f"   {'*' if i == 0 else ' '} - {cell}" for i, cell in enumerate(row)]
    return [*lines, ""]


def _escaped(text):
    return text.replace("\\", "\\\\").replace("*", "\\*").replace("`", "\\`").replace("|", "\\|")


def page(name, results):
    """The page of one experiment."""
    experiment, data = EXPERIMENTS[name], Data.of(results["data"])
    parts = experiment.judge(data)
    held = sum(part.holds for part in parts)
    settings = ", ".join(f"{key} = {value}" for key, value in results["settings"].items())
    lines = [
        ".. meta::", f"   :keywords: {experiment.claim} claim, myth, experiment", "",
        *_heading(experiment.title, "="),
        f"{_escaped(experiment.question)}", "",
        f"**Claim.** {_escaped(experiment.claim)}", "",
        f"**Verdict: {verdict_of(parts)}**, {held} of {len(parts)} parts.", "",
    ]  # fmt: skip
    for i in range(len(experiment.quantities)):
        lines += [f".. picture:: experiment {name} {i}", ""]
    lines += _heading("The parts of the claim", "-")
    lines += _table(
        ["part", "holds", "numbers"],
        [(_escaped(part.statement), f"{SIGNS[part.holds]} {'yes' if part.holds else 'no'}",
          _escaped(part.numbers)) for part in parts],
    )  # fmt: skip
    lines += [*_heading("Method", "-"), _escaped(experiment.method), "",
              f"**Rule.** {_escaped(experiment.rule)} The claim holds if all parts do, and "
              "in part if some do. Brackets and bands are 95 % confidence intervals of the mean.",
              "", f"Settings: {_escaped(settings)}. It took {results['seconds']:.0f} seconds.",
              ""]  # fmt: skip
    lines += [*_heading("Numbers", "-")]
    for quantity in experiment.quantities:
        head, rows = cells(data, quantity)
        lines += [f"**{_escaped(quantity.title)}**", ""]
        lines += _table([_escaped(cell) for cell in head],
                        [[_escaped(cell) for cell in row] for row in rows])  # fmt: skip
    lines += [*_heading("The rule's source", "-"), ".. code-block:: python", ""]
    lines += [f"   {line}" for line in experiment.rule_source().splitlines()]
    lines += ["", *_heading("The machine", "-"), ".. code-block:: text", "   :class: wrapped", ""]
    lines += [f"   {line}" for line in results["machine"].splitlines()]
    return "\n".join(lines) + "\n"


def table(results):
    """The table of all verdicts, in Markdown."""
    yield "| experiment | claim | verdict | parts that hold |"
    yield "|---|---|---|---|"
    for name, each in results.items():
        experiment = EXPERIMENTS[name]
        parts = experiment.judge(Data.of(each["data"]))
        held = sum(part.holds for part in parts)
        claim = experiment.claim.replace("|", "\\|")
        link = f"{{doc}}`{experiment.title} </experiments/{name}>`"
        yield f"| {link} | {claim} | {verdict_of(parts)} | {held} of {len(parts)} |"


def pages():
    """All files as {name: text}."""
    results = kept()
    made = {f"{name}.rst": page(name, each) for name, each in results.items()}
    return {**made, "verdicts.inc": "\n".join(table(results)) + "\n"}


def write(folder):
    """Write the files that have changed, and remove obsolete ones."""
    renew(folder, pages(), "*")


if __name__ == "__main__":
    keep(Path(sys.argv[1]))
