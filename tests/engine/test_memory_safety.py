"""Nothing that a user passes, assigns or changes in place makes the engine leave its arrays."""

import copy
import pickle
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse

import relume
from relume import diagnostics, nn
from relume.engine import skip_zeros
from relume.engine.observer import OBSERVE_GRADIENTS, OBSERVE_VALUES, Observer
from relume.engine.op_spec import OpSpec
from relume.engine.ops import KINDS
from relume.engine.plan import Plan
from relume.engine.prediction import predict
from relume.engine.training import STATUS, Training
from relume.engine.updates import Updates
from relume.functional.activations import ROWS
from relume.nn.losses import LOSSES
from relume.nn.optimizers.optimizers import OPTIMIZERS
from relume.sklearn import MLPClassifier

FLOAT32, INT32, INT64 = np.dtype(np.float32), np.dtype(np.int32), np.dtype(np.int64)
RNG = np.random.default_rng(0)
N, N_IN, N_OUT = 300, 8, 3  # several shards of rows
X = RNG.normal(size=(N, N_IN)).astype(np.float32)
LABELS = RNG.integers(0, N_OUT, N)
DENSE = OpSpec(kind="dense", units=N_OUT, bias=True)
HIDDEN = OpSpec(kind="dense", units=8, bias=True)
STRANGE_LABELS = [-1, N_OUT, 10**9, -(10**9), 2**63 - 1, -(2**63)]
OPS = {
    "one segment": [HIDDEN, DENSE],
    "several segments": [HIDDEN, OpSpec(kind="batch_norm", numbers=(1e-5, 0.1)), DENSE],
}
by_ops = pytest.mark.parametrize("ops", OPS)
by_label = pytest.mark.parametrize("label", STRANGE_LABELS)
by_row = pytest.mark.parametrize("row", [0, 63, 64, N - 1])


def plan_of(*specs, n_in=N_IN, dtype=FLOAT32):
    return Plan(n_in, list(specs), dtype)


def weights_of(plan, **changes):
    """What the engine takes for the weights of a network."""
    return SimpleNamespace(
        **{
            "parameters": np.zeros(plan.n_parameters, plan.dtype),
            "optimizer_state": np.zeros((2, plan.n_parameters), plan.dtype),
            "average": None,
            "steps": 0,
        }
        | changes
    )


def training_of(plan, loss=None, y=LABELS, rows=N, **changes):
    loss = loss or ("cross_entropy", np.zeros(1, np.float32))
    return Training(plan, weights_of(plan, **changes), rows, loss, y[:0], nn.SGD())


def network(*layers, **options):
    return nn.Network(
        list(layers) or [nn.Dense(8, "relu"), nn.Dense(N_OUT)], **{"seed": 0} | options
    )


def state_of(net):
    return {name: value.copy() for name, value in net.state_dict().items()}


def assert_same_state(net, state):
    for name, value in net.state_dict().items():
        np.testing.assert_array_equal(value, state[name], err_msg=name)


# -- What layers say of their ops -----------------------------------------------------------------

BAD_OPS = {
    "no ops": [],
    "no spec": [None],
    "a dict": [{"kind": "dense", "units": 3}],
    "a list": [[("kind", "dense")]],
    "no kind": [OpSpec(kind=None)],
    "an unknown kind": [OpSpec(kind="convolution")],
    "width 0": [OpSpec(kind="dense", units=0)],
    "negative width": [OpSpec(kind="dense", units=-3)],
    "a width that is no integer": [OpSpec(kind="dense", units=2.5)],
    "a width of text": [OpSpec(kind="dense", units="3")],
    "a width whose weights overflow": [OpSpec(kind="dense", units=2**61)],
    "a width over 2**64": [OpSpec(kind="dense", units=2**70)],
    "weights that overflow": [OpSpec(kind="dense", units=2**34)] * 2,
    "rows of the tape that overflow": [OpSpec(kind="dense", units=2**36)] * 2,
    "another width": [OpSpec(kind="dropout", numbers=(0.5,), units=2), DENSE],
    "a bias": [OpSpec(kind="layer_norm", numbers=(1e-5,), bias=True), DENSE],
    "a limit of weights": [OpSpec(kind="sine", numbers=(1.0,), max_norm=1.0), DENSE],
    "an activation of a dense op": [replace(DENSE, activation=ROWS["relu"]["index"])],
    "no activation": [OpSpec(kind="activation"), DENSE],
    "no activation of prelu": [OpSpec(kind="prelu", integers=(1,)), DENSE],
    "a negative activation": [OpSpec(kind="activation", activation=-1), DENSE],
    "an activation behind the table": [OpSpec(kind="activation", activation=len(ROWS) + 9), DENSE],
    "a far activation": [OpSpec(kind="activation", activation=2**40), DENSE],
    "an activation by name": [OpSpec(kind="activation", activation="relu"), DENSE],
    "a derivative from the output that there is none of": [
        OpSpec(kind="activation", activation=ROWS["gelu"]["index"], from_output=True), DENSE
    ],
    "slopes for relu": [
        OpSpec(kind="prelu", integers=(0,), activation=ROWS["relu"]["index"]), DENSE
    ],
    "slopes for threshold": [
        OpSpec(kind="prelu", integers=(0,), activation=ROWS["threshold"]["index"]), DENSE
    ],
    "random slopes for relu": [
        OpSpec(kind="rrelu", activation=ROWS["relu"]["index"], numbers=(0.2, 0.1, 0.3)), DENSE
    ],
    "a join without a fork": [DENSE, OpSpec(kind="join")],
    "a fork without a join": [OpSpec(kind="fork"), DENSE],
    "two joins": [OpSpec(kind="fork"), DENSE, OpSpec(kind="join"), OpSpec(kind="join")],
    "a fork alone behind": [DENSE, OpSpec(kind="fork")],
    "only a penalty": [OpSpec(kind="activity_l1", l1=0.1)],
    "numbers that are none": [OpSpec(kind="sine", numbers=("fast",)), DENSE],
    "an array for a number": [OpSpec(kind="sine", numbers=(np.zeros(0),)), DENSE],
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_OPS)
def test_ops_that_a_plan_does_not_take(name):
    with pytest.raises((TypeError, ValueError)):
        Plan(N_IN, BAD_OPS[name], FLOAT32)


