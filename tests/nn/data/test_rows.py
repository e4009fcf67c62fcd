"""X and y in every form that holds the same numbers train and predict the same bits."""

import numpy as np
import pytest
import scipy.sparse

from relume import nn
from tests.support import twin as plain


def network(loss="cross_entropy", outputs=3, dtype="float32"):
    layers = [nn.Dense(6, activation="relu"), nn.Dense(outputs)]
    return nn.Network(layers, loss=loss, optimizer=nn.Adam(0.01), seed=0, dtype=dtype)


def integers():
    """Return 100 rows of five small integers, which every dtype can hold."""
    return np.random.default_rng(1).integers(0, 2, (100, 5)).astype("float32")


Y = np.random.default_rng(2).integers(3, size=100)


def strided(a):
    big = np.full((a.shape[0] * 2, a.shape[1] * 3), 7, a.dtype)
    big[::2, 1::3] = a
    return big[::2, 1::3]


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a):
    data = np.frombuffer(b"x" + a.tobytes(), dtype="uint8")
    return data[1:].view(a.dtype).reshape(a.shape)


def memory_map(a, folder):
    path = folder / "X"
    a.tofile(path)
    return np.memmap(path, dtype=a.dtype, mode="r", shape=a.shape)


class Wrapper:
    """What a table of another library is to NumPy."""

    def __init__(self, a):
        self.a = a

    def __array__(self, dtype=None, copy=None):
        return np.array(self.a, dtype=dtype)


FORMS = {
    "list": lambda a, _: a.tolist(),
    "tuple of arrays": lambda a, _: tuple(a),
    "F-order": lambda a, _: np.asfortranarray(a),
    "strided": lambda a, _: strided(a),
    "backwards": lambda a, _: a[::-1, ::-1].copy()[::-1, ::-1],
    "column slice": lambda a, _: np.hstack([a, a])[:, : a.shape[1]],
    "read-only": lambda a, _: read_only(a),
    "unaligned": lambda a, _: unaligned(a),
    "memory-mapped": memory_map,
    "__array__": lambda a, _: Wrapper(a),
    "byte-swapped": lambda a, _: a.astype(a.dtype.newbyteorder()),
}
DTYPES = ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64"]
DTYPES += ["float16", "float32", "float64", "longdouble"]
for dtype in DTYPES:
    FORMS[dtype] = lambda a, _, dtype=dtype: a.astype(dtype)
by_form = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


@by_dtype
@pytest.mark.parametrize("shuffle", [True, False])
@by_form
def test_forms_of_X(form, shuffle, dtype, tmp_path):
    X = integers()
    plain_X = X.astype(dtype)
    given = form(X, tmp_path)
    before = np.array(given)
    reference, net = network(dtype=dtype), network(dtype=dtype)
    for n, x in ((reference, plain_X), (net, given)):
        n.fit(x, Y, epochs=2, shuffle=shuffle, validation_data=(x, Y))
        n.train_on_batch(x, Y)
    plain.assert_same_bits(net, reference)
    for method in ("predict", "predict_proba", "forward"):
        expected = getattr(reference, method)(plain_X)
        np.testing.assert_array_equal(getattr(net, method)(given), expected, err_msg=method)
    assert net.evaluate(given, Y) == reference.evaluate(plain_X, Y)
    for n, x in ((reference, plain_X), (net, given)):
        z = n.forward(x, training=True)
        n.backward(z)
        n.step()
    plain.assert_same_bits(net, reference, "by hand")
    np.testing.assert_array_equal(np.array(given), before, err_msg="X was written to")


LABEL_FORMS = {
    "list": lambda y: y.tolist(),
    "tuple": lambda y: tuple(y.tolist()),
    "integral floats": lambda y: [float(label) for label in y],
    "strided": lambda y: np.repeat(y, 3)[::3],
    "backwards": lambda y: y[::-1].copy()[::-1],
    "column": lambda y: np.stack([y, y], 1)[:, 0],
    "read-only": read_only,
    "byte-swapped": lambda y: y.astype(">i4"),
    "__array__": Wrapper,
}
for dtype in DTYPES[1:]:
    LABEL_FORMS[dtype] = lambda y, dtype=dtype: y.astype(dtype)


@by_dtype
@pytest.mark.parametrize("form", LABEL_FORMS.values(), ids=LABEL_FORMS)
def test_forms_of_labels(form, dtype):
    X = integers()
    reference, net = network(dtype=dtype), network(dtype=dtype)
    for n, y in ((reference, Y), (net, form(Y))):
        n.fit(X, y, epochs=2, validation_data=(X, y))
        n.train_on_batch(X, y)
    plain.assert_same_bits(net, reference)
    assert net.evaluate(X, form(Y)) == reference.evaluate(X, Y)


@by_dtype
@by_form
@pytest.mark.parametrize("outputs", [1, 5])
def test_forms_of_values(outputs, form, dtype, tmp_path):
    X = integers()
    y = X[:, -outputs:].copy()
    reference, net = (network("mse", outputs, dtype) for _ in range(2))
    for n, values in ((reference, y), (net, form(y, tmp_path))):
        n.fit(X, values, epochs=2, validation_data=(X, values))
        n.train_on_batch(X, values)
    plain.assert_same_bits(net, reference)
    assert net.evaluate(X, form(y, tmp_path)) == reference.evaluate(X, y)


@by_dtype
def test_one_output_takes_a_vector_or_a_column(dtype):
    X, y = plain.data(100, 5, 1, "mse")
    reference, net = (network("mse", 1, dtype) for _ in range(2))
    reference.fit(X, y, epochs=2)
    net.fit(X, y[:, None], epochs=2)
    plain.assert_same_bits(net, reference)
    assert net.evaluate(X, y) == net.evaluate(X, y[:, None])
    assert reference.predict(X).shape == (100,)
    assert net.predict(X).shape == (100, 1)


