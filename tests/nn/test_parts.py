"""Parts of a network: networks on the same weights, and the outputs of layers."""

import copy
import gc
import pickle

import numpy as np
import pytest
import scipy.sparse

from relume import nn

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 6)).astype("float32")
Y = RNG.normal(size=(60, 2)).astype("float32")


def layers():
    return [
        nn.Standardize(),
        nn.Dense(7, "relu"),
        nn.BatchNorm(),
        nn.Residual([nn.Dense(5, nn.PReLU()), nn.Dropout(0.5), nn.Dense(4)]),
        nn.LayerNorm(),
        nn.Dropout(0.2),
        nn.Dense(3, "tanh"),
        nn.Dense(2),
    ]


def network(dtype="float32", **options):
    net = nn.Network(layers(), loss="mse", dtype=dtype, **{"seed": 0, "metrics": ["r2"]} | options)
    net.fit(X, Y, epochs=2)
    return net


SPLITS = [(0, 2), (0, 4), (0, 8), (1, 2), (1, 8), (2, 4), (3, 7), (3, 8), (6, 7), (7, 8)]
by_split = pytest.mark.parametrize(("first", "last"), SPLITS)


# -- layer_outputs --------------------------------------------------------------------------------


def by_hand(net):
    """The outputs of all layers, by NumPy from the state."""
    s = {name: value.astype(np.float64) for name, value in net.state_dict().items()}
    h = [(X - s["0.mean"]) / s["0.scale"]]
    h.append(np.maximum(h[-1] @ s["1.weight"].T + s["1.bias"], 0))
    normal = (h[-1] - s["3.running_mean"]) / np.sqrt(s["3.running_var"] + 1e-5)
    h.append(normal * s["3.weight"] + s["3.bias"])
    inner = h[-1] @ s["4.layers.0.weight"].T + s["4.layers.0.bias"]
    inner = np.where(inner > 0, inner, s["4.layers.1.weight"] * inner)
    inside = [inner, inner, inner @ s["4.layers.3.weight"].T + s["4.layers.3.bias"]]
    h.append(inside[-1] + h[-1] @ s["4.projection.weight"].T)
    d = h[-1] - h[-1].mean(axis=1, keepdims=True)
    d /= np.sqrt(h[-1].var(axis=1, keepdims=True) + 1e-5)
    h.append(d * s["5.weight"] + s["5.bias"])
    h.append(h[-1])
    h.append(np.tanh(h[-1] @ s["7.weight"].T + s["7.bias"]))
    h.append(h[-1] @ s["9.weight"].T + s["9.bias"])
    return h, inside


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_outputs_of_every_layer(dtype):
    net = network(dtype)
    outer, inside = by_hand(net)
    tolerance = {"rtol": 1e-4, "atol": 1e-5} if dtype == "float32" else {"rtol": 1e-9}
    for i, want in enumerate(outer):
        for layer in (i, i - 8, np.int64(i), f"layer {i + 1}", net.layers[i]):
            found = net.layer_outputs(X, layer)
            assert found.dtype == dtype
            np.testing.assert_allclose(found, want, **tolerance)
    for k, want in enumerate(inside):
        for layer in (f"layer 4.{k + 1}", net.layers[3].layers[k]):
            np.testing.assert_allclose(net.layer_outputs(X, layer), want, **tolerance)
    np.testing.assert_array_equal(net.layer_outputs(X, -1), net.forward(X))