N_NUMBERS = {
    "rrelu": 3, "dropout": 1, "alpha_dropout": 1, "batch_norm": 2, "layer_norm": 1, "sine": 1,
    "group_norm": 1,
}  # fmt: skip
N_INTEGERS = {"prelu": 1, "group_norm": 1}
ACTIVATIONS = {"activation": "relu", "prelu": "prelu", "rrelu": "prelu"}


def op_of(kind, more_numbers=0, more_integers=0):
    """An op of a kind that a plan takes, if it has not more numbers than that."""
    return OpSpec(
        kind=kind,
        numbers=(0.1,) * (N_NUMBERS.get(kind, 0) + more_numbers),
        integers=(1,) * (N_INTEGERS.get(kind, 0) + more_integers),
        activation=ROWS[ACTIVATIONS[kind]]["index"] if kind in ACTIVATIONS else None,
        units=4 if kind == "dense" else None,
    )


def plan_with(op):
    """A plan of an op between others, a whole residual block if it is an end of one."""
    fork, join = OpSpec(kind="fork"), OpSpec(kind="join")
    before = [DENSE, fork] if op.kind == "join" else [DENSE]
    return plan_of(*before, op, *([join] if op.kind == "fork" else []))


OTHER_COUNTS = [
    (kind, more)
    for kind in KINDS
    for more in (1, 2, 8, 100_000, -1)
    if N_NUMBERS.get(kind, 0) + more >= 0
]


@pytest.mark.parametrize(("kind", "more"), OTHER_COUNTS)
def test_an_op_must_have_the_numbers_of_its_kind(kind, more):
    plan_with(op_of(kind))
    with pytest.raises(ValueError, match=rf"{kind}.*must have \d numbers, got"):
        plan_with(op_of(kind, more_numbers=more))


@pytest.mark.parametrize("more", [1, 100_000])
@pytest.mark.parametrize("kind", KINDS)
def test_an_op_must_have_the_integers_of_its_kind(kind, more):
    with pytest.raises(ValueError, match=rf"{kind}.*must have \d integers, got"):
        plan_with(op_of(kind, more_integers=more))


@pytest.mark.parametrize("integers", [(), (-1,), (0,), (2,), (10**9,), (2**70,), (1.5,), ("1",)])
def test_groups_that_do_not_divide_the_units(integers):
    """The kernels would leave the row behind its last whole group, or divide by 0."""
    with pytest.raises((TypeError, ValueError)):
        plan_of(DENSE, OpSpec(kind="group_norm", numbers=(1e-5,), integers=integers))


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row["layer"]])
@pytest.mark.parametrize("more", [1, 3, 50])
def test_an_activation_must_have_the_numbers_of_its_row(name, more):
    cls = getattr(nn, ROWS[name]["layer"])
    needed = [p for p in cls.__signature__.parameters.values() if p.default is p.empty]
    [[spec]] = cls(*(0.5 for _ in needed)).modules()
    plan_of(DENSE, spec)
    with pytest.raises(ValueError, match=rf"{cls.__name__}.*must have \d numbers, got"):
        plan_of(DENSE, replace(spec, numbers=spec.numbers + (0.5,) * more))


@pytest.mark.parametrize("n_in", [0, -1, 2**62])
def test_widths_of_the_input_that_a_plan_does_not_take(n_in):
    with pytest.raises(ValueError, match="n_in"):
        Plan(n_in, [DENSE], FLOAT32)


@pytest.mark.parametrize("dtype", ["float16", "int32", "complex64", ">f4", "longdouble", "S4"])
def test_dtypes_that_a_plan_does_not_take(dtype):
    with pytest.raises(ValueError, match="dtype"):
        Plan(N_IN, [DENSE], np.dtype(dtype))


def specs_changed(cls, **changes):
    """A layer of a class of one's own whose op is changed."""

    class Mine(cls):
        def spec(self):
            return replace(super().spec(), **changes)

    return Mine


OWN_LAYERS = {
    "many numbers": (specs_changed(nn.Sine, numbers=(1.0,) * 100_000), "numbers"),
    "some numbers": (specs_changed(nn.LayerNorm, numbers=(1.0,) * 8), "numbers"),
    "no numbers": (specs_changed(nn.Dropout, numbers=()), "numbers"),
    "another width": (specs_changed(nn.Sine, units=1), "units"),
    "a wider one": (specs_changed(nn.Dropout, units=1000), "units"),
    "another kind": (specs_changed(nn.Sine, kind="convolution"), "kinds"),
    "another activation": (specs_changed(nn.FATReLU, activation=10**6), "activation"),
    "a join": (specs_changed(nn.Sine, kind="join", numbers=()), "fork"),
}


@pytest.mark.parametrize("name", OWN_LAYERS)
def test_layers_of_ones_own_are_named_where_they_do_not_fit(name):
    cls, word = OWN_LAYERS[name]
    net = network(nn.Dense(4), cls(), nn.Dense(N_OUT))
    with pytest.raises(ValueError, match=rf"(?s)(?=.*Mine)(?=.*{word})"):
        net.fit(X, LABELS)
    with pytest.raises(RuntimeError, match="not built"):
        net.state_dict()


# -- Optimizers and losses: how many numbers their kernels read ----------------------------------


def optimizers_of_ones_own():
    for name, cls in OPTIMIZERS.items():
        if cls is not nn.LBFGS:
            yield from ((name, more) for more in (-1, 1, 4000))


@pytest.mark.parametrize(("name", "more"), list(optimizers_of_ones_own()))
def test_an_optimizer_must_give_the_numbers_of_its_kernel(name, more):
    class Mine(OPTIMIZERS[name]):
        def hyper(self):
            numbers = super().hyper()
            return numbers[:more] if more < 0 else numbers + [1.0] * more

    net = network(optimizer=Mine()).build(N_IN)
    before = state_of(net)
    with pytest.raises(ValueError, match=r"hyper\(\) of Mine.*must give \d numbers"):
        net.fit(X, LABELS)
    assert_same_state(net, before)


