"""Plots of layers: distributions of values, norms of gradients, and dead units."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np

from relume import validation
from relume.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDES = {"pre_activations": "before the activation", "activations": "after the activation"}


@runtime_checkable
class ReportLike(Protocol):
    """A report of `relume.diagnostics.inspect`, or an object with the same dict."""

    def to_dict(self) -> dict[str, Any]:
        """The report as a dict."""


Report = ReportLike | Mapping[str, Any]


def _layers_of(report: Report) -> list[dict[str, Any]]:
    """The layers of a report, or of the dict that its ``to_dict`` returned."""
    as_dict: object = report.to_dict() if isinstance(report, ReportLike) else report
    if not (isinstance(as_dict, Mapping) and as_dict.get("layers")):
        raise TypeError(
            "report must be a report of relume.diagnostics.inspect, "
            f"got {validation.shown(report)}"
        )
    return _flat(as_dict["layers"])


def _flat(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The layers, each followed by those inside it."""
    return [each for layer in layers for each in (layer, *_flat(layer.get("inner", [])))]


def layer_histograms(report: Report, *, theme: str = "light") -> "Figure":
    """Plot the distributions of each layer's values before and after its activation.

    Parameters
    ----------
    report : Report
        Return value of ``relume.diagnostics.inspect``, or its ``to_dict()``.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark background.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If an argument is invalid.

    Examples
    --------
    >>> from relume import plots
    >>> values = {"mean": 0.1, "std": 1.0, "edges": [-1.0, 0.0, 2.0], "counts": [30, 70]}
    >>> report = {"layers": [{"name": "layer 1", "pre_activations": values}]}
    >>> plots.text_alternative(plots.layer_histograms(report))
    'Histograms by layer. layer 1: before the activation mean 0.1, std 1.'
    """
    layers = [layer for layer in _layers_of(report) if any(layer.get(side) for side in SIDES)]
    if not layers:
        raise ValueError("report must have a layer with a histogram, got none")
    words = " ".join(_spread_in_words(layer) for layer in layers)
    figure, axes = style.new_figure(
        "Values of each layer", f"Histograms by layer. {words}", theme, 1.2 + 1.5 * len(layers),
        nrows=len(layers), squeeze=False,
    )  # fmt: skip
    for layer, each in zip(layers, axes[:, 0], strict=True):
        each.set_title(layer["name"])
        each.set_ylabel("values, %")
        for (side, label), line in zip(SIDES.items(), style.series_styles(theme), strict=False):
            if layer.get(side):
                _steps(each, layer[side], label, line)
    axes[-1, 0].set_xlabel("value (no unit)")
    style.legend(figure, theme)
    return figure


def _steps(axes, histogram, label, line):
    counts = np.asarray(histogram["counts"], float)
    share = 100 * counts / max(counts.sum(), 1)
    line = {key: line[key] for key in ("color", "linestyle", "linewidth")}
    axes.stairs(share, histogram["edges"], label=label, **line)


def _spread_in_words(layer):
    sides = [
        f"{label} mean {layer[side]['mean']:.3g}, std {layer[side]['std']:.3g}"
        for side, label in SIDES.items()
        if layer.get(side)
    ]
    return f"{layer['name']}: {'; '.join(sides)}."


def gradient_norms(
    reports: Report | Mapping[str, Report] | Sequence[Report], *, theme: str = "light"
) -> "Figure":
    """Plot the norm of the gradient at each layer, by depth.

    Parameters
    ----------
    reports : Report, or dict of str to Report, or list of Report
        Return value of ``relume.diagnostics.inspect`` with ``y``, or several of them to compare.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark background.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If an argument is invalid, or a report has no gradients.

    Examples
    --------
    >>> from relume import plots
    >>> report = {"layers": [{"name": "layer 1", "gradient": {"norm": 1e-3}},
    ...                      {"name": "layer 2", "gradient": {"norm": 1e-1}}]}
    >>> plots.text_alternative(plots.gradient_norms({"tanh": report}))
    'Norm of the gradient by layer. tanh: layer 1 0.001, layer 2 0.1.'
    """
    norms = {label: _norms(report, label) for label, report in _labelled(reports).items()}
    words = [
        f"{label}: {', '.join(f'{name} {norm:.3g}' for name, norm in by_layer.items())}."
        for label, by_layer in norms.items()
    ]
    alternative = " ".join(["Norm of the gradient by layer.", *words])
    figure, axes = style.new_figure("Gradient by depth", alternative, theme)
    for (label, by_layer), line in zip(norms.items(), style.series_styles(theme), strict=False):
        depth = np.arange(1, len(by_layer) + 1)
        values = np.array(list(by_layer.values()))
        # A logarithmic axis has no zero, so a layer without any gradient becomes a gap.
        axes.plot(depth, np.where(values > 0, values, np.nan), label=label, **line)
    axes.set_yscale("log")
    axes.set_xlabel("layer, counted from the input")
    axes.set_ylabel("norm of the gradient of the loss\n(log scale)")
    style.whole_numbers(axes.xaxis)
    style.legend(figure, theme)
    return figure


