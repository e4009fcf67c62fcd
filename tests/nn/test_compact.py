"""`Network.compact`: the same outputs from fewer units, beside what brute force finds."""

import numpy as np
import pytest
import scipy.sparse

from relume import nn
from tests.support import twin as plain

TOLERANCES = {"float64": 1e-12, "float32": 1e-5}


def built(layers, width=6, dtype="float64", **options):
    """A network of which many units are dead or constant on inputs between 0 and 1."""
    net = nn.Network(layers, loss="mse", seed=0, dtype=dtype, **options).build(width)
    rng = np.random.default_rng(1)
    state = net.state_dict()
    for name, value in state.items():
        if name.endswith("bias"):
            value[:] = rng.normal(-0.5, 1.5, len(value))
        elif name.endswith("weight") and value.ndim == 2:
            value[rng.random(len(value)) < 0.2] = 0  # units that are constant for all inputs
    net.load_state_dict(state)
    return net


def rows(n=50, dtype="float64"):
    return np.random.default_rng(2).random((n, 6)).astype(dtype)


def constant_units(net, X, end):
    """How many outputs of the layers before `end` are 0, and the same else, for all rows."""
    start = nn.Network(net.layers[:end], loss="mse", dtype=net.dtype)
    state = net.state_dict()
    start.load_state_dict({name: state[name] for name in start.build(6).state_dict()})
    z = start.forward(X)
    same = (z == z[0]).all(axis=0)
    return int((same & (z[0] == 0)).sum()), int((same & (z[0] != 0)).sum())


CASES = {
    "relu": lambda: [nn.Dense(40, "relu"), nn.Dense(30, "relu"), nn.Dense(3)],
    "threshold": lambda: [nn.Dense(40, nn.FATReLU(0.3)), nn.Dense(30, nn.Threshold(0.1, -0.5)),
                          nn.Dense(3)],
    "activation of its own": lambda: [nn.Dense(40), nn.ReLU(), nn.Dropout(0.3), nn.Dense(3)],
    "two sides": lambda: [nn.Dense(40, nn.Hardtanh()), nn.Dense(30, nn.ReLU6()), nn.Dense(3)],
    "slope a unit": lambda: [nn.Dense(40, "relu"), nn.PReLU(per_unit=True), nn.Dense(3)],
    "scale": lambda: [nn.Dense(40, "relu"), nn.Scale(), nn.Dense(30, "relu"), nn.Scale(),
                      nn.Scale(), nn.Dense(3)],
    "smooth": lambda: [nn.Dense(40, "sigmoid"), nn.Dense(3)],
    "standardized": lambda: [nn.Standardize(), nn.Dense(40, "relu"), nn.Dense(3)],
    "behind a norm": lambda: [nn.BatchNorm(), nn.Dense(40, "relu"), nn.Dense(3)],
    "behind a residual": lambda: [nn.Residual([nn.Dense(7)]), nn.Dense(40, "relu"), nn.Dense(3)],
}  # fmt: skip


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("make", CASES.values(), ids=CASES)
def test_same_outputs_of_fewer_units(make, dtype):
    net, X = built(make(), dtype=dtype), rows(dtype=dtype)
    before = net.state_dict()
    small, report = net.compact(X)
    plain.assert_close(small.forward(X), net.forward(X), TOLERANCES[dtype] * 10, "outputs")
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    dense = [i for i, layer in enumerate(net.layers) if isinstance(layer, nn.Dense)]
    kept = [each for each in report.layers if "Dense" in each.layer]
    for each, end in zip(kept, dense[1:], strict=False):
        assert (each.dead, each.constant) == constant_units(net, X, end), str(report)
    assert sum(each.dead + each.constant for each in report.layers) > 0
    sizes = [sum(v.size for v in n.state_dict().values()) for n in (net, small)]
    assert report.parameters == tuple(sizes) or "norm" in repr(net).lower()
    assert sizes[1] < sizes[0]
    assert [layer.units for layer in small.layers if isinstance(layer, nn.Dense)] == [
        each.left for each in kept
    ]


def test_a_second_time_nothing_is_left_to_remove():
    net, X = built(CASES["relu"]()), rows()
    small, _ = net.compact(X)
    again, report = small.compact(X)
    assert [each.dead + each.constant for each in report.layers] == [0, 0, 0]
    np.testing.assert_array_equal(again.forward(X), small.forward(X))
    assert report.same_for(X).all()


