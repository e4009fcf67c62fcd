"""The pictures of the pages, drawn while Sphinx reads them: the directive ``picture``.

A picture is a function of a theme and of the words after its name. It returns a figure whose label
is its text alternative. Each is drawn twice, for a light and a dark page, which shows one of them.
"""

import functools
import json
import re
import sys
from pathlib import Path

import numpy as np

import relume
from relume import plots
from relume.nn.layers.activations import ACTIVATIONS
from relume.plots import style

ROOT = Path(__file__).resolve().parents[1]
PEERS = ROOT / "benchmarks" / "peers"
FOLDER = "pictures"  # within docs; git ignores it

DRAWN = {}


def picture(draw):
    """Register a function under its name."""
    DRAWN[draw.__name__] = draw
    return draw


def draw(name, *words):
    """The texts of both SVG files by theme, and the text alternative."""
    import matplotlib

    texts = {}
    for theme in style.THEMES:
        figure = DRAWN[name](theme, *words)
        with matplotlib.rc_context({"svg.hashsalt": name}):  # the same ids in each build
            texts[theme] = plots.to_svg(figure)
    return texts, plots.text_alternative(figure)


# -- activations ----------------------------------------------------------------------------------

X = np.linspace(-4, 4, 801)
ONES = np.ones_like(X)


def _of_ufunc(name, *parameters):
    """The label of a curve, its values at X, and those of its derivative."""
    backward = getattr(relume, f"{name}_backward")
    function = getattr(relume, name)
    slope = backward(ONES, X, *parameters)  # by the input, and for prelu also by the parameter
    return function(X, *parameters), slope[0] if isinstance(slope, tuple) else slope


def _gated(name):
    """A gated unit as a function of the half that its gate transforms, with the other at 1."""
    gate = 1 if name == "glu" else 0
    halves = [ONES, ONES]
    halves[gate] = X
    x = np.stack(halves, axis=-1)
    y = getattr(relume, name)(x)[:, 0]
    return y, getattr(relume, f"{name}_backward")(ONES[:, None], x)[:, gate]


# What is drawn of functions with required parameters, and of those of several elements.
SPECIAL = {
    "prelu": ("prelu, slope 0.25", lambda: _of_ufunc("prelu", 0.25)),
    "threshold": ("threshold 1, value 0", lambda: _of_ufunc("threshold", 1.0, 0.0)),
    **{
        name: (f"{name} of its gate; the other half is 1", functools.partial(_gated, name))
        for name in ("glu", "reglu", "geglu", "swiglu")
    },
}
CURVES = {*ACTIVATIONS, *SPECIAL}


@picture
def activation(theme, name):
    """The curve of an activation and its derivative."""
    if name not in SPECIAL:
        figure = plots.activations([name], theme=theme)
        figure.suptitle("")
        title, (y, slope) = name, _of_ufunc(name)
    else:
        title, values = SPECIAL[name]
        y, slope = values()
        figure, axes = style.new_figure("", "", theme, 3.0)
        for line, values, label, dashes in zip(
            style.series_styles(theme), (y, slope), ("function f(x)", "derivative f'(x)"),
            ("-", style.DASHES[1]), strict=False,
        ):  # fmt: skip
            axes.plot(X, values, color=line["color"], linestyle=dashes, label=label, linewidth=1.8)
        axes.set(title=title, xlabel="input x", ylabel="output")
        style.legend(figure, theme)
    at = [np.searchsorted(X, x) for x in (-4, -1, 1, 4)]
    told = ", ".join(f"{y[i]:.3g} at {X[i]:.0f}" for i in at)
    slopes = ", ".join(f"{slope[i]:.3g} at {X[i]:.0f}" for i in at)
    figure.set_label(f"Curve of {title} from -4 to 4 and of its derivative. It is {told}; "
                     f"its derivative is {slopes}.")  # fmt: skip
    return figure


@picture
def thumbnail(theme, name):
    """A small curve, for a card that names it."""
    y, slope = SPECIAL[name][1]() if name in SPECIAL else _of_ufunc(name)
    figure, axes = style.new_figure("", f"Curve of {name} and its derivative.", theme, 1.3)
    figure.set_figwidth(1.9)
    lines = zip(style.series_styles(theme), (y, slope), ("-", style.DASHES[1]), strict=False)
    for line, values, dashes in lines:
        axes.plot(X, values, color=line["color"], linestyle=dashes, linewidth=1.8)
    axes.set(xticks=[-4, 0, 4], xticklabels=[], yticklabels=[])
    axes.tick_params(length=0)
    return figure


# -- speed beside peers ---------------------------------------------------------------------------

NUMBER = re.compile(r"\d+\.?\d*")


@functools.cache
def _goals():
    """The goals of `make peers` by name."""
    sys.path.append(str(PEERS))
    from goals import GOALS

    return {goal.name: goal for goal in GOALS}


