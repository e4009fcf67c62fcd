"""What a network is: its initial weights, its parameters by name, its copies and pickles."""

import copy
import pickle

import numpy as np
import pytest

from relume import nn
from tests.support import twin as plain

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(**options):
    layers = [nn.Dense(12, activation="relu"), nn.Dense(7, activation="tanh"), nn.Dense(3)]
    return nn.Network(layers, optimizer=nn.Adam(0.01), **{"seed": 0} | options)


# -- Initial weights --


@by_dtype
@pytest.mark.parametrize("case", [*plain.CASES, None], ids=plain.case_id)
def test_initial_weights(case, dtype):
    """Normal with the standard deviation of He, Glorot or LeCun; 60,000 of them err by 0.3 %."""
    layers = [nn.Dense(300, activation=case and plain.activation(case)), nn.Dense(100)]
    state = nn.Network(layers, seed=0, dtype=dtype).build(200).state_dict()
    second = "1.weight" if case is None else "2.weight"
    expected = {
        "0.weight": plain.initial_std(case, 200, 300),
        second: plain.initial_std(None, 300, 100),
    }
    for key, std in expected.items():
        w = state[key].astype("float64")
        assert w.std() == pytest.approx(std, rel=0.02), key
        assert abs(w.mean()) < 5 * std / np.sqrt(w.size), key
        # Of a normal distribution; 1.8 of a uniform one.
        assert np.mean((w / std) ** 4) == pytest.approx(3, rel=0.1), key
        assert 3 < np.abs(w).max() / std < 6, key
        assert len(np.unique(w)) > 0.9 * w.size, key
    biases = [value for key, value in state.items() if "bias" in key]
    assert len(biases) == 2
    assert not any(b.any() for b in biases)
    assert {value.dtype for value in state.values()} == {np.dtype(dtype)}


def test_float32_and_float64_start_from_the_same_weights():
    single = network(dtype="float32").build(9).state_dict()
    double = network(dtype="float64").build(9).state_dict()
    for key, value in double.items():
        np.testing.assert_allclose(single[key], value, rtol=2**-23, err_msg=key)


def test_build_is_what_fit_does_first():
    X, y = plain.data(70, 9, 3)
    built, not_built = network().build(9), network()
    plain.assert_same_bits(built, network().build(9).build(9), "built twice")
    built.fit(X, y)
    not_built.fit(X, y)
    plain.assert_same_bits(built, not_built)


# -- state_dict --


@pytest.mark.parametrize(
    ("activations", "keys"),
    [
        ([None], ["0"]),
        ([None, None], ["0", "1"]),
        (["relu", None], ["0", "2"]),
        (["relu", "linear", "tanh", None], ["0", "2", "3", "5"]),
        ([None, nn.LeakyReLU(0.1), None], ["0", "1", "3"]),
    ],
)
def test_state_has_torchs_keys_and_shapes(activations, keys):
    widths = [5, 4, 3, 2][: len(activations)]
    layers = [nn.Dense(w, activation=a) for w, a in zip(widths, activations, strict=True)]
    state = nn.Network(layers, seed=0).build(6).state_dict()
    shapes = {}
    for key, n_in, n_out in zip(keys, [6, *widths], widths, strict=False):
        shapes |= {f"{key}.weight": (n_out, n_in), f"{key}.bias": (n_out,)}
    assert {key: value.shape for key, value in state.items()} == shapes
    assert list(state) == list(shapes)
    assert all(type(value) is np.ndarray for value in state.values())


def test_state_holds_copies():
    X, y = plain.data(70, 9, 3)
    net = network().build(9)
    before, z = plain.bits(net), net.forward(X)
    state = net.state_dict()
    kept = copy.deepcopy(state)
    for value in state.values():
        value += 1
    assert plain.bits(net) == before
    np.testing.assert_array_equal(net.forward(X), z)
    net.load_state_dict(kept)
    for value in kept.values():
        value += 1
    assert plain.bits(net) == before
    state = net.state_dict()
    net.fit(X, y)
    assert {key: value.tobytes() for key, value in state.items()} == before


def test_gradients_are_copies():
    X, _ = plain.data(70, 9, 3)
    net, other = network().build(9), network().build(9)
    for n in (net, other):
        n.backward(n.forward(X, training=True))
    for value in net.gradients().values():
        value += 1
    net.step()
    other.step()
    plain.assert_same_bits(net, other)


@by_dtype
def test_load_state_dict(dtype):
    """Also where dtype, order of keys or layout differ; the optimizer starts afresh."""
    X, y = plain.data(70, 9, 3)
    source = network(seed=1, dtype=dtype)
    source.fit(X, y, epochs=2)
    state = source.state_dict()
    forms = {
        "as it is": state,
        "float64": {key: value.astype("float64") for key, value in state.items()},
        "lists": {key: value.tolist() for key, value in state.items()},
        "F-order": {key: np.asfortranarray(value) for key, value in state.items()},
        "reversed": dict(reversed(state.items())),
    }
    for form, given in forms.items():
        net = network(dtype=dtype)
        net.fit(X, y, shuffle=False)
        net.load_state_dict(given)
        plain.assert_same_bits(net, source, form)
        np.testing.assert_array_equal(net.forward(X), source.forward(X))
        fresh = network(dtype=dtype).build(9)
        fresh.load_state_dict(given)
        for n in (net, fresh):
            n.fit(X, y, shuffle=False)
        plain.assert_same_bits(net, fresh, f"optimizer after {form}")


