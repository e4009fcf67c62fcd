"""What a fit takes for data: memory maps, sparse matrices, iterables; weights of rows and classes.

Oracles are the same rows given as plain arrays, repeated, or left out.
"""

import numpy as np
import pytest
import scipy.sparse

from relume import nn
from relume.nn.data import rows as data_rows
from tests.support import twin as plain

by_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


def network(*layers, dtype="float32", **options):
    layers = [*layers, nn.Dense(20, "tanh"), nn.Dense(3)]
    return nn.Network(layers, seed=0, dtype=dtype, **{"loss": "mse"} | options)


def integers(rows=150, width=9):
    """Data that every dtype holds exactly, many of them 0."""
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, size=(rows, width)) * (rng.random((rows, width)) < 0.4)
    return X, rng.normal(size=(rows, 3)).astype("float32")


# -- memory maps --


def mapped(X, path, dtype, order):
    array = np.memmap(path / "X", dtype, "w+", shape=X.shape, order=order)
    array[...] = X
    array.flush()
    return np.memmap(path / "X", dtype, "r", shape=X.shape, order=order)


@by_dtype
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("stored", ["float32", "float64", ">f4", "int16", "bool"])
def test_memory_maps(stored, order, dtype, tmp_path):
    """Of any dtype and order: as the array, in every method."""
    X, y = integers()
    X = X.astype(stored)
    given = mapped(X, tmp_path, stored, order)
    nets, results = [], []
    for x in (X.astype(dtype), given):
        net = network(nn.Standardize(), nn.BatchNorm(), nn.Dropout(0.1), dtype=dtype)
        net.fit(x, y, epochs=2, batch_size=37)
        net.fit(x, y, shuffle=False, validation_split=0.2, sample_weight=np.arange(150) + 1.0)
        net.train_on_batch(x, y)
        net.backward(net.forward(x, training=True) - y)
        net.step()
        history = net.fit(x, y, validation_data=(x, y))
        nets.append(net)
        results.append([net.predict(x), net.forward(x), net.evaluate(x, y), history["val_loss"]])
    plain.assert_same_bits(*nets)
    for a, b in zip(*results, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stored", ["float32", "float64"])
def test_a_memory_map_is_not_read_as_a_whole(stored, tmp_path, monkeypatch):
    """Where it must be converted, it is read minibatch by minibatch."""
    X, y = integers(6000)
    given = mapped(X, tmp_path, stored, "C")
    sizes = []
    take = data_rows.MappedRows.take

    def spy(self, rows):
        part = take(self, rows)
        sizes.append(len(part))
        return part

    monkeypatch.setattr(data_rows.MappedRows, "take", spy)
    net = network(nn.Standardize())
    net.fit(given, y, batch_size=50)
    net.predict(given)
    assert max(sizes, default=0) <= data_rows.CHUNK
    assert bool(sizes) == (stored == "float64")


# -- sparse matrices --

SPARSE = {
    "csr": scipy.sparse.csr_matrix,
    "csc": scipy.sparse.csc_matrix,
    "coo": scipy.sparse.coo_matrix,
    "csr array": scipy.sparse.csr_array,
    "csc array": scipy.sparse.csc_array,
    "with duplicates": lambda X: scipy.sparse.coo_matrix(
        (
            np.concatenate([X[X.nonzero()] - 1.0, np.ones(len(X.nonzero()[0]))]),
            tuple(np.tile(index, 2) for index in X.nonzero()),
        ),
        X.shape,
    ),
    "with zeros": lambda X: scipy.sparse.csr_matrix(
        (X.ravel(), np.tile(np.arange(X.shape[1]), len(X)), np.arange(len(X) + 1) * X.shape[1]),
        X.shape,
    ),
}
TOLERANCES = {"float64": 1e-12, "float32": 3e-5}


@by_dtype
@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("scaled", [True, False])
@pytest.mark.parametrize("form", SPARSE.values(), ids=SPARSE)
def test_sparse_is_as_dense(form, scaled, use_bias, dtype):
    """To rounding: outputs, losses, and the weights after steps, so the gradients."""
    X, y = integers()
    X[::10] = 0  # rows and columns of zeros
    X[:, 3] = 0
    nets, results = [], []
    for x in (X.astype(dtype), form(X)):
        first = [nn.Standardize(with_mean=False)] if scaled else []
        net = network(
            *first, nn.Dense(66, "relu", use_bias=use_bias), dtype=dtype, optimizer=nn.SGD(0.05)
        )
        net.fit(x, y, epochs=3, batch_size=70, sample_weight=np.arange(150) + 1.0)
        net.train_on_batch(x, y)
        history = net.fit(x, y, validation_data=(x, y))
        nets.append(net)
        results.append([net.predict(x), np.array([*net.evaluate(x, y).values()])])
        results[-1] += [np.array(history[name]) for name in ("loss", "val_loss")]
    states = [net.state_dict() for net in nets]
    for name in states[0]:
        plain.assert_close(states[1][name], states[0][name], TOLERANCES[dtype], name)
    for sparse, dense in zip(*reversed(results), strict=True):
        plain.assert_close(sparse, dense, TOLERANCES[dtype])


def test_sparse_and_standardize():
    """Its mean is not subtracted; one that was learnt of dense data could not be either."""
    X, y = integers()
    net = network(nn.Standardize())
    net.fit(scipy.sparse.csr_matrix(X), y)
    state = net.state_dict()
    assert not state["0.mean"].any()
    np.testing.assert_allclose(state["0.scale"], X.std(0), rtol=1e-6)
    plain.assert_close(net.predict(scipy.sparse.csr_matrix(X)), net.predict(X), 1e-5)
    net = network(nn.Standardize())
    net.fit(X, y)
    words = [r"\bX\b", "Standardize", "with_mean=False"]
    plain.assert_raises(TypeError, words, lambda: net.predict(scipy.sparse.csr_matrix(X)))


def test_sparse_needs_a_dense_first():
    X, y = integers()
    for first in (nn.Dropout(0.5), nn.BatchNorm(), nn.LayerNorm(), nn.GroupNorm(3),
                  nn.Scale(), nn.PReLU(), nn.ReLU(),
                  nn.Residual([nn.Dense(3)]), nn.Sine()):  # fmt: skip
        net = network(first).build(9)
        for call in (net.fit, net.train_on_batch, net.evaluate):
            words = [r"\bX\b", "Dense", type(first).__name__]
            plain.assert_raises(TypeError, words, lambda: call(scipy.sparse.csr_matrix(X), y))  # noqa: B023


def test_sparse_is_not_written_to():
    """Neither its values nor their order, though duplicates are summed and columns scaled."""
    X, y = integers()
    index = np.tile(np.r_[5, 2, 5, 0], 150)
    data = np.arange(1.0, 601.0, dtype="float32")
    given = scipy.sparse.csr_matrix((data, index, np.arange(151) * 4), X.shape)
    before = [part.copy() for part in (given.data, given.indices, given.indptr)]
    net = network(nn.Standardize())
    net.fit(given, y, validation_data=(given, y), validation_split=0)
    net.train_on_batch(given, y)
    net.predict(given)
    for now, then in zip((given.data, given.indices, given.indptr), before, strict=True):
        np.testing.assert_array_equal(now, then)


def test_lbfgs_sees_all_rows_of_any_matrix(tmp_path):
    X, y = integers()
    forms = [X, scipy.sparse.csc_matrix(X), mapped(X, tmp_path, "int16", "F")]
    first = [nn.Standardize(with_mean=False)]
    nets = [network(*first, optimizer=nn.LBFGS(5), dtype="float64") for _ in forms]
    losses = [net.fit(x, y)["loss"][-1] for net, x in zip(nets, forms, strict=True)]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-9)
    plain.assert_raises(ValueError, [r"\bX\b", "LBFGS"], lambda: nets[0].fit([(X, y)]))


