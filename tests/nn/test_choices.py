"""`Network.choices`: what was chosen by measured times, and these."""

import math

import numpy as np
import pytest

import relume
from relume import nn
from relume.sklearn import MLPClassifier
from tests.support import twin as plain


def trained(**options):
    """A network for rows of 50 numbers, half of which are 0, with a Dense in a Residual."""
    rng = np.random.default_rng(0)
    X = rng.random((512, 50), dtype="float32")
    X[:, ::2] = 0
    layers = [nn.Dense(40, "relu"), nn.Residual([nn.Dense(20, "relu"), nn.Dense(40)]), nn.Dense(3)]
    net = nn.Network(layers, seed=0, **options)
    net.fit(X, np.arange(512) % 3, epochs=2)
    for i in range(20):
        net.predict(X[i : i + 1])
    return net, X


def test_every_product_is_told_with_its_times():
    net, _ = trained()
    products = net.choices().products
    assert [(each.layer, each.product) for each in products] == [
        (layer, product)
        for layer in ("0", "2.layers.0", "2.layers.2", "3")
        for product in ("one row", "forward", "gradient")
    ]
    for each in products:
        assert 0 <= each.zeros <= 1
        assert 0 <= each.pays_from <= 1 + 1 / 20 or each.pays_from == math.inf
        assert each.skips == (each.zeros >= each.pays_from)
        assert 0 < each.dense_us < 1e5
        assert 0 < each.skipping_us < 1e5
        assert each.skips == (each.skipping_us <= each.dense_us) or math.isclose(
            each.skipping_us, each.dense_us, rel_tol=1e-9
        )
    assert products[0].zeros == products[1].zeros == 0.5


@pytest.mark.parametrize("sparse", ["never", "always"])
def test_what_is_given_is_not_chosen(sparse):
    assert trained(sparse=sparse)[0].choices().products == []


def test_threads_of_steps_and_predictions():
    with relume.num_threads(2):
        net, _ = trained()
        choices = net.choices()
        assert choices.step_threads in choices.step_us
        assert 1 in choices.step_us
        assert choices.prediction_us > 0
        assert choices.threads_from > 16
    with relume.num_threads(1):
        net, _ = trained()
        assert net.choices()[1:3] == (1, {})


def test_before_anything_was_timed():
    choices = nn.Network([nn.Dense(3)]).build(5).choices()
    assert choices[:3] == ([], 0, {})
    plain.assert_raises(
        RuntimeError, ["not built", "build"], lambda: nn.Network([nn.Dense(3)]).choices()
    )


def test_the_table_has_a_line_for_each_product():
    net, _ = trained()
    choices = net.choices()
    lines = str(choices).splitlines()
    assert len(lines) == 1 + len(choices.products) + 2
    for line, each in zip(lines[1:], choices.products, strict=False):
        assert line.startswith(f"{each.layer:<12} {each.product}")
        assert (" yes " in line) == each.skips
        assert ("never" in line) == (each.pays_from == math.inf)


def test_estimators_have_them_too():
    rng = np.random.default_rng(0)
    model = MLPClassifier((16,))
    for _ in range(10):
        model.partial_fit(rng.random((200, 5)), np.arange(200) % 2, classes=[0, 1])
    assert model.network_.choices().products
