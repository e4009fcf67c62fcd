"""Revive: a callback that gives dead units a new life while a network is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from relume import validation
from relume.engine.observer import FIGURES, WATCH_VALUES, Observer
from relume.nn.callbacks.callback import Callback
from relume.nn.optimizers.usual_rate import lower_rate, rate_excess
from relume.nn.units.layer_nodes import is_rectifier, network_nodes, walk
from relume.nn.units.revival import HOW, dormant, make_leaky, revivable, revive_units
from relume.nn.units.unit_statistics import observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike

    from relume.nn.network import Network

ACTIVE, SUM = FIGURES.index("active"), FIGURES.index("sum")


class Revive(Callback):
    """Give dead units new weights every few epochs, without a change of what the network computes.

    Parameters
    ----------
    every : int, default=1
        Epochs from one revival to the next: it is at epochs that this number divides.
    threshold : float, default=0.0
        A unit is revived if its mean output is at most this share of its layer's mean. 0 takes
        units that are 0 on all rows; above it, what dormant units still gave is lost.
    how : {"reinit", "bias", "leaky"}, default="reinit"
        What they get: new incoming weights, as at the beginning; a bias by which they are active
        on about half of the rows; or a slope of 0.01 below 0, by which the layer's activation
        becomes an `nn.PReLU` with a slope a unit. Their outgoing weights become 0, and the
        optimizer's state of all these weights is cleared.
    X : array_like of shape (n, n_features) or None, default=None
        Rows by which units are judged. None takes the minibatches of the epoch as they are
        trained on; ``how="bias"`` needs X.
    lr : float, "advised" or None, default=None
        A learning rate that the optimizer has from the first revival on; "advised" is what
        `relume.diagnostics.inspect` advises. None leaves it.
    layers : list of str or None, default=None
        Names of the layers, as in a report; None takes all hidden rectifiers.

    Attributes
    ----------
    revived : list of dict
        For each revival the units of each layer, by its name, and the ``"epoch"``.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said; when a fit begins, if a layer's structure forbids it: its
        output is normalized by `BatchNorm` or `LayerNorm`, or added to a shortcut by `Residual`.

    Notes
    -----
    After ``how="leaky"`` the layers are others, so that a snapshot taken before, as
    `EarlyStopping` takes one, cannot be restored.

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
            raise ValueError("X must be given for how='bias', which goes by pre-activations")
        self.X = X
        self.lr = lr if lr is None or lr == "advised" else validation.positive(lr, "lr")
        self.layers = layers
        self.revived: list[dict[str, Any]] = []
        self._observer: Any = None

    def on_fit_begin(self, net: Network) -> None:
        """See that the layers can be revived."""
        self.revived, self._observer, self._rate_set = [], None, False
        revivable(net, self.layers, self.how)

    def observer_for(self, net: Network, epoch: int, rows: int, steps: int | None) -> Any:
        """What looks at all minibatches of an epoch at whose end units are revived.

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
        self._observer = None
        if self.X is not None or epoch % self.every:
            return None
        plan = net._built().plan
        watched = np.zeros(plan.n_ops + 1, np.uint8)
        for layer in self._candidates(net):
            watched[layer.node.out] = WATCH_VALUES
        bounds = np.tile([-np.inf, np.inf], (len(watched), 1))
        self._observer = Observer(plan, watched, bounds, slots=1)
        return self._observer

    def on_epoch_end(self, net: Network, epoch: int, figures: dict[str, float]) -> None:
        """Revive what is dormant, if it is time."""
        if epoch % self.every or (self.X is None and self._observer is None):
            return
        if self.X is None:
            found = self._by_observer(net)
        else:
            found = dormant_units(net, self.X, self.threshold, self._candidates(net))
        done = apply(net, found, self.how, net._rng)
        if not done:
            return
        self.revived.append({"epoch": epoch, **done})
        if self.lr is not None and not self._rate_set:
            self._rate_set = True
            set_rate(net, self.lr)

    def _candidates(self, net):
        """The layers that still have a rectifier."""
        return revivable(net, None if self.layers is None else self._left(net), self.how)

    def _left(self, net):
        """Of the named layers those that are not leaky yet."""
        names = {each.name for each in walk(network_nodes(net)) if is_rectifier(each.activation)}
        return [name for name in self.layers or [] if name in names]

    def _by_observer(self, net):
        values, _ = self._observer.figures()
        return [
            (layer, dormant(values[layer.node.out][[ACTIVE, SUM]], self._observer.rows,
                            self.threshold), None)
            for layer in self._candidates(net)
        ]  # fmt: skip

    def __getstate__(self) -> dict[str, Any]:
        """Without what belongs to a running fit."""
        return self.__dict__ | {"_observer": None}


def dormant_units(net, X, threshold, layers):
    """(layer, units, mean pre-activations) of each of the layers, by rows of X."""
    _, values, rows = observed(net, X)
    return [
        (layer, dormant(values[layer.node.out][[ACTIVE, SUM]], rows, threshold),
         values[layer.node.pre][SUM] / rows)
        for layer in layers
    ]  # fmt: skip


def apply(net, found, how, rng):
    """Revive (layer, units, mean pre-activations); the units by the layers' names."""
    found = [each for each in found if len(each[1])]
    for layer, units, pre in found:
        revive_units(net, layer, units, how, rng, pre)
    if how == "leaky" and found:
        make_leaky(net, [(layer, units) for layer, units, _ in found])
    return {layer.node.name: units.tolist() for layer, units, _ in found}


def set_rate(net, lr):
    """Give the optimizer a lower rate: a number, or what is advised where its own is high."""
    if not hasattr(net.optimizer, "lr"):
        return
    if lr == "advised":
        if rate_excess(net) < 5:
            return
        lr = lower_rate(net)
    net.optimizer.lr = lr