def test_loading_the_own_state_keeps_the_bits():
    net = network()
    net.fit(*plain.data(70, 9, 3))
    before = plain.bits(net)
    net.load_state_dict(net.state_dict())
    assert plain.bits(net) == before


BAD_STATES = {
    "no keys": (lambda s: s.clear(), ValueError, ["0.weight"]),
    "one key less": (lambda s: s.pop("2.bias"), ValueError, ["2.bias"]),
    "two keys less": (lambda s: (s.pop("4.bias"), s.pop("2.bias")), ValueError, ["2.bias"]),
    "one key more": (lambda s: s.update({"5.weight": np.ones(3)}), ValueError, ["5.weight"]),
    "turned": (
        lambda s: s.update({"2.weight": s["2.weight"].T}),
        ValueError,
        [r"2\.weight", r"\(7, 12\)", r"\(12, 7\)"],
    ),
    "first of two shapes": (
        lambda s: s.update({"4.bias": np.ones(4), "0.bias": np.ones((12, 1))}),
        ValueError,
        [r"0\.bias", r"\(12,\)", r"\(12, 1\)"],
    ),
    "scalar": (lambda s: s.update({"4.bias": 1.0}), ValueError, [r"4\.bias", r"\(3,\)", r"\(\)"]),
    "strings": (
        lambda s: s.update({"4.bias": np.array(["a", "b", "c"])}),
        (TypeError, ValueError),
        [r"4\.bias"],
    ),
    "nan": (
        lambda s: s.update({"4.bias": [0.0, np.nan, 0.0]}),
        ValueError,
        [r"4\.bias", "finite"],
    ),
    "over float32": (
        lambda s: s.update({"4.bias": [0.0, 1e300, 0.0]}),
        ValueError,
        [r"4\.bias", "finite"],
    ),
    "complex": (
        lambda s: s.update({"4.bias": np.ones(3, "complex64")}),
        (TypeError, ValueError),
        [r"4\.bias", "complex64"],
    ),
}


@pytest.mark.parametrize(("change", "error", "words"), BAD_STATES.values(), ids=BAD_STATES)
def test_bad_state_changes_nothing(change, error, words):
    X, y = plain.data(70, 9, 3)
    net, other = network(), network()
    for n in (net, other):
        n.fit(X, y)
    state = network(seed=1).build(9).state_dict()
    change(state)
    plain.assert_raises(error, words, lambda: net.load_state_dict(state))
    for n in (net, other):
        n.fit(X, y)
    plain.assert_same_bits(net, other, "training on")


def test_bad_state_leaves_a_network_unbuilt():
    net = network()
    state = network().build(9).state_dict()
    state["4.bias"] = np.ones(4)
    with pytest.raises(ValueError, match=r"4\.bias"):
        net.load_state_dict(state)
    with pytest.raises(RuntimeError):
        net.state_dict()
    plain.assert_same_bits(net.build(5), network().build(5))


# -- Copies and pickles --

COPIES = {"copy": copy.copy, "deepcopy": copy.deepcopy}
for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
    COPIES[f"pickle {protocol}"] = lambda net, p=protocol: pickle.loads(pickle.dumps(net, p))


@by_dtype
@pytest.mark.parametrize("seed", [0, None, "generator"])
@pytest.mark.parametrize("when", ["unbuilt", "built", "fitted", "stepped"])
@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copies_train_on_alike_and_apart(copied, when, seed, dtype):
    X, y = plain.data(70, 9, 3)
    net = network(seed=np.random.default_rng(3) if seed == "generator" else seed, dtype=dtype)
    if when != "unbuilt":
        net.build(9)
    if when in ("fitted", "stepped"):
        net.fit(X, y, epochs=2)
    if when == "stepped":
        net.train_on_batch(X, y)
    other = copied(net)
    assert type(other) is nn.Network
    net.fit(X, y, epochs=2, validation_data=(X, y))
    after = plain.bits(net)
    other.fit(X, y, epochs=2)
    plain.assert_same_bits(net, other, "training on")
    assert plain.bits(net) == after, "training the copy moved the original"
    np.testing.assert_array_equal(net.predict_proba(X), other.predict_proba(X))
    other.fit(X, y)
    assert plain.bits(net) == after
    net.fit(X, y)
    plain.assert_same_bits(net, other, "training on further")


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
def test_copy_between_forward_backward_and_step(copied):
    """The original is not disturbed; the copy predicts as the original did."""
    X, _ = plain.data(70, 9, 3)
    net, undisturbed = network().build(9), network().build(9)
    z = net.forward(X, training=True)
    first = copied(net)
    net.backward(z)
    second = copied(net)
    net.step()
    undisturbed.backward(undisturbed.forward(X, training=True))
    undisturbed.step()
    plain.assert_same_bits(net, undisturbed)
    for other in (first, second):
        np.testing.assert_array_equal(other.forward(X), z)


def test_layers_and_optimizers_copy_and_pickle():
    objects = [nn.Dense(3, activation=nn.LeakyReLU(0.1)), nn.SGD(0.1, 0.9, True), nn.Adam(0.1)]
    for o in objects:
        for copied in COPIES.values():
            assert repr(copied(o)) == repr(o)
