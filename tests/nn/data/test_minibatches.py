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
    plain.assert_raises(ValueError, [r"\bX\b", "exhausted", "starts anew"], call)
    plain.assert_same_bits(net, expected)
    plain.assert_raises(ValueError, ["steps_per_epoch"], lambda: net.fit(iter(items), epochs=2))
    plain.assert_raises(ValueError, [r"\bX\b", "empty"], lambda: net.fit([]))


class Counted:
    """Notes how often it is begun, and how many minibatches are taken."""

    def __init__(self, items, length=None):
        self.items, self.begun, self.taken = items, 0, 0
        if length is not None:
            self.__class__ = type("Sized", (Counted,), {"__len__": lambda self: length()})

    def __iter__(self):
        self.begun += 1
        for item in self.items:
            self.taken += 1
            yield item


def unknown():
    raise TypeError("a stream has no length")


ITERABLES = {
    "no length": (None, {}, 4),
    "a length": (lambda: 4, {}, 4),
    "a length that raises": (unknown, {}, 4),
    "steps": (None, {"steps_per_epoch": 3}, 3),
    "steps of a length": (lambda: 4, {"steps_per_epoch": 2}, 2),
    "callbacks": (None, {"callbacks": [nn.Callback(), nn.EarlyStopping("loss")]}, 4),
}


@pytest.mark.parametrize(("length", "options", "steps"), ITERABLES.values(), ids=ITERABLES)
def test_an_iterable_is_begun_once_an_epoch(length, options, steps):
    """It was begun once more before the first epoch, to look at the first minibatch."""
    X, y = integers()
    batches = Counted(minibatches(X, y, 40), length)
    net, expected = network(), network()
    net.fit(batches, epochs=3, **options)
    assert (batches.begun, batches.taken) == (3, 3 * steps)
    expected.fit(minibatches(X, y, 40)[:steps], epochs=3)
    plain.assert_same_bits(net, expected)


def test_no_minibatch_of_an_iterator_is_read_ahead():
    """Nor is one read where the fit fails before it begins."""
    X, y = integers()
    items = iter(minibatches(X, y, 10))
    taken = Counted(items)
    generator = iter(taken)
    net = network()
    net.fit(generator, epochs=2, steps_per_epoch=3)
    assert taken.taken == 6
    seen = []
    net.fit(
        generator, steps_per_epoch=2, callbacks=[AtEachBatch(lambda: seen.append(taken.taken))]
    )
    assert seen == [7, 8]
    lbfgs = network(optimizer=nn.LBFGS())
    for call in (
        lambda: net.fit(generator, validation_data=(X, y[:9])),
        lambda: net.fit(generator, validation_data=3),
        lambda: net.fit(generator, callbacks=3),
        lambda: net.fit(generator, epochs=3),
        lambda: network(nn.Standardize()).fit(generator),
        lambda: lbfgs.fit(generator),
    ):
        with pytest.raises((TypeError, ValueError)):
            call()
        assert taken.taken == 8
    words = ["validation_data X", r"\b9\b", r"\b5\b"]
    plain.assert_raises(
        ValueError, words, lambda: network().fit(generator, validation_data=(X[:, :5], y))
    )


class AtEachBatch(nn.Callback):
    def __init__(self, call):
        self.call = call

    def on_batch_end(self, net, batch, loss):
        self.call()


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
            if self.epochs > 2:
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


OPTIMIZERS = {
    "sgd": nn.SGD(0.1),
    "momentum": nn.SGD(0.1, momentum=0.9),
    "adam": nn.Adam(0.01),
    "decay": nn.AdamW(0.01, weight_decay=0.1),
}
by_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)


def without_weight(how, X, y, weight):
    """Arguments of a fit whose minibatches of 32 rows go different ways to the engine."""
    if how == "iterable":
        return (minibatches(X, y, 32, weight),), {}
    more = {"callbacks": [BatchCounter()]} if how == "hooks" else {}
    X = scipy.sparse.csr_matrix(X) if how == "sparse" else X
    return (X, y), {"sample_weight": weight, "shuffle": False} | more


class BatchCounter(nn.Callback):
    """Notes the minibatches that hooks are called for."""

    def __init__(self):
        self.begun, self.ended = [], []

    def on_batch_begin(self, net, batch):
        self.begun.append(batch)

    def on_batch_end(self, net, batch, loss):
        self.ended.append(batch)


@by_optimizer
@pytest.mark.parametrize("how", ["engine", "hooks", "iterable", "sparse"])
def test_a_minibatch_without_weight(how, optimizer):
    """Momentum, weight decay and the count of steps moved on with a minibatch that has no rows."""
    X, y = integers(96)
    weight = np.r_[np.ones(32), np.zeros(32), np.full(32, 2.0)]
    nets = [network(optimizer=optimizer, metrics=None) for _ in range(2)]
    args, options = without_weight(how, X, y, weight)
    a = nets[0].fit(*args, epochs=2, **options)
    kept = np.flatnonzero(weight)
    args, rest = without_weight(how, X[kept], y[kept], weight[kept])
    b = nets[1].fit(*args, epochs=2, **rest)
    np.testing.assert_allclose(a["loss"], b["loss"], rtol=1e-14)
    plain.assert_same_bits(*nets)
    if how == "hooks":
        assert options["callbacks"][0].begun == options["callbacks"][0].ended == [1, 3, 1, 3]