def _kept():
    """The kept results by CPU, the one with most of them first."""
    found = [json.loads(path.read_text()) for path in sorted((PEERS / "kept").glob("*.json"))]
    return sorted(found, key=lambda kept: -len(kept["goals"]))


def _ratio(value):
    """A ratio as a number; a remark may follow it."""
    return float(value if not isinstance(value, str) else NUMBER.match(value)[0])


def _bars(title, rows, theme, height=None):
    """One bar a row: the peer's time divided by relume's; where it is 1, both take as long."""
    labels, values = zip(*rows, strict=True)
    words = ". ".join(f"{' '.join(label.split())}: {value:.3g}" for label, value in rows)
    alternative = f"Bars: {title}. {words}."
    figure, axes = style.new_figure("", alternative, theme, height or 1.1 + 0.34 * len(rows))
    figure.set_figwidth(7.2)
    colors = style.THEMES[theme]
    y = np.arange(len(rows))
    shades = [colors.series[0 if value >= 1 else 1] for value in values]
    axes.barh(y, np.array(values) - 1, left=1, color=shades, height=0.62)
    for i, value in enumerate(values):
        axes.annotate(
            f"{value:.3g}\N{MULTIPLICATION SIGN}", (max(value, 1), i), xytext=(5, 0), va="center",
            textcoords="offset points", color=colors.text, fontsize=style.TICKS,
        )  # fmt: skip
    axes.axvline(1, color=colors.text, linewidth=1.2)
    axes.set_yticks(y, labels)
    axes.set_ylim(len(rows) - 0.45, -0.55)
    axes.set_xscale("log")
    low, high = min(*values, 0.9), max(values)
    axes.set_xlim(low / 1.1, high * 1.35)
    marks = (0.5, 0.7, 1, 1.5, 2, 3, 5, 7, 10, 20, 30)
    ticks = [tick for tick in marks if low / 1.1 < tick < high * 1.35]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.xaxis.minorticks_off()
    axes.grid(False, axis="y")
    axes.set_xlabel("their time / relume's time (log scale)")
    return figure


FRONT = {
    "predict_proba, 1 row, 20-40-40-10": "predict one row, 20-40-40-10",
    "predict_proba, 1 row, 64-64-32-10": "predict one row, 64-64-32-10",
    "predict_proba, 1 row, 784-256-128-10": "predict one row, 784-256-128-10",
    "ten fits of estimators: fit, geometric mean": "fit an MLPClassifier, mean of ten",
    "a step of 64-64-32-10, batch 32": "train 64-64-32-10",
    "a step of 64-256-128-10, batch 128": "train 64-256-128-10",
    "a step of 784-256-128-10, batch 128": "train 784-256-128-10",
    "activations, geometric mean": "activations, mean of all",
}


@picture
def speed(theme):
    """The front page's picture: what most people do, on the CPU with most results."""
    kept = _kept()[0]
    rows = [
        (f"{label}\nbeside {_goals()[name].theirs}", _ratio(kept["goals"][name]))
        for name, label in FRONT.items()
        if name in kept["goals"]
    ]
    title = f"time of other libraries divided by relume's on {kept['title']}"
    return _bars(title, rows, theme, 1.0 + 0.46 * len(rows))


def cpus():
    """The titles of the kept results."""
    return [kept["title"] for kept in _kept()]


@picture
def peers(theme, number):
    """All goals that were measured on one CPU."""
    kept = _kept()[int(number)]
    rows = [
        (f"{name} ({_goals()[name].theirs})", _ratio(value))
        for name, value in kept["goals"].items()
        if name in _goals()
    ]
    return _bars(f"time of others divided by relume's on {kept['title']}", rows, theme)


def _history(benchmark):
    """By machine, the results of each commit in the order of its date: geometric means."""
    found = {}
    for path in sorted((ROOT / "benchmarks" / "results").glob("*/*-*.json")):
        results = json.loads(path.read_text(encoding="utf-8"))
        entry = results["results"].get(benchmark)
        values = [value for value in (entry or [[]])[0] or [] if value]
        if values:
            mean = float(np.exp(np.mean(np.log(values))))
            found.setdefault(path.parent.name, []).append((results["date"], mean))
    return {machine: [mean for _, mean in sorted(points)] for machine, points in found.items()}


@picture
def history(theme, benchmark):
    """A benchmark of asv by commit, a line for each CPU."""
    found = _history(benchmark)
    told = "; ".join(f"{cpu}: from {means[0]:.3g} to {means[-1]:.3g} in {len(means)} commits"
                     for cpu, means in found.items())  # fmt: skip
    figure, axes = style.new_figure("", f"Lines: {benchmark} by commit. {told}.", theme, 3.2)
    for (cpu, means), line in zip(found.items(), style.series_styles(theme), strict=False):
        axes.plot(range(1, len(means) + 1), means, label=cpu, **line)
    axes.axhline(1, color=style.THEMES[theme].text, linewidth=0.9)
    axes.set(xlabel="measured commits of this CPU, oldest first", ylabel="time ratio")
    axes.set_title(benchmark.rpartition(".")[2])
    style.whole_numbers(axes.xaxis)
    axes.set_ylim(bottom=0)
    style.legend(figure, theme)
    return figure