def test_sparse_that_is_wrong():
    X, y = integers()
    net = network().build(9)
    bad = scipy.sparse.csr_matrix(X.astype(float))
    bad.data[5] = np.nan
    for name, x, words in (
        ("nan", bad, ["finite"]),
        ("width", scipy.sparse.csr_matrix(X[:, :4]), [r"\b9\b", r"\b4\b"]),
        ("length", scipy.sparse.csr_matrix(X[:7]), [r"\b7\b", "150"]),
    ):
        before = plain.bits(net)
        plain.assert_raises(ValueError, [r"\bX\b", *words], lambda: net.fit(x, y))  # noqa: B023
        assert plain.bits(net) == before, name
    sparse = scipy.sparse.csr_matrix(X)
    plain.assert_raises(TypeError, ["sparse"], lambda: net.forward(sparse, training=True))
    split = {"validation_split": 0.2, "shuffle": False}
    dense, net = network(), network()
    a, b = dense.fit(X, y, **split), net.fit(sparse, y, **split)
    np.testing.assert_allclose(a["val_loss"], b["val_loss"], rtol=1e-5)


# -- iterables --


def minibatches(X, y, size, *weights):
    return [tuple(each[i : i + size] for each in (X, y, *weights)) for i in range(0, len(X), size)]


