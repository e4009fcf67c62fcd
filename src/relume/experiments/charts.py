"""The two kinds of charts: lines over an x axis, and one row per condition."""

import math
import textwrap
from typing import TYPE_CHECKING

import numpy as np

from relume.experiments.data import CONFIDENCE, Data
from relume.experiments.experiment import Quantity
from relume.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAND = f"{100 * CONFIDENCE:.0f} % confidence interval of the mean (Student's t)"


def chart(data: Data, quantity: Quantity, theme: str) -> "Figure":
    """Plot a quantity. Its text alternative gives all values, or those at the ends and middle."""
    draw = _lines if quantity.x_label else _rows
    return draw(data, quantity, theme)


def _new(data, quantity, theme, height):
    return style.new_figure(quantity.title, in_words(data, quantity), theme, height)


def _lines(data, quantity, theme):
    conditions = data.conditions(quantity.name)
    columns = 2 if max(map(len, conditions)) <= style.SHORT else 1
    height = 3.4 + 0.22 * math.ceil(len(conditions) / columns)
    figure, axes = _new(data, quantity, theme, height)
    for condition, line in zip(conditions, style.series_styles(theme), strict=False):
        x = data.x_values(quantity.name, condition)
        found = np.array([data.mean(quantity.name, condition, each) for each in x])
        line["markevery"] = max(1, len(x) // 8)
        axes.plot(x, found[:, 0], label=condition, **line)
        axes.fill_between(x, found[:, 1], found[:, 2], color=line["color"], alpha=0.2, linewidth=0)
    axes.set_xlabel(quantity.x_label)
    axes.set_ylabel(textwrap.fill(quantity.label, 32))
    if quantity.x_log:
        axes.set_xscale("log")
        _plain_ticks(axes.xaxis, data.x_values(quantity.name))
    if quantity.log:
        axes.set_yscale("log")
    for name, value in quantity.marks.items():
        _mark(axes.axhline, value, theme)
        axes.annotate(
            name, (1, value), xycoords=("axes fraction", "data"), xytext=(-2, 2), ha="right",
            textcoords="offset points", fontsize=style.TICKS, color=style.THEMES[theme].text,
        )  # fmt: skip
    style.legend(figure, theme)
    return figure


def _rows(data, quantity, theme):
    conditions = data.conditions(quantity.name)
    figure, axes = _new(data, quantity, theme, 1.3 + 0.27 * len(conditions))
    line = next(style.series_styles(theme)) | {"linestyle": "none"}
    found = np.array([data.mean(quantity.name, condition) for condition in conditions])
    y = np.arange(len(conditions))
    error = np.nan_to_num(np.abs(found[:, 1:].T - found[:, 0]))
    axes.errorbar(found[:, 0], y, xerr=error, capsize=3, **line)
    axes.set_yticks(y, conditions)
    axes.set_ylim(len(conditions) - 0.5, -0.5)
    axes.set_xlabel(textwrap.fill(quantity.label, 44))
    if quantity.log:
        axes.set_xscale("log")
    for name, value in quantity.marks.items():
        _mark(axes.axvline, value, theme)
        axes.annotate(
            name, (value, 1), xycoords=("data", "axes fraction"), xytext=(0, 2), ha="center",
            textcoords="offset points", fontsize=style.TICKS, color=style.THEMES[theme].text,
        )  # fmt: skip
    return figure


def _mark(line, value, theme):
    line(value, color=style.THEMES[theme].text, linewidth=0.9, linestyle=(0, (4, 3)), zorder=1)


def _plain_ticks(axis, x):
    """Put ticks at measured values of x, at least about an eighth of the width apart."""
    from matplotlib.ticker import NullLocator

    logs = np.log(x)
    kept = [0]
    for i in range(1, len(x)):
        if logs[i] - logs[kept[-1]] >= (logs[-1] - logs[0]) / 8:
            kept.append(i)
    axis.set_ticks([x[i] for i in kept], [f"{x[i]:g}" for i in kept])
    axis.set_minor_locator(NullLocator())


def in_words(data: Data, quantity: Quantity) -> str:
    """The text alternative of a chart."""
    if quantity.x_label:
        sentences = [_line_in_words(data, quantity, each)
                     for each in data.conditions(quantity.name)]  # fmt: skip
        head = f"Lines: {quantity.label}, against {quantity.x_label}. Bands: {BAND}."
    else:
        sentences = [
            f"{each}: {data.mean(quantity.name, each).text(quantity.form)}."
            for each in data.conditions(quantity.name)
        ]
        head = f"Points: {quantity.label}. Bars: {BAND}."
    return " ".join([head, *sentences])


def _line_in_words(data: Data, quantity: Quantity, condition: str) -> str:
    x = data.x_values(quantity.name, condition)
    ends = [
        f"{data.mean(quantity.name, condition, each).mean:{quantity.form}} at {each:g}"
        for each in dict.fromkeys([x[0], x[len(x) // 2], x[-1]])
    ]
    return f"{condition}: {', '.join(ends)}."


def cells(
    data: Data, quantity: Quantity, max_columns: int = 7
) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table of the means with their intervals."""
    conditions: list[str] = data.conditions(quantity.name)
    if not quantity.x_label:
        rows = [[each, data.mean(quantity.name, each).text(quantity.form)] for each in conditions]
        return ["", quantity.label], rows
    x = data.x_values(quantity.name)
    if len(x) > max_columns:
        x = [x[i] for i in np.linspace(0, len(x) - 1, max_columns).round().astype(int)]
    head = [f"{quantity.label}, by {quantity.x_label}", *(f"{each:g}" for each in x)]
    return head, [[each, *_row(data, quantity, each, x)] for each in conditions]


def _row(data: Data, quantity: Quantity, condition: str, x: list[float]) -> list[str]:
    measured = data.x_values(quantity.name, condition)
    return [
        data.mean(quantity.name, condition, each).text(quantity.form) if each in measured else ""
        for each in x
    ]