@pytest.mark.parametrize("first", [[], [nn.Standardize(with_mean=False)]], ids=["", "scaled"])
@pytest.mark.parametrize("rows", [1, 60, 10_000])
def test_outputs_for_sparse_and_mapped_rows(rows, first, tmp_path):
    dense = np.where(RNG.random((rows, 6)) < 0.5, 0, RNG.normal(size=(rows, 6)))
    net = nn.Network([*first, nn.Dense(4, "relu"), nn.Dense(2)], loss="mse", seed=0)
    net.fit(X, Y)
    sparse = scipy.sparse.csr_array(dense.astype("float32"))
    path = tmp_path / "rows.npy"
    np.save(path, dense)
    for layer in range(len(net.layers)):
        want = net.layer_outputs(dense, layer)
        for found in (net.layer_outputs(sparse, layer),
                      net.layer_outputs(np.load(path, mmap_mode="r"), layer)):  # fmt: skip
            np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (8, ValueError, "layer must be an index of the 8 layers, got 8"),
        (-9, ValueError, "layer must be an index of the 8 layers, got -9"),
        ("layer 9", ValueError, "layer must be one of layer 1, .*; got 'layer 9'"),
        (nn.Dense(2), ValueError, "which is no layer of this network"),
        (None, ValueError, "layer must be an index, a name"),
        (True, ValueError, "layer must be an index, a name"),
        (1.0, ValueError, "layer must be an index, a name"),
    ],
)
def test_wrong_layers(layer, error, message):
    with pytest.raises(error, match=message):
        network().layer_outputs(X, layer)


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
def test_no_rows(kind):
    net = nn.Network([nn.Dense(4, "relu"), nn.Dense(2)], loss="mse").build(6)
    assert net.layer_outputs(kind(X[:0]), 0).shape == (0, 4)


def test_wrong_rows():
    net = network()
    with pytest.raises(ValueError, match="X must have 6 features"):
        net.layer_outputs(X[:, :5], 1)
    with pytest.raises(ValueError, match="X must be finite"):
        net.layer_outputs(np.full((2, 6), np.nan), 1)
    with pytest.raises(RuntimeError, match="not built"):
        nn.Network(layers(), loss="mse").layer_outputs(X, 1)


def test_a_layer_that_stands_twice_needs_an_index():
    drop = nn.Dropout(0.5)
    net = nn.Network([nn.Dense(4), drop, nn.Dense(4), drop, nn.Dense(1)], loss="mse").build(6)
    with pytest.raises(ValueError, match="stands in it more than once"):
        net.layer_outputs(X, drop)
    assert net.layer_outputs(X, 3).shape == (60, 4)


# -- parts ----------------------------------------------------------------------------------------


def inputs_of(net, first):
    return X if first == 0 else net.layer_outputs(X, first - 1)


@by_split
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_part_computes_what_its_layers_compute(first, last, dtype):
    net = network(dtype)
    part = net.part(first, last)
    given = inputs_of(net, first)
    np.testing.assert_array_equal(part.forward(given), net.layer_outputs(X, last - 1))
    assert part.dtype == net.dtype
    assert part.loss == nn.MSE()
    assert [metric.name for metric in part.metrics] == (["r2"] if last == 8 else [])
    part.build(given.shape[1])
    with pytest.raises(ValueError, match="n_features must be"):
        part.build(given.shape[1] + 1)


@by_split
def test_each_sees_the_training_of_the_other(first, last):
    net = network()
    part = net.part(first, last)
    net.fit(X, Y, epochs=2)
    given = inputs_of(net, first)
    np.testing.assert_array_equal(part.forward(given), net.layer_outputs(X, last - 1))
    before = net.state_dict()
    part.fit(given, part.forward(given) + 1, epochs=2)
    np.testing.assert_array_equal(
        part.forward(inputs_of(net, first)), net.layer_outputs(X, last - 1)
    )
    names = set(part.state_dict())
    changed = {name for name, value in net.state_dict().items() if (value != before[name]).any()}
    assert changed
    assert len(changed) <= len(names)


def test_a_part_trains_as_a_network_of_its_own():
    """Its optimizer's state and steps are its own."""
    net = network()
    part, alone = net.part(1, 4), copy.copy(net.part(1, 4))
    net.fit(X, Y, epochs=1)  # moves net's moments, and the shared weights
    alone.load_state_dict(part.state_dict())
    given, targets = net.layer_outputs(X, 0), RNG.normal(size=(60, 4))
    for each in (part, alone):
        each._rng = np.random.default_rng(3)
        each.fit(given, targets, epochs=2)
    np.testing.assert_array_equal(part.predict(given), alone.predict(given))


def test_frozen_layers_are_frozen_in_both():
    net = network()
    part = net.part(1, 8)
    net.layers[1].trainable = False
    before = net.state_dict()["1.weight"]
    part.fit(inputs_of(net, 1), Y, epochs=2)
    net.fit(X, Y, epochs=2)
    np.testing.assert_array_equal(net.state_dict()["1.weight"], before)