class Again:
    """An iterable without a length that can be begun again."""

    def __init__(self, items):
        self.items = items

    def __iter__(self):
        return iter(self.items)


def test_iterables_are_as_arrays():
    """Lists, iterables without a length, and generators, of dense or sparse minibatches."""
    X, y = integers()
    weight = np.linspace(0.5, 2, 150)
    options = {"shuffle": False, "batch_size": 40, "epochs": 3}
    expected = network(nn.Dense(9), nn.Dropout(0.2))
    history = expected.fit(X, y, sample_weight=weight, **options)
    items = minibatches(X, y, 40, weight)
    sources = {
        "list": (items, {}),
        "iterable": (Again(items), {}),
        "with steps": (Again(items * 2), {"steps_per_epoch": 4}),
        "generator": ((item for _ in range(3) for item in items), {"steps_per_epoch": 4}),
    }
    for name, (source, more) in sources.items():
        net = network(nn.Dense(9), nn.Dropout(0.2))
        own = net.fit(source, epochs=3, **more)
        plain.assert_same_bits(net, expected, name)
        np.testing.assert_allclose(own["loss"], history["loss"], rtol=1e-12, err_msg=name)
    net = network(nn.Dense(9), nn.Dropout(0.2))
    net.fit([(scipy.sparse.csr_matrix(x), *rest) for x, *rest in items], epochs=3)
    for name, value in net.state_dict().items():
        plain.assert_close(value, expected.state_dict()[name], 1e-4, name)


def test_standardize_wants_to_see_all_data_first():
    """An iterable trains it only where it has learnt, and leaves it unbuilt otherwise."""
    X, y = integers()
    net, expected = network(nn.Standardize()), network(nn.Standardize())
    plain.assert_raises(ValueError, ["Standardize"], lambda: net.fit([(X, y)]))
    plain.assert_raises(RuntimeError, ["not built"], net.state_dict)
    for each in (net, expected):
        each.fit(X, y, shuffle=False)
    net.fit([(X, y)])
    expected.fit(X, y, batch_size=150, shuffle=False)
    plain.assert_same_bits(net, expected)


def test_minibatches_that_grow():
    X, y = integers()
    expected, net = network(), network()
    for part in (slice(0, 3), slice(3, 100), slice(100, 150)):
        expected.train_on_batch(X[part], y[part])
    net.fit([(X[:3], y[:3]), (X[3:100], y[3:100]), (X[100:], y[100:])])
    plain.assert_same_bits(net, expected)


