"""Monitor: statistics of units and gradients in each epoch, and warnings."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

import numpy as np

from relume import validation
from relume.engine.observer import OBSERVE_GRADIENTS, OBSERVE_VALUES, STATISTICS, Observer
from relume.engine.prediction import predict
from relume.nn import notebook
from relume.nn.callbacks.callback import Callback
from relume.nn.units.layer_nodes import all_bounds, is_rectifier, network_nodes, saturates, walk
from relume.nn.units.target_scale import unscaled_target
from relume.nn.units.unit_statistics import observed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from relume.engine.plan import Plan
    from relume.nn.network import Network
    from relume.nn.units.layer_nodes import LayerNode

MIN_ROWS = 256  # rows to observe in an epoch, if it has that many
MAX_INTERVAL = 8  # observe at least one minibatch in 8; observing costs a few per cent of its time
DEAD = 0.4  # warn if this share of a layer's units is dead,
DIED = 0.2  # or if this share has died during the fit
VANISHING, EXPLODING = 1e-3, 1e3  # gradient norm of a layer relative to that of the last layer
PATIENCE = 10  # epochs after which a loss that is not near 0 and has not changed has stopped
FIRST_EPOCHS = 3  # epochs of a fit before its targets may count as not learned
MIN_CHANGE = 1e-3  # relative change below which the loss counts as unchanged

ACTIVE, SQUARES = STATISTICS.index("active"), STATISTICS.index("squares")


class TrainingWarning(UserWarning):
    """Warns of dying units, vanishing or exploding gradients, unscaled targets, a stopped loss.

    Examples
    --------
    >>> from relume import nn
    >>> issubclass(nn.TrainingWarning, UserWarning)
    True
    """


class LayerRecord(TypedDict, total=False):
    """Statistics of one layer in one epoch; the gradient's are missing if it has none."""

    zero_fraction: float
    dead_fraction: float
    saturated_fraction: float
    mean: float
    std: float
    active: NDArray[np.float64]  # of each unit: the share of rows on which it was not 0
    dense: bool  # whether the layer is a Dense
    gradient_norm: float
    gradient_zero_fraction: float


class Records(list[dict[str, LayerRecord]]):
    """The records of the epochs; a notebook shows them as a table of the layers."""

    def _repr_html_(self) -> str:
        """For each layer the statistics of the last record, and the share of zeros over time."""
        last = self[-1] if self else {}
        rows = [(name, *_in_cells(name, layer, self)) for name, layer in last.items()]
        head = ("layer", "zeros by epoch", *SHOWN)
        return notebook.fragment(f"{len(self)} recorded epochs", notebook.table(head, rows))


# Columns of a table of records, and the format of each.
SHOWN = {
    "zeros": ("zero_fraction", "{:.1%}"),
    "dead units": ("dead_fraction", "{:.1%}"),
    "saturated": ("saturated_fraction", "{:.1%}"),
    "mean": ("mean", "{:.3g}"),
    "std": ("std", "{:.3g}"),
    "gradient norm": ("gradient_norm", "{:.3g}"),
}


def _in_cells(name: str, layer: LayerRecord, records: Records) -> Iterator[str]:
    """The share of zeros of a layer as a line, and its last statistics."""
    shares = [each[name]["zero_fraction"] for each in records if name in each]
    yield notebook.sparkline(shares, f"share of zeros of {name}")
    values: Mapping[str, Any] = layer
    for key, form in SHOWN.values():
        yield form.format(values[key]) if key in values else "-"