@pytest.mark.parametrize("numbers", [["fast"] * 7, [None] * 7, [[1.0]] * 7])
def test_an_optimizer_must_give_numbers(numbers):
    class Mine(nn.Adam):
        def hyper(self):
            return numbers

    with pytest.raises(TypeError, match=r"hyper\(\) of Mine.*must give numbers"):
        network(optimizer=Mine()).fit(X, LABELS)


def test_an_optimizer_of_an_unknown_kernel():
    class Mine(nn.Adam):
        kernel = "adagrad"

    with pytest.raises(ValueError, match="adagrad"):
        network(optimizer=Mine()).fit(X, LABELS)


def losses():
    """Each loss with the shape of its y for n rows of N_OUT outputs."""
    for name, cls in LOSSES.items():
        yield pytest.param(cls(), np.zeros((N, N_OUT), np.float32), id=name)
    yield pytest.param(nn.CrossEntropy(), LABELS, id="cross_entropy of labels")


by_loss = pytest.mark.parametrize(("loss", "y"), list(losses()))


@by_loss
@pytest.mark.parametrize("size", [0, 1, 2, 3, 100])
def test_a_loss_must_have_the_numbers_of_its_kernel(loss, y, size):
    plan, kernel = plan_of(DENSE), loss.kernel(y)
    numbers = loss.numbers(N_OUT, FLOAT32)
    if size == len(numbers):
        size += 1
    z, wrong = np.zeros((N, N_OUT), np.float32), np.zeros(size, np.float32)
    observer = Observer(plan, np.zeros(2, np.uint8), np.zeros((2, 2)))
    parameters = np.zeros(plan.n_parameters, np.float32)
    plan.row_losses(kernel, numbers, z, y)
    with pytest.raises(ValueError, match="numbers"):
        plan.row_losses(kernel, wrong, z, y)
    with pytest.raises(ValueError, match="numbers"):
        training_of(plan, (kernel, wrong), y)
    with pytest.raises(ValueError, match="numbers"):
        observer.observe(parameters, X, y, (kernel, wrong))


@by_loss
@pytest.mark.parametrize("shape", [(1,), (N - 1,), (N, 2), (N, N_OUT + 1), (N - 1, N_OUT)])
def test_y_must_have_the_rows_and_columns_of_the_outputs(loss, y, shape):
    plan, kernel, numbers = plan_of(DENSE), loss.kernel(y), loss.numbers(N_OUT, FLOAT32)
    wrong = np.zeros(shape, y.dtype)
    z = np.zeros((N, N_OUT), np.float32)
    observer = Observer(plan, np.zeros(2, np.uint8), np.zeros((2, 2)))
    with pytest.raises(ValueError, match=r"\by\b"):
        plan.row_losses(kernel, numbers, z, wrong)
    with pytest.raises(ValueError, match=r"\by\b"):
        observer.observe(np.zeros(plan.n_parameters, np.float32), X, wrong, (kernel, numbers))
    with pytest.raises(ValueError, match=r"\by\b|\bX\b"):
        training_of(plan, (kernel, numbers), wrong).batch(X, wrong, None, 0.1)


@by_loss
def test_outputs_must_have_the_shape_of_the_plan(loss, y):
    plan, kernel, numbers = plan_of(DENSE), loss.kernel(y), loss.numbers(N_OUT, FLOAT32)
    for shape in [(N, N_OUT - 1), (N, N_OUT + 1), (N * N_OUT,), (N * N_OUT, 1), (1, N, N_OUT)]:
        with pytest.raises(ValueError, match=r"\bz\b|\by\b"):
            plan.row_losses(kernel, numbers, np.zeros(shape, np.float32), y)


class Narrow(nn.MSE):
    """A loss of one's own that gives the engine less y than it reads."""

    def targets(self, y, name, n_out, dtype):
        return super().targets(y, name, n_out, dtype)[:, :1].copy()


class Numberless(nn.Huber):
    """A loss of one's own without its kernel's number."""

    def numbers(self, n_out, dtype):
        return np.zeros(0, dtype)


class Relabelled(nn.CrossEntropy):
    """A loss of one's own that gives the engine labels that are none."""

    def targets(self, y, name, n_out, dtype):
        return super().targets(y, name, n_out, dtype) + 10**9


class Objects(nn.PythonLoss):
    """A loss of one's own that gives the engine Python objects."""

    def targets(self, y, name, n_out, dtype):
        return np.asarray(y).astype(object)


@pytest.mark.parametrize(
    ("loss", "word"),
    [(Narrow(), "y"), (Numberless(), "numbers"), (Relabelled(), "labels")],
    ids=lambda value: type(value).__name__,
)
def test_losses_of_ones_own_that_do_not_fit(loss, word):
    y = LABELS if loss.classifies else np.zeros((N, N_OUT), np.float32)
    net = network(loss=loss).build(N_IN)
    before = state_of(net)
    for method in (net.fit, net.train_on_batch, net.evaluate):
        with pytest.raises(ValueError, match=rf"\b{word}\b"):
            method(X, y)
        assert_same_state(net, before)


def test_a_python_loss_is_given_no_objects():
    net = network(loss=Objects(lambda y, z: (0.0, z)))
    with pytest.raises(TypeError, match=r"\by\b"):
        net.fit(X, LABELS)


# -- Labels ---------------------------------------------------------------------------------------


def relabelled(row, label):
    y = LABELS.copy()
    y[row] = label
    return y


@by_ops
@by_label
@by_row
def test_labels_are_looked_at_where_they_are_gathered(ops, label, row):
    plan = plan_of(*OPS[ops])
    parameters = RNG.normal(size=plan.n_parameters).astype(np.float32)
    training = training_of(plan, parameters=parameters)
    before, y = parameters.copy(), relabelled(row, label)
    order, gradients = np.arange(N)[::-1].copy(), np.zeros_like(parameters)
    found = [
        training.batch(X, y, None, 0.1),
        training.epoch(X, y, None, order, np.full(1, 0.1), N),
        training.gradients(X, y, None, gradients),
    ]
    assert [status for status, _, _ in found] == [STATUS["label out of range"]] * 3
    assert training.strange_label == label
    np.testing.assert_array_equal(parameters, before)
    assert training.batch(X, LABELS, None, 0.1)[0] == STATUS["fine"]
    assert training.strange_label is None


