"""Bad input: what is raised, what the message says, and that nothing has changed."""

import numpy as np
import pytest

from relume import nn
from tests.support import twin as plain

X, Y = plain.data(100, 4, 3)
_, VALUES = plain.data(100, 4, 1, "mse")
NAN, INF = float("nan"), float("inf")


def spoiled(array, row, value):
    """Return a copy of `array` (as floats) in which something in `row` is `value`."""
    array = np.array(array, dtype=np.result_type(array, "float32"))
    array[(row, *[-1] * (array.ndim - 1))] = value
    return array


def network(loss="cross_entropy", optimizer=None, seed=0, **options):
    last = nn.Dense(3 if loss == "cross_entropy" else 1)
    layers = [nn.Dense(6, activation="relu"), last]
    return nn.Network(
        layers, loss=loss, optimizer=optimizer or nn.Adam(0.01), seed=seed, **options
    )


def classes(net, X=X, y=Y, **options):
    return net.fit(X, y, **{"epochs": 2, "batch_size": 32} | options)


def values(net, X=X, y=VALUES, **options):
    return net.fit(X, y, **{"epochs": 2, "batch_size": 32} | options)


# -- Data and the rest of a call: for a network that is built and for one that is not --

INPUTS = {
    "X of one dimension": (X[0], ValueError, [r"\bX\b", r"\(4,\)", "n_features"]),
    "X of three dimensions": (X[None], ValueError, [r"\bX\b", r"\(1, 100, 4\)", "n_features"]),
    "X a number": (3.0, ValueError, [r"\bX\b", r"\(\)", "n_features"]),
    "X None": (None, (TypeError, ValueError), [r"\bX\b"]),
    "no row": (X[:0], ValueError, [r"\bX\b", "empty", r"\(0, 4\)"]),
    "no column": (X[:, :0], ValueError, [r"\bX\b", r"\(100, 0\)|at least 1|empty"]),
    "X of objects": (X.astype(str).astype(object), TypeError, [r"\bX\b", "object", "real"]),
    "X complex": (X.astype("complex64"), TypeError, [r"\bX\b", "complex64", "real"]),
    "X of strings": (X.astype(str), TypeError, [r"\bX\b", "<U", "real"]),
    "X ragged": ([[1.0, 2.0], [3.0]], (TypeError, ValueError), [r"\bX\b"]),
    "X of dates": (X.astype("m8[s]"), TypeError, [r"\bX\b", "timedelta", "real"]),
    "X over float32": (X * np.float64(1e300), ValueError, [r"\bX\b", "finite", "float32"]),
}
for value in (NAN, INF, -INF):
    for row in (0, 31, 32, 50, 95, 96, 99):
        INPUTS[f"{value} in row {row}"] = (
            spoiled(X, row, value),
            ValueError,
            [r"\bX\b", "finite"],
        )
    INPUTS[f"{value} in float64"] = (
        spoiled(X.astype("float64"), 99, value),
        ValueError,
        [r"\bX\b", "finite"],
    )
