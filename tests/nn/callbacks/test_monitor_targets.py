"""Targets that are far from 0 or of large spread: Monitor and inspect say so, by the loss."""

import warnings

import numpy as np
import pytest

from relume import diagnostics, nn
from relume.nn.callbacks.monitor import TrainingWarning

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 4)).astype("float32")
SIGNAL = X[:, 0] + 0.1 * RNG.normal(size=500).astype("float32")
LOSSES = ["mse", "mae", "huber", nn.Quantile(0.9)]


def network(loss="mse", outputs=1, activation=None, **options):
    layers = [nn.Dense(32, "relu"), nn.Dense(outputs, activation)]
    return nn.Network(layers, loss=loss, **{"seed": 0} | options)


def warned(net, y, X=X, monitor=None, **options):
    """Whether a fit warned of the target."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        net.fit(X, y, callbacks=[monitor or nn.Monitor()], **options)
    found = [each for each in caught if "target is not scaled" in str(each.message)]
    assert len(found) <= 1
    assert all(each.filename == __file__ for each in found)
    assert all(each.category is TrainingWarning for each in found)
    return bool(found)


def advised(net, y, X=X):
    return "unscaled_target" in [each.kind for each in diagnostics.inspect(net, X, y).advice]


TARGETS = {
    "far": SIGNAL + 100,
    "far below": SIGNAL - 3000,
    "far and narrow": SIGNAL / 100 + 5,
    "large": SIGNAL * 1e4,
    "small": SIGNAL * 1e-4,
    "Unix time": SIGNAL.astype(float) * 1e4 + 1.7e9,
    "constant": np.full(500, 1e3),
}


@pytest.mark.parametrize("y", TARGETS.values(), ids=TARGETS)
@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_targets_that_are_not_scaled(loss, y):
    net = network(loss)
    assert advised(net.build(4), y)
    assert warned(net, y, epochs=4)
    assert advised(net, y)
    scaled = network(loss, scale_targets=True)
    assert not advised(scaled.build(4), y)
    assert not warned(scaled, y, epochs=4)
    assert not advised(scaled, y)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
@pytest.mark.parametrize("y", [SIGNAL, RNG.random(500), (SIGNAL > 1) * 1.0, RNG.normal(size=500)])
def test_scaled_targets_are_no_cause(loss, y):
    net = network(loss)
    assert not advised(net.build(4), y)
    assert not warned(net, y, epochs=4)
    assert not advised(net, y)


@pytest.mark.parametrize("loss", [*LOSSES, nn.Quantile(0.99)], ids=str)
@pytest.mark.parametrize("y", [SIGNAL * 5 + 40, RNG.normal(size=500) * 5 + 40],
                         ids=["signal", "noise"])  # fmt: skip
def test_a_target_that_was_learned_is_no_cause(loss, y):
    """Noise far from 0 cannot be learned but for its level."""
    net = network(loss, optimizer=nn.Adam(0.03))
    net.fit(X, y, epochs=40)
    assert not advised(net, y)
    assert not warned(net, y, epochs=4)


@pytest.mark.parametrize("loss", ["poisson", "cross_entropy", "binary_cross_entropy"])
def test_other_losses_have_no_scale(loss):
    y = {"poisson": 1000 + (X[:, 0] > 0)}.get(loss, (X[:, 0] > 0).astype(int))
    net = network(loss, 2 if loss == "cross_entropy" else 1)
    assert not advised(net.build(4), y)
    assert not warned(net, y, epochs=3)


def test_the_output_is_named():
    y = np.column_stack([SIGNAL, SIGNAL, SIGNAL + 500])
    (advice,) = [
        each
        for each in diagnostics.inspect(network(outputs=3).build(4), X, y).advice
        if each.kind == "unscaled_target"
    ]
    assert "output 2 has the mean 500" in advice.text
    assert advice.suggestion == {"scale_targets": True}


def test_an_output_among_larger_ones_is_judged_alone():
    """Its loss would not show in the mean over outputs."""
    y = np.column_stack([SIGNAL * 8, SIGNAL * 8, SIGNAL * 1e-3 + 2])
    net = network(outputs=3, optimizer=nn.Adam(0.01))
    net.fit(X, y, epochs=40)
    assert advised(net, y)


def test_targets_beyond_what_the_last_activation_reaches():
    y = SIGNAL + 3
    assert advised(network(activation="sigmoid").build(4), y)
    assert not advised(network(activation="sigmoid").build(4), 1 / (1 + np.exp(-SIGNAL)))


@pytest.mark.parametrize("kind", ["sparse", "iterable", "weights", "lbfgs", "short", "rows"])
def test_however_the_data_comes(kind):
    import scipy.sparse

    y = SIGNAL + 1000
    net, options = network(), {"epochs": 4}
    if kind == "sparse":
        assert warned(net, y, scipy.sparse.csr_array(X), **options)
    elif kind == "iterable":
        batches = [(X[i : i + 50], y[i : i + 50]) for i in range(0, 500, 50)]
        assert warned(net, None, batches, **options)
    elif kind == "weights":
        mixed = np.where(np.arange(500) < 250, y, SIGNAL)
        assert not warned(network(), mixed, sample_weight=(np.arange(500) >= 250) * 1.0)
        assert warned(net, mixed, sample_weight=(np.arange(500) < 250) * 1.0, **options)
    elif kind == "lbfgs":
        assert warned(network(optimizer=nn.LBFGS(max_iter=1)), y * 1e5)
    elif kind == "short":
        assert warned(net, y, epochs=1)
    else:
        assert warned(net, y, monitor=nn.Monitor(X[:50], every=2), **options)


def test_estimators_warn_too():
    from relume.sklearn import MLPRegressor

    mlp = MLPRegressor(
        hidden_layer_sizes=[16], max_iter=4, tol=1e-9, random_state=0, callbacks=[nn.Monitor()]
    )
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        mlp.fit(X, SIGNAL + 1000)
    assert any("target is not scaled" in str(each.message) for each in caught)