class Monitor(Callback):
    """Record statistics of the layers in each epoch, and warn of problems.

    Parameters
    ----------
    X : array_like of shape (n, n_features) or None, default=None
        Rows on which to compute the statistics after each recorded epoch, at the cost of about two
        predictions. None uses the values of some minibatches of training, with at least 256 rows
        together if the epoch has as many, at nearly no cost.
    every : int, default=1
        Record only epochs whose number is a multiple of this.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    Warns
    -----
    TrainingWarning
        If 20 % of a layer's units have died during the fit, or 40 % are dead; if the gradient of a
        layer is 1,000 times smaller or larger than that of the last layer; if the loss has not
        changed for 10 epochs; if the targets are values far from 0, or with a large or small
        spread, and have not been learned after 3 epochs or at the end of the fit. A warning names
        the layer. It is issued once per fit for each layer and problem.

    See Also
    --------
    relume.diagnostics.inspect : Statistics for any rows, with advice.

    Notes
    -----
    The records are in ``history.layers``, where ``history`` is what `Network.fit` returns, and in
    the callback's attribute ``records``. There is one dict per recorded epoch, with an entry for
    each layer, such as ``"layer 1"``. The entry is a dict of these statistics:

    - ``"zero_fraction"``: fraction of the outputs that are 0
    - ``"dead_fraction"``: fraction of the units that were 0 on all observed rows
    - ``"active"``: array with the fraction of rows on which each unit was not 0
    - ``"saturated_fraction"``: fraction of the outputs near an end of the activation's range
    - ``"mean"``, ``"std"``: of the outputs
    - ``"gradient_norm"``, ``"gradient_zero_fraction"``: of the gradient

    Statistics of training's minibatches include the noise of `Dropout`.

    Examples
    --------
    >>> from relume import datasets, nn
    >>> X, y = datasets.load_digits(return_X_y=True)
    >>> net = nn.Network([nn.Dense(32, activation="relu"), nn.Dense(10)], seed=0)
    >>> history = net.fit(X / 16, y, epochs=3, callbacks=[nn.Monitor()])
    >>> [sorted(each) for each in history.layers]
    [['layer 1', 'layer 2'], ['layer 1', 'layer 2'], ['layer 1', 'layer 2']]
    >>> bool(history.layers[-1]["layer 1"]["zero_fraction"] > 0.1)
    True
    """

    def __init__(self, X: ArrayLike | None = None, every: int = 1) -> None:
        self.X = X
        self.every: int = validation.integer(every, "every")
        self.records = Records()
        self._first: dict[str, LayerRecord] | None = None  # of the run, maybe of an earlier fit
        self._warned: set[tuple[str, str | None]] = set()
        self._losses: list[float] = []
        self._rows: tuple[Any, NDArray[Any]] | None = None  # X and y of some rows of the fit
        self._observer: Observer | None = None
        self._layers: list[_ObservedLayer] = []
        self._plan: Plan | None = None

    def on_fit_begin(self, net: Network) -> None:
        """Discard the records of the previous fit."""
        self.records, self._warned, self._losses = Records(), set(), []
        self._first = self._observer = self._plan = self._rows = None

    def state_dict(self) -> dict[str, Any]:
        """Return what later warnings depend on: the first record, the losses, the warnings issued.

        Returns
        -------
        state : dict of str to object
        """
        losses = self._losses[:1] + self._losses[1:][-PATIENCE - 1 :]
        warned = [[kind, layer] for kind, layer in sorted(self._warned, key=str)]
        return {"first": self._first, "losses": losses, "warned": warned}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state.

        Parameters
        ----------
        state : dict of str to object
            What `state_dict` returned.
        """
        first, losses, warned = (state.get(name) for name in ("first", "losses", "warned"))
        if not (
            isinstance(first, dict | None)
            and isinstance(losses, list)
            and isinstance(warned, list)
            and all(isinstance(each, list) and len(each) == 2 for each in warned)
        ):
            raise TypeError("state must have the first record, losses and warned")
        self._first, self._losses = first, list(losses)
        self._warned = {(kind, layer) for kind, layer in warned}

    def watch_targets(self, X: Any, y: NDArray[Any]) -> None:
        """Keep rows by which to judge the scale of the targets, and whether they were learned.

        Parameters
        ----------
        X : ndarray or sparse rows
        y : ndarray
        """
        self._rows = X, y

    def on_fit_end(self, net: Network) -> None:
        """Warn of targets that are not scaled, also after a short fit."""
        self._judge_targets(net)
        self._rows = None

    def observer_for(
        self, net: Network, epoch: int, rows: int, steps: int | None
    ) -> Observer | None:
        """Return the observer of an epoch's minibatches; None if the epoch is not recorded.

        Parameters
        ----------
        net : Network
        epoch : int
        rows : int
            Number of rows of a minibatch.
        steps : int or None
            Number of minibatches of an epoch, if known.

        Returns
        -------
        observer : Observer or None
        """
        if self.X is not None or epoch % self.every:
            return None
        plan = net._built().plan
        if self._observer is None or self._plan is not plan:
            self._plan = plan
            self._observer, self._layers = _observer(plan, network_nodes(net))
        self._observer.clear()
        interval = max(1, (steps or MAX_INTERVAL) * rows // MIN_ROWS)
        self._observer.every = min(interval, MAX_INTERVAL, steps or MAX_INTERVAL)
        return self._observer

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Record the epoch, and warn of problems."""
        self._losses.append(logs["loss"])
        if len(self._losses) >= FIRST_EPOCHS:
            self._judge_targets(net)
        if epoch % self.every:
            return
        if self.X is not None:
            record = self._inspected(net, self.X)
        elif self._observer is None or self._observer.observations == 0:
            return
        else:
            record = self._observed(self._observer)
        self.records.append(record)
        if self._first is None or not _alike(self._first, record):
            self._first = record
        for kind, layer, text in _problems(self._first, record, self._losses):
            self._warn(epoch, kind, layer, text)

    def _warn(self, epoch: int, kind: str, layer: str | None, text: str) -> None:
        """Warn at the user's line, once in a fit for the same layer and problem."""
        if (kind, layer) not in self._warned:
            self._warned.add((kind, layer))
            message = f"epoch {epoch}: {layer + ': ' if layer else ''}{text}"
            warnings.warn(message, TrainingWarning, stacklevel=_user_level())

    def _judge_targets(self, net: Network) -> None:
        """Warn if the targets are not scaled and have not been learned."""
        if self._rows is None or not self._losses or not net.loss.scales:
            return
        X, y = self._rows
        weights = net._built()
        z = predict(weights.plan, weights.parameters, X[0] if isinstance(X, tuple) else X)
        found = None if z is None else unscaled_target(net, z, y)
        if found is not None:
            self._warn(net.epoch, "target", None, found.text)

    def _observed(self, observer: Observer) -> dict[str, LayerRecord]:
        """Statistics of the minibatches that the engine has shown to the observer."""
        sums, rows, batch = observer.sums(), observer.rows, observer.rows / observer.observations
        record = {}
        for layer in self._layers:
            active = observer.active(layer.out)
            found = _record(layer, sums[layer.out], active, rows)
            if layer.gradient is not None:  # the gradient of a minibatch's mean loss
                passed, _, _, squares, _ = sums[layer.gradient]
                found["gradient_norm"] = batch * math.sqrt(squares / rows)
                found["gradient_zero_fraction"] = 1 - passed / (rows * len(active))
            record[layer.name] = found
        return record

    def _inspected(self, net: Network, X: ArrayLike) -> dict[str, LayerRecord]:
        """Statistics of the rows of X."""
        nodes, values, rows = observed(net, X)
        record = {}
        for node in walk(nodes):
            statistics = values[node.out]
            active = statistics[ACTIVE] / rows
            sums = [*statistics[: SQUARES + 1].sum(axis=1).tolist(), np.count_nonzero(active)]
            record[node.name] = _record(_observed_layer(node), sums, active, rows)
        return record

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what belongs to a running fit."""
        return self.__dict__ | {"_observer": None, "_layers": [], "_plan": None, "_rows": None}


def _user_level() -> int:
    """The stack level, for a warning of the caller, of the first line outside this package."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and _is_inner(frame.f_globals.get("__name__", "")):
        frame, level = frame.f_back, level + 1
    return level


