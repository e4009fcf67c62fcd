"""The common style of all plots: light and dark colors, sizes, and text alternatives.

The series colors are those of M. Okabe and K. Ito, "Color Universal Design: how to make figures
and presentations that are friendly to colorblind people" (2008, jfly.uni-koeln.de/color), ordered
by contrast with each background. Yellow is omitted on white, blue and black on black. Series
differ in markers and dashes as well as in color. Areas use the colormap cividis (J. Nunez et al.,
PLoS ONE 13, 2018). Everything is set on the figure itself: matplotlib's rcParams are not changed,
and pyplot is never imported.
"""

import io
import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from relume import validation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Theme(NamedTuple):
    """The colors of a plot."""

    background: str
    text: str
    faint: str  # grid and frame
    dead: str  # a unit of a map: none of the colormap's colors
    series: tuple[str, ...]


THEMES: dict[str, Theme] = {
    "light": Theme(
        "#ffffff", "#1a1a1a", "#d0d0d0", "#d55e00",
        ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"),
    ),
    "dark": Theme(
        "#16191d", "#e8e8e8", "#454a50", "#d55e00",
        ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#ffffff"),
    ),
}  # fmt: skip
MARKERS = "osD^vPX"
DASHES = ["-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2))]
AREAS = "cividis"

# A plot 5.4 inches (390 points) wide fills a phone's 360 pixels and stays legible.
WIDTH = 5.4  # inches
TITLE, TEXT, TICKS = 12, 11, 10  # font sizes in points
SHORT = 22  # characters of a legend label: two such labels fit side by side


def matplotlib_or_raise() -> Any:
    """The module matplotlib; ImportError says how to install it."""
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed: pip install 'relume[plots]'"
        ) from error
    return matplotlib


def new_figure(title: str, alternative: str, theme: str, height: float = 3.6, **grid: Any) -> Any:
    """A figure outside of pyplot, and its axes: an array if `grid` asks for several.

    Parameters
    ----------
    title : str
        Title of the whole figure.
    alternative : str
        Description of the plot in words; see `text_alternative`.
    theme : {"light", "dark"}
        Colors for a light or a dark background.
    height : float, default=3.6
        Height in inches.
    **grid : optional
        Arguments of ``Figure.subplots``.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : matplotlib.axes.Axes or ndarray of Axes
    """
    matplotlib = matplotlib_or_raise()
    colors = THEMES[validation.choice(theme, "theme", THEMES)]
    figure = matplotlib.figure.Figure(
        figsize=(WIDTH, height), facecolor=colors.background, layout="constrained"
    )
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=TITLE, color=colors.text)
    figure.set_label(alternative)  # part of the figure, so it is copied and pickled with it
    axes = figure.subplots(**grid)
    for each in figure.axes:
        style_axes(each, colors)
    return figure, axes


def panels_of(ax: Any, names: Sequence[str]) -> list[Any]:
    """The axes to draw on that a user gives, one for each of the named panels.

    Raises
    ------
    TypeError
        If `ax` is neither an Axes nor a list or array of them.
    ValueError
        If there are more or fewer than panels.
    """
    matplotlib_or_raise()
    from matplotlib.axes import Axes

    given = np.ravel(ax).tolist() if isinstance(ax, list | tuple | np.ndarray) else [ax]
    wrong = [each for each in given if not isinstance(each, Axes)]
    if wrong:
        raise TypeError(
            "ax must be a matplotlib Axes, as plt.subplots() returns it, or a list of them, "
            f"got {validation.shown(wrong[0])}"
        )
    if len(given) != len(names):
        raise ValueError(
            f"ax must have an Axes for each of {', '.join(names)}: {len(names)}, got {len(given)}"
        )
    return given


def one_panel(ax: Any, title: str, alternative: str, theme: str, height: float = 3.6) -> Any:
    """A new figure and its only axes, or None and the axes that a user gives."""
    if ax is None:
        return new_figure(title, alternative, theme, height)
    validation.choice(theme, "theme", THEMES)
    return None, panels_of(ax, ["the plot"])[0]


def finish(panels: Sequence[Any], alternative: str, **location: Any) -> None:
    """Complete a drawing on axes that a user gave: a legend, and its text alternative."""
    panels[0].set_label(alternative)
    if panels[0].get_legend_handles_labels()[0]:
        panels[0].legend(fontsize=TICKS, frameon=False, **location)


def style_axes(axes: Any, colors: Theme) -> None:
    """Apply the colors of a theme and the sizes of the style to axes."""
    axes.set_facecolor(colors.background)
    axes.tick_params(colors=colors.text, labelsize=TICKS)
    axes.grid(True, color=colors.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set(color=colors.text, fontsize=TEXT)
    for side, spine in axes.spines.items():
        spine.set(color=colors.faint, visible=side in ("left", "bottom"))


def series_styles(theme: str) -> Iterator[dict[str, Any]]:
    """The style of each series, as arguments of ``Axes.plot``; never the color alone."""
    series = THEMES[validation.choice(theme, "theme", THEMES)].series
    for i in itertools.count():
        yield {
            "color": series[i % len(series)],
            "marker": MARKERS[i % len(MARKERS)],
            "linestyle": DASHES[i % len(DASHES)],
            "linewidth": 1.8,
            "markersize": 5,
        }


def legend(figure: Any, theme: str) -> None:
    """Add a legend below the axes, where it covers nothing; short labels in two columns."""
    handles: dict[str, Any] = {}
    for axes in figure.axes:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    columns = 2 if max(map(len, handles)) <= SHORT else 1
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=columns,
        fontsize=TICKS, frameon=False, labelcolor=THEMES[theme].text,
    )  # fmt: skip


def whole_numbers(axis: Any) -> None:
    """Put ticks at whole numbers only, for epochs, layers and units."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def text_alternative(figure: Any) -> str:
    """Return the description of a plot in words, for readers who cannot see it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure, matplotlib.axes.Axes, or list of Axes
        What a function of `relume.plots` returned.

    Returns
    -------
    str
        Text for the ``alt`` attribute of an image, or for a caption.

    Examples
    --------
    >>> from relume import plots
    >>> plots.text_alternative(plots.losses({"tanh": {"loss": [2.0, 0.5]}}))
    'Loss curves by epoch. tanh: training loss from 2 to 0.5 in 2 epochs.'
    """
    first: Any = figure if hasattr(figure, "get_label") else next(iter(np.ravel(figure)), None)
    if not hasattr(first, "get_label"):
        raise TypeError(
            "figure must be a figure or Axes that a function of relume.plots returned, got "
            f"{validation.shown(figure)}"
        )
    return str(first.get_label())


def to_svg(figure: "Figure") -> str:
    """Return a plot as SVG that includes its text alternative.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        A figure made by a function of `relume.plots`.

    Returns
    -------
    str
        A complete SVG document. Letters are drawn as outlines, so no font is needed.

    Examples
    --------
    >>> from relume import plots
    >>> plots.to_svg(plots.activations(["relu"])).startswith("<?xml")
    True
    """
    if not hasattr(figure, "savefig"):
        raise TypeError(
            "figure must be a matplotlib Figure; of an Axes it is ax.figure. "
            f"Got {validation.shown(figure)}"
        )
    buffer = io.StringIO()
    metadata = {"Date": None, "Description": text_alternative(figure)}
    figure.savefig(buffer, format="svg", metadata=metadata)
    return buffer.getvalue()