@by_label
@by_row
def test_labels_of_row_losses_and_observers(label, row):
    plan, loss = plan_of(DENSE), ("cross_entropy", np.zeros(1, np.float32))
    z, y = np.zeros((N, N_OUT), np.float32), relabelled(row, label)
    observer = Observer(plan, np.full(2, 3, np.uint8), np.zeros((2, 2)))
    for call in (
        lambda: plan.row_losses(*loss, z, y),
        lambda: observer.observe(np.zeros(plan.n_parameters, np.float32), X, y, loss),
    ):
        with pytest.raises(ValueError, match=rf"labels 0 to {N_OUT - 1}, got {label}\b"):
            call()


def at_the_end_of_an_epoch(change):
    return lambda net, epoch, figures: change()


class AtABatch(nn.Callback):
    def __init__(self, change):
        self.change = change

    def on_batch_begin(self, net, batch):
        if batch > 1:
            self.change()


by_change = pytest.mark.parametrize(
    ("hook", "optimizer"),
    [
        (at_the_end_of_an_epoch, nn.Adam()),
        (AtABatch, nn.Adam()),
        (at_the_end_of_an_epoch, nn.LBFGS(max_iter=2)),  # which has no minibatches
    ],
    ids=["epoch", "batch", "lbfgs"],
)


@by_label
@by_change
def test_labels_changed_in_place_during_a_fit(label, hook, optimizer):
    net, y = network(optimizer=optimizer).build(N_IN), LABELS.copy()
    before = state_of(net)
    change = hook(lambda: y.fill(label))
    with pytest.raises(ValueError, match=rf"\by\b.*labels 0 to {N_OUT - 1}.*{label}\b"):
        net.fit(X, y, epochs=3, callbacks=[change])
    if not isinstance(optimizer, nn.LBFGS):  # which goes back to the last good epoch
        assert_same_state(net, before)
    assert np.isfinite(net.fit(X, LABELS)["loss"]).all()


def test_targets_resized_in_place_during_a_fit():
    y = LABELS.copy()
    with pytest.raises(ValueError, match=r"\by\b"):
        network().fit(X, y, epochs=3, callbacks=[
            at_the_end_of_an_epoch(lambda: y.resize(7, refcheck=False))
        ])  # fmt: skip


# -- Sparse matrices: SciPy checks no indices when it takes or converts them ----------------------


def sparse(form, dtype=np.float32):
    if form == "dia":
        return scipy.sparse.dia_matrix((np.ones((2, N_IN), dtype), [0, -3]), shape=(N, N_IN))
    M = scipy.sparse.random(N, N_IN, 0.3, "csr", dtype, np.random.default_rng(0))
    return M.asformat(form)


def set_at(attribute, place, value):
    def spoil(M):
        array = getattr(M, attribute)
        array[place] = value

    return spoil


def set_all(**attributes):
    def spoil(M):
        for name, value in attributes.items():
            setattr(M, name, value)

    return spoil


def spoil_lil(M):
    M.data[1] = [1.0] * 100_000


SPOILED = {
    "csr index": ("csr", set_at("indices", 5, 10**8)),
    "csr negative index": ("csr", set_at("indices", -1, -1)),
    "csr far below": ("csr", set_at("indices", 5, -(10**8))),
    "csr just outside": ("csr", set_at("indices", 5, N_IN)),
    "csr starts": ("csr", set_at("indptr", 10, 10**8)),
    "csr starts fall": ("csr", set_at("indptr", 10, 0)),
    "csr first start": ("csr", set_at("indptr", 0, 1)),
    "csr last start": ("csr", set_at("indptr", -1, 10**8)),
    "csr starts that wrap": ("csr", set_at("indptr", slice(1, 4), [2**31 - 1, -(2**31), -1])),
    "csr too few values": ("csr", set_all(data=np.ones(3, np.float32))),
    "csr too few indices": ("csr", set_all(indices=np.zeros(3, np.int32))),
    "csr too few starts": ("csr", set_all(indptr=np.zeros(3, np.int32))),
    "csr indices of floats": ("csr", lambda M: set_all(indices=M.indices.astype(float))(M)),
    "csc index": ("csc", set_at("indices", 5, 10**8)),
    "csc negative index": ("csc", set_at("indices", 5, -1)),
    "csc starts": ("csc", set_at("indptr", 3, 10**8)),
    "coo row": ("coo", set_at("row", 5, 10**8)),
    "coo negative row": ("coo", set_at("row", 5, -1)),
    "coo column": ("coo", set_at("col", 5, 10**8)),
    "coo too few values": ("coo", set_all(data=np.ones(3, np.float32))),
    "bsr index": ("bsr", set_at("indices", 5, 10**8)),
    "bsr starts": ("bsr", set_at("indptr", 1, 10**8)),
    "lil values": ("lil", spoil_lil),
    "dia offsets": ("dia", set_all(offsets=np.arange(1000))),
}
by_spoiled = pytest.mark.parametrize("name", SPOILED)


def spoiled(name):
    form, spoil = SPOILED[name]
    M = sparse(form)
    spoil(M)
    return M


CALLS = {
    "fit": lambda net, M: net.fit(M, LABELS),
    "fit of an iterable": lambda net, M: net.fit([(M, LABELS)]),
    "validation": lambda net, M: net.fit(X, LABELS, validation_data=(M, LABELS)),
    "train_on_batch": lambda net, M: net.train_on_batch(M, LABELS),
    "predict": lambda net, M: net.predict(M),
    "predict_proba": lambda net, M: net.predict_proba(M),
    "forward": lambda net, M: net.forward(M),
    "evaluate": lambda net, M: net.evaluate(M, LABELS),
    "inspect": lambda net, M: diagnostics.inspect(net, M),
}


@by_spoiled
@pytest.mark.parametrize("call", CALLS)
def test_sparse_matrices_with_indices_outside_their_shape(name, call):
    net = network().build(N_IN)
    before = state_of(net)
    with pytest.raises(ValueError, match="X must be a valid sparse matrix, got"):
        CALLS[call](net, spoiled(name))
    assert_same_state(net, before)


