"""Pictures: what they show, in which colours, and what they leave alone."""

import io
import itertools
import pickle
import subprocess
import sys
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import relume
from relume import diagnostics, nn, plots
from relume.plots import style

matplotlib = pytest.importorskip("matplotlib", reason="matplotlib is not installed")

VALUES = {"mean": 0.25, "std": 1.5, "edges": [-2, 0, 1, 4], "counts": [50, 30, 20]}
REPORT = {
    "layers": [
        {"name": "layer 1", "pre_activations": VALUES, "activations": VALUES,
         "gradient": {"norm": 0.01}, "inner": []},
        {"name": "layer 2", "pre_activations": VALUES, "activations": None, "inner": [],
         "gradient": {"norm": 0.0}},
    ]
}  # fmt: skip
# As nn.Monitor records an epoch: the share of rows on which each unit is active.
DEAD = [
    {
        "layer 1": {"active": np.array(shares), "dead_fraction": np.mean(np.equal(shares, 0))},
        "layer 2": {"active": np.array([0.9, 0.0]), "dead_fraction": 0.0},  # no rectifier
    }
    for shares in ([0.5, 0.2, 0.0], [0.5, 0.0, 0.0])
]
RUNS = {
    "relu": {"loss": [2.0, 1.0, 0.5], "val_loss": [2.1, 1.2, 0.9]},
    "tanh": {"loss": [2.0, 1.5, 1.2]},
}
DRAWN = {
    "activations": lambda theme: plots.activations(theme=theme),
    "functions alone": lambda theme: plots.activations(["relu"], derivatives=False, theme=theme),
    "layer_histograms": lambda theme: plots.layer_histograms(REPORT, theme=theme),
    "dead_units": lambda theme: plots.dead_units(DEAD, theme=theme),
    "gradient_norms": lambda theme: plots.gradient_norms({"a": REPORT, "b": REPORT}, theme=theme),
    "losses": lambda theme: plots.losses(RUNS, theme=theme),
}


def luminance(colour):
    """As WCAG 2 defines it."""
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return np.dot([0.2126, 0.7152, 0.0722], linear)


def contrast(a, b):
    brighter, darker = sorted((luminance(a), luminance(b)), reverse=True)
    return (brighter + 0.05) / (darker + 0.05)


