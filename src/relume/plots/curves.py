"""Curves of activation functions, and of losses by epoch."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

import relume
from relume import validation
from relume.nn.layers.activations import ACTIVATIONS
from relume.plots import style

USUAL = ["relu", "leaky_relu", "elu", "gelu", "silu", "softplus", "tanh", "sigmoid"]
COLUMNS = 2
HARDLY = 0.02  # share of an axis below which a value cannot be told from 0


def activations(
    names: Iterable[str] | None = None,
    *,
    derivatives: bool = True,
    theme: str = "light",
    ax: Any = None,
) -> Any:
    """Plot activation functions and their derivatives, one panel per function.

    An inset magnifies what a function does below 0 where it is too little to be seen, such as the
    slope of ``leaky_relu``.

    Parameters
    ----------
    names : iterable of str or None, default=None
        Names of relume functions without required parameters, such as ``"relu"``. None plots
        eight common ones.
    derivatives : bool, default=True
        Whether to plot the derivatives too.
    theme : {"light", "dark"}, default="light"
        Colors for a light or a dark background.
    ax : matplotlib.axes.Axes, or list of Axes, default=None
        Where to draw: one Axes for all functions together, or a list with one for each. None
        makes a new figure.

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
    >>> figure = plots.activations(["relu", "gelu"], theme="dark")
    >>> len(figure.axes)
    2
    """
    names = _checked(names)
    derivatives = validation.flag(derivatives, "derivatives")
    x = np.linspace(-4, 4, 801)
    alternative = _words(names, x, derivatives)
    if ax is not None:
        return _on_axes(ax, names, x, derivatives, theme, alternative)
    rows = math.ceil(len(names) / COLUMNS)
    title = "Activation functions" + (" and their derivatives" if derivatives else "")
    figure, axes = style.new_figure(
        title, alternative, theme, 1.2 + 1.75 * rows,
        nrows=rows, ncols=min(COLUMNS, len(names)), sharex=True, squeeze=False,
    )  # fmt: skip
    for each, name in zip(axes.flat, names, strict=False):
        _panel(each, name, x, derivatives, theme)
    for each in axes.flat[len(names) :]:
        each.set_visible(False)
    for each in axes.flat[max(0, len(names) - COLUMNS) : len(names)]:  # the bottom panels
        each.tick_params(labelbottom=True)
        each.set_xlabel("input x")
    for each in axes[:, 0]:
        each.set_ylabel("output")
    style.legend(figure, theme)
    return figure


def _on_axes(ax, names, x, derivatives, theme, alternative):
    """Draw on axes that a user gave, and return them."""
    if isinstance(ax, list | tuple | np.ndarray):
        panels = style.panels_of(ax, names)
        for each, name in zip(panels, names, strict=True):
            _panel(each, name, x, derivatives, theme)
    else:
        panels = style.panels_of(ax, ["all functions"])
        lines = []
        for name, line in zip(names, style.series_styles(theme), strict=False):
            lines += _lines_of(name, x, derivatives, line["color"], name)
        _draw(ax, x, lines)
    for each in panels:
        each.set_xlabel("input x")
        each.set_ylabel("output")
    style.finish(panels, alternative, loc="lower right")
    return ax


def _checked(names):
    """The names as a list; ValueError for a function that has required parameters."""
    if isinstance(names, str) or not isinstance(names, Iterable | None):
        raise TypeError(f"names must be a list of names or None, got {validation.shown(names)}")
    drawable = [name for name in ACTIVATIONS if _has_defaults(name)]
    names = list(USUAL if names is None else names)
    if not names:
        raise ValueError("names must hold at least one name, got none")
    return [validation.choice(name, "names", drawable) for name in names]


def _has_defaults(name):
    parameters = ACTIVATIONS[name].__signature__.parameters.values()
    return all(each.default is not each.empty for each in parameters)


def _panel(axes, name, x, derivatives, theme):
    axes.set_title(name)
    lines = _lines_of(name, x, derivatives)
    for line, drawn in zip(style.series_styles(theme), lines, strict=False):
        drawn["color"] = line["color"]
    _draw(axes, x, lines)


def _lines_of(name, x, derivatives, color=None, label=None):
    """The function and, if asked for, its derivative, as arguments of ``Axes.plot``."""
    common = {"color": color, "linewidth": 1.8}
    lines = [{"y": getattr(relume, name)(x), "label": label or "function f(x)", **common}]
    if derivatives:
        slope = getattr(relume, f"{name}_backward")(np.ones(len(x)), x)
        words = f"{label}, derivative" if label else "derivative f'(x)"
        lines.append({"y": slope, "label": words, "linestyle": style.DASHES[1], **common})
    return lines


def _draw(axes, x, lines):
    """Draw the lines, and once more below 0 if that is where one of them can hardly be seen."""
    for line in lines:
        axes.plot(x, line["y"], **{key: line[key] for key in line if key != "y"})
    low, high = axes.get_ylim()
    depths = [np.abs(line["y"][x < 0]).max() for line in lines]
    small = [depth for depth in depths if 0 < depth < HARDLY * (high - low)]
    if not small:
        return
    inset = axes.inset_axes((0.03, 0.5, 0.42, 0.34))
    for line in lines:
        inset.plot(x, line["y"], **{key: line[key] for key in line if key not in ("y", "label")})
    inset.set(xlim=(x[0], 0), ylim=(-1.3 * max(small), 0.6 * max(small)), xticks=[])
    inset.set_yticks([-max(small), 0], [f"{-max(small):.2g}", "0"])
    text, frame = axes.xaxis.label.get_color(), axes.spines["left"].get_edgecolor()
    inset.set_facecolor(axes.get_facecolor())
    inset.tick_params(colors=text, labelsize=style.TICKS)
    inset.yaxis.tick_right()
    inset.set_title("below 0, magnified", loc="left", fontsize=style.TICKS, color=text)
    for spine in inset.spines.values():
        spine.set_color(frame)


def _words(names, x, derivatives):
    ends = [(name, getattr(relume, name)(x[[0, 400, 800]])) for name in names]
    values = "; ".join(f"{name} is {a:.3g}, {b:.3g} and {c:.3g}" for name, (a, b, c) in ends)
    also = " and their derivatives" if derivatives else ""
    return f"Curves of {len(names)} activation functions{also}. At x = -4, 0 and 4 {values}."


def losses(
    histories: Mapping[str, Sequence[float]] | Mapping[str, Mapping[str, Sequence[float]]],
    *,
    theme: str = "light",
    ax: Any = None,
) -> Any:
    """Plot the loss curves of one or more runs.

    Parameters
    ----------
    histories : History, or dict of str to History
        Return value of ``fit``, or several of them by label. Training losses are drawn as styled
        lines, validation losses as thinner dotted lines.
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
        If an argument is invalid, or a history is empty.

    Examples
    --------
    >>> from relume import nn, plots
    >>> net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(0.1), seed=0)
    >>> history = net.fit([[0.0], [1.0]], [0.0, 1.0], epochs=5)
    >>> figure = plots.losses(history)
    >>> figure.axes[0].get_xlabel()
    'epoch'
    >>> figure = plots.losses({"slow": history, "the same": history})
    """
    histories = _by_label(histories)
    words = [_run_in_words(label, history) for label, history in histories.items()]
    alternative = f"Loss curves by epoch. {' '.join(words)}"
    figure, axes = style.one_panel(ax, "Loss by epoch", alternative, theme, 3.8)
    for (label, history), line in zip(histories.items(), style.series_styles(theme), strict=False):
        epochs = np.arange(1, len(history["loss"]) + 1)
        line["markevery"] = max(1, len(epochs) // 10)
        axes.plot(epochs, history["loss"], label=label, **line)
        if "val_loss" in history:
            thin = line | {"linestyle": ":", "linewidth": 1.2, "markerfacecolor": "none"}
            axes.plot(epochs, history["val_loss"], label=f"{label}, validation", **thin)
    axes.set_xlabel("epoch")
    axes.set_ylabel("mean loss per epoch (log scale)")
    if all(_all_positive(history) for history in histories.values()):
        axes.set_yscale("log")
    else:
        axes.set_ylabel("mean loss per epoch")
    style.whole_numbers(axes.xaxis)
    if figure is None:
        style.finish([axes], alternative)
        return ax
    style.legend(figure, theme)
    return figure


def _by_label(histories: Any) -> Any:
    """Histories by label; a single one is that of the training."""
    if not isinstance(histories, Mapping):
        raise TypeError(
            "histories must be a history, as fit returns it, or a dict of label to history, got "
            f"{type(histories)}"
        )
    if not histories:
        raise ValueError("histories must hold at least one history, got none")
    if "loss" in histories and not isinstance(histories["loss"], Mapping):
        histories = {"training": histories}
    for label, history in histories.items():
        if not isinstance(history, Mapping):
            raise TypeError(
                f"histories[{label!r}] must be a history, got {validation.shown(history)}"
            )
        if "loss" not in history or np.size(history["loss"]) == 0:
            raise ValueError(
                f"histories[{label!r}] must have at least one epoch with a loss, "
                f"got {validation.shown(history)}"
            )
        for name in ("loss", "val_loss"):
            _check_numbers(history.get(name, []), f"histories[{label!r}][{name!r}]")
    return histories


def _check_numbers(values, name):
    """Raise unless values are a sequence of numbers."""
    array = np.asarray(values)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "fiu"):
        raise TypeError(f"{name} must be a list of numbers, got {validation.shown(values)}")


def _all_positive(history):
    return all(min(history[name]) > 0 for name in ("loss", "val_loss") if name in history)


def _run_in_words(label, history):
    loss = history["loss"]
    words = f"{label}: training loss from {loss[0]:.3g} to {loss[-1]:.3g}"
    if "val_loss" in history:
        words += f", validation loss from {history['val_loss'][0]:.3g}"
        words += f" to {history['val_loss'][-1]:.3g}"
    return f"{words} in {len(loss)} epochs."