def test_results_are_the_callers():
    """A later call writes into no array given out before."""
    X, y = integers(), Y
    net = network().build(5)
    results = {name: getattr(net, name)(X) for name in ("predict", "predict_proba", "forward")}
    results["z"] = net.forward(X, training=True)
    results["dX"] = net.backward(np.ones((100, 3)))
    results |= net.gradients()
    kept = {name: a.copy() for name, a in results.items()}
    net.step()
    net.fit(X[::-1].copy(), y, epochs=2)
    net.predict_proba(X[::-1])
    net.backward(net.forward(X[::-1], training=True))
    for name, a in results.items():
        np.testing.assert_array_equal(a, kept[name], err_msg=name)
        assert a.flags.writeable, name
        assert a.flags.c_contiguous, name


def test_forward_keeps_its_input():
    """What the caller writes into X or z between forward and backward changes no gradient."""
    X = integers()
    net, reference = network().build(5), network().build(5)
    z = reference.forward(X, training=True)
    reference.backward(np.ones((100, 3)))
    mine = X.copy()
    z = net.forward(mine, training=True)
    mine[...] = 9
    z[...] = 9
    net.backward(np.ones((100, 3)))
    for key, gradient in reference.gradients().items():
        np.testing.assert_array_equal(net.gradients()[key], gradient, err_msg=key)


def test_batch_size_over_the_number_of_rows_is_one_batch():
    X = integers()
    one, other = network(), network()
    one.fit(X, Y, batch_size=100, shuffle=False)
    other.fit(X, Y, batch_size=10**9, shuffle=False)
    plain.assert_same_bits(one, other)


@pytest.mark.parametrize("rows", [1, 2])
def test_few_rows(rows):
    X = integers()[:rows]
    net, stepped = network(), network()
    net.fit(X, Y[:rows])
    stepped.train_on_batch(X, Y[:rows])
    if rows == 1:
        plain.assert_same_bits(net, stepped)
    assert net.predict(X).shape == (rows,)


# -- no rows --

LOSSES = {
    "cross_entropy": ("cross_entropy", 3, (0,), (0, 3)),
    "binary": ("binary_cross_entropy", 1, (0,), (0, 2)),
    "multilabel": ("binary_cross_entropy", 3, (0, 3), (0, 3)),
    "mse": ("mse", 1, (0,), None),
    "values": ("mse", 3, (0, 3), None),
    "poisson": ("poisson", 1, (0,), None),
    "quantiles": (nn.Quantile([0.1, 0.9]), 4, (0, 4), None),
}
NO_ROWS = {
    "float32": lambda X: X[:0],
    "float64": lambda X: X[:0].astype("float64"),
    "integers": lambda X: X[:0].astype(int),
    "Fortran": lambda X: np.asfortranarray(X)[:0],
    "a list": lambda X: [],
    "a tuple": lambda X: (),
    "csr": lambda X: scipy.sparse.csr_matrix(X[:0]),
    "csc array": lambda X: scipy.sparse.csc_array(X[:0]),
}


@pytest.mark.parametrize("form", NO_ROWS.values(), ids=NO_ROWS)
@pytest.mark.parametrize(("loss", "outputs", "shape", "proba"), LOSSES.values(), ids=LOSSES)
def test_no_rows_give_no_predictions(loss, outputs, shape, proba, form):
    """A filter or a partition that leaves no rows was an error."""
    X = integers()
    net = nn.Network([nn.Dense(4, "relu"), nn.Dense(outputs)], loss=loss, seed=0)
    net.build(X.shape[1])
    some, none = net.predict(X), net.predict(form(X))
    assert (none.shape, none.dtype) == (shape, some.dtype)
    assert none.shape[1:] == some.shape[1:]
    z = net.forward(form(X))
    assert (z.shape, z.dtype) == ((0, outputs), net.dtype)
    if proba is not None:
        p = net.predict_proba(form(X))
        assert (p.shape, p.dtype) == (proba, net.dtype)


def test_no_rows_of_another_width_or_to_train_on():
    X, y = integers(), Y
    net = network().build(X.shape[1])
    none, width = X[:0], X.shape[1]
    for call, words in (
        (lambda: net.predict(none[:, :-1]), [str(width), str(width - 1)]),
        (lambda: net.predict(np.empty((0, 0))), ["empty"]),
        (lambda: net.predict(np.empty((5, 0))), ["empty"]),
        (lambda: net.predict(np.empty(0)), [r"\(0,\)"]),
        (lambda: net.forward(none, training=True), ["empty"]),
        (lambda: net.evaluate(none, y[:0]), ["empty"]),
        (lambda: net.fit(none, y[:0]), ["empty"]),
        (lambda: net.fit(X, y, validation_data=(none, y[:0])), ["validation_data X", "empty"]),
        (lambda: net.train_on_batch(none, y[:0]), ["empty"]),
        (lambda: net.compact(none), ["empty"]),
    ):
        plain.assert_raises(ValueError, words, call)


@pytest.mark.parametrize("form", NO_ROWS.values(), ids=NO_ROWS)
def test_a_compact_network_is_the_same_for_no_rows(form):
    X = integers()
    net = nn.Network([nn.Dense(64, "relu"), nn.Dense(1)], loss="mse", seed=0).build(X.shape[1])
    small, report = net.compact(X)
    assert small.layers[0].units < 64
    assert report.same_for(form(X)).shape == (0,)
    assert report.same_for(X).all()
