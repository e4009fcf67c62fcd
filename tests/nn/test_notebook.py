"""What a notebook shows: well-formed HTML that loads nothing, in the colors of the page."""

import json
import re
import sys
import types
import xml.etree.ElementTree as ET

import numpy as np
import pytest

from relume import nn
from relume.nn import notebook
from relume.nn.training import history

X = np.random.default_rng(0).standard_normal((60, 4)).astype(np.float32)
Y = np.arange(60) % 3


def cells(page):
    """The text of each row's cells; the page must be well-formed."""
    rows = ET.fromstring(page).iter("tr")
    return [["".join(cell.itertext()) for cell in row] for row in rows]


def fitted(**options):
    layers = [nn.Dense(8, "relu"), nn.Residual([nn.Dense(8, "tanh")]), nn.Dense(3)]
    net = nn.Network(layers, seed=0, **options)
    monitor = nn.Monitor()
    return net, net.fit(X, Y, epochs=5, validation_data=(X, Y), callbacks=[monitor]), monitor


def test_a_network_shows_its_summary_and_its_loss():
    net = nn.Network([nn.Dense(3)], loss="mse", scale_targets=True, schedule=nn.Cosine(9))
    rows = dict(row for row in cells(net._repr_html_()) if len(row) == 2)
    assert (rows["input features"], rows["epochs trained"]) == ("not built yet", "0")
    assert (rows["scale_targets"], rows["schedule"]) == ("True", repr(nn.Cosine(9)))
    net, found, _ = fitted()
    page = net._repr_html_()
    shown = cells(page)
    table = net.summary().splitlines()
    assert [" ".join(row).split() for row in shown[: len(table)]] == [
        each.split() for each in table
    ]
    rows = dict(shown[len(table) :])
    assert rows["optimizer"] == repr(net.optimizer)
    assert rows["loss"] == repr(net.loss)
    assert rows["last loss"].endswith(f" {found['loss'][-1]:.4g}")
    assert page.count("<polyline") == 2  # of the loss and the validation loss


def test_a_history_shows_each_metric():
    _, found, _ = fitted()
    shown = {row[0]: row[2:] for row in cells(found._repr_html_())}
    for name, values in found.items():
        numbers = values[0], min(values), max(values), values[-1]
        assert shown[name] == [f"{value:.4g}" for value in numbers]
    assert found._repr_html_().count("<polyline") == len(found)
    assert "History of 5 epochs" in found._repr_html_()
    net = nn.Network([nn.Dense(3)], seed=0)
    net.fit(X, Y, epochs=2)
    assert "2 epochs, 3 to 4" in net.fit(X, Y, epochs=2)._repr_html_()


def test_records_show_the_layers():
    _, found, monitor = fitted()
    assert monitor.records is found.layers
    shown = {row[0]: row for row in cells(found.layers._repr_html_())}
    assert list(shown) == ["layer", "layer 1", "layer 2", "layer 2.1", "layer 3"]
    last = found.layers[-1]["layer 1"]
    expected = f"{last['zero_fraction']:.1%}", f"{last['dead_fraction']:.1%}"
    assert tuple(shown["layer 1"][2:4]) == expected
    assert shown["layer 1"][-1] == f"{last['gradient_norm']:.3g}"


@pytest.mark.parametrize("shown", [nn.History(), nn.Monitor().records])
def test_nothing_recorded_is_an_empty_table(shown):
    assert len(cells(shown._repr_html_())) == 1


def test_a_history_is_json_as_before():
    _, found, monitor = fitted()
    assert json.loads(json.dumps(found)) == dict(found)
    assert isinstance(monitor.records, list)


def odd(y, z):
    return 0.0, np.zeros_like(z)


odd.__name__ = odd.__qualname__ = "<script>alert('1')</script>&"


def test_text_is_escaped():
    """A name of a user's function or metric is not HTML."""
    net = nn.Network([nn.Dense(1)], loss=odd)
    assert "script" in net._repr_html_()
    found = nn.History()
    found.add(1, **{"<b>x</b>&\"'": 1.0})
    for page in (net._repr_html_(), found._repr_html_()):
        cells(page)  # well-formed
        assert not re.search("<script|<b>", page)
    assert cells(found._repr_html_())[1][0] == "<b>x</b>&\"'"


def test_nothing_is_loaded_and_no_color_is_set():
    net, found, _ = fitted()
    for page in (net._repr_html_(), found._repr_html_(), found.layers._repr_html_()):
        assert not re.search(r"http|src=|url\(|@import|<script|onload|<link", page)
        assert "currentColor" in page
        assert not re.search(r"#[0-9a-f]{3}|color:(?!inherit)", page)


@pytest.mark.parametrize(
    ("values", "shapes"),
    [
        ([1.0], ["circle"]),
        ([1.0, 1.0], ["polyline"]),
        ([3.0, 2.0, np.nan, 2.0, 1.0], ["polyline", "polyline"]),
        ([1.0, np.inf, 2.0], ["circle", "circle"]),
        ([np.nan, np.nan], None),
        ([], None),
        ([-1e308, 1e308], ["polyline"]),
    ],
)
def test_sparklines(values, shapes):
    line = notebook.sparkline(values, "loss")
    if shapes is None:
        assert line == ""
        return
    drawn = [each for each in ET.fromstring(line) if each.tag != "title"]
    assert [each.tag for each in drawn] == shapes


def test_a_sparkline_lies_within_its_frame_and_ends_where_the_values_do():
    values = np.exp(-np.arange(5000) / 900).tolist()
    line = ET.fromstring(notebook.sparkline(values, "loss"))
    points = [tuple(map(float, each.split(","))) for each in line[1].get("points").split()]
    assert len(points) <= notebook.MAX_POINTS
    x, y = np.array(points).T
    assert (np.diff(x) >= 0).all()
    assert (np.diff(y) >= 0).all()  # downwards
    assert (x[0], y[0], x[-1]) == (2, 2, notebook.WIDTH - 2)
    assert y.max() <= notebook.HEIGHT - 2
    assert line.get("aria-label").startswith("loss from 1 to 0.00387 in 5000 epochs")


def test_progress_in_a_notebook_is_a_bar(monkeypatch, capfd):
    """A kernel's standard error is no terminal, and showed a line for each epoch."""
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    ipython = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    with history.Progress(2, True) as shown:
        shown.epoch(loss=1.0)
        assert shown._bar is not None
    assert "epoch 1/2" not in capfd.readouterr().err


def test_bars_are_those_of_tqdm_auto():
    import tqdm.auto

    assert issubclass(history.bar_class(), tqdm.auto.tqdm)
