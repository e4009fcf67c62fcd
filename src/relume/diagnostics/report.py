"""What `inspect` returns: figures a layer, advice, and how they are shown."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Distribution:
    """Values of a layer: moments and extremes over all rows, a histogram of a sample of rows."""

    mean: float
    deviation: float
    least: float
    most: float
    edges: list[float] = field(repr=False)
    counts: list[int] = field(repr=False)


@dataclass(frozen=True)
class GradientFigures:
    """The gradient of each row's loss at a layer's pre-activations.

    ``norm`` is the root mean square over rows of its norm.
    """

    norm: float
    zero_fraction: float


@dataclass(frozen=True)
class LayerReport:
    """What was found in one layer."""

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
    gradient: GradientFigures | None
    update_ratio: float | None
    checks: list[str]
    inner: list[LayerReport]

    @property
    def dead_fraction(self) -> float:
        """The share of units that are dead."""
        return len(self.dead_units) / self.units

    @property
    def walk(self) -> list[LayerReport]:
        """The layer, and all within it."""
        return [self, *(deeper for layer in self.inner for deeper in layer.walk)]


@dataclass(frozen=True)
class Advice:
    """One illness: its kind, the layer that has it (None: the whole), reason and remedy.

    ``suggestion`` holds what to try by name, such as ``{"lr": 0.01}``.
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
        How many were seen.
    loss : float or None
        Their mean loss, if y was given.
    inputs : Distribution
        Of all features together, as the first layer gets them.
    constant_features : list of int
        Features that have the same value, not 0, on all rows.
    layers : list of LayerReport
        One a layer given to the Network; those of a ``Residual`` are in its ``inner``.
    advice : list of Advice
        Empty for a healthy network.
    notes : list of str
        Which checks do not apply, and why.

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
        """The layers, those within a ``Residual`` too."""
        return [each for layer in self.layers for each in layer.walk]

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON can hold it.

        Returns
        -------
        report : dict
            ``"layers"`` is a list of dicts with ``"name"``, ``"units"``, ``"dead_units"`` (their
            indices), ``"zero_fraction"`` and so on; ``"advice"`` a list of dicts with ``"kind"``,
            ``"layer"``, ``"text"`` and ``"suggestion"``, empty for a healthy network.
        """
        return plain(self)

    def __str__(self) -> str:
        from relume.diagnostics.text_table import text_of

        return text_of(self)

    def to_html(self) -> str:
        """The report as a page of its own, which loads nothing.

        Returns
        -------
        html : str
        """
        from relume.diagnostics.html import page_of

        return page_of(self)

    def _repr_html_(self) -> str:
        from relume.diagnostics.html import fragment_of

        return fragment_of(self)

    def plot(self, theme: str = "light") -> Figure:
        """Histograms of each layer's values.

        Parameters
        ----------
        theme : {"light", "dark"}, default="light"

        Returns
        -------
        figure : matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is missing, saying how to install it.
        """
        from relume.diagnostics.plotting import plots

        return plots().layer_histograms(self, theme=theme)


def plain(value: Any) -> Any:
    """Lists, dicts and numbers of a report; what is not finite is None, as JSON has no such."""
    if hasattr(value, "__dataclass_fields__"):
        return {name: plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if isinstance(value, dict):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
