"""Revival by hand."""

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
    """Give the dead units of a network a new life, without a change of what it computes on X.

    Parameters
    ----------
    net : Network or estimator of relume
        Built, or fitted; it is changed in place.
    X : array_like of shape (n, n_features)
        Rows by which units are judged.
    threshold : float, default=0.0
        A unit is revived if its mean output is at most this share of its layer's mean. 0 takes
        units that are 0 on all rows of X, and the outputs for X keep their bits; above it, what
        dormant units still gave is lost.
    how : {"reinit", "bias", "leaky"}, default="reinit"
        New incoming weights; a bias by which a unit is active on about half of the rows; or a
        slope of 0.01 below 0, by which relu becomes an `nn.PReLU` with a slope a unit.
    lr : float, "advised" or None, default=None
        The optimizer's learning rate from now on; "advised" is what `inspect` advises.
    layers : list of str or None, default=None
        Names of the layers, as in a report; None takes all hidden rectifiers.
    seed : int, numpy.random.Generator or None, default=None
        Of new weights; None draws them from the network's own random state.

    Returns
    -------
    dict of str to list of int
        The units of each layer, by its name in a report. Their outgoing weights are 0 and the
        optimizer's state of all their weights is cleared.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said; if a layer's structure forbids it: its output is normalized
        by ``BatchNorm`` or ``LayerNorm``, or added to a shortcut by ``Residual``.

    See Also
    --------
    relume.nn.Revive : Does it in training.

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
        raise TypeError(f"net must be a relume.nn.Network or an estimator of relume, got {net!r}")
    validation.choice(how, "how", HOW)
    if how == "leaky" and network is not net:
        raise ValueError("how='leaky' changes layers, which an estimator has by its parameters")
    inspected_model_of(network)
    if lr is not None and lr != "advised":
        validation.positive(lr, "lr")
    rng = network._rng if seed is None else np.random.default_rng(seed)
    candidates = revivable(network, layers, how)
    found = dormant_units(network, X, validation.not_negative(threshold, "threshold"), candidates)
    done = apply(network, found, how, rng)
    if lr is not None:
        set_rate(network, lr)
    return done