def test_an_autoencoder():
    net = nn.Network([nn.Dense(2, "tanh"), nn.Dense(6)], loss="mse", seed=0)
    net.fit(X, X, epochs=3)
    encoder, decoder = net.part(0, 1), net.part(1)
    codes = encoder.predict(X)
    assert codes.shape == (60, 2)
    np.testing.assert_array_equal(decoder.predict(codes), net.predict(X))
    decoder.fit(codes, X, epochs=20)
    assert decoder.evaluate(codes, X) == net.evaluate(X, X)


def test_the_last_part_predicts_as_the_network():
    y = 1000 + 50 * Y[:, :1]
    net = nn.Network([nn.Dense(5, "relu"), nn.Dense(1)], loss="huber", scale_targets=True,
                     metrics=["mae"], seed=0)  # fmt: skip
    net.fit(X, y, epochs=3)
    head = net.part(1)
    hidden = net.layer_outputs(X, 0)
    np.testing.assert_array_equal(head.predict(hidden), net.predict(X))
    assert head.predict(hidden).shape == (60, 1)
    assert head.evaluate(hidden, y) == net.evaluate(X, y)
    assert net.part(0, 1).predict(X).dtype == np.float32


def test_saved_copied_and_pickled_parts_are_alone(tmp_path):
    net = network()
    part = net.part(1, 4)
    given = inputs_of(net, 1)
    part.save(tmp_path / "part")
    others = [nn.load(tmp_path / "part"), copy.copy(part), pickle.loads(pickle.dumps(part))]
    want = part.predict(given)
    net.fit(X, Y)
    for other in others:
        np.testing.assert_array_equal(other.predict(given), want)
        other.fit(given, want + 1)
    np.testing.assert_array_equal(part.forward(given), net.layer_outputs(X, 3))


@pytest.mark.parametrize("who", ["network", "part"])
def test_a_state_is_loaded_into_both(who):
    net = network()
    part = net.part(1, 8)
    state = {name: value * 2 for name, value in (net if who == "network" else part)
             .state_dict().items()}  # fmt: skip
    (net if who == "network" else part).load_state_dict(state)
    given = inputs_of(net, 1)
    np.testing.assert_array_equal(part.forward(given), net.forward(X))
    assert net.state_dict()["1.weight"] is not state.get("1.weight")


def test_each_outlives_the_other():
    net = network()
    given, want = inputs_of(net, 1), net.forward(X)
    part = net.part(1, 8)
    inner = part.part(0, 3)
    del net
    gc.collect()
    np.testing.assert_array_equal(part.forward(given), want)
    del part
    gc.collect()
    inner.fit(given, np.zeros((60, 4)), epochs=2)
    assert np.isfinite(inner.predict(given)).all()


def test_another_shape_ends_what_is_shared():
    """The part keeps the memory that it has."""
    net = nn.Network([nn.Dense(4, "relu"), nn.Dense(2)], loss="mse", seed=0).build(6)
    part = net.part(0, 1)
    want = part.predict(X)
    wider = nn.Network([nn.Dense(9, "relu"), nn.Dense(2)], loss="mse", seed=1).build(6)
    net.layers[0].units = 9  # the part's layer too, whose weights do not fit any more
    net.load_state_dict(wider.state_dict())
    net.fit(X, Y)
    with pytest.raises(ValueError, match="layers must keep the shapes"):
        part.predict(X)
    net.layers[0] = copy.copy(net.layers[0])
    part.layers[0].units = 4
    np.testing.assert_array_equal(part.predict(X), want)