def test_an_iterator_that_is_exhausted():
    """In an epoch it ends that; before one, it is an error and nothing was done."""
    X, y = integers()
    items = minibatches(X, y, 40)
    net, expected = network(), network()
    assert len(net.fit(iter(items[:2]), steps_per_epoch=3)["loss"]) == 1
    expected.fit(items[:2])
    plain.assert_same_bits(net, expected)
    call = lambda: net.fit(iter(items), steps_per_epoch=2, epochs=3)  # noqa: E731
    plain.assert_raises(ValueError, [r"\bX\b", "exhausted"], call)
    plain.assert_same_bits(net, expected)
    plain.assert_raises(ValueError, ["steps_per_epoch"], lambda: net.fit(iter(items), epochs=2))
    plain.assert_raises(ValueError, [r"\bX\b", "empty"], lambda: net.fit([]))


def test_steps_per_epoch_is_for_iterables():
    """It was ignored where X is an array, all of whose rows are an epoch."""
    X, y = integers()
    words = ["steps_per_epoch", "None", r"\b2$"]
    plain.assert_raises(ValueError, words, lambda: network().fit(X, y, steps_per_epoch=2))


@pytest.mark.parametrize("at", [0, 1, 3])
def test_a_minibatch_that_is_wrong(at):
    """The network is as before the fit, whichever minibatch it was."""
    X, y = integers()
    nan = np.full((40, 9), np.nan)
    for bad, error, words in (
        ((nan, y[:40]), ValueError, ["finite"]),
        ((X[:40, :5], y[:40]), ValueError, [r"\b5\b"]),
        ((X[:40],), TypeError, [r"\(X, y\)"]),
        (X[:40], TypeError, [r"\(X, y\)"]),
        ((X[:40], y[:39]), ValueError, ["39"]),
    ):
        items = minibatches(X, y, 40)
        items[at] = bad
        net = network(nn.BatchNorm()).build(9)
        before = plain.bits(net)
        plain.assert_raises(error, words, lambda: net.fit(items, epochs=2))  # noqa: B023
        assert plain.bits(net) == before, bad


def test_minibatches_whose_targets_are_of_another_kind():
    """The engine found it, after steps that stayed."""
    X, y = integers()[0], np.arange(150) % 3
    net = network(loss="cross_entropy").build(9)
    before = plain.bits(net)
    call = lambda: net.fit([(X, y), (X, np.eye(3)[y])])  # noqa: E731
    plain.assert_raises(ValueError, [r"\by\b", "float32", "int64", r"\(150, 3\)"], call)
    assert plain.bits(net) == before


def test_an_iterable_that_raises():
    """Its error is passed on; epochs that were complete stay."""
    X, y = integers()

    class Source:
        epochs = 0

        def __iter__(self):
            self.epochs += 1
            yield X, y
            if self.epochs > 3:  # the first time is a look at the first minibatch
                raise OSError("the disk is gone")
            yield X, y

    net, expected = network(), network()
    with pytest.raises(OSError, match="gone"):
        net.fit(Source(), epochs=5)
    expected.fit([(X, y), (X, y)], epochs=net.epoch)
    assert net.epoch == 2
    plain.assert_same_bits(net, expected)


# -- weights of rows and classes --


def test_integer_weights_are_repeated_rows():
    X, y = integers()
    counts = np.random.default_rng(1).integers(0, 4, 150)
    nets = [network(dtype="float64", optimizer=nn.SGD(0.1)) for _ in range(2)]
    a = nets[0].fit(X, y, sample_weight=counts, batch_size=150, epochs=5)
    b = nets[1].fit(X.repeat(counts, 0), y.repeat(counts, 0), batch_size=counts.sum(), epochs=5)
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-12)
    for name, value in nets[0].state_dict().items():
        plain.assert_close(value, nets[1].state_dict()[name], 1e-12, name)
    losses = [
        nets[0].evaluate(X, y, counts),
        nets[0].evaluate(X.repeat(counts, 0), y.repeat(counts, 0)),
    ]
    assert losses[0]["loss"] == pytest.approx(losses[1]["loss"], rel=1e-12)