INPUTS["masked"] = (np.ma.masked_greater(X, 1.5), ValueError, [r"\bX\b", "masked"])
LABELS = {
    "masked": (np.ma.masked_equal(Y, 2), ValueError, [r"\by\b", "masked"]),
    "3": (np.where(np.arange(100) == 99, 3, Y), ValueError, [r"\by\b", r"\b3;", "0 to 2"]),
    "-1": (np.where(np.arange(100) == 98, -1, Y), ValueError, [r"\by\b", "-1", "0 to 2"]),
    "1.5": (spoiled(Y, 99, 1.5), ValueError, [r"\by\b", r"1\.5", "0 to 2"]),
    "1e30": (spoiled(Y, 99, 1e30), ValueError, [r"\by\b", r"1e\+?30", "0 to 2"]),
    "2**64 - 1": (np.full(100, 2**64 - 1, "uint64"), ValueError, [r"\by\b", "0 to 2"]),
    "2**32": (np.full(100, 2**32, "int64"), ValueError, [r"\by\b", "4294967296", "0 to 2"]),
    "nan": (spoiled(Y, 99, NAN), ValueError, [r"\by\b", "nan"]),
    "inf": (spoiled(Y, 0, INF), ValueError, [r"\by\b", "inf"]),
    "strings": (Y.astype(str), TypeError, [r"\by\b", "<U", "0 to 2"]),
    "objects": (Y.astype(str).astype(object), TypeError, [r"\by\b", "object", "0 to 2"]),
    "complex": (Y.astype(complex), TypeError, [r"\by\b", "complex128", "0 to 2"]),
    "two columns": (np.eye(3)[Y][:, :2], ValueError, [r"\by\b", r"\(100, 2\)", r"\(n,\)"]),
    "a number": (1, ValueError, [r"\by\b", r"\(\)|\b1\b"]),
    "too few": (Y[:99], ValueError, [r"\by\b", r"\b99\b", r"\b100\b"]),
    "too many": ([*Y, 0], ValueError, [r"\by\b", r"\b101\b", r"\b100\b"]),
    "none": ([], ValueError, [r"\by\b", r"\b0\b", r"\b100\b"]),
    "None": (None, (TypeError, ValueError), [r"\by\b"]),
}
TARGETS = {
    "masked": (np.ma.masked_greater(VALUES, 0.5), ValueError, [r"\by\b", "masked"]),
    "too few": (VALUES[:99], ValueError, [r"\by\b", r"\b99\b", r"\b100\b"]),
    "nan": (spoiled(VALUES, 99, NAN), ValueError, [r"\by\b", "finite"]),
    "nan in the middle": (spoiled(VALUES, 50, NAN), ValueError, [r"\by\b", "finite"]),
    "inf": (spoiled(VALUES, 0, INF), ValueError, [r"\by\b", "finite"]),
    "-inf": (spoiled(VALUES, 99, -INF), ValueError, [r"\by\b", "finite"]),
    "over float32": (VALUES * np.float64(1e300), ValueError, [r"\by\b", "finite"]),
    "two columns": (np.stack([VALUES] * 2, 1), ValueError, [r"\by\b", r"\(100, 2\)", r"1\)"]),
    "a row": (VALUES[None], ValueError, [r"\by\b"]),
    "three dimensions": (VALUES[:, None, None], ValueError, [r"\by\b", r"\(100, 1, 1\)"]),
    "strings": (VALUES.astype(str), TypeError, [r"\by\b", "<U", "real"]),
    "objects": (VALUES.astype(str).astype(object), TypeError, [r"\by\b", "object", "real"]),
    "complex": (VALUES.astype("complex64"), TypeError, [r"\by\b", "complex64", "real"]),
}
OPTIONS = {
    "epochs 0": ({"epochs": 0}, ValueError, ["epochs", "at least 1", r"\b0$"]),
    "epochs -1": ({"epochs": -1}, ValueError, ["epochs", "at least 1", "-1"]),
    "epochs 1.5": ({"epochs": 1.5}, TypeError, ["epochs", "integer", r"1\.5"]),
    "epochs None": ({"epochs": None}, TypeError, ["epochs", "integer", "None"]),
    "batch_size 0": ({"batch_size": 0}, ValueError, ["batch_size", "at least 1", r"\b0$"]),
    "batch_size -1": ({"batch_size": -1}, ValueError, ["batch_size", "at least 1", "-1"]),
    "batch_size 2.5": ({"batch_size": 2.5}, TypeError, ["batch_size", "integer", r"2\.5"]),
    "shuffle": ({"shuffle": "yes"}, TypeError, ["shuffle", "True or False", "'yes'"]),
    "progress": ({"progress": "no"}, TypeError, ["progress", "True or False", "'no'"]),
}
VALIDATION = {
    "an array": (X, TypeError, [r"\(X, y\)"]),
    "a number": (3, TypeError, [r"\(X, y\)"]),
    "X alone": ((X,), TypeError, [r"\(X, y\)", "got tuple of 1"]),
    "four": ([X, Y, Y, Y], TypeError, [r"\(X, y\)", "got list of 4"]),
    "no row": ((X[:0], Y[:0]), ValueError, ["empty", r"\(0, 4\)"]),
    "wrong width": ((X[:, :3], Y), ValueError, [r"\b3\b", r"\b4\b"]),
    "wrong length": ((X, Y[:7]), ValueError, [r"\b7\b", r"\b100\b"]),
    "wrong rank": ((X[0], Y), ValueError, [r"\(4,\)"]),
    "nan": ((spoiled(X, 99, NAN), Y), ValueError, ["finite"]),
    "labels": ((X, Y + 1), ValueError, ["0 to 2", r"\b3;"]),
    "strings": ((X, Y.astype(str)), TypeError, ["0 to 2"]),
}


def rows():
    """Yield name, loss, call on a network, exception, words: each case of the tables above."""
    for name, (x, error, words) in INPUTS.items():
        yield f"fit: {name}", "cross_entropy", lambda n, x=x: classes(n, x), error, words
        yield f"train: {name}", "mse", lambda n, x=x: n.train_on_batch(x, VALUES), error, words
    for name, (y, error, words) in LABELS.items():
        yield f"fit: y {name}", "cross_entropy", lambda n, y=y: classes(n, y=y), error, words
        yield (
            f"train: y {name}",
            "cross_entropy",
            lambda n, y=y: n.train_on_batch(X, y),
            error,
            words,
        )
    for name, (y, error, words) in TARGETS.items():
        yield f"fit: values {name}", "mse", lambda n, y=y: values(n, y=y), error, words
        yield f"train: values {name}", "mse", lambda n, y=y: n.train_on_batch(X, y), error, words
    for name, (o, error, words) in OPTIONS.items():
        yield f"fit: {name}", "cross_entropy", lambda n, o=o: classes(n, **o), error, words
    for name, (v, error, words) in VALIDATION.items():
        call = lambda n, v=v: classes(n, validation_data=v)  # noqa: E731
        yield f"fit: validation {name}", "cross_entropy", call, error, ["validation_data", *words]