@pytest.mark.parametrize("how", ["snapshot", "leaky", "layers", "callback"])
def test_whatever_happens_to_the_network_the_part_stays_sound(how):
    net = nn.Network([nn.Dense(8, "relu"), nn.Dense(2)], loss="mse", seed=0)
    before = net.snapshot()
    net.fit(X, Y)
    part = net.part(0, 1)
    state = net.state_dict()
    if how == "snapshot":
        net.restore(before)
        net.fit(X, Y, epochs=2)
    elif how == "leaky":
        net.load_state_dict(state | {"0.bias": np.full(8, -100.0)})
        net.fit(X, Y, epochs=2, callbacks=[nn.Revive(every=1, how="leaky")])
    elif how == "layers":
        net.layers = [nn.Dense(8, "tanh"), nn.Dense(2)]
        net.fit(X, Y, epochs=2)
    else:

        def change(net, epoch, logs):
            part.load_state_dict({name: value * 0.5 for name, value in part.state_dict().items()})
            part.fit(X, np.zeros((60, 8)))

        net.fit(X, Y, epochs=3, callbacks=[change])
    gc.collect()
    part.fit(X, np.zeros((60, 8)), epochs=2)
    assert np.isfinite(part.predict(X)).all()
    assert np.isfinite(net.predict(X)).all()


@pytest.mark.parametrize(
    ("first", "last", "error", "message"),
    [
        (0, 9, ValueError, "0 <= first < last <= 8, the number of layers; got 0 and 9"),
        (3, 3, ValueError, "got 3 and 3"),
        (-9, None, ValueError, "got -9 and 8"),
        (-2, 3, ValueError, "got -2 and 3"),
        (8, None, ValueError, "got 8 and 8"),
        (0.0, 2, TypeError, "first must be an index of layers, got 0.0"),
        (0, "2", TypeError, "last must be an index of layers, got '2'"),
        (True, 2, TypeError, "first must be an index of layers, got True"),
        (4, 6, ValueError, "the part must hold a layer that sets"),
    ],
)
def test_wrong_parts(first, last, error, message):
    with pytest.raises(error, match=message):
        network().part(first, last)


@pytest.mark.parametrize(("first", "last"), [(0, -1), (-3, None), (-7, -2), (2, -3)])
def test_indices_below_0_count_from_the_end(first, last):
    net = network()
    part = net.part(first, last)
    assert list(part.layers) == list(net.layers[first:last])
    expected = net.layer_outputs(X, -1 if last is None else last - 1)
    np.testing.assert_array_equal(part.forward(inputs_of(net, first)), expected)


def test_a_scale_of_targets_is_learned_before_parts_are_taken():
    """The part and the network would have had different scales for the same weights."""
    hidden, values = nn.Dense(5, "tanh"), X[:, 0] + 100
    net = nn.Network([hidden, nn.Dense(1)], loss="mse", scale_targets=True, seed=0).build(6)
    with pytest.raises(RuntimeError, match="scale_targets=True has not learned"):
        net.part(1)
    assert net.part(0, 1).predict(X).shape == (60, 5)
    net.load_state_dict(net.state_dict() | {"targets.mean": [7.0]})
    net.fit(X, values)
    head, state = net.part(1), net.state_dict()
    net.load_state_dict(state)
    net.fit(X, values)
    np.testing.assert_array_equal(head.predict(net.layer_outputs(X, 0)), net.predict(X))
    before = net.predict(X)
    with pytest.raises(ValueError, match=r"state must have the targets\.mean"):
        net.load_state_dict(state | {"targets.mean": [8.0]})
    np.testing.assert_array_equal(net.predict(X), before)


def test_what_is_not_there_yet():
    net = nn.Network(layers(), loss="mse", seed=0)
    with pytest.raises(RuntimeError, match="not built"):
        net.part(0, 2)
    net.build(6)
    with pytest.raises(RuntimeError, match=r"Standardize\(.*\) has not learned from data yet"):
        net.part(0, 2)
    assert net.part(1, 2).predict(X).shape == (60, 7)


def test_parts_of_a_derived_class_with_another_constructor():
    """Parts were made by the derived class's constructor, with arguments it does not take."""

    class Small(nn.Network):
        def __init__(self, units):
            super().__init__([nn.Dense(units, "relu"), nn.Dense(2)], seed=0)

    X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
    net = Small(4)
    net.fit(X, np.arange(20) % 2)
    assert (net.part(0).predict(X) == net.predict(X)).all()
    assert (net.part(0, 1).predict(X) == net.layer_outputs(X, 0)).all()
    assert (net.compact(X).network.predict(X) == net.predict(X)).all()