def test_a_minibatch_without_weight():
    """Rows of weight 0 teach nothing, even where a minibatch has no others."""
    X, y = integers(64)
    weight = np.r_[np.ones(32), np.zeros(32)]
    nets = [network(optimizer=nn.SGD(0.1)) for _ in range(2)]
    a = nets[0].fit(X, y, sample_weight=weight, shuffle=False)
    b = nets[1].fit(X[:32], y[:32], shuffle=False)
    assert a["loss"] == b["loss"]
    plain.assert_same_bits(*nets)


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
def test_class_weight(loss):
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(90, 9)), (rng.random(90) < 0.2).astype(int)
    own = rng.random(90) + 0.5
    counts = np.bincount(y)
    for given, each in (({0: 0.5, 1: 3.0}, [0.5, 3.0]), ({1: 2}, [1, 2]),
                        ("balanced", 90 / (2 * counts))):  # fmt: skip
        nets = [
            nn.Network(
                [nn.Dense(8), nn.Dense(2 if loss == "cross_entropy" else 1)], loss=loss, seed=0
            )
            for _ in range(2)
        ]
        nets[0].fit(X, y, class_weight=given, sample_weight=own)
        nets[1].fit(X, y, sample_weight=(np.asarray(each, "float32")[y] * own.astype("float32")))
        plain.assert_same_bits(*nets, str(given))
    net = nets[0]
    for bad, error in (
        ("equal", ValueError), (3, TypeError), ({0: -1.0}, ValueError), ({2: 1.0}, ValueError),
        ({"1": 1.0}, ValueError), ({-1: 1.0}, ValueError),
    ):  # fmt: skip
        plain.assert_raises(error, ["class_weight"], lambda: net.fit(X, y, class_weight=bad))  # noqa: B023
    mse = network()
    call = lambda: mse.fit(X, X[:, :3], class_weight="balanced")  # noqa: E731
    plain.assert_raises(ValueError, ["class_weight", "mse"], call)


def test_validation_split():
    """The last rows, before any shuffling, weights with them."""
    X, y = integers()
    weight = np.linspace(0.5, 2, 150)
    nets = [network(), network()]
    a = nets[0].fit(X, y, sample_weight=weight, validation_split=0.2, epochs=2)
    held_out = X[120:], y[120:], weight[120:]
    b = nets[1].fit(
        X[:120], y[:120], sample_weight=weight[:120], validation_data=held_out, epochs=2
    )
    plain.assert_same_bits(*nets)
    assert a["val_loss"] == b["val_loss"]
    for bad in (1.0, -0.1, 0.001):
        call = lambda: nets[0].fit(X, y, validation_split=bad)  # noqa: B023, E731
        plain.assert_raises(ValueError, ["validation_split"], call)
    call = lambda: nets[0].fit(X, y, validation_split=0.5, validation_data=(X, y))  # noqa: E731
    plain.assert_raises(ValueError, ["validation_data", "validation_split"], call)


def test_metrics_of_the_validation():
    def worst(y_true, y_pred):
        return float(np.abs(y_true - y_pred).max())

    X, y = integers()
    net = network(metrics=["mae", worst])
    history = net.fit(X, y, validation_data=(X, y), epochs=2)
    p = net.predict(X)
    assert history["val_mae"][-1] == pytest.approx(np.abs(p - y).mean(), rel=1e-6)
    assert history["val_worst"][-1] == pytest.approx(np.abs(p - y).max(), rel=1e-6)
    assert net.evaluate(X, y) == {k.removeprefix("val_"): history[k][-1]
                                  for k in ("val_loss", "val_mae", "val_worst")}  # fmt: skip
