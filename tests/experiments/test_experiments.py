"""Experiments: verdicts follow the data, each measures what it says, the page loads nothing."""

import base64
import dataclasses
import json
import re
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import numpy as np
import pytest
from scipy import stats

from relume import __main__ as command
from relume.experiments import EXPERIMENTS, Data, Part, Quantity, Result, interval, run, verdict_of
from relume.experiments import experiment as rules
from relume.experiments.charts import cells, chart, in_words
from relume.experiments.page import page
from relume.experiments.run import machine
from tests.support import verdicts

pytest.importorskip("matplotlib", reason="matplotlib is not installed; experiments draw with it")

HOLDS, IN_PART, NOT_HERE = "holds", "holds in part", "does not hold here"
TINY = {
    "vanishing-gradients": {"depths": [2, 3], "width": 8, "rows": 16},
    "half-zero": {"epochs": 1, "units": 8, "depth": 2},
    "homogeneity": {"elements": 64},
    "dying-units": {"rates": [0.001, 0.1], "steps": 1},
    "cures": {"epochs": 2},
    "six-times": {"choosing_seeds": 1, "max_epochs": 1, "repeats": 1},
    "cost-of-exp": {"repeats": 1, "elements": 64},
    "variance": {"depth": 3, "width": 8, "rows": 8},
    "sparsity-pays": {"repeats": 1, "zeros": (50, 90), "width": 16},
    "dropout": {"epochs": 1, "rows": 40, "units": 8},
    "large-batches": {"epochs": 1},
    "skewed-inputs": {"epochs": 1},
    "residual": {"epochs": 1, "depth": 5, "width": 8},
    "mixed-activations": {"epochs": 1, "rows": 40, "units": 8},
    "periodic-targets": {"epochs": 1, "rows": 32, "units": 8},
    "sparse-inputs": {"epochs": 1, "repeats": 1, "rows": 40, "words": 100},
    "autoencoder": {"epochs": 1},
    "small-signals": {"epochs": 1, "sizes": (1.0, 0.01), "width": 8},
}


@pytest.fixture(autouse=True)
def digits_only(monkeypatch, tmp_path):
    """Hide Fashion-MNIST, which would take a minute if it is present."""
    monkeypatch.setenv("RELUME_DATA", str(tmp_path))


# -- verdicts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_verdict_turns_with_the_data(name):
    judge = EXPERIMENTS[name].judge
    supported = judge(verdicts.supporting(name))
    assert verdict_of(supported) == HOLDS, supported
    contradicted = judge(verdicts.contradicting(name))
    assert verdict_of(contradicted) == NOT_HERE, contradicted


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_part_can_turn_the_verdict(name):
    """One part alone that fails makes it hold in part, if there are several."""
    parts = EXPERIMENTS[name].judge(verdicts.supporting(name))
    for i in range(len(parts)):
        turned = [part._replace(holds=part.holds ^ (i == j)) for j, part in enumerate(parts)]
        assert verdict_of(turned) == (IN_PART if len(parts) > 1 else NOT_HERE)


def test_six_times_is_not_sixty():
    """A ratio that is greater than six by far does not make six right."""
    data = Data.of(
        (quantity, f"{activation}, digits", None, [value] * 3)
        for quantity in ("epochs", "seconds")
        for activation, value in (("relu", 1), ("tanh", 60), ("sigmoid", 60))
    )
    parts = EXPERIMENTS["six-times"].judge(data)
    assert verdict_of(parts) == IN_PART
    assert [part.statement for part in parts if not part.holds] == [
        "tanh, digits: six times ReLU's epochs",
        "tanh, digits: six times ReLU's seconds",
    ]


def test_one_seed_that_is_not_exact_is_enough():
    data = Data.of([("function", "powers of two, float32", None, [0, 0, 0, 0.25])])
    assert verdict_of(EXPERIMENTS["homogeneity"].judge(data)) == NOT_HERE


QUANTITY = Quantity("q", "label", "title")


@pytest.mark.parametrize(
    ("part", "holds"),
    [
        (lambda data: rules.above("s", data, QUANTITY, "sure", 4), True),
        (lambda data: rules.above("s", data, QUANTITY, "open", 4), False),
        (lambda data: rules.below("s", data, QUANTITY, "sure", 6), True),
        (lambda data: rules.below("s", data, QUANTITY, "open", 6), False),
        (lambda data: rules.within("s", data, QUANTITY, "sure", (4, 6)), True),
        (lambda data: rules.within("s", data, QUANTITY, "open", (4, 6)), False),
        (lambda data: rules.greater("s", data, QUANTITY, "sure", "less"), True),
        (lambda data: rules.greater("s", data, QUANTITY, "sure", "less", by=3), False),
        (lambda data: rules.greater("s", data, QUANTITY, "open", "less"), False),
        (lambda data: rules.times("s", data, QUANTITY, "sure", "less", 1.5), True),
        (lambda data: rules.times("s", data, QUANTITY, "sure", "less", 1.7), False),
    ],
)
def test_what_the_seeds_leave_open_does_not_hold(part, holds):
    data = Data.of([
        ("q", "sure", None, [4.9, 5.0, 5.1]), ("q", "open", None, [1.0, 5.0, 9.0]),
        ("q", "less", None, [3.0, 3.1, 3.2]),
    ])  # fmt: skip
    found = part(data)
    assert found.holds is holds
    assert re.search(r"\d", found.numbers)


