"""Advice: each planted problem is found, healthy networks get none, and following it helps."""

import numpy as np
import pytest

from relume import diagnostics, nn
from tests.support.ill_networks import DIGITS, HEALTHY, ILL, changed, digits_net

SEEDS = [0, 1]


def kinds(report):
    return [advice.kind for advice in report.advice]


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("kind", ILL)
def test_planted_problem_is_named(kind, seed):
    report = diagnostics.inspect(*ILL[kind](seed))
    assert kind in kinds(report), str(report)


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_network_gets_no_advice(name, seed):
    net, X, y = HEALTHY[name](seed)
    for report in (diagnostics.inspect(net, X, y), diagnostics.inspect(net, X)):
        assert report.advice == [], str(report)
        assert report.to_dict()["advice"] == []


def brute_force_dead(net, X):
    """Units of each hidden layer that are 0 on all rows, computed with NumPy alone."""
    values = list(net.state_dict().values())
    dead = []
    for weight, bias in zip(values[:-2:2], values[1:-2:2], strict=True):
        X = np.maximum(X @ weight.T + bias, 0)
        dead.append(np.flatnonzero((X == 0).all(axis=0)).tolist())
    return dead


def test_dead_units_are_those_of_brute_force_and_the_advice_cures():
    X, y, X_test, y_test = DIGITS
    sick = digits_net(sizes=(256, 128), optimizer=nn.Adam(0.1), epochs=10, seed=0)
    report = diagnostics.inspect(sick, X, y)
    dead = [layer.dead_units for layer in report.layers[:-1]]
    assert dead == brute_force_dead(sick, X)
    assert sum(map(len, dead)) > 100
    advice = next(each for each in report.advice if each.kind == "dead_units")
    assert "the learning rate 0.1 is the likely cause: try 0.01" in advice.text
    # 30 epochs: after 15 at this rate the last epochs still differ by some per cent.
    cured = digits_net(
        sizes=(256, 128), optimizer=nn.Adam(advice.suggestion["lr"]), epochs=30, seed=0
    )
    assert cured.evaluate(X_test, y_test)["accuracy"] > 0.95
    cured = digits_net(
        advice.suggestion["activation"], sizes=(256, 128),
        optimizer=nn.Adam(advice.suggestion["lr"]), epochs=30, seed=0,
    )  # fmt: skip
    assert cured.evaluate(X_test, y_test)["accuracy"] > 0.95


@pytest.mark.parametrize(("share", "advised"), [(0.1, False), (0.25, True)])
def test_dead_units_matter_from_a_fifth_of_a_layer(share, advised):
    def kill(name, value):
        if name == "0.bias":
            value[: int(share * len(value))] = -50

    net = changed(digits_net("relu", sizes=(256,), epochs=3, seed=0), kill)
    report = diagnostics.inspect(net, DIGITS[0])
    assert len(report.layers[0].dead_units) >= int(share * 256)
    assert kinds(report) == (["dead_units"] if advised else [])
    if advised:
        assert report.advice[0].layer == "layer 1"
        assert "% of its units are dead" in report.advice[0].text


def test_constant_features_count_unless_they_are_zero():
    net, X, _ = ILL["constant_feature"](0)
    report = diagnostics.inspect(net, X)
    assert report.constant_features == [0, 20]  # and not those of the digits that are always 0
    assert kinds(report) == ["constant_feature"]


@pytest.mark.parametrize("shift", ["order", "subset", "rows", "values"])
def test_labels_that_do_not_fit(shift):
    X, y, X_test, y_test = DIGITS
    if shift == "values":
        net, X_test, y_test = HEALTHY["values"](0)
        y_test = y_test + 5
    elif shift == "subset":
        net = nn.Network([nn.Dense(64, activation="relu"), nn.Dense(10)], seed=0)
        net.fit(X[y < 5], y[y < 5], epochs=10)
    else:
        net = digits_net(seed=0)
        permuted = np.random.default_rng(0).permutation(10)[y_test]
        y_test = permuted if shift == "order" else np.roll(y_test, 1)
    assert kinds(diagnostics.inspect(net, X_test, y_test)) == ["label_shift"]