ROWS = {name: row for name, *row in rows()}
by_row = pytest.mark.parametrize(("loss", "call", "error", "words"), ROWS.values(), ids=ROWS)
GOOD = {"cross_entropy": classes, "mse": values}


@by_row
def test_bad_call_changes_nothing(loss, call, error, words):
    """Weights, optimizer and random state: training on gives what it would have given."""
    net, untouched = network(loss), network(loss)
    for n in (net, untouched):
        GOOD[loss](n)
    plain.assert_raises(error, words, lambda: call(net))
    plain.assert_same_bits(net, untouched, "at once")
    for n in (net, untouched):
        GOOD[loss](n)
    plain.assert_same_bits(net, untouched, "after training on")


@by_row
def test_bad_first_call_leaves_the_network_unbuilt(loss, call, error, words):
    generator = np.random.default_rng(3)
    before = str(generator.bit_generator.state)
    net = network(loss, seed=generator)
    plain.assert_raises(error, words, lambda: call(net))
    assert str(generator.bit_generator.state) == before
    for looking in (net.state_dict, lambda: net.predict(X)):
        with pytest.raises(RuntimeError, match="fit"):
            looking()
    untouched = network(loss, seed=np.random.default_rng(3))
    # Another width: nothing of the bad call is kept.
    for n in (net, untouched):
        GOOD[loss](n, X[:, :3])
    plain.assert_same_bits(net, untouched)


WIDTHS = {
    "fit": lambda n: classes(n, X[:, :3]),
    "train_on_batch": lambda n: n.train_on_batch(X[:, :3], Y),
    "predict": lambda n: n.predict(X[:, :3]),
    "predict_proba": lambda n: n.predict_proba(X[:, :3]),
    "evaluate": lambda n: n.evaluate(X[:, :3], Y),
    "forward": lambda n: n.forward(X[:, :3]),
    "build": lambda n: n.build(3),
}


@pytest.mark.parametrize("call", WIDTHS.values(), ids=WIDTHS)
def test_width_is_fixed_once_built(call):
    net, untouched = network(), network()
    for n in (net, untouched):
        classes(n)
    plain.assert_raises(ValueError, [r"\bX\b|n_features", r"\b4\b", r"\b3\b"], lambda: call(net))
    for n in (net, untouched):
        classes(n)
    plain.assert_same_bits(net, untouched)


PREDICTED = {name: case for name, case in INPUTS.items() if name != "no row"}


@pytest.mark.parametrize("method", ["predict", "predict_proba", "forward"])
@pytest.mark.parametrize(("bad", "error", "words"), PREDICTED.values(), ids=PREDICTED)
def test_bad_input_of_predictions(bad, error, words, method):
    net = network().build(4)
    if method == "predict" and isinstance(bad, np.ndarray) and bad.shape == (100, 0):
        words = [r"\bX\b", r"\b0\b"]
    plain.assert_raises(error, words[:2], lambda: getattr(net, method)(bad))


@pytest.mark.parametrize(("bad", "error", "words"), LABELS.values(), ids=LABELS)
def test_bad_labels_of_evaluate(bad, error, words):
    plain.assert_raises(error, words, lambda: network().build(4).evaluate(X, bad))


@pytest.mark.parametrize(("bad", "error", "words"), TARGETS.values(), ids=TARGETS)
def test_bad_values_of_evaluate(bad, error, words):
    plain.assert_raises(error, words, lambda: network("mse").build(4).evaluate(X, bad))


BUILDS = {
    "0": (0, ValueError, ["n_features", "at least 1", r"\b0$"]),
    "-1": (-1, ValueError, ["n_features", "at least 1", "-1"]),
    "2.5": (2.5, TypeError, ["n_features", "integer", r"2\.5"]),
    "True": (True, TypeError, ["n_features", "integer", "True"]),
    "None": (None, TypeError, ["n_features", "integer", "None"]),
}


@pytest.mark.parametrize(("n_features", "error", "words"), BUILDS.values(), ids=BUILDS)
def test_bad_build_leaves_the_network_unbuilt(n_features, error, words):
    net = network()
    plain.assert_raises(error, words, lambda: net.build(n_features))
    plain.assert_same_bits(net.build(4), network().build(4))


# -- Calls out of turn --

