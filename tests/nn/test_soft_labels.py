"""Soft labels and label smoothing in binary cross entropy, and the metrics of soft labels."""

import numpy as np
import pytest

from relume import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3)).astype("float32")
SOFT = RNG.uniform(0, 1, 80)


def network(loss, outputs=1, **options):
    return nn.Network([nn.Dense(outputs)], loss=loss, **{"seed": 0} | options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("outputs", [1, 3])
def test_soft_labels(outputs, dtype):
    """The loss of torch.nn.BCEWithLogitsLoss, by its formula."""
    y = RNG.uniform(0, 1, (80, outputs))
    net = network("binary_cross_entropy", outputs, dtype=dtype)
    net.fit(X, y, epochs=2)
    z = net.forward(X).astype(np.float64)
    want = (y * np.logaddexp(0, -z) + (1 - y) * np.logaddexp(0, z)).mean()
    assert net.evaluate(X, y)["loss"] == pytest.approx(want, rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.1, 0.5, 1.0])
def test_smoothed_labels_are_soft_labels(smoothing):
    """The same as targets smoothed by hand, to the last bit of training."""
    y = (SOFT > 0.5).astype("float32")
    soft = (np.float32(1 - smoothing) * y + np.float32(smoothing) / 2).astype("float32")
    net = network(nn.BinaryCrossEntropy(label_smoothing=smoothing), dtype="float64")
    by_hand = network("binary_cross_entropy", dtype="float64")
    net.fit(X, y, epochs=3)
    by_hand.fit(X, soft, epochs=3)
    np.testing.assert_allclose(net.forward(X), by_hand.forward(X), rtol=1e-6)


def test_smoothing_means_as_in_cross_entropy():
    """Two logits, one of them 0, are one logit."""
    y = (SOFT > 0.5).astype(int)
    net = network(nn.BinaryCrossEntropy(label_smoothing=0.2), dtype="float64").build(3)
    two = network(nn.CrossEntropy(label_smoothing=0.2), 2, dtype="float64")
    state = net.state_dict()
    two.load_state_dict({name: np.concatenate([0 * v, v]) for name, v in state.items()})
    assert net.evaluate(X, y)["loss"] == pytest.approx(two.evaluate(X, y)["loss"], rel=1e-12)


def test_metrics_count_the_more_probable_label():
    metrics = ["accuracy", "f1", "balanced_accuracy", "log_loss"]
    net = network("binary_cross_entropy", metrics=metrics).build(3)
    hard = net.evaluate(X, SOFT > 0.5)
    soft = net.evaluate(X, SOFT)
    assert {name: soft[name] for name in metrics} == {name: hard[name] for name in metrics}
    assert soft["loss"] != hard["loss"]


@pytest.mark.parametrize("strange", [-0.01, 1.01, np.nan, np.inf])
def test_only_probabilities(strange):
    y = SOFT.copy()
    y[3] = strange
    with pytest.raises(
        ValueError, match=f"y must hold 0 and 1, or .* between them, got {strange}"
    ):
        network("binary_cross_entropy").fit(X, y)


@pytest.mark.parametrize("value", [-0.1, 1.1])
def test_bad_smoothing(value):
    with pytest.raises(ValueError, match="label_smoothing must be at least 0 and at most 1"):
        nn.BinaryCrossEntropy(label_smoothing=value)


def test_smoothing_is_kept_and_may_change(tmp_path):
    y = (SOFT > 0.5).astype(int)
    net = network(nn.BinaryCrossEntropy([2.0], label_smoothing=0.3))
    net.fit(X, y)
    net.save(tmp_path / "net")
    other = nn.load(tmp_path / "net")
    assert other.loss == net.loss
    net.loss.label_smoothing = 0.0
    other.loss = nn.BinaryCrossEntropy(2.0)
    net.fit(X, y)
    other.fit(X, y)
    np.testing.assert_array_equal(net.predict_proba(X), other.predict_proba(X))