def test_for_which_inputs_the_outputs_are_the_same():
    net = built(CASES["relu"]())
    small, report = net.compact(rows())
    X = np.random.default_rng(3).normal(size=(400, 6))
    same = report.same_for(X)
    close = np.isclose(small.forward(X), net.forward(X), rtol=1e-9, atol=1e-9).all(axis=1)
    assert report.same_for(rows()).all()
    assert 0 < same.sum() < len(X)
    assert (same <= close).all()
    assert close[~same].mean() < 0.2  # elsewhere a unit that was removed would have said something


@pytest.mark.parametrize(
    ("layers", "expected"),
    {
        "residual": ([nn.Dense(9, "relu"), nn.Residual([nn.Dense(9, "relu")]), nn.Dense(3)],
                     ["a Residual follows", "Residual adds"]),
        "layer norm": ([nn.Dense(9, "relu"), nn.LayerNorm(), nn.Dense(3)], ["LayerNorm follows"]),
        "group norm": ([nn.Dense(9, "relu"), nn.GroupNorm(3), nn.Dense(3)],
                       ["GroupNorm follows"]),
        "batch norm": ([nn.Dense(9), nn.BatchNorm(), nn.ReLU(), nn.Dense(3)],
                       ["BatchNorm follows"]),
    }.values(),
)  # fmt: skip
def test_what_cannot_be_made_smaller_is_left_and_said(layers, expected):
    net, X = built(layers), rows()
    small, report = net.compact(X)
    np.testing.assert_array_equal(small.forward(X), net.forward(X))
    for text in expected:
        assert text in str(report)


def test_constant_units_stay_where_the_next_layer_has_no_bias():
    net, X = built([nn.Dense(40, "relu"), nn.Dense(3, use_bias=False)]), rows()
    dead, constant = constant_units(net, X, 1)
    small, report = net.compact(X)
    assert constant > 0
    assert report.layers[0].dead == dead
    assert report.layers[0].constant == 0
    assert "no bias" in str(report)
    plain.assert_close(small.forward(X), net.forward(X), 1e-12, "outputs")


def test_a_layer_of_dead_units_keeps_one():
    net = nn.Network([nn.Dense(5, "relu", bias_init=-99.0), nn.Dense(2)], loss="mse", seed=0)
    small, report = net.build(6).compact(rows())
    assert (report.layers[0].dead, report.layers[0].left) == (4, 1)
    np.testing.assert_array_equal(small.forward(rows()), net.forward(rows()))


def test_more_rows_than_are_read_at_a_time_and_sparse_ones():
    net = built(CASES["relu"](), dtype="float32")
    X = rows(9000, "float32") * (np.random.default_rng(4).random((9000, 6)) < 0.5)
    X[:8000] = 0
    small, report = net.compact(X)
    sparse, other = net.compact(scipy.sparse.csr_array(X))
    assert str(report) == str(other)
    np.testing.assert_array_equal(sparse.state_dict()["0.weight"], small.state_dict()["0.weight"])
    assert report.same_for(scipy.sparse.csr_array(X)).all()


def test_the_smaller_network_trains_saves_and_says_what_it_is(tmp_path):
    net, X = built(CASES["relu"](), optimizer=nn.Adam(0.01)), rows()
    y = net.predict(X) + 0.1
    net.fit(X, y, epochs=1)
    small, _ = net.compact(X)
    assert small.epoch == net.epoch
    assert small.optimizer == net.optimizer
    history = small.fit(X, y, epochs=20)
    assert history["loss"][-1] < history["loss"][0]
    small.save(tmp_path / "small")
    np.testing.assert_array_equal(nn.load(tmp_path / "small").forward(X), small.forward(X))


def test_bad_input():
    net = built(CASES["relu"]())
    plain.assert_raises(ValueError, [r"\bX\b", "empty"], lambda: net.compact(np.empty((0, 6))))
    plain.assert_raises(ValueError, [r"\bX\b"], lambda: net.compact(rows()[:, :3]))
    plain.assert_raises(ValueError, [r"\bX\b"], lambda: net.compact(np.full((3, 6), np.nan)))
    new = nn.Network([nn.Dense(3)])
    plain.assert_raises(RuntimeError, ["not built"], lambda: new.compact(rows()))
