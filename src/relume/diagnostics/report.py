"""What `inspect` returns: statistics of each layer, advice, and how they are displayed."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any


@dataclass(frozen=True)
class Distribution:
    """Values of a layer: mean, std, min and max over all rows, and a histogram of a sample."""

    mean: float
    std: float
    min: float
    max: float
    edges: list[float] = field(repr=False)
    counts: list[int] = field(repr=False)


@dataclass(frozen=True)
class GradientStatistics:
    """The gradient of each row's loss at a layer's pre-activations.

    ``norm`` is the norm of a row's gradient, root mean square over rows.
    """

    norm: float
    zero_fraction: float


@dataclass(frozen=True)
class LayerReport:
    """Statistics of one layer."""

    name: str
    description: str
    kind: str
    units: int
    zero_fraction: float
    dead_units: list[int]
    nearly_dead_units: list[int]
    saturated_units: list[int]
    saturated_fraction: float
    constant_units: list[int]
    activations: Distribution
    pre_activations: Distribution | None
    gradient: GradientStatistics | None
    update_ratio: float | None
    checks: list[str]
    inner: list[LayerReport]

    @property
    def dead_fraction(self) -> float:
        """The share of the layer's units that are dead."""
        return len(self.dead_units) / self.units

    @property
    def walk(self) -> list[LayerReport]:
        """The layer, followed by the layers inside it."""
        return [self, *(deeper for layer in self.inner for deeper in layer.walk)]


@dataclass(frozen=True)
class Advice:
    """One problem: its kind, the layer that has it (None: the network), the cause and a remedy.

    ``suggestion`` holds the values to try by name, such as ``{"lr": 0.01}``.
    """

    kind: str
    layer: str | None
    text: str
    suggestion: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.layer}: {self.text}" if self.layer else self.text


@dataclass(frozen=True)
class Report:
    """What `relume.diagnostics.inspect` found; print it, or show it in a notebook.

    Attributes
    ----------
    rows : int
        Number of rows inspected.
    loss : float or None
        Mean loss of the rows; None if y was not given.
    inputs : Distribution
        Distribution of all features together, as the first layer gets them.
    constant_features : list of int
        Indices of the features that have the same nonzero value on all rows.
    layers : list of LayerReport
        One entry per layer given to the Network; the layers of a ``Residual`` are in its
        ``inner``.
    advice : list of Advice
        Problems found; empty for a healthy network.
    notes : list of str
        Checks that do not apply, and why.

    Examples
    --------
    >>> import numpy as np
    >>> from relume import diagnostics, nn
    >>> net = nn.Network([nn.Dense(8, activation="relu"), nn.Dense(2)], seed=0).build(3)
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> report = diagnostics.inspect(net, X)
    >>> len(report.layers), report.layers[0].units, report.advice
    (2, 8, [])
    """

    rows: int
    loss: float | None
    inputs: Distribution
    constant_features: list[int]
    layers: list[LayerReport]
    advice: list[Advice]
    notes: list[str]

    @property
    def all_layers(self) -> list[LayerReport]:
        """All layers, including those inside a ``Residual``."""
        return [each for layer in self.layers for each in layer.walk]

    def to_dict(self) -> dict[str, Any]:
        """The whole report as a dict that JSON can hold.

        Returns
        -------
        report : dict
            ``"layers"`` is a list of dicts with ``"name"``, ``"units"``, ``"dead_units"`` (their
            indices), ``"zero_fraction"`` and so on. ``"advice"`` is a list of dicts with
            ``"kind"``, ``"layer"``, ``"text"`` and ``"suggestion"``; it is empty for a healthy
            network. NaN and infinity become None.
        """
        return plain(self)

    def __str__(self) -> str:
        from relume.diagnostics.text_report import text_of

        return text_of(self)

    def to_html(self) -> str:
        """The report as an HTML page that loads no other files.

        Returns
        -------
        html : str
        """
        from relume.diagnostics.html_report import page_of

        return page_of(self)

    def _repr_html_(self) -> str:
        from relume.diagnostics.html_report import fragment_of

        return fragment_of(self)

    def plot(self, theme: str = "light", ax: Any = None) -> Any:
        """Draw histograms of each layer's values: `relume.plots.layer_histograms`.

        Parameters
        ----------
        theme : {"light", "dark"}, default="light"
            Colors for a light or a dark background.
        ax : matplotlib.axes.Axes, or list of Axes, default=None
            Where to draw: one Axes for each layer. None makes a new figure.

        Returns
        -------
        matplotlib.figure.Figure, or `ax`

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        """
        from relume.plots import layer_histograms

        return layer_histograms(self, theme=theme, ax=ax)


def plain(value: Any) -> Any:
    """A report as dicts, lists and numbers; NaN and infinity become None, as JSON has neither."""
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