def _labelled(reports: Any) -> dict[str, Report]:
    if isinstance(reports, Mapping) and "layers" not in reports:
        if not reports:
            raise ValueError("reports must hold at least one report, got none")
        return dict(reports)
    if isinstance(reports, list | tuple):
        return _labelled({f"report {i}": each for i, each in enumerate(reports, 1)})
    return {"gradient": reports}


def _norms(report: Report, label: str) -> dict[str, float]:
    norms = {
        layer["name"]: layer["gradient"]["norm"]
        for layer in _layers_of(report)
        if layer.get("gradient")
    }
    if not norms:
        raise ValueError(f"{label} must have gradients: call inspect(net, X, y) with y")
    return norms


def dead_units(history: Any, *, theme: str = "light") -> "Figure":
    """Plot a map of units by epochs that shows which units were dead, and when.

    Parameters
    ----------
    history : History, or list of dict
        Return value of ``fit`` with an ``nn.Monitor`` among its callbacks, or the ``records`` of
        the monitor. Only layers in which a unit was ever dead are shown, or all if there are none.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark background.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError
        If an argument is invalid, or nothing was recorded.

    Examples
    --------
    >>> import numpy as np
    >>> from relume import plots
    >>> shares = np.array([0.5, 0.0, 0.2])  # share of rows on which each unit is active
    >>> records = [{"layer 1": {"active": shares, "dead_fraction": 1 / 3}}] * 2
    >>> plots.text_alternative(plots.dead_units(records))
    'Map of dead units by epoch. layer 1: 1 of 3 units dead in epoch 1, 1 in epoch 2.'
    """
    maps = _maps(getattr(history, "layers", history))
    words = [
        f"{name}: {dead[0].sum()} of {dead.shape[1]} units dead in epoch 1, "
        f"{dead[-1].sum()} in epoch {len(dead)}."
        for name, dead in maps.items()
    ]
    alternative = " ".join(["Map of dead units by epoch.", *words])
    figure, axes = style.new_figure(
        "Dead units during training", alternative, theme, 1 + 1.9 * len(maps),
        nrows=len(maps), sharex=True, squeeze=False,
    )  # fmt: skip
    for (name, dead), each in zip(maps.items(), axes[:, 0], strict=True):
        epochs, units = dead.shape
        image = each.imshow(
            ~dead.T, aspect="auto", interpolation="nearest", cmap=style.AREAS, vmin=0, vmax=1,
            extent=(0.5, epochs + 0.5, units - 0.5, -0.5),
        )  # fmt: skip
        each.grid(False)
        each.set_title(name)
        each.set_ylabel("unit (its index)")
        style.whole_numbers(each.yaxis)
    axes[-1, 0].set_xlabel("recorded epoch, counted from 1")
    style.whole_numbers(axes[-1, 0].xaxis)
    _key(figure, image, theme)
    return figure


def _maps(records):
    """By layer name, an array (epochs, units) that is True where a unit was dead."""
    if not isinstance(records, list) or not all(isinstance(each, Mapping) for each in records):
        raise TypeError(f"history must be a History with Monitor records, got {type(records)}")
    if not records:
        raise ValueError("history must have records: fit with callbacks=[nn.Monitor()]")
    maps = {
        name: np.array([_dead(epoch[name]) for epoch in records])
        for name, layer in records[0].items()
        if "active" in layer
    }
    return {name: dead for name, dead in maps.items() if dead.any()} or maps


def _dead(layer):
    """Which units are dead. Without a rectifier none is, even if it is 0 on all rows."""
    return (np.asarray(layer["active"]) == 0) & (layer["dead_fraction"] > 0)


def _key(figure, image, theme):
    """Add a legend for the two colors of the map."""
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=image.cmap(float(alive)), edgecolor=style.THEMES[theme].text, label=label)
        for alive, label in ((0, "dead"), (1, "active on at least one row"))
    ]
    figure.legend(
        handles=patches, loc="outside lower center", ncols=2, fontsize=style.TICKS, frameon=False,
        labelcolor=style.THEMES[theme].text,
    )  # fmt: skip
