"""Revive: a callback that revives dead units during training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from relume import validation
from relume.engine.observer import OBSERVE_VALUES, STATISTICS, Observer
from relume.nn.callbacks.callback import Callback
from relume.nn.optimizers.usual_rate import lower_rate, rate_excess
from relume.nn.units.layer_nodes import is_rectifier, network_nodes, walk
from relume.nn.units.revival import (
    HOW,
    Dormant,
    Revivable,
    dormant,
    make_leaky,
    revivable,
    revive_units,
    wake,
)
from relume.nn.units.unit_statistics import observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from relume.nn.network import Network

ACTIVE, SUM = STATISTICS.index("active"), STATISTICS.index("sum")
MAX = STATISTICS.index("max")

ATTEMPTS = 12  # to make a revived unit active; each but the first doubles its pre-activation


class Revive(Callback):
    """Revive dead units every few epochs without changing what the network computes.

    Parameters
    ----------
    every : int, default=1
        Revive after epochs whose number is a multiple of this.
    threshold : float, default=0.0
        A unit is revived if its mean output is at most this share of its layer's mean. With 0,
        these are the units that are 0 on all rows. A larger threshold also revives units that
        contribute a little, and the outputs of the network then change by that.
    how : {"reinit", "bias", "leaky"}, default="reinit"
        "reinit" draws new initial weights into the unit. "bias" raises the bias so that the unit
        is active on about half of the rows. "leaky" gives the unit a slope of 0.01 below 0: the
        activation becomes an `nn.PReLU` with one slope per unit. In each case the outgoing
        weights become 0, and the optimizer's state of the unit's weights is cleared.
    X : array_like of shape (n, n_features) or None, default=None
        Rows on which to look for dead units. None looks at the minibatches of the epoch, while
        they are trained on. ``how="bias"`` needs X.
    lr : float, "advised" or None, default=None
        Learning rate of the optimizer after the first revival. "advised" uses the one that
        `relume.diagnostics.inspect` advises; None leaves the learning rate unchanged.
    layers : list of str or None, default=None
        Names of the layers, such as ``"layer 1"``, as `relume.diagnostics.inspect` reports them.
        None means all hidden layers whose activation is a rectifier.

    Attributes
    ----------
    revived : list of dict
        One dict per revival: the indices of the revived units by layer name, and the ``"epoch"``.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid. When a fit begins: if a layer cannot be revived because its
        output is normalized by `BatchNorm` or `LayerNorm`, or added to a shortcut by `Residual`.

    Notes
    -----
    ``how="leaky"`` changes the layers. A snapshot that was taken before, for example by
    `EarlyStopping`, can then no longer be restored.

    References
    ----------
    G. Sokar et al., "The dormant neuron phenomenon in deep reinforcement learning", ICML 2023.

    Examples
    --------
    >>> from relume import datasets, nn
    >>> X, y = datasets.load_digits(return_X_y=True)
    >>> net = nn.Network([nn.Dense(64, activation="relu"), nn.Dense(10)], seed=0,
    ...                  optimizer=nn.Adam(0.3))
    >>> revive = nn.Revive(every=2, lr="advised")
    >>> history = net.fit(X / 16, y, epochs=20, callbacks=[revive])
    >>> len(revive.revived) > 0, net.evaluate(X / 16, y)["accuracy"] > 0.95
    (True, True)
    """

    def __init__(
        self,
        every: int = 1,
        threshold: float = 0.0,
        how: Literal["reinit", "bias", "leaky"] = "reinit",
        X: ArrayLike | None = None,
        lr: float | Literal["advised"] | None = None,
        layers: Sequence[str] | None = None,
    ) -> None:
        self.every: int = validation.integer(every, "every")
        self.threshold: float = validation.not_negative(threshold, "threshold")
        self.how: str = validation.choice(how, "how", HOW)
        if how == "bias" and X is None:
            raise ValueError(
                "X must be given for how='bias', which needs mean pre-activations; got None"
            )
        self.X = X
        self.lr = lr if lr is None or lr == "advised" else validation.positive(lr, "lr")
        self.layers = layers
        self.revived: list[dict[str, Any]] = []
        self._observer: Observer | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the revivals so far.

        Returns
        -------
        state : dict of str to object
        """
        return {"revived": self.revived}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a saved state.

        Parameters
        ----------
        state : dict of str to object
            What `state_dict` returned.
        """
        revived = state.get("revived")
        if not isinstance(revived, list) or not all(
            isinstance(each, dict) and isinstance(each.get("epoch"), int) for each in revived
        ):
            raise TypeError("state must have revived, a list of dicts with an epoch")
        self.revived = list(revived)

    def on_fit_begin(self, net: Network) -> None:
        """Check that the layers can be revived."""
        self.revived, self._observer = [], None
        revivable(net, self.layers, self.how)

    def on_epoch_begin(self, net: Network, epoch: int) -> None:
        """Forget revivals of epochs that the network was taken back from."""
        if self.revived and self.revived[-1]["epoch"] >= epoch:
            self.revived = [each for each in self.revived if each["epoch"] < epoch]

    def observer_for(
        self, net: Network, epoch: int, rows: int, steps: int | None
    ) -> Observer | None:
        """Return the observer of an epoch's minibatches; None if no units are revived after it.

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
        self._observer = None
        if self.X is not None or epoch % self.every:
            return None
        plan = net._built().plan
        bits = np.zeros(plan.n_ops + 1, np.uint8)
        for layer in self._candidates(net):
            bits[[layer.node.out, layer.incoming]] = OBSERVE_VALUES
        bounds = np.tile([-np.inf, np.inf], (len(bits), 1))
        self._observer = Observer(plan, bits, bounds, slots=1)
        return self._observer

    def on_epoch_end(self, net: Network, epoch: int, logs: dict[str, float]) -> None:
        """Revive dormant units, if the epoch is due."""
        if epoch % self.every:
            return
        if self.X is not None:
            found = dormant_units(net, self.X, self.threshold, self._candidates(net))
        elif self._observer is not None:
            found = self._by_observer(net, self._observer)
        else:
            return
        done = apply(net, found, self.how, net._rng, self.X)
        if not done:
            return
        if self.lr is not None and not self.revived:
            set_rate(net, self.lr)
        self.revived.append({"epoch": epoch, **done})

    def _candidates(self, net):
        """The layers to revive that still have a rectifier."""
        return revivable(net, None if self.layers is None else self._remaining(net), self.how)

    def _remaining(self, net):
        """Those of the named layers that are not leaky yet."""
        names = {each.name for each in walk(network_nodes(net)) if is_rectifier(each.activation)}
        return [name for name in self.layers or [] if name in names]

    def _by_observer(self, net: Network, observer: Observer) -> list[Dormant]:
        """The dormant units according to the epoch's minibatches."""
        values, _ = observer.statistics()
        return [
            Dormant(
                layer,
                dormant(values[layer.node.out][[ACTIVE, SUM]], observer.rows, self.threshold),
                inputs=values[layer.incoming][SUM] / observer.rows,
            )
            for layer in self._candidates(net)
        ]

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without what belongs to a running fit."""
        return self.__dict__ | {"_observer": None}


def dormant_units(
    net: Network, X: ArrayLike, threshold: float, layers: Sequence[Revivable]
) -> list[Dormant]:
    """The dormant units of each layer on the rows of X."""
    _, values, rows = observed(net, X)
    return [
        Dormant(
            layer,
            dormant(values[layer.node.out][[ACTIVE, SUM]], rows, threshold),
            pre=values[layer.node.pre][SUM] / rows,
        )
        for layer in layers
    ]


def apply(
    net: Network,
    found: list[Dormant],
    how: str,
    rng: np.random.Generator,
    X: ArrayLike | None = None,
) -> dict[str, list[int]]:
    """Revive dormant units; return their indices by layer name.

    With X, each of them is active on some row of X afterwards. One that cannot be, because its
    inputs are 0 on all rows and it has no bias, is not among those returned.
    """
    found = [each for each in found if len(each.units)]
    for each in found:
        revive_units(net, each, how, rng)
    if how == "leaky" and found:
        make_leaky(net, [(each.layer, each.units) for each in found])
    if X is not None and found:
        for attempt in range(ATTEMPTS):
            dead, values = _still_dead(net, X, found)
            if not any(map(len, dead)):
                break
            for each, units in zip(found, dead, strict=True):
                wake(net, each.layer, units, values[each.layer.node.pre][MAX][units], attempt)
        else:
            dead, _ = _still_dead(net, X, found)
            for each, units in zip(found, dead, strict=True):
                each.units = np.setdiff1d(each.units, units)
    return {each.layer.node.name: each.units.tolist() for each in found if len(each.units)}


def _still_dead(net, X, found):
    """Those units of each layer that are 0 on all rows of X, and the statistics of all nodes."""
    _, values, _ = observed(net, X)
    dead = [each.units[values[each.layer.node.out][ACTIVE][each.units] == 0] for each in found]
    return dead, values


def set_rate(net: Network, lr: float | Literal["advised"]) -> None:
    """Set the learning rate; "advised" lowers it only if it is high."""
    if not hasattr(net.optimizer, "lr"):
        return
    if lr == "advised":
        if rate_excess(net) < 5:
            return
        lr = lower_rate(net)
    net.optimizer.lr = lr