def texts(figure):
    return [text for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


@pytest.mark.parametrize("theme", style.THEMES)
@pytest.mark.parametrize("name", DRAWN)
def test_picture_is_complete(name, theme):
    figure = DRAWN[name](theme)
    assert isinstance(figure, matplotlib.figure.Figure)
    assert figure.get_suptitle()
    places = [axes.get_subplotspec() for axes in figure.axes]
    columns = {place.colspan.start for place in places if place is not None}
    for axes in figure.axes:
        place = axes.get_subplotspec()
        if place is None:  # a color bar
            continue
        assert axes.get_xlabel() or not axes.get_visible() or not place.is_last_row()
        assert axes.get_ylabel() or place.colspan.start != min(columns)
    assert len(plots.text_alternative(figure)) > 40
    figure.draw_without_rendering()
    assert min(text.get_fontsize() for text in texts(figure)) >= style.TICKS
    assert figure.get_facecolor() == matplotlib.colors.to_rgba(style.THEMES[theme].background)


@pytest.mark.parametrize("name", DRAWN)
def test_nothing_is_cut_off(name):
    """A label longer than its axis would leave the picture."""
    figure = DRAWN[name]("light")
    figure.draw_without_rendering()
    width, height = figure.get_size_inches() * figure.dpi
    axes = [each for each in figure.axes if each.get_visible()]
    labels = [text for each in axes for text in (each.title, each.xaxis.label, each.yaxis.label)]
    for text in [*figure.texts, *labels]:
        box = text.get_window_extent()
        assert -1 <= box.x0 <= box.x1 <= width + 1, text
        assert -1 <= box.y0 <= box.y1 <= height + 1, text


@pytest.mark.parametrize("theme", style.THEMES.values(), ids=style.THEMES)
def test_colours_stand_out(theme):
    assert contrast(theme.text, theme.background) > 7
    assert min(contrast(colour, theme.background) for colour in theme.series) > 2
    assert len(set(theme.series)) == len(theme.series)


def test_no_series_is_told_by_colour_alone():
    styles = list(itertools.islice(style.series_styles("light"), 12))
    signs = [(line["marker"], str(line["linestyle"]), line["color"]) for line in styles]
    assert len(set(signs)) == len(signs)
    neighbours = itertools.pairwise(styles[:7])
    assert all(a["marker"] != b["marker"] for a, b in neighbours)


def test_activations_are_those_of_relume():
    figure = plots.activations(["gelu", "relu"])
    x, y = figure.axes[0].lines[0].get_data()
    np.testing.assert_array_equal(y, relume.gelu(x))
    x, slope = figure.axes[1].lines[1].get_data()
    np.testing.assert_array_equal(slope, x > 0)
    assert [axes.get_title() for axes in figure.axes] == ["gelu", "relu"]


def test_a_panel_without_one_below_has_its_labels():
    labels = [axes.get_xlabel() for axes in plots.activations(["relu", "elu", "gelu"]).axes]
    assert labels == ["", *["input x"] * 2, ""]


def test_losses_are_those_of_the_histories():
    figure = plots.losses(RUNS)
    lines = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert {label: list(values) for label, values in lines.items()} == {
        "relu": [2.0, 1.0, 0.5],
        "relu, validation": [2.1, 1.2, 0.9],
        "tanh": [2.0, 1.5, 1.2],
    }
    assert figure.axes[0].get_yscale() == "log"
    assert plots.losses({"zero": {"loss": [1.0, 0.0]}}).axes[0].get_yscale() == "linear"


def test_one_history_needs_no_label():
    history = RUNS[next(iter(RUNS))]
    alone, labelled = plots.losses(history), plots.losses({"training": history})
    assert plots.text_alternative(alone) == plots.text_alternative(labelled)
    assert "training" in plots.text_alternative(alone)


def test_losses_of_a_fit():
    net = nn.Network([nn.Dense(1)], loss="mse", seed=0)
    data = [[0.0], [1.0]], [0.0, 1.0]
    history = net.fit(*data, epochs=3, validation_data=data)
    assert "in 3 epochs" in plots.text_alternative(plots.losses({"line": history}))


def test_histograms_are_shares():
    figure = plots.layer_histograms(REPORT)
    steps = figure.axes[0].patches[0].get_data()
    np.testing.assert_allclose(steps.values, [50, 30, 20])
    np.testing.assert_allclose(steps.edges, [-2, 0, 1, 4])


def test_dead_units_are_where_they_died():
    """A map in the order of the units, of those dead throughout, was a slab of one color."""
    figure = plots.dead_units(DEAD)
    shown = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(shown.filled(-1), [[20, -1], [50, 50]])
    assert figure.axes[0].get_title() == (
        "layer 1: from 1 to 2 of 3 units dead\n(1 dead throughout are not drawn)"
    )
    assert [bool(axes.images) for axes in figure.axes] == [True, False]  # and the color bar
    words = plots.text_alternative(figure)
    assert "layer 1: 1 of 3 units dead in epoch 1, 2 in epoch 2." in words


def test_units_are_drawn_in_the_order_in_which_they_died():
    active = np.array([[0.9, 0.5, 0.8, 0.1], [0.9, 0.5, 0.0, 0.1], [0.9, 0.0, 0.0, 0.2]])
    records = [{"layer 1": {"active": each, "dead_fraction": 1.0}} for each in active]
    shown = plots.dead_units(records).axes[0].images[0].get_array()
    expected = [[80, -1, -1], [50, 50, -1], [10, 10, 20], [90, 90, 90]]
    np.testing.assert_allclose(shown.filled(-1), expected)


def test_a_layer_that_was_dead_throughout_is_drawn():
    records = [{"layer 1": {"active": [0.0, 0.0], "dead_fraction": 1.0}}] * 3
    shown = plots.dead_units(records).axes[0].images[0].get_array()
    assert shown.shape == (2, 3)
    assert shown.mask.all()


def test_without_dead_units_all_layers_are_drawn():
    healthy = [{name: {"active": [0.5], "dead_fraction": 0.0} for name in ("a", "b")}]
    titles = [axes.get_title() for axes in plots.dead_units(healthy).axes]
    assert [title.partition(":")[0] for title in titles[:2]] == ["a", "b"]


def test_a_layer_without_gradient_is_a_gap():
    """A logarithmic axis has no zero; its value stands in the text alternative."""
    figure = plots.gradient_norms(REPORT)
    np.testing.assert_array_equal(figure.axes[0].lines[0].get_ydata(), [0.01, np.nan])
    assert "layer 2 0." in plots.text_alternative(figure)


def test_gradients_of_several_reports():
    assert len(plots.gradient_norms([REPORT, REPORT, REPORT]).axes[0].lines) == 3


def test_reports_and_histories_of_relume_can_be_drawn():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((40, 3)), rng.integers(2, size=40)
    layers = [nn.Dense(4, "relu", bias_init=-99.0), nn.Residual([nn.Dense(4)]), nn.Dense(2)]
    net = nn.Network(layers, seed=0)
    with pytest.warns(nn.TrainingWarning, match="layer 1: 100% of its units are dead"):
        history = net.fit(X, y, epochs=2, callbacks=[nn.Monitor(X)])
    report = diagnostics.inspect(net, X, y)
    assert "4 of 4 units dead in epoch 1" in plots.text_alternative(plots.dead_units(history))
    assert len(plots.layer_histograms(report).axes) == 4  # the layer within the residual one too
    assert "layer 3" in plots.text_alternative(plots.gradient_norms(report))


def test_leaky_relu_does_not_look_like_relu():
    """Its slope of 0.01 moved the curve by less than the line's width."""
    relu, leaky = plots.activations(["relu", "leaky_relu"]).axes
    assert not relu.child_axes
    (inset,) = leaky.child_axes
    x, y = inset.lines[0].get_data()
    np.testing.assert_array_equal(y, relume.leaky_relu(x))
    assert inset.get_xlim() == (-4, 0)
    low, high = inset.get_ylim()
    assert low < -0.04 < 0.3 * low < 0 < high


@pytest.mark.parametrize("name", ["elu", "gelu", "silu", "softplus", "tanh", "relu6"])
def test_what_can_be_seen_is_not_magnified(name):
    assert not plots.activations([name]).axes[0].child_axes


def own_axes(n):
    figure = matplotlib.figure.Figure()
    return list(figure.subplots(n, squeeze=False)[:, 0])


@pytest.mark.parametrize(
    ("draw", "panels"),
    [
        (lambda ax: plots.activations(["relu", "leaky_relu"], ax=ax), 2),
        (lambda ax: plots.losses(RUNS, ax=ax), 0),
        (lambda ax: plots.gradient_norms(REPORT, ax=ax), 0),
        (lambda ax: plots.layer_histograms(REPORT, ax=ax), 2),
        (lambda ax: plots.dead_units(DEAD, ax=ax), 1),
    ],
)
def test_own_axes_are_drawn_on_and_returned(draw, panels):
    for ax in (own_axes(1)[0] if panels < 2 else None, own_axes(panels) if panels else None):
        if ax is None:
            continue
        assert draw(ax) is ax
        for axes in np.ravel(ax):
            assert axes.lines or axes.patches or axes.images
            assert axes.get_ylabel()
        assert len(plots.text_alternative(ax)) > 40
        np.ravel(ax)[0].figure.draw_without_rendering()


def test_all_functions_share_one_axes():
    (ax,) = own_axes(1)
    assert plots.activations(["relu", "leaky_relu", "tanh"], derivatives=False, ax=ax) is ax
    assert [line.get_label() for line in ax.lines] == ["relu", "leaky_relu", "tanh"]
    colors = [line.get_color() for line in ax.lines]
    assert len(set(colors)) == 3


def test_no_label_says_that_there_is_no_unit():
    for name, draw in DRAWN.items():
        assert not any("no unit" in text.get_text() for text in texts(draw("light"))), name


def test_svg_is_whole_and_holds_its_words():
    figure = plots.losses(RUNS)
    svg = plots.to_svg(figure)
    ET.fromstring(svg)
    assert plots.text_alternative(figure) in svg
    assert svg.count("http") == svg.count("http://www.w3.org") + svg.count("http://purl.org") + (
        svg.count("http://creativecommons.org") + svg.count("https://matplotlib.org")
    )  # names of formats, none of which is loaded


def test_words_survive_pickle():
    figure = pickle.loads(pickle.dumps(plots.losses(RUNS)))
    assert plots.text_alternative(figure).startswith("Loss curves")


def test_png_can_be_saved():
    buffer = io.BytesIO()
    plots.activations(["relu"]).savefig(buffer, format="png")
    assert buffer.getvalue().startswith(b"\x89PNG")


def test_pyplot_and_settings_are_left_alone():
    code = """
import sys
import relume.plots, relume.experiments
assert "matplotlib" not in sys.modules, "loaded before anything is drawn"
import matplotlib
before = list(dict.items(matplotlib.rcParams))
from relume import plots
plots.to_svg(plots.activations(["relu"], theme="dark"))
assert list(dict.items(matplotlib.rcParams)) == before
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("draw", [plots.activations, lambda: plots.losses(RUNS)])
def test_missing_matplotlib_says_what_to_install(monkeypatch, draw):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'relume\[plots\]'"):
        draw()


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda: plots.activations(["rellu"]), ValueError, "names must be one of relu,"),
        (lambda: plots.activations(["threshold"]), ValueError, "names must be one of"),
        (lambda: plots.activations("relu"), TypeError, "names must be a list"),
        (lambda: plots.activations([]), ValueError, "at least one name"),
        (lambda: plots.activations(theme="blue"), ValueError, "theme must be one of"),
        (lambda: plots.activations(derivatives=2), TypeError, "derivatives must be"),
        (lambda: plots.losses({}), ValueError, "at least one history"),
        (lambda: plots.losses([1.0]), TypeError, "dict of label to history"),
        (lambda: plots.losses({"loss": []}), ValueError, r"histories\['training'\] must have"),
        (lambda: plots.losses({"a": {"loss": []}}), ValueError, r"histories\['a'\] must have"),
        (lambda: plots.losses({"a": 3}), TypeError, r"histories\['a'\] must be a history"),
        (lambda: plots.layer_histograms(3), TypeError, "report must be a report"),
        (lambda: plots.layer_histograms({"layers": [{"name": "a"}]}), ValueError, "histogram"),
        (lambda: plots.gradient_norms({}), ValueError, "at least one report"),
        (lambda: plots.gradient_norms({"layers": [{"name": "a"}]}), ValueError, "with y"),
        (lambda: plots.activations(3), TypeError, "names must be a list of names or None, got 3"),
        (lambda: plots.losses({"loss": "abc"}), TypeError, "must be a list of numbers, got 'abc'"),
        (lambda: plots.losses({"loss": 3.0}), TypeError, "must be a list of numbers, got 3.0"),
        (lambda: plots.losses({"a": {"loss": [1.0], "val_loss": [[2.0]]}}), TypeError, "val_loss"),
        (lambda: plots.layer_histograms({"layers": 3}), TypeError, "report must be a report"),
        (lambda: plots.layer_histograms({"layers": [3]}), TypeError, "report must be a report"),
        (
            lambda: plots.layer_histograms({"layers": [{"name": "a", "activations": 3}]}),
            TypeError,
            "report must be a report",
        ),
        (
            lambda: plots.gradient_norms({"layers": [{"name": "a", "gradient": 3}]}),
            TypeError,
            "report must be a report",
        ),
        (lambda: plots.gradient_norms(3), TypeError, "report must be a report"),
        (lambda: plots.dead_units(3), TypeError, "nn.Monitor"),
        (lambda: plots.dead_units([{"a": 3}]), TypeError, "nn.Monitor"),
        (lambda: plots.dead_units([{}]), ValueError, "must have records"),
        (lambda: plots.dead_units([*DEAD, {}]), ValueError, "the same layers"),
        (lambda: plots.text_alternative(3), TypeError, "figure must be a figure or Axes"),
        (lambda: plots.text_alternative([]), TypeError, "figure must be a figure or Axes"),
        (lambda: plots.to_svg(own_axes(1)[0]), TypeError, "figure must be a matplotlib Figure"),
        (lambda: plots.losses(RUNS, ax=3), TypeError, "ax must be a matplotlib Axes, .*got 3"),
        (lambda: plots.activations(ax="a"), TypeError, "ax must be a matplotlib Axes"),
        (lambda: plots.losses(RUNS, ax=own_axes(2)), ValueError, "1, got 2"),
        (
            lambda: plots.layer_histograms(REPORT, ax=own_axes(1)[0]),
            ValueError,
            "each of layer 1, layer 2: 2, got 1",
        ),
        (lambda: plots.dead_units(DEAD, ax=[3]), TypeError, "ax must be a matplotlib Axes"),
        (lambda: plots.losses(RUNS, ax=own_axes(1)[0], theme="red"), ValueError, "theme must"),
        (lambda: plots.dead_units([]), ValueError, r"nn.Monitor\(\)"),
        (lambda: plots.dead_units({"loss": [1.0]}), TypeError, "nn.Monitor"),
    ],
)
def test_bad_input(draw, error, message):
    with pytest.raises(error, match=message):
        draw()