@by_spoiled
def test_sparse_matrices_with_indices_outside_their_shape_in_estimators(name):
    fitted = MLPClassifier((4,), max_iter=1, tol=1e9, solver="adam", random_state=0)
    with pytest.warns(match="Maximum iterations"):
        fitted.fit(X, LABELS)
    for call in (
        lambda M: MLPClassifier((4,)).fit(M, LABELS),
        lambda M: MLPClassifier((4,), solver="lbfgs").fit(M, LABELS),
        lambda M: fitted.partial_fit(M, LABELS),
        fitted.predict,
    ):
        with pytest.raises(ValueError, match="X must be a valid sparse matrix, got"):
            call(spoiled(name))


@pytest.mark.parametrize("form", ["csr", "csc", "coo", "bsr", "lil", "dia", "dok"])
def test_good_sparse_matrices_of_all_formats(form):
    net = network().build(N_IN)
    M = sparse(form)
    np.testing.assert_array_equal(net.predict(M), net.predict(M.toarray()))


@pytest.mark.parametrize("attribute", ["indices", "indptr"])
@by_change
def test_indices_changed_in_place_during_a_fit(attribute, hook, optimizer):
    """A fit has indices of its own, since SciPy would follow the user's beyond its memory."""
    M, plain = sparse("csr"), network(optimizer=optimizer)
    plain.fit(M.copy(), LABELS, epochs=3)
    net = network(optimizer=optimizer)
    spoil = hook(lambda: getattr(M, attribute).fill(10**8))
    net.fit(M, LABELS, epochs=3, callbacks=[spoil])
    assert_same_state(net, state_of(plain))


def compressed():
    M = sparse("csr")
    return M.data.copy(), M.indices.astype(np.int32), M.indptr.astype(np.int32)


def spoiled_parts():
    values, index, starts = compressed()
    for place, value in ((0, -1), (-1, N_IN), (3, 2**31 - 1), (3, -(2**31))):
        wrong = index.copy()
        wrong[place] = value
        yield pytest.param((values, wrong, starts), id=f"index {value}")
    for place, value in ((0, 1), (0, -1), (-1, 10**9), (-1, 0), (5, 10**9), (5, -5)):
        wrong = starts.copy()
        wrong[place] = value
        yield pytest.param((values, index, wrong), id=f"start {place} is {value}")
    wrong = starts.copy()
    wrong[1:4] = 2**31 - 1, -(2**31), -1
    yield pytest.param((values, index, wrong), id="starts whose differences wrap")
    yield pytest.param((values, index[:-1], starts), id="fewer indices")
    yield pytest.param((values[:-1], index, starts), id="fewer values")
    yield pytest.param((values, index, starts[:0]), id="no starts")
    yield pytest.param((values, index.astype(np.int64), starts), id="indices of 64 bits")
    yield pytest.param((values.astype(float), index, starts), id="values of 64 bits")


@pytest.mark.parametrize("parts", list(spoiled_parts()))
def test_compressed_rows_that_the_engine_does_not_take(parts):
    plan = plan_of(DENSE)
    parameters = np.zeros(plan.n_parameters, np.float32)
    by_columns = tuple(
        each.astype(np.int32) if i else each
        for i, each in enumerate(vars_of(sparse("csr").tocsc()))
    )
    expected = (ValueError, IndexError)
    with pytest.raises(expected):
        predict(plan, parameters, parts)
    with pytest.raises(expected):
        training_of(plan).batch((parts, by_columns), LABELS, None, 0.1)
    with pytest.raises(expected):
        skip_zeros.times_dense(parts, np.ones((N_IN, 5), np.float32))


def vars_of(M):
    return M.data, M.indices, M.indptr


SPARSE_READERS = {
    "dropout": [OpSpec(kind="dropout", numbers=(0.5,)), DENSE],
    "fork": [OpSpec(kind="fork"), DENSE, OpSpec(kind="join")],
    "a fork behind": [OpSpec(kind="standardize"), OpSpec(kind="fork"), DENSE, OpSpec(kind="join")],
    "no dense op": [OpSpec(kind="layer_norm", numbers=(1e-5,))],
    "only a standardize": [OpSpec(kind="standardize")],
}


@pytest.mark.parametrize("name", SPARSE_READERS)
def test_plans_that_cannot_read_sparse_rows(name):
    plan = plan_of(*SPARSE_READERS[name])
    with pytest.raises(ValueError, match="X must be dense"):
        predict(plan, np.zeros(plan.n_parameters, np.float32), compressed())


# -- Arrays that the engine reads and writes ------------------------------------------------------


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


WRONG_WEIGHTS = {
    "parameters None": {"parameters": None},
    "parameters short": {"parameters": np.zeros(1, np.float32)},
    "parameters of float64": {"parameters": np.zeros(48)},
    "parameters read-only": {"parameters": read_only(np.zeros(32, np.float32))},
    "parameters strided": {"parameters": np.zeros(64, np.float32)[::2]},
    "state None": {"optimizer_state": None},
    "state of one row": {"optimizer_state": np.zeros((1, 32), np.float32)},
    "state read-only": {"optimizer_state": read_only(np.zeros((2, 32), np.float32))},
    "no average": {"average": None},
    "average short": {"average": np.zeros(16, np.float32)},
    "average read-only": {"average": read_only(np.zeros(32, np.float32))},
}


@pytest.mark.parametrize("name", WRONG_WEIGHTS)
def test_weights_that_do_not_fit_the_plan(name):
    plan = plan_of(DENSE)
    assert plan.n_parameters == 32
    weights = weights_of(plan, **{"average": np.zeros(32, np.float32)} | WRONG_WEIGHTS[name])
    with pytest.raises((TypeError, ValueError)):
        Updates(plan, weights, nn.SGD(ema_decay=0.9), 1)


@pytest.mark.parametrize("threads", [0, -1])
def test_updates_need_a_thread(threads):
    plan = plan_of(DENSE)
    with pytest.raises(ValueError, match="threads"):
        Updates(plan, weights_of(plan), nn.SGD(), threads)


