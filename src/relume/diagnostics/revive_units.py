"""Reviving dead units outside of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from relume import validation
from relume.diagnostics.inspected_model import inspected_model_of
from relume.nn.callbacks.revive import apply, dormant_units, set_rate
from relume.nn.network import Network
from relume.nn.units.revival import HOW, revivable


def revive(
    net: Any,
    X: Any,
    *,
    threshold: float = 0.0,
    how: Literal["reinit", "bias", "leaky"] = "reinit",
    lr: float | Literal["advised"] | None = None,
    layers: Sequence[str] | None = None,
    seed: int | np.random.Generator | None = None,
) -> dict[str, list[int]]:
    """Revive the dead units of a network without changing what it computes on X.

    Parameters
    ----------
    net : Network or estimator of relume
        A built network or a fitted estimator. It is changed in place.
    X : array_like of shape (n, n_features)
        Rows on which to look for dead units.
    threshold : float, default=0.0
        A unit is revived if its mean output is at most this share of its layer's mean. With 0,
        these are the units that are 0 on all rows of X, and the outputs for X keep their bits.
        With a larger threshold, the outputs lose what dormant units contributed.
    how : {"reinit", "bias", "leaky"}, default="reinit"
        "reinit" draws new incoming weights. "bias" raises the bias so that the unit is active on
        about half of the rows. "leaky" gives the unit a slope of 0.01 below 0: relu becomes an
        `nn.PReLU` with one slope per unit.
    lr : float, "advised" or None, default=None
        New learning rate of the optimizer. "advised" takes the one that `inspect` advises; None
        keeps the present one.
    layers : list of str or None, default=None
        Names of the layers, as in a report; None means all hidden rectifiers.
    seed : int, numpy.random.Generator or None, default=None
        Seed for the new weights; None draws them from the network's own random state.

    Returns
    -------
    dict of str to list of int
        Indices of the revived units, by layer name. Each is active on some row of X. Their
        outgoing weights are 0, and the optimizer's state of all their weights is cleared.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid, or if a layer cannot be revived: its output is normalized by
        ``BatchNorm`` or ``LayerNorm``, or added to a shortcut by ``Residual``.

    See Also
    --------
    relume.nn.Revive : A callback that does this during training.

    References
    ----------
    G. Sokar et al., "The dormant neuron phenomenon in deep reinforcement learning", ICML 2023.

    Examples
    --------
    >>> import numpy as np
    >>> from relume import diagnostics, nn
    >>> net = nn.Network([nn.Dense(8, activation="relu"), nn.Dense(2)], seed=0).build(3)
    >>> state = net.state_dict()
    >>> state["0.bias"][2:4] = -100
    >>> net.load_state_dict(state)
    >>> X = np.random.default_rng(0).normal(size=(100, 3))
    >>> before = net.forward(X)
    >>> diagnostics.revive(net, X)
    {'layer 1': [2, 3]}
    >>> np.array_equal(net.forward(X), before)
    True
    """
    network = net if isinstance(net, Network) else getattr(net, "network_", None)
    if not isinstance(network, Network):
        raise TypeError(
            "net must be a relume.nn.Network or an estimator of relume, "
            f"got {validation.shown(net)}"
        )
    validation.choice(how, "how", HOW)
    if how == "leaky" and network is not net:
        raise ValueError(
            "how must be 'reinit' or 'bias' for an estimator, whose layers follow from its "
            "parameters; got 'leaky'"
        )
    inspected_model_of(network)
    if lr is not None and lr != "advised":
        validation.positive(lr, "lr")
    rng = network._rng if seed is None else np.random.default_rng(seed)
    candidates = revivable(network, layers, how)
    found = dormant_units(network, X, validation.not_negative(threshold, "threshold"), candidates)
    done = apply(network, found, how, rng, X)
    if lr is not None:
        set_rate(network, lr)
    return done