def test_a_minibatch_without_weight_leaves_running_statistics():
    X, y = integers(96)
    weight = np.r_[np.ones(32), np.zeros(32), np.ones(32)]
    nets = [network(nn.BatchNorm()) for _ in range(2)]
    nets[0].fit(X, y, sample_weight=weight, shuffle=False)
    nets[1].fit(X[weight > 0], y[weight > 0], shuffle=False)
    plain.assert_same_bits(*nets)


@pytest.mark.parametrize("weighs", [0.0, 1.0])
def test_rows_without_weight_must_be_finite_too(weighs):
    X, y = integers(64)
    X = X.astype("float64")
    X[40] = np.nan
    weight = np.r_[np.ones(32), np.full(32, weighs)]
    net = network().build(9)
    before = plain.bits(net)
    call = lambda: net.fit(X, y, sample_weight=weight, shuffle=False)  # noqa: E731
    plain.assert_raises(ValueError, [r"\bX\b", "finite"], call)
    assert plain.bits(net) == before


ZEROS = np.zeros(150)
ALL_ZERO = {
    "all rows": lambda net, X, y: net.fit(X, y, sample_weight=ZEROS),
    "held out": lambda net, X, y: net.fit(
        X, y, sample_weight=np.arange(150) < 100, validation_split=0.2
    ),
    "trained on": lambda net, X, y: net.fit(
        X, y, sample_weight=np.arange(150) >= 125, validation_split=0.2
    ),
    "validation_data": lambda net, X, y: net.fit(X, y, validation_data=(X, y, ZEROS)),
    "a whole iterable": lambda net, X, y: net.fit(minibatches(X, y, 40, ZEROS)),
    "train_on_batch": lambda net, X, y: net.train_on_batch(X, y, ZEROS),
    "evaluate": lambda net, X, y: net.evaluate(X, y, ZEROS),
}


@pytest.mark.parametrize("call", ALL_ZERO.values(), ids=ALL_ZERO)
def test_weights_that_are_all_zero(call):
    """Held-out rows of weight 0 ended in NumPy's ZeroDivisionError after an epoch of training."""
    X, y = integers()
    net = network(nn.BatchNorm()).build(9)
    before = plain.bits(net)
    plain.assert_raises(ValueError, ["sample_weight", r"\b0\b"], lambda: call(net, X, y))
    assert plain.bits(net) == before
    assert net.epoch == 0


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


@pytest.mark.parametrize("given", [{0: 1.0, 1: 9.0}, "balanced"], ids=str)
@pytest.mark.parametrize("weighted", [False, True])
def test_class_weight_counts_training_rows_only(weighted, given):
    """The weights of classes were given to the rows held out too, and balanced over them."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(100, 4)), (rng.random(100) < 0.3).astype(int)
    y[80:] = 1  # the balance of all rows is another
    weight = rng.random(100) + 0.5 if weighted else None
    nets = [nn.Network([nn.Dense(2)], optimizer=nn.SGD(0.1), seed=0) for _ in range(2)]
    options = {"class_weight": given, "shuffle": False, "epochs": 3}
    a = nets[0].fit(X, y, sample_weight=weight, validation_split=0.2, **options)
    held_out = (X[80:], y[80:]) if weight is None else (X[80:], y[80:], weight[80:])
    weight = None if weight is None else weight[:80]
    b = nets[1].fit(X[:80], y[:80], sample_weight=weight, validation_data=held_out, **options)
    assert (a["loss"], a["val_loss"]) == (b["loss"], b["val_loss"])
    plain.assert_same_bits(*nets)
    assert a["val_loss"][-1] == nets[0].evaluate(*held_out)["loss"]


def test_balance_of_rows_that_weigh_nothing():
    """A row of weight 0 is as one left out."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(60, 4)), np.r_[np.zeros(40, int), np.ones(10, int), np.full(10, 2)]
    weight = np.r_[np.ones(20), np.zeros(20), np.ones(10), np.zeros(10)]
    nets = [nn.Network([nn.Dense(3)], seed=0, dtype="float64") for _ in range(2)]
    options = {"class_weight": "balanced", "shuffle": False, "batch_size": 60}
    kept = weight > 0
    a = nets[0].fit(X, y, sample_weight=weight, **options)
    b = nets[1].fit(X[kept], y[kept], **options)
    assert a["loss"] == pytest.approx(b["loss"], rel=1e-13)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({3: -1.0}, [r"class_weight\[3\]", "at least 0", r"-1\.0"]),
        ({3: float("nan")}, [r"class_weight\[3\]", "at least 0", "nan"]),
        ({0: 0.0, 1: 0.0, 2: 0.0}, ["class_weight", "0 throughout"]),
    ],
    ids=str,
)
def test_bad_weights_of_classes(given, words):
    """Those of classes that no row has were not looked at."""
    X, y = integers()[0], np.arange(150) % 3
    net = nn.Network([nn.Dense(4)], seed=0).build(9)
    before = plain.bits(net)
    plain.assert_raises(ValueError, words, lambda: net.fit(X, y, class_weight=given))
    assert plain.bits(net) == before
    expected = nn.Network([nn.Dense(4)], seed=0).build(9)
    net.fit(X, y, class_weight={3: 5.0, np.int64(1): 1})  # a class that does not occur
    expected.fit(X, y, sample_weight=np.ones(150))
    plain.assert_same_bits(net, expected)


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
