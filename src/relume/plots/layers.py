"""Plots of layers: distributions of values, norms of gradients, and dead units."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from relume import validation
from relume.plots import style

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
    layers = as_dict.get("layers") if isinstance(as_dict, Mapping) else None
    if not (layers and _are_layers(layers)):
        raise TypeError(
            "report must be a report of relume.diagnostics.inspect, or its to_dict(), "
            f"got {validation.shown(report)}"
        )
    return _flat(layers)


def _are_layers(layers: Any) -> bool:
    """Whether they are dicts as those of a report; what a layer lacks is None or missing."""
    return isinstance(layers, list | tuple) and all(
        isinstance(layer, Mapping)
        and isinstance(layer.get("name"), str)
        and all(_has(layer.get(side), "mean", "std", "edges", "counts") for side in SIDES)
        and _has(layer.get("gradient"), "norm")
        and _are_layers(layer.get("inner", []))
        for layer in layers
    )


def _has(part: Any, *names: str) -> bool:
    """Whether a part of a layer is not there, or has some entries."""
    return part is None or (isinstance(part, Mapping) and all(name in part for name in names))


def _flat(layers: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The layers, each followed by those inside it."""
    return [each for layer in layers for each in (layer, *_flat(layer.get("inner", [])))]


def layer_histograms(report: Report, *, theme: str = "light", ax: Any = None) -> Any:
    """Plot the distributions of each layer's values before and after its activation.

    Parameters
    ----------
    report : Report
        Return value of ``relume.diagnostics.inspect``, or its ``to_dict()``.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark background.
    ax : matplotlib.axes.Axes, or list of Axes, default=None
        Where to draw: one Axes for each layer with a histogram. None makes a new figure.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`

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
    alternative = f"Histograms by layer. {' '.join(map(_spread_in_words, layers))}"
    names = [layer["name"] for layer in layers]
    figure, axes = _panels(ax, names, "Values of each layer", alternative, theme, 1.5)
    for layer, each in zip(layers, axes, strict=True):
        each.set_title(layer["name"])
        each.set_ylabel("values, %")
        for (side, label), line in zip(SIDES.items(), style.series_styles(theme), strict=False):
            if layer.get(side):
                _steps(each, layer[side], label, line)
    axes[-1].set_xlabel("value")
    if figure is None:
        style.finish(axes, alternative)
        return ax
    style.legend(figure, theme)
    return figure


def _panels(ax, names, title, alternative, theme, height, **grid):
    """A new figure and its axes, one below the other; or None and the axes that a user gives."""
    if ax is not None:
        validation.choice(theme, "theme", style.THEMES)
        return None, style.panels_of(ax, names)
    figure, axes = style.new_figure(
        title, alternative, theme, 1.2 + height * len(names), nrows=len(names), squeeze=False,
        **grid,
    )  # fmt: skip
    return figure, axes[:, 0].tolist()


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
    reports: Report | Mapping[str, Report] | Sequence[Report],
    *,
    theme: str = "light",
    ax: Any = None,
) -> Any:
    """Plot the norm of the gradient at each layer, by depth.

    Parameters
    ----------
    reports : Report, or dict of str to Report, or list of Report
        Return value of ``relume.diagnostics.inspect`` with ``y``, or several of them to compare.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark background.
    ax : matplotlib.axes.Axes, default=None
        Where to draw. None makes a new figure.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`

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
    figure, axes = style.one_panel(ax, "Gradient by depth", alternative, theme)
    for (label, by_layer), line in zip(norms.items(), style.series_styles(theme), strict=False):
        depth = np.arange(1, len(by_layer) + 1)
        values = np.array(list(by_layer.values()))
        # A logarithmic axis has no zero, so a layer without any gradient becomes a gap.
        axes.plot(depth, np.where(values > 0, values, np.nan), label=label, **line)
    axes.set_yscale("log")
    axes.set_xlabel("layer, counted from the input")
    axes.set_ylabel("norm of the gradient of the loss\n(log scale)")
    style.whole_numbers(axes.xaxis)
    if figure is None:
        style.finish([axes], alternative)
        return ax
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


def dead_units(history: Any, *, theme: str = "light", ax: Any = None) -> Any:
    """Plot a map of units by epochs that shows how active units were, and when they died.

    The units of a layer are sorted by the epoch in which they died; those that never died follow,
    the least active first. Units that were dead throughout are counted, but not drawn, unless all
    were.

    Parameters
    ----------
    history : History, or list of dict
        Return value of ``fit`` with an ``nn.Monitor`` among its callbacks, or the ``records`` of
        the monitor. Only layers in which a unit was ever dead are shown, or all if there are none.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark background.
    ax : matplotlib.axes.Axes, or list of Axes, default=None
        Where to draw: one Axes for each layer that is shown. None makes a new figure.

    Returns
    -------
    matplotlib.figure.Figure, or `ax`

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
        f"{name}: {each.dead[0].sum()} of {each.dead.shape[1]} units dead in epoch 1, "
        f"{each.dead[-1].sum()} in epoch {len(each.dead)}."
        for name, each in maps.items()
    ]
    alternative = " ".join(["Map of dead units by epoch.", *words])
    figure, axes = _panels(
        ax, list(maps), "Activity of units during training", alternative, theme, 2.1, sharex=True
    )
    for (name, each), panel in zip(maps.items(), axes, strict=True):
        image = _map(panel, name, each, theme)
    axes[-1].set_xlabel("recorded epoch, counted from 1")
    style.whole_numbers(axes[-1].xaxis)
    _key(figure, axes, image, theme)
    if figure is None:
        axes[0].set_label(alternative)
        return ax
    return figure


def _map(axes, name, activity, theme):
    """Draw the units of a layer, those that died first at the top."""
    import matplotlib

    drawn = activity.order()
    values = np.where(activity.dead, np.nan, 100 * activity.active).T[drawn]
    colors = matplotlib.colormaps[style.AREAS].with_extremes(bad=style.THEMES[theme].dead)
    image = axes.imshow(
        np.ma.masked_invalid(values), aspect="auto", interpolation="nearest", cmap=colors,
        vmin=0, vmax=100, extent=(0.5, len(activity.dead) + 0.5, len(drawn) + 0.5, 0.5),
    )  # fmt: skip
    axes.grid(False)
    units, left_out = activity.dead.shape[1], activity.dead.shape[1] - len(drawn)
    first, last = activity.dead[0].sum(), activity.dead[-1].sum()
    title = f"{name}: from {first} to {last} of {units} units dead"
    if left_out:
        title += f"\n({left_out} dead throughout are not drawn)"
    axes.set_title(title)
    axes.set_ylabel("units in the order\nin which they died")
    style.whole_numbers(axes.yaxis)
    return image


class _Activity(NamedTuple):
    """Arrays of shape (epochs, units)."""

    active: NDArray[np.float64]  # the share of rows on which a unit was active
    dead: NDArray[np.bool_]

    def order(self) -> NDArray[np.intp]:
        """The units to draw: first those that died, and then by activity.

        Units that were dead throughout show no change, and are left out unless all were.
        """
        epochs = len(self.dead)
        died = np.where(self.dead.any(axis=0), self.dead.argmax(axis=0), epochs)
        order = np.lexsort((self.active.mean(axis=0), died))
        changing = order[self.dead[:, order].min(axis=0) == 0]
        return changing if len(changing) else order


def _maps(records):
    """The activity of each layer by its name: of those in which a unit was dead, if there are."""
    if not isinstance(records, list | tuple) or not all(
        isinstance(each, Mapping) and all(isinstance(layer, Mapping) for layer in each.values())
        for each in records
    ):
        raise TypeError(
            "history must be a history of a fit with nn.Monitor(), or the monitor's records, got "
            f"{validation.shown(records)}"
        )
    names = [name for name, layer in records[0].items() if "active" in layer] if records else []
    if not names:
        raise ValueError("history must have records: fit with callbacks=[nn.Monitor()]")
    try:
        maps = {
            name: _Activity(
                np.array([epoch[name]["active"] for epoch in records], float),
                np.array([_dead(epoch[name]) for epoch in records]),
            )
            for name in names
        }
    except (KeyError, ValueError) as error:
        raise ValueError(
            "history must have records of the same layers and units in all epochs"
        ) from error
    return {name: each for name, each in maps.items() if each.dead.any()} or maps


def _dead(layer):
    """Which units are dead. Without a rectifier none is, even if it is 0 on all rows."""
    return (np.asarray(layer["active"]) == 0) & (layer["dead_fraction"] > 0)


def _key(figure, axes, image, theme):
    """Add a bar of the colors, and a legend for the one of dead units."""
    from matplotlib.patches import Patch

    colors = style.THEMES[theme]
    patch = Patch(facecolor=colors.dead, label="dead: active on none of the rows")
    bar = (figure or axes[-1].figure).colorbar(
        image, ax=axes, location="bottom", fraction=0.06, aspect=40, pad=0.02
    )
    if figure is None:
        axes[0].legend(handles=[patch], fontsize=style.TICKS, loc="lower right")
        bar.set_label("rows on which a unit is active, %", fontsize=style.TICKS)
        return
    bar.set_label("rows on which a unit is active, %", fontsize=style.TICKS, color=colors.text)
    bar.ax.tick_params(colors=colors.text, labelsize=style.TICKS)
    bar.outline.set_edgecolor(colors.faint)
    figure.legend(
        handles=[patch], loc="outside lower center", fontsize=style.TICKS, frameon=False,
        labelcolor=colors.text,
    )  # fmt: skip