def test_a_network_with_read_only_parameters_predicts_and_refuses_to_train():
    net = network().build(N_IN)
    net._weights.parameters = read_only(net._weights.parameters)
    net.predict(X)
    net.forward(X, training=True)
    with pytest.raises(ValueError, match="read-only"):
        net.fit(X, LABELS)


def test_a_running_average_that_was_loaded_read_only_is_trained_on():
    net = network(optimizer=nn.Adam(ema_decay=0.9))
    net.fit(X, LABELS)
    state = net._weights.__getstate__()
    state["average"] = read_only(state["average"])
    net._weights.__setstate__(state)
    net.fit(X, LABELS)


FORWARD = {
    "X too wide": {"X": np.zeros((N, N_IN + 1), np.float32)},
    "X of one dimension": {"X": np.zeros(N * N_IN, np.float32)},
    "X whose size overflows": {"X": np.zeros((2**60, 0), np.float32)},
    "X of float64": {"X": np.zeros((N, N_IN))},
    "X by columns": {"X": np.zeros((N, N_IN), np.float32, order="F")},
    "short tape": {"tape": np.zeros(16, np.float32)},
    "read-only tape": {"tape": read_only(plan_of(HIDDEN, DENSE).new_tape(N))},
    "tape of more rows": {"tape": plan_of(HIDDEN, DENSE).new_tape(N + 1)},
    "short parameters": {"parameters": np.zeros(16, np.float32)},
    "short gradients": {"gradients": np.zeros(16, np.float32)},
    "read-only gradients": {
        "gradients": read_only(np.zeros(plan_of(HIDDEN, DENSE).n_parameters, np.float32))
    },
    "dz too narrow": {"dz": np.zeros((N, N_OUT - 1), np.float32)},
    "dz of fewer rows": {"dz": np.zeros((N - 1, N_OUT), np.float32)},
    "dz whose size overflows": {"dz": np.zeros((2**60, 0), np.float32)},
}


@pytest.mark.parametrize("name", FORWARD)
def test_arrays_of_forward_and_backward(name):
    plan = plan_of(HIDDEN, DENSE)
    good = {
        "parameters": np.zeros(plan.n_parameters, np.float32), "X": X, "tape": plan.new_tape(N),
        "gradients": np.zeros(plan.n_parameters, np.float32),
        "dz": np.zeros((N, N_OUT), np.float32),
    }  # fmt: skip
    forward, backward = ("parameters", "X", "tape"), ("parameters", "gradients", "X", "tape", "dz")
    plan.forward(*(good[each] for each in forward))
    plan.backward(*(good[each] for each in backward))
    given = good | FORWARD[name]
    with pytest.raises(ValueError, match=rf"\b({next(iter(FORWARD[name]))}|dz)\b"):
        plan.backward(*(given[each] for each in backward))
    if not FORWARD[name].keys() <= {"gradients", "dz"}:
        with pytest.raises(ValueError, match=next(iter(FORWARD[name]))):
            plan.forward(*(given[each] for each in forward))


def test_running_statistics_need_writable_parameters():
    plan = plan_of(*OPS["several segments"])
    parameters = read_only(np.zeros(plan.n_parameters, np.float32))
    with pytest.raises(ValueError, match="parameters must be writable"):
        plan.forward(parameters, X, plan.new_tape(N))


@pytest.mark.parametrize("rows", [-1, 2**40, 2**62])
def test_rows_of_a_tape(rows):
    with pytest.raises((ValueError, MemoryError)):
        plan_of(OpSpec(kind="dense", units=2**20)).new_tape(rows)


@pytest.mark.parametrize(
    "shape", [(N, N_IN - 1), (N, N_IN + 1), (N * N_IN,), (2**60, 0), (1, N, N_IN)]
)
def test_rows_that_prediction_and_observers_do_not_take(shape):
    plan, wrong = plan_of(DENSE), np.zeros(shape, np.float32)
    parameters = np.zeros(plan.n_parameters, np.float32)
    observer = Observer(plan, np.zeros(2, np.uint8), np.zeros((2, 2)))
    for call in (
        lambda: predict(plan, parameters, wrong),
        lambda: observer.record(parameters, wrong),
        lambda: training_of(plan).batch(wrong, LABELS, None, 0.1),
    ):
        with pytest.raises(ValueError, match=r"\bX\b|rows"):
            call()
    if shape != (2**60, 0):  # for whose outputs there is no memory
        with pytest.raises(ValueError, match=r"\bX\b"):
            observer.observe(parameters, wrong)


EPOCHS = {
    "no rates": {"rates": np.zeros(0)},
    "more rates than minibatches": {"rates": np.zeros(9)},
    "fewer rates": {"rates": np.zeros(2)},
    "minibatch of no rows": {"batch_size": 0},
    "minibatch of negative rows": {"batch_size": -100},
    "minibatch too large": {"batch_size": 101},
    "row behind X": {"order": np.full(N, N)},
    "row before X": {"order": np.full(N, -1)},
    "order of 32 bits": {"order": np.arange(N, dtype=np.int32)},
    "short y": {"y": LABELS[:-1]},
    "short weight": {"weight": np.ones(N - 1, np.float32)},
    "compressed rows": {"X": (compressed(), compressed())},
}


@pytest.mark.parametrize("name", EPOCHS)
def test_what_an_epoch_takes(name):
    good = {
        "X": X, "y": LABELS, "weight": None, "order": np.arange(N), "rates": np.zeros(3),
        "batch_size": 100,
    }  # fmt: skip
    training = training_of(plan_of(DENSE), rows=100)
    assert training.epoch(*good.values())[0] == STATUS["fine"]
    with pytest.raises((TypeError, ValueError)):
        training.epoch(*(good | EPOCHS[name]).values())


@pytest.mark.parametrize("rows", [0, -1])
def test_a_training_needs_rows(rows):
    with pytest.raises(ValueError, match="rows"):
        training_of(plan_of(DENSE), rows=rows)