def test_one_seed_proves_nothing():
    data = Data.of([("q", "c", None, [5.0])])
    assert not rules.above("s", data, QUANTITY, "c", 4).holds
    assert not rules.below("s", data, QUANTITY, "c", 6).holds


def test_a_rule_is_shown_as_it_is_computed():
    assert EXPERIMENTS["variance"].rule_source().startswith("def judge(data: Data)")


# -- statistics -----------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [2, 3, 10, 50])
def test_interval_is_students(n):
    values = np.random.default_rng(n).normal(3, 2, n)
    low, high = stats.t.interval(0.95, n - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose(interval(values), (values.mean(), low, high), rtol=1e-12)


def test_interval_of_one_value_has_no_ends():
    found = interval([3.0])
    assert found.mean == 3
    assert np.isnan([found.low, found.high]).all()
    assert found.text() == "3"


def test_differences_and_ratios_are_paired():
    """What both conditions share from seed to seed cancels."""
    shared = np.array([1.0, 10.0, 100.0])
    data = Data.of([("q", "a", 1, shared + 2), ("q", "b", 1, shared), ("q", "c", 1, 3 * shared)])
    np.testing.assert_allclose(data.difference("q", "a", "b", 1), (2, 2, 2), rtol=1e-9)
    np.testing.assert_allclose(data.ratio("q", "c", "b", 1), (3, 3, 3), rtol=1e-9)


def test_data_keeps_order_and_gives_all():
    data = Data.of([("q", "b", 2, [1, 2]), ("q", "a", 1, [3]), ("r", "c", None, [4])])
    assert data.conditions("q") == ["b", "a"]
    assert data.x_values("q") == [1, 2]
    assert data.x_values("q", "a") == [1]
    assert data.records()[1] == {
        "quantity": "q", "condition": "a", "x": 1, "values": [3.0], "mean": 3.0, "low": None,
        "high": None,
    }  # fmt: skip


# -- measuring ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_measures_what_it_says(name):
    """At a tiny scale: every quantity has values, one a seed, which the rule can read."""
    experiment = EXPERIMENTS[name]
    data = experiment.measure(seeds=2, **TINY[name])
    for quantity in experiment.quantities:
        assert data.conditions(quantity.name)
        assert bool(data.x_values(quantity.name)) == bool(quantity.x_label)
    for record in data.records():
        assert len(record["values"]) == 2
        assert np.isfinite(record["values"]).all()
    assert all(isinstance(part, Part) for part in experiment.judge(data))


@pytest.mark.parametrize("name", ["vanishing-gradients", "variance", "dropout", "dying-units"])
def test_the_same_seeds_give_the_same_data(name):
    first, second = (EXPERIMENTS[name].measure(seeds=1, **TINY[name]).records() for _ in range(2))
    assert first == second


def test_settings_are_those_of_the_measurement():
    for experiment in EXPERIMENTS.values():
        assert experiment.full["seeds"] >= 10
        assert experiment.quick["seeds"] >= 3
        assert set(experiment.quick) == set(experiment.full)


# -- the page -------------------------------------------------------------------------------------

VOID = {"meta", "img", "source", "br"}


class Reader(HTMLParser):
    """Reads a page; fails where tags do not match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.styles = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        assert len(dict(attrs)) == len(attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            self.styles.append(data)

    def attributes(self, name):
        return [attrs[name] for _, attrs in self.tags if name in attrs]


@pytest.fixture(scope="module")
def results():
    return [
        Result(each, each.quick, data, each.judge(data), 1.0)
        for each in EXPERIMENTS.values()
        for data in [verdicts.supporting(each.name)]
    ]


@pytest.fixture(scope="module")
def html(results):
    return page(results, False, machine())


@pytest.fixture(scope="module")
def reader(html):
    return Reader(html)


def test_page_loads_nothing(reader):
    for name in ("src", "srcset"):
        assert reader.attributes(name)
        assert all(value.startswith("data:image/svg+xml;base64,")
                   for value in reader.attributes(name))  # fmt: skip
    assert all(value.startswith("#") for value in reader.attributes("href"))
    assert not {"link", "script", "iframe", "object", "embed", "video"} & {
        t for t, _ in reader.tags
    }
    for css in [*reader.styles, *reader.attributes("style")]:
        assert "url(" not in css
        assert "@import" not in css


def test_images_load_nothing(reader):
    for value in set(reader.attributes("src")) | set(reader.attributes("srcset")):
        svg = base64.b64decode(value.partition(",")[2]).decode()
        ET.fromstring(svg)
        references = re.findall(r'href="([^"]*)"|url\(([^)]*)\)', svg)
        assert all(reference.startswith(("#", "data:")) for pair in references
                   for reference in pair if reference)  # fmt: skip


def test_every_picture_has_words_and_both_themes(reader, results):
    images = [attrs for tag, attrs in reader.tags if tag == "img"]
    assert len(images) == sum(len(each.experiment.quantities) for each in results)
    assert all(len(attrs["alt"]) > 40 for attrs in images)
    dark = [attrs for tag, attrs in reader.tags if tag == "source"]
    assert len(dark) == len(images)
    assert {attrs["media"] for attrs in dark} == {"(prefers-color-scheme: dark)"}


def test_page_has_contents_verdicts_and_rules(html, reader, results):
    ids = reader.attributes("id")
    assert len(set(ids)) == len(ids)
    assert {href[1:] for href in reader.attributes("href")} <= set(ids)
    assert reader.tags[0] == ("html", {"lang": "en"})
    for result in results:
        assert f'<a href="#{result.experiment.name}">' in html
        assert "def judge" in result.experiment.rule_source()
    assert html.count("<summary>Source code of the rule</summary>") == len(results)
    assert "instruction set" in html


def test_page_names_no_folder(html, results):
    """The page says which kind of machine it ran on, but names no folder."""
    for text in (html, json.dumps([each.to_dict() for each in results])):
        assert not re.search(r"(/home/|/tmp/|/usr/|site-packages)", text)


def test_text_of_a_page_is_escaped(results):
    odd = dataclasses.replace(results[0].experiment, claim="a < b & <script>")
    assert "<script>" not in page([dataclasses.replace(results[0], experiment=odd)], True, "a<b")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_charts_have_titles_labels_and_words(name):
    data = verdicts.supporting(name)
    for quantity in EXPERIMENTS[name].quantities:
        figure = chart(data, quantity, "dark")
        (axes,) = figure.axes
        assert figure.get_suptitle() == quantity.title
        assert axes.get_xlabel()
        assert axes.get_ylabel() or len(axes.get_yticklabels())
        assert quantity.label in in_words(data, quantity)
        assert re.search(r"%|log10|seconds|epochs|units|no unit|time|eps", quantity.label)
        head, rows = cells(data, quantity)
        assert {len(row) for row in rows} == {len(head)}


# -- running --------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """One experiment that takes no time."""
    small = dataclasses.replace(
        EXPERIMENTS["variance"], quick={"seeds": 1, "depth": 2, "width": 4}
    )
    monkeypatch.setitem(EXPERIMENTS, "variance", small)


def test_run_writes_page_and_values(tiny, tmp_path):
    lines = []
    out = tmp_path / "a" / "b"
    (result,) = run(["variance", "variance"], quick=True, out=out, report=lines.append)
    Reader((out / "index.html").read_text("utf-8"))

    def no_constant(text):
        raise AssertionError(f"{text} is not JSON")

    written = json.loads((out / "results.json").read_text("utf-8"), parse_constant=no_constant)
    assert written["quick"] is True
    (entry,) = written["experiments"]
    assert entry["verdict"] == result.verdict
    assert entry["parts"][0]["statement"] == result.parts[0].statement
    assert len(entry["data"]) == 12
    assert len(lines) == 1


def test_command(tiny, tmp_path, capsys):
    arguments = ["experiments", "variance", "--quick", "--out", str(tmp_path)]
    assert command.main(arguments) == 0
    assert (tmp_path / "index.html").exists()
    assert command.main(["experiments", "--list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in EXPERIMENTS)


def test_command_lists_the_names_where_one_is_unknown(capsys):
    assert command.main(["experiments", "nope"]) == 2
    message = capsys.readouterr().err
    assert "got 'nope'" in message
    assert all(name in message for name in EXPERIMENTS)


def test_missing_matplotlib_is_said_before_measuring(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert command.main(["experiments", "--out", str(tmp_path)]) == 2
    assert "pip install 'relume[plots]'" in capsys.readouterr().err


def test_names_must_be_a_list():
    with pytest.raises(TypeError, match="names must be a list"):
        run("variance")