def _is_inner(module: str) -> bool:
    return module.startswith("relume.") or module == "contextlib"


class _ObservedLayer(NamedTuple):
    """A layer as the observer sees it, the same throughout a fit."""

    name: str
    out: int  # index of its outputs in the observer's sums
    gradient: int | None  # index of its gradient in the observer's sums
    rectifies: bool
    saturates: bool
    dense: bool


def _observed_layer(node: LayerNode, gradient: int | None = None) -> _ObservedLayer:
    return _ObservedLayer(
        node.name,
        node.out,
        gradient,
        is_rectifier(node.activation),
        saturates(node.activation),
        node.dense,
    )


def _observer(plan: Plan, nodes: list[LayerNode]) -> tuple[Observer, list[_ObservedLayer]]:
    """An observer of the outputs of all layers and of the gradients at their pre-activations."""
    bits = np.zeros(plan.n_ops + 1, np.uint8)
    for node in walk(nodes):
        bits[node.out] |= OBSERVE_VALUES
        bits[node.gradient] |= OBSERVE_GRADIENTS
    observer = Observer(plan, bits, all_bounds(nodes, len(bits)), slots=1)
    seen = observer.observed & OBSERVE_GRADIENTS
    return observer, [
        _observed_layer(node, len(bits) + node.gradient if seen[node.gradient] else None)
        for node in walk(nodes)
    ]