def test_a_training_needs_something_that_learns():
    plan, width = plan_of(OpSpec(kind="sine", numbers=(1.0,))), np.zeros((N, N_IN), np.float32)
    with pytest.raises(ValueError, match="learns"):
        training_of(plan, ("mse", np.zeros(0, np.float32)), width)
    observer = Observer(plan, np.full(2, 3, np.uint8), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="learns"):
        observer.observe(
            np.zeros(plan.n_parameters, np.float32), X, width, ("mse", np.zeros(0, np.float32))
        )


def test_gradients_leave_the_training_with_memory_of_its_own():
    """`batch` wrote to the array of the last `gradients`, which may have been freed."""
    plan = plan_of(DENSE)
    training, gradients = training_of(plan), np.zeros(plan.n_parameters, np.float32)
    training.gradients(X, LABELS, None, gradients)
    before = gradients.copy()
    training.batch(X, -LABELS + N_OUT - 1, None, 0.1)
    np.testing.assert_array_equal(gradients, before)


# -- Observers ------------------------------------------------------------------------------------


@pytest.mark.parametrize("slots", [0, -1])
def test_an_observer_needs_a_slot(slots):
    with pytest.raises(ValueError, match="slots"):
        Observer(plan_of(DENSE), np.zeros(2, np.uint8), np.zeros((2, 2)), slots=slots)


@pytest.mark.parametrize(
    ("observed", "bounds"),
    [
        (np.zeros(1, np.uint8), np.zeros((2, 2))),
        (np.zeros(3, np.uint8), np.zeros((2, 2))),
        (np.zeros(2, np.int64), np.zeros((2, 2))),
        (np.zeros(2, np.uint8), np.zeros((1, 2))),
        (np.zeros(2, np.uint8), np.zeros((3, 2))),
        (np.zeros(2, np.uint8), np.zeros((2, 2), np.float32)),
        (np.zeros(2, np.uint8), None),
    ],
)
def test_arrays_of_an_observer(observed, bounds):
    with pytest.raises((TypeError, ValueError)):
        Observer(plan_of(DENSE), observed, bounds)


@pytest.mark.parametrize("node", [-1, 2, 10**9, -(10**9)])
def test_nodes_of_an_observer(node):
    observer = Observer(plan_of(DENSE), np.full(2, OBSERVE_VALUES, np.uint8), np.zeros((2, 2)))
    with pytest.raises(IndexError, match="node"):
        observer.active(node)


def test_gradients_that_are_not_on_the_tape_are_not_read():
    plan = plan_of(OpSpec(kind="sine", numbers=(1.0,)), DENSE)
    observer = Observer(plan, np.full(3, OBSERVE_VALUES, np.uint8), np.zeros((3, 2)))
    observer.observed[:] = OBSERVE_VALUES | OBSERVE_GRADIENTS
    training = training_of(plan)
    training.watch([observer])
    assert training.batch(X, LABELS, None, 0.1)[0] == STATUS["fine"]
    assert observer.observations == 1


@pytest.mark.parametrize("found", [object(), "observer", 3, np.zeros(9)], ids=type)
def test_a_callback_that_gives_no_observer(found):
    class Mine(nn.Callback):
        def observer_for(self, net, epoch, rows, steps):
            return found

    with pytest.raises(TypeError, match="observer"):
        network().fit(X, LABELS, callbacks=[Mine()])


@pytest.mark.parametrize("call", [
    lambda: Observer(None, np.zeros(2, np.uint8), np.zeros((2, 2))),
    lambda: Updates(None, None, nn.SGD(), 1),
    lambda: Training(None, None, 1, None, LABELS, nn.SGD()),
    lambda: predict(None, np.zeros(1), X),
])  # fmt: skip
def test_none_for_a_plan(call):
    with pytest.raises(TypeError):
        call()


# -- Products that skip zeros ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["int32", "int8", "float16", "complex128"])
def test_dtypes_that_are_not_compressed(dtype):
    x = np.ones((4, 8), dtype)
    for call in (skip_zeros.compress, skip_zeros.count_zeros):
        with pytest.raises(TypeError, match="float32 or float64"):
            call(x)
    with pytest.raises(TypeError, match="float32 or float64"):
        skip_zeros.times_dense(compressed(), np.ones((N_IN, 5), dtype))