NOT_BUILT = {
    "predict": lambda n: n.predict(X),
    "predict_proba": lambda n: n.predict_proba(X),
    "evaluate": lambda n: n.evaluate(X, Y),
    "state_dict": lambda n: n.state_dict(),
    "backward": lambda n: n.backward(np.ones((100, 3))),
    "gradients": lambda n: n.gradients(),
    "step": lambda n: n.step(),
}


@pytest.mark.parametrize("call", NOT_BUILT.values(), ids=NOT_BUILT)
def test_calls_before_the_network_is_built(call):
    net = network()
    plain.assert_raises(RuntimeError, ["fit|forward|backward"], lambda: call(net))
    plain.assert_same_bits(net.build(4), network().build(4))


def test_probabilities_need_a_loss_for_classes():
    net = network("mse").build(4)
    plain.assert_raises(RuntimeError, ["mse", "predict"], lambda: net.predict_proba(X))


def test_backward_and_step_out_of_turn():
    net, untouched = network(), network()
    for n in (net, untouched):
        classes(n)
    dz = np.ones((100, 3))
    no_forward = (RuntimeError, [r"forward\(", "training=True"])
    no_backward = (RuntimeError, ["backward"])
    plain.assert_raises(*no_forward, lambda: net.backward(dz))
    net.forward(X)
    plain.assert_raises(*no_forward, lambda: net.backward(dz))
    plain.assert_raises(*no_backward, net.step)
    plain.assert_raises(*no_backward, net.gradients)
    net.forward(X, training=True)
    plain.assert_raises(*no_backward, net.step)
    net.backward(dz)
    plain.assert_raises(*no_forward, lambda: net.backward(dz))
    plain.assert_same_bits(net, untouched)
    net.step()
    plain.assert_raises(*no_backward, net.step)
    plain.assert_raises(*no_backward, net.gradients)
    untouched.forward(X, training=True)
    untouched.backward(dz)
    untouched.step()
    for n in (net, untouched):
        classes(n)
    plain.assert_same_bits(net, untouched)


DZ = {
    "too few rows": (np.ones((99, 3)), ValueError, [r"\bdz\b", "99", "100"]),
    "too narrow": (np.ones((100, 2)), ValueError, [r"\bdz\b", r"\b2\b", r"\b3\b"]),
    "turned": (np.ones((3, 100)), ValueError, [r"\bdz\b", r"\b3\b", r"\b100\b"]),
    "a row": (np.ones(3), ValueError, [r"\bdz\b", r"\(3,\)"]),
    "a number": (1.0, ValueError, [r"\bdz\b", r"\(\)"]),
    "one more dimension": (np.ones((100, 3, 1)), ValueError, [r"\bdz\b", r"\(100, 3, 1\)"]),
    "complex": (np.ones((100, 3), complex), TypeError, [r"\bdz\b", "complex128"]),
    "strings": (np.full((100, 3), "a"), TypeError, [r"\bdz\b", "<U1"]),
}


@pytest.mark.parametrize(("dz", "error", "words"), DZ.values(), ids=DZ)
def test_bad_dz_can_be_followed_by_a_good_one(dz, error, words):
    net, untouched = network().build(4), network().build(4)
    for n in (net, untouched):
        n.forward(X, training=True)
    plain.assert_raises(error, words, lambda: net.backward(dz))
    for n in (net, untouched):
        n.backward(np.ones((100, 3)))
        n.step()
    plain.assert_same_bits(net, untouched)


@pytest.mark.parametrize("groups", [None, 2])
@pytest.mark.parametrize("value", [np.nan, -1.0])
def test_weights_changed_during_a_fit(value, groups):
    """Weights that a callback changes in the user's array were used: negative, in silence."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(64, 3)).astype("float32"), np.arange(64) % 2

    weight = rng.uniform(1, 2, 64).astype("float32")
    given = weight.copy()

    class Change(nn.Callback):
        def on_batch_end(self, net, batch, loss):
            given[:] = value

    def loss(weight, **options):
        net = nn.Network([nn.Dense(2)], seed=0)
        return net.fit(X, y, epochs=2, sample_weight=weight, groups=groups, **options)["loss"]

    assert loss(given, callbacks=[Change()]) == loss(weight)
    assert not (given == weight).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_weights_whose_reciprocal_overflows(dtype):
    """The error spoke of a loss that is not finite, and of the learning rate."""
    tiny = np.finfo(dtype).smallest_subnormal
    net = nn.Network([nn.Dense(2)], seed=0, dtype=dtype).build(2)
    X, y = np.eye(2), [0, 1]
    for call in (net.fit, net.train_on_batch, net.evaluate):
        with pytest.raises(ValueError, match=r"^sample_weight must hold .*their maximum"):
            call(X, y, sample_weight=np.full(2, tiny))