def _record(
    layer: _ObservedLayer, sums: Sequence[float], active: NDArray[np.float64], rows: int
) -> LayerRecord:
    """The statistics of a layer in an epoch, except those of the gradient."""
    units = len(active)
    n_active, clipped, total, squares, alive = sums
    n = rows * units
    return {
        "zero_fraction": 1 - n_active / n,
        "dead_fraction": 1 - alive / units if layer.rectifies else 0.0,
        "saturated_fraction": clipped / n if layer.saturates else 0.0,
        "mean": total / n,
        "std": math.sqrt(max(squares / n - (total / n) ** 2, 0.0)),
        "active": active,
        "dense": layer.dense,
    }


def _problems(
    first: dict[str, LayerRecord], record: dict[str, LayerRecord], losses: list[float]
) -> Iterator[tuple[str, str | None, str]]:
    """(kind, layer, text) of each problem of the latest record."""
    for name, layer in record.items():
        share = layer["dead_fraction"]
        if share >= DEAD or (share >= DIED and _died(first, record, name) >= DIED):
            yield "dead", name, f"{share:.0%} of its units are dead (0 on all observed rows)"
    yield from _gradient_problems(record)
    recent = losses[-PATIENCE - 1 :]
    if len(recent) > PATIENCE and min(recent) > 0:
        spread = max(recent) - min(recent)
        if spread < MIN_CHANGE * min(recent) and recent[-1] > 0.1 * losses[0]:
            yield (
                "stopped", None,
                f"the loss has stopped at {recent[-1]:.4g}: it changed by less than 0.1 % in "
                f"{PATIENCE} epochs",
            )  # fmt: skip


def _alike(first: dict[str, LayerRecord], record: dict[str, LayerRecord]) -> bool:
    """Whether two records are of layers of the same names and numbers of units."""
    return first.keys() == record.keys() and all(
        np.shape(first[name]["active"]) == np.shape(record[name]["active"]) for name in record
    )


def _died(first: dict[str, LayerRecord], record: dict[str, LayerRecord], name: str) -> float:
    """The share of a layer's units that are dead now but were active in the first record."""
    before, now = (each[name]["active"] for each in (first, record))
    return float(((before > 0) & (now == 0)).mean())


def _gradient_problems(record: dict[str, LayerRecord]) -> Iterator[tuple[str, str, str]]:
    norms = {
        name: layer["gradient_norm"]
        for name, layer in record.items()
        if layer["dense"] and "gradient_norm" in layer
    }
    if len(norms) < 2:
        return
    last = list(norms.values())[-1]
    for name, norm in norms.items():
        if 0 < norm < VANISHING * last:
            yield (
                "vanishing", name,
                f"its gradient vanishes: the norm is {norm:.2g}, but {last:.2g} in the last layer",
            )  # fmt: skip
        elif norm > EXPLODING * last > 0:
            yield (
                "exploding", name,
                f"its gradient explodes: the norm is {norm:.2g}, but {last:.2g} in the last layer",
            )  # fmt: skip