PRODUCTS = {
    "fewer rows than columns": ((N_IN - 1, 5), {}),
    "short bias": ((N_IN, 5), {"bias": np.zeros(4, np.float32)}),
    "small out": ((N_IN, 5), {"out": np.zeros((N, 4), np.float32)}),
    "read-only out": ((N_IN, 5), {"out": read_only(np.zeros((N, 5), np.float32))}),
    "out of float64": ((N_IN, 5), {"out": np.zeros((N, 5))}),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_arrays_of_a_product(name):
    shape, given = PRODUCTS[name]
    with pytest.raises(ValueError, match=r"\b(X|bias|out)\b"):
        skip_zeros.times_dense(compressed(), np.ones(shape, np.float32), **given)


@pytest.mark.parametrize("n", [0, -1, -(2**62)])
@pytest.mark.parametrize("name", ["rows", "width"])
def test_shapes_of_a_simulated_product(name, n):
    with pytest.raises(ValueError, match=f"{name} must be"):
        skip_zeros.simulate(0.5, 1, 1, 1, 1, **{name: n})


# -- Layers, units, loss and dtype assigned to a network ------------------------------------------

CHANGED_BEFORE_BUILD = {
    "fewer outputs": (lambda net: net.layers.__setitem__(-1, nn.Dense(2)), "label"),
    "units": (lambda net: setattr(net.layers[-1], "units", 2), "label"),
    "units 0": (lambda net: setattr(net.layers[0], "units", 0), "units"),
    "units negative": (lambda net: setattr(net.layers[0], "units", -4), "units"),
    "units no integer": (lambda net: setattr(net.layers[0], "units", 2.5), "units"),
    "units too many": (lambda net: setattr(net.layers[0], "units", 2**62), "units"),
    "no layers": (lambda net: net.layers.clear(), "layers"),
    "no list": (lambda net: setattr(net, "layers", None), "layers"),
    "no layer": (lambda net: net.layers.append("relu"), "layers"),
    "no Dense": (lambda net: net.layers.__setitem__(slice(None), [nn.Dropout(0.5)]), "layers"),
    "a late Standardize": (lambda net: net.layers.append(nn.Standardize()), "Standardize"),
    "an early ActivityL1": (lambda net: net.layers.insert(0, nn.ActivityL1()), "ActivityL1"),
}


@pytest.mark.parametrize("name", CHANGED_BEFORE_BUILD)
@pytest.mark.parametrize("rows", [X, sparse("csr")], ids=["dense", "sparse"])
def test_layers_changed_before_the_network_is_built(name, rows):
    change, word = CHANGED_BEFORE_BUILD[name]
    net = network()
    with pytest.raises((TypeError, ValueError), match=rf"{word}|X must be dense"):  # noqa: PT012
        change(net)
        net.fit(rows, LABELS)
    with pytest.raises((RuntimeError, TypeError, ValueError), match=rf"not built|{word}"):
        net.predict(rows)


@pytest.mark.parametrize("units", [3, 4, 30])
def test_outputs_changed_before_the_network_is_built_count(units):
    net = network()
    net.layers[-1].units = units
    assert net.n_outputs == units
    net.fit(X, LABELS)
    assert net.forward(X).shape == (N, units)
    y = np.zeros((N, N_OUT), np.float32)
    values = network(loss="mse")
    values.layers[-1].units = units
    if units == N_OUT:
        values.fit(X, y)
        return
    with pytest.raises(ValueError, match=rf"y must have shape \(n, {units}\)"):
        values.fit(X, y)


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("units", [1, 2, 7, 9, 1000])
def test_units_changed_on_a_built_network(layer, units):
    """Every use is refused until the change is undone; the weights are as they were."""
    net, plain = network(), network()
    for each in (net, plain):
        each.fit(X, LABELS)
    before = net.layers[layer].units
    net.layers[layer].units = units
    for call in (
        copy.copy,
        copy.deepcopy,
        pickle.dumps,
        lambda net: net.forward(X),
        lambda net: net.predict(X[:1]),
        lambda net: net.fit(X, LABELS),
        lambda net: net.train_on_batch(X, LABELS),
    ):
        with pytest.raises(ValueError, match="layers must keep the shapes"):
            call(net)
    with pytest.raises(ValueError, match="shape"):
        net.load_state_dict(state_of(plain))
    net.layers[layer].units = before
    for each in (net, plain):
        each.fit(X, LABELS)
    assert_same_state(net, state_of(plain))


def test_units_changed_on_a_built_network_and_a_state_of_their_shapes():
    net = network(nn.Dense(10)).build(N_IN)
    state = {name: value[:N_OUT] for name, value in net.state_dict().items()}
    net.layers[0].units = N_OUT
    net.load_state_dict(state)
    assert net.n_outputs == N_OUT
    with pytest.raises(ValueError, match=f"labels 0 to {N_OUT - 1}"):
        net.fit(X, np.arange(N) % 10)
    net.fit(X, LABELS)


def test_outputs_cannot_be_assigned():
    with pytest.raises(AttributeError, match="n_outputs"):
        network().n_outputs = 10**9


ASSIGNED_LOSSES = {
    "cross_entropy": (nn.CrossEntropy(label_smoothing=0.3), LABELS),
    "soft labels": (nn.CrossEntropy(label_smoothing=0.3), np.eye(N_OUT, dtype="f4")[LABELS]),
    "binary": (nn.BinaryCrossEntropy([1.0, 2.0, 5.0]), np.eye(N_OUT, dtype="f4")[LABELS]),
    "huber": (nn.Huber(0.5), X[:, :N_OUT]),
    "quantile": (nn.Quantile(0.9), X[:, :N_OUT]),
    "smoothed binary": (
        nn.BinaryCrossEntropy([1.0, 2.0, 5.0], 0.3),
        np.eye(N_OUT, dtype="f4")[LABELS],
    ),
    "quantiles": (nn.Quantile([0.1, 0.5, 0.9]), X[:, :1]),
    "mae": (nn.MAE(), X[:, :N_OUT]),
    "poisson": (nn.Poisson(), abs(X[:, :N_OUT])),
}


@pytest.mark.parametrize("first", ["mse", "cross_entropy", "binary_cross_entropy", "huber"])
@pytest.mark.parametrize("name", ASSIGNED_LOSSES)
def test_another_loss_is_computed_with_its_own_numbers(first, name):
    loss, y = ASSIGNED_LOSSES[name]
    net, plain = network(loss=first, metrics=[]).build(N_IN), network(loss=loss, metrics=[])
    net.loss = loss
    assert net.evaluate(X, y) == plain.build(N_IN).evaluate(X, y)
    assert net.fit(X, y, epochs=2)["loss"] == plain.fit(X, y, epochs=2)["loss"]
    assert net.train_on_batch(X, y) == plain.train_on_batch(X, y)


def test_a_loss_that_does_not_fit_the_outputs():
    net = network().build(N_IN)
    with pytest.raises(ValueError, match="pos_weight"):
        net.loss = nn.BinaryCrossEntropy([1.0, 2.0])
    net.loss = nn.BinaryCrossEntropy()
    net.loss.pos_weight = [1.0, 2.0]
    for method in (net.fit, net.evaluate, net.train_on_batch):
        with pytest.raises(ValueError, match="pos_weight"):
            method(X, np.eye(N_OUT)[LABELS])


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_another_dtype_on_a_built_network_is_refused(dtype):
    net = network(loss="mse").build(N_IN)
    before = state_of(net)
    with pytest.raises(ValueError, match="dtype must"):
        net.dtype = np.dtype(dtype)
    net.evaluate(X, X[:, :N_OUT])
    assert_same_state(net, before)


@pytest.mark.parametrize("threads", [1, 2])
def test_labels_out_of_range_in_parallel(threads):
    """Each shard of a large minibatch looks at its own labels."""
    y = np.zeros(4096, np.int64)
    y[4000] = 10**9
    plan = plan_of(OpSpec(kind="dense", units=256), DENSE, n_in=64)
    with relume.num_threads(threads):
        training = training_of(plan, rows=4096)
        status, _, _ = training.batch(np.ones((4096, 64), np.float32), y, None, 0.1)
    assert status == STATUS["label out of range"]
    assert training.strange_label == 10**9
