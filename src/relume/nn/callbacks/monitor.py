"""Monitor: what units and gradients do, epoch by epoch, from what training computes."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from relume import validation
from relume.engine.observer import FIGURES, WATCH_GRADIENTS, WATCH_VALUES, Observer
from relume.nn.callbacks.callback import Callback
from relume.nn.layers.dense import Dense
from relume.nn.units.layer_nodes import all_bounds, is_rectifier, network_nodes, saturates, walk
from relume.nn.units.unit_statistics import observed

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from relume.nn.network import Network

ROWS = 256  # of an epoch that are looked at, at least, if it has so many,
LOOKS = 8  # but not more than one of so few minibatches: each costs a few per cent of one
DEAD, DIED = 0.4, 0.2  # of a layer's units that are dead; that were active in this fit before
VANISHING, EXPLODING = 1e-3, 1e3  # gradient norms of a layer over that of the last one
PATIENCE = 10  # epochs in which a loss that is not near 0 has not moved, so that it has stopped
STILL = 1e-3  # what it moved less than, relative to itself

ACTIVE, SQUARES = FIGURES.index("active"), FIGURES.index("squares")


class TrainingWarning(UserWarning):
    """What `Monitor` warns of: units die, gradients vanish or explode, the loss stops.

    Examples
    --------
    >>> from relume import nn
    >>> issubclass(nn.TrainingWarning, UserWarning)
    True
    """


class Monitor(Callback):
    """Record each epoch what the layers do, and warn where one falls ill.

    Parameters
    ----------
    X : array_like of shape (n, n_features) or None, default=None
        Rows to look at with `relume.diagnostics.inspect` after an epoch, at the cost of about two
        predictions. None takes what training computes anyway, of some of its minibatches: at least
        256 rows of an epoch if it has so many.
    every : int, default=1
        Epochs from one look to the next: it is at epochs that this number divides.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said.

    Warns
    -----
    TrainingWarning
        Once a fit for each layer and illness, naming the layer: where 20 % of its units have
        died in this fit or 40 % are dead, or its gradient is 1,000 times smaller or larger than
        that of the last layer; and where the loss has not moved for 10 epochs.

    See Also
    --------
    relume.diagnostics.inspect : The same of any rows, with advice.

    Notes
    -----
    What is recorded stands in the fit's history, as ``history.layers``, and in ``records``: for
    each epoch a dict of the layers by name, such as ``"layer 1"``, with ``"zero_fraction"``,
    ``"dead_fraction"``, ``"active"`` (an array: on which share of rows each unit was not 0),
    ``"saturated_fraction"``, ``"mean"``, ``"deviation"``, ``"gradient_norm"`` and
    ``"gradient_zero_fraction"``. A unit counts as dead in an epoch in which it was 0 on all rows
    looked at. Figures of training have the noise of `Dropout` in them.

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
        self.records: list[dict[str, dict[str, Any]]] = []
        self._warned: set[tuple[str, str | None]] = set()
        self._losses: list[float] = []
        self._observer: Any = None
        self._watched: list[_Watched] = []
        self._plan: Any = None

    def on_fit_begin(self, net: Network) -> None:
        """Forget the fit before."""
        self.records, self._warned, self._losses = [], set(), []
        self._observer = self._plan = None

    def observer_for(self, net: Network, epoch: int, rows: int, steps: int | None) -> Any:
        """What the engine lets look at the minibatches of an epoch; None where it is not its turn.

        Parameters
        ----------
        net : Network
        epoch : int
        rows : int
            Of a minibatch.
        steps : int or None
            How many minibatches an epoch has, if that is known.

        Returns
        -------
        observer : object or None
        """
        if self.X is not None or epoch % self.every:
            return None
        plan = net._built().plan
        if self._plan is not plan:
            self._plan = plan
            self._observer, self._watched = _observer(plan, network_nodes(net))
        self._observer.clear()
        least = max(1, (steps or LOOKS) * rows // ROWS)
        self._observer.every = min(least, LOOKS, steps or LOOKS)
        return self._observer

    def on_epoch_end(self, net: Network, epoch: int, figures: dict[str, float]) -> None:
        """Record the epoch, and warn."""
        self._losses.append(figures["loss"])
        if epoch % self.every:
            return
        if self.X is not None:
            record = self._inspected(net)
        elif self._observer is None or self._observer.looks == 0:
            return
        else:
            record = self._observed()
        self.records.append(record)
        for kind, layer, text in _illnesses(self.records, self._losses):
            if (kind, layer) not in self._warned:
                self._warned.add((kind, layer))
                message = f"epoch {epoch}: {layer + ': ' if layer else ''}{text}"
                warnings.warn(message, TrainingWarning, stacklevel=2)

    def _observed(self):
        """The figures of what the engine has shown."""
        observer = self._observer
        sums, rows, per_look = observer.sums(), observer.rows, observer.rows / observer.looks
        record = {}
        for layer in self._watched:
            active = observer.active(layer.out)
            found = _record(layer, sums[layer.out], active, rows)
            if layer.gradient is not None:  # of a minibatch's mean loss
                passed, _, _, squares, _ = sums[layer.gradient]
                found["gradient_norm"] = per_look * math.sqrt(squares / rows)
                found["gradient_zero_fraction"] = 1 - passed / (rows * len(active))
            record[layer.name] = found
        return record

    def _inspected(self, net):
        """The same, of the rows that were given."""
        places, values, rows = observed(net, self.X)
        record = {}
        for place in walk(places):
            figures = values[place.out]
            active = figures[ACTIVE] / rows
            sums = [*figures[: SQUARES + 1].sum(axis=1).tolist(), np.count_nonzero(active)]
            record[place.name] = _record(_watched(place), sums, active, rows)
        return record

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to a running fit."""
        return self.__dict__ | {"_observer": None, "_watched": [], "_plan": None}


class _Watched(NamedTuple):
    """What stays as it is of a layer throughout a fit."""

    name: str
    out: int  # its outputs in an observer's sums,
    gradient: int | None  # and its gradient
    rectifies: bool
    saturates: bool
    dense: bool


def _watched(place, gradient=None):
    return _Watched(
        place.name,
        place.out,
        gradient,
        is_rectifier(place.activation),
        saturates(place.activation),
        isinstance(place.layer, Dense),
    )


def _observer(plan, places):
    """One that watches what layers give, and the gradients by their pre-activations."""
    bits = np.zeros(plan.n_ops + 1, np.uint8)
    for place in walk(places):
        bits[place.out] |= WATCH_VALUES
        bits[place.gradient] |= WATCH_GRADIENTS
    observer = Observer(plan, bits, all_bounds(places, len(bits)), slots=1)
    seen = observer.watching & WATCH_GRADIENTS
    return observer, [
        _watched(place, len(bits) + place.gradient if seen[place.gradient] else None)
        for place in walk(places)
    ]


def _record(layer, sums, active, rows):
    """The figures of a layer in an epoch, but for the gradient's."""
    units = len(active)
    n_active, clipped, total, squares, alive = sums
    n = rows * units
    return {
        "zero_fraction": 1 - n_active / n,
        "dead_fraction": 1 - alive / units if layer.rectifies else 0.0,
        "saturated_fraction": clipped / n if layer.saturates else 0.0,
        "mean": total / n,
        "deviation": math.sqrt(max(squares / n - (total / n) ** 2, 0.0)),
        "active": active,
        "dense": layer.dense,
    }


def _illnesses(records, losses):
    """(kind, layer, text) of each that is found."""
    record = records[-1]
    for name, layer in record.items():
        share = layer["dead_fraction"]
        if share >= DEAD or (share >= DIED and _died(records, name) >= DIED):
            yield "dead", name, f"{share:.0%} of its units are dead: 0 on all rows looked at"
    yield from _gradient_illnesses(record)
    recent = losses[-PATIENCE - 1 :]
    if len(recent) > PATIENCE and min(recent) > 0:
        spread = max(recent) - min(recent)
        if spread < STILL * min(recent) and recent[-1] > 0.1 * losses[0]:
            yield "stopped", None, f"the loss has stopped at {recent[-1]:.4g}"


def _died(records, name):
    """The share of a layer's units that are dead now and were active in the first epoch seen."""
    first, now = (each[name]["active"] for each in (records[0], records[-1]))
    return float(((first > 0) & (now == 0)).mean())


def _gradient_illnesses(record):
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
                "vanishing",
                name,
                (f"its gradient vanishes: a norm of {norm:.2g}, of {last:.2g} in the last layer"),
            )
        elif norm > EXPLODING * last > 0:
            yield (
                "exploding",
                name,
                (f"its gradient explodes: a norm of {norm:.2g}, of {last:.2g} in the last layer"),
            )
