"""One style for every picture: colours for a light and a dark page, sizes, text alternatives.

The series colours are those of M. Okabe and K. Ito, "Color Universal Design: how to make figures
and presentations that are friendly to colorblind people" (2008, jfly.uni-koeln.de/color), ordered
for contrast with each background; yellow is left out on white, blue and black on black. No series
is told by its colour alone: markers and dashes differ too. Areas are coloured by cividis (J. Nunez
et al., PLoS ONE 13, 2018). Everything is set on the figure: matplotlib's rcParams stay as they
are, and pyplot is never imported.
"""

import io
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from relume import validation

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class Theme(NamedTuple):
    """The colours of a picture."""

    background: str
    text: str
    faint: str  # grid and frame
    series: tuple[str, ...]


THEMES: dict[str, Theme] = {
    "light": Theme(
        "#ffffff", "#1a1a1a", "#d0d0d0",
        ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"),
    ),
    "dark": Theme(
        "#16191d", "#e8e8e8", "#454a50",
        ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00", "#ffffff"),
    ),
}  # fmt: skip
MARKERS = "osD^vPX"
DASHES = ["-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 2, 1, 2))]
AREAS = "cividis"

# In points. A picture 5.4 inches (390 points) wide fills a phone's 360 pixels and stays legible.
WIDTH = 5.4
TITLE, TEXT, TICKS = 12, 11, 10
SHORT = 22  # letters of a label of which two find room side by side


def matplotlib_or_raise() -> Any:
    """The module matplotlib; ImportError says how to get it."""
    try:
        import matplotlib.backends.backend_agg
        import matplotlib.figure
    except ImportError as error:
        raise ImportError(
            "plots need matplotlib, which is not installed: pip install 'relume[plots]'"
        ) from error
    return matplotlib


def new_figure(title: str, alternative: str, theme: str, height: float = 3.6, **grid: Any) -> Any:
    """A figure that belongs to no window, and its axes: an array if `grid` asks for several.

    Parameters
    ----------
    title : str
        Above the whole figure.
    alternative : str
        What the picture shows, in words: see `text_alternative`.
    theme : {"light", "dark"}
        Colours.
    height : float, default=3.6
        In inches.
    **grid : optional
        As for ``Figure.subplots``.

    Returns
    -------
    figure : matplotlib.figure.Figure
    axes : matplotlib.axes.Axes or ndarray of Axes
    """
    matplotlib = matplotlib_or_raise()
    colours = THEMES[validation.choice(theme, "theme", THEMES)]
    figure = matplotlib.figure.Figure(
        figsize=(WIDTH, height), facecolor=colours.background, layout="constrained"
    )
    matplotlib.backends.backend_agg.FigureCanvasAgg(figure)
    figure.suptitle(title, fontsize=TITLE, color=colours.text)
    figure.set_label(alternative)  # goes wherever the figure goes, pickles too
    axes = figure.subplots(**grid)
    for each in figure.axes:
        style_axes(each, colours)
    return figure, axes


def style_axes(axes: Any, colours: Theme) -> None:
    """Give axes the colours of a theme and the sizes of the style."""
    axes.set_facecolor(colours.background)
    axes.tick_params(colors=colours.text, labelsize=TICKS)
    axes.grid(True, color=colours.faint, linewidth=0.6)
    axes.set_axisbelow(True)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set(color=colours.text, fontsize=TEXT)
    for side, spine in axes.spines.items():
        spine.set(color=colours.faint, visible=side in ("left", "bottom"))


def looks(theme: str) -> Iterator[dict[str, Any]]:
    """What sets each series apart, as arguments of ``Axes.plot``: never the colour alone."""
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
    """A legend below the axes, where it hides nothing; short labels in two columns."""
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
    """Ticks at whole numbers only: of epochs, layers and units."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def text_alternative(figure: "Figure") -> str:
    """What a picture of relume shows, in words: for those who cannot see it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Made by a function of `relume.plots`.

    Returns
    -------
    str
        For the ``alt`` of an image, or a caption.

    Examples
    --------
    >>> from relume import plots
    >>> plots.text_alternative(plots.losses({"tanh": {"loss": [2.0, 0.5]}}))
    'Loss curves by epoch. tanh: training loss from 2 to 0.5 in 2 epochs.'
    """
    return str(figure.get_label())


def to_svg(figure: "Figure") -> str:
    """A picture as SVG, its text alternative within.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
        Made by a function of `relume.plots`.

    Returns
    -------
    str
        A whole document; letters are drawn as outlines and need no font.

    Examples
    --------
    >>> from relume import plots
    >>> plots.to_svg(plots.activations(["relu"])).startswith("<?xml")
    True
    """
    buffer = io.StringIO()
    metadata = {"Date": None, "Description": text_alternative(figure)}
    figure.savefig(buffer, format="svg", metadata=metadata)
    return buffer.getvalue()