# -- diagnostics and plots ------------------------------------------------------------------------


@functools.cache
def _fits():
    """What the page of plots draws: histories and reports of small fits, made once."""
    import warnings

    from relume import diagnostics, nn
    from relume.datasets.held_out import load_digits_split

    x, y, x_test, y_test = load_digits_split()

    def network(lr, activation="relu"):
        layers = [nn.Dense(units, activation=activation) for units in (256, 128)]
        return nn.Network([*layers, nn.Dense(10)], optimizer=nn.Adam(lr), seed=0)

    ill, well = network(0.1), network(0.001)
    for net in (ill, well):
        net.fit(x, y, epochs=10)
    histories = {}
    for activation in ("relu", "tanh", "sigmoid"):
        net = network(0.001, activation)
        histories[activation] = net.fit(x, y, epochs=30, validation_data=(x_test, y_test))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", nn.TrainingWarning)
        watched = network(0.03).fit(x, y, epochs=20, callbacks=[nn.Monitor()])
        deep = nn.Network([*(nn.Dense(32, activation="sigmoid") for _ in range(6)), nn.Dense(10)],
                          seed=0)  # fmt: skip
        deep.fit(x, y, epochs=3)
    return {
        "ill": diagnostics.inspect(ill, x_test, y_test),
        "well": diagnostics.inspect(well, x_test, y_test),
        "deep": diagnostics.inspect(deep, x_test, y_test),
        "histories": histories,
        "watched": watched,
    }


@picture
def histograms(theme, which):
    """The histograms of an ill or a well network."""
    return plots.layer_histograms(_fits()[which], theme=theme)


@picture
def dead_units(theme):
    """The map of units that die."""
    return plots.dead_units(_fits()["watched"], theme=theme)


@picture
def gradient_norms(theme):
    """Norms of gradients by layer, through six layers of sigmoid."""
    return plots.gradient_norms(_fits()["deep"], theme=theme)


@picture
def losses(theme):
    """The losses of three fits."""
    return plots.losses(_fits()["histories"], theme=theme)


@picture
def activations(theme):
    """The usual activations."""
    return plots.activations(theme=theme)


# -- experiments ----------------------------------------------------------------------------------


@picture
def experiment(theme, name, number):
    """A chart of the kept data of an experiment."""
    import claims

    from relume.experiments import EXPERIMENTS
    from relume.experiments.charts import chart

    return chart(claims.data_of(name), EXPERIMENTS[name].quantities[int(number)], theme)


# -- the directive --------------------------------------------------------------------------------


def setup(app):
    """Called by Sphinx."""
    from docutils import nodes
    from sphinx.util.docutils import SphinxDirective

    class Picture(SphinxDirective):
        """``picture:: name words``: two images, of which a page shows one, and a caption."""

        required_arguments = 1
        optional_arguments = 9
        has_content = True

        def run(self):
            texts, alternative = draw(*self.arguments)
            folder = Path(self.env.srcdir, FOLDER)
            folder.mkdir(exist_ok=True)
            stem = "-".join(self.arguments)
            figure = nodes.figure(classes=["picture"])
            images = nodes.container()  # the theme hides a caption beside a hidden image
            for theme, text in texts.items():
                path = folder / f"{stem}-{theme}.svg"
                if not path.exists() or path.read_text(encoding="utf-8") != text:
                    path.write_text(text, encoding="utf-8")
                images += nodes.image(
                    uri=f"/{FOLDER}/{path.name}", alt=alternative, classes=[f"only-{theme}"]
                )
            figure += images
            self.env.note_dependency(str(Path(__file__)))
            if self.content:
                caption = nodes.caption()
                parsed, _ = self.state.inline_text(" ".join(self.content), self.lineno)
                caption += parsed
                figure += caption
            return [figure]

    class Cpus(SphinxDirective):
        """A heading, versions and a chart for each CPU with results."""

        def run(self):
            found = []
            for number, kept in enumerate(_kept()):
                versions = ", ".join(f"{name} {version}" for name, version in
                                     kept["versions"].items())  # fmt: skip
                found.append(nodes.rubric(text=kept["title"]))
                text = f"relume at {kept['commit']}" + (f"; {versions}" if versions else "")
                found.append(nodes.paragraph(text=f"{text}."))
                found += Picture(
                    "picture", ["peers", str(number)], {}, [], self.lineno, self.content_offset,
                    self.block_text, self.state, self.state_machine,
                ).run()  # fmt: skip
            return found

    app.add_directive("picture", Picture)
    app.add_directive("cpus", Cpus)
    return {"parallel_read_safe": True}
