"""Call the library at random, and compare with slow twins: `make fuzz SECONDS=60`.

A case is drawn from a seed, a kind (see KINDS) and a number. It must end with the right result, or
with an error that belongs to a wrong argument. Results are compared with formulas of NumPy, with
networks written in NumPy, and with the same call on other layouts and numbers of threads. Batches
of cases run in processes of their own, so that a crash or a hang is reported too. A failure is
printed with the command that repeats it.
"""

import argparse
import contextlib
import copy
import io
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import scipy.sparse
import scipy.special

import relume
from relume import diagnostics, nn
from relume.engine.observer import OBSERVE_VALUES, Observer
from relume.engine.op_spec import OpSpec
from relume.engine.plan import Plan
from relume.engine.prediction import predict
from relume.engine.training import Training
from relume.functional.activations import ROWS
from relume.ufuncs import elementwise
from tests.support import layer_twin, networks
from tests.support import twin as plain
from tools import durability

BATCH = 40  # cases of a process
CASE_SECONDS = 60  # after which a case hangs; one takes some milliseconds
REFUSED = (TypeError, ValueError)

# -- Functions ------------------------------------------------------------------------------------

FORMULAS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "sigmoid": scipy.special.expit,
    "tanh": np.tanh,
    "silu": lambda x: x * scipy.special.expit(x),
    "gelu": lambda x: x * scipy.special.ndtr(x),
    "softplus": lambda x: np.logaddexp(0, x),
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "softsign": lambda x: x / (1 + np.abs(x)),
}
AXIS_FORMULAS = {
    "softmax": lambda x, axis: scipy.special.softmax(x, axis=axis),
    "log_softmax": lambda x, axis: scipy.special.log_softmax(x, axis=axis),
    "logsumexp": lambda x, axis: scipy.special.logsumexp(x, axis=axis),
}
EPS = {"e": 1e-3, "f": 1e-6, "d": 1e-13}


def layout(rng, x):
    """The same values in another layout."""
    choice = rng.integers(6)
    if choice == 0:
        return np.asfortranarray(x)
    if choice == 1 and x.ndim:
        wide = np.zeros((*x.shape[:-1], x.shape[-1] * 3), x.dtype)
        wide[..., ::3] = x
        return wide[..., ::3]
    if choice == 2 and x.ndim:
        return np.ascontiguousarray(x[::-1])[::-1]
    if choice == 3:
        memory = np.zeros(x.nbytes + 1, np.uint8)
        shifted = (
            memory[1:].view(x.dtype)
            if x.itemsize == 1
            else np.ndarray(x.shape, x.dtype, memory, 1)
        )
        if x.itemsize > 1:
            shifted[...] = x
            return shifted
    if choice == 4:
        return x.astype(x.dtype.newbyteorder())
    return x.copy()


def shape_of(rng):
    if rng.integers(8) == 0:
        return (int(rng.integers(32_000, 70_000)),)
    return tuple(int(n) for n in rng.integers(0, [40, 9, 7][: rng.integers(1, 4)], endpoint=True))


def numbers(rng, shape, dtype):
    x = rng.normal(scale=rng.choice([0.1, 3, 30]), size=shape)
    special = rng.random(shape) < rng.choice([0, 0.1])
    x = np.where(special, rng.choice([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-30], shape), x)
    return x.astype(dtype)


def same(actual, expected, what):
    assert actual.dtype == expected.dtype, f"{what}: dtype {actual.dtype}, not {expected.dtype}"
    np.testing.assert_array_equal(actual, expected, what)


def ufunc_case(rng, folder):
    """An elementwise function: any layout, output and overlap gives what a copy gives."""
    names = [
        name for name in elementwise.__dict__ if isinstance(getattr(elementwise, name), np.ufunc)
    ]
    name = str(rng.choice(sorted({*names} - {"uniform"})))  # which takes one interval, not many
    ufunc, dtype, shape = getattr(elementwise, name), rng.choice(list("efd")), shape_of(rng)
    operands = [numbers(rng, shape, dtype) for _ in range(ufunc.nin)]
    for k in range(1, ufunc.nin):
        if rng.integers(2):
            operands[k] = np.broadcast_to(operands[k].ravel()[:1].sum(), shape).astype(dtype)
    expected = ufunc(*map(np.ascontiguousarray, operands))
    first = expected if isinstance(expected, tuple) else (expected,)
    threads = int(rng.integers(1, 4))
    with relume.num_threads(threads):
        actual = ufunc(*(layout(rng, each) for each in operands))
        for a, b in zip(actual if isinstance(actual, tuple) else (actual,), first, strict=True):
            same(np.asarray(a), np.asarray(b), f"{name}, {dtype}, {shape}")
    if ufunc.nout == 1 and len(shape) == 1 and shape[0] > 4:
        overlapping(rng, ufunc, operands, name)
    if name in FORMULAS and ufunc.nin == 1:
        with np.errstate(all="ignore"):
            formula = FORMULAS[name](operands[0].astype(np.float64))
            finite = np.isfinite(operands[0])  # the formulas are not for infinities
            actual = np.asarray(expected, np.float64)[finite]
        tolerance = 10 * EPS[dtype]
        np.testing.assert_allclose(actual, formula[finite], tolerance, tolerance, err_msg=name)


def overlapping(rng, ufunc, operands, name):
    """An output that overlaps the input in memory gives what one apart gives."""
    n, shift = len(operands[0]), int(rng.integers(0, 4))
    memory = np.empty(n + shift, operands[0].dtype)
    step = int(rng.choice([1, -1]))
    x, out = memory[:n], memory[shift:][::step]
    if rng.integers(2):
        x, out = out, x
    x[...] = operands[0]
    expected = ufunc(x.copy(), *operands[1:])
    ufunc(x, *operands[1:], out=out)
    same(out, expected, f"{name} with an output {shift} elements on, step {step}")


def axis_case(rng, folder):
    """A function along an axis against SciPy's, for any axis, layout and output."""
    name = str(rng.choice(list(AXIS_FORMULAS)))
    function, dtype, shape = getattr(relume, name), rng.choice(list("efd")), shape_of(rng)
    x = rng.normal(scale=3, size=shape).astype(dtype)
    axis = int(rng.integers(-len(shape), len(shape)))
    if 0 in shape:
        x = np.ones(tuple(max(n, 1) for n in shape), dtype)
    expected = function(np.ascontiguousarray(x), axis=axis)
    with relume.num_threads(int(rng.integers(1, 4))):
        same(np.asarray(function(layout(rng, x), axis=axis)), np.asarray(expected), name)
    out = layout(rng, np.zeros(np.shape(expected), dtype))
    if out.dtype.isnative and np.ndim(expected):
        function(x, axis=axis, out=out)
        same(out, expected, f"{name} into an output")
    formula = AXIS_FORMULAS[name](x.astype(np.float64), axis)
    tolerance = 100 * EPS[dtype]
    np.testing.assert_allclose(np.asarray(expected, np.float64), formula, tolerance, tolerance)


ARGUMENTS = (
    None, True, 0, -1, 2.5, np.nan, np.inf, "relu", b"x", [], [1, "a"], {}, object(), np.ones(3),
    np.ones((2, 3), np.float32), np.zeros((0, 4)), np.array(["a"]), np.array([None]), 1 + 2j,
    2**70, np.float16(1), np.ones((3, 2), complex), range(3), lambda: 1, np.ma.ones(3),
)  # fmt: skip


def argument_case(rng, folder):
    """Arguments of any kind: a result, or an error of wrong arguments."""
    names = [name for name in relume.__all__ if name not in {"show_config", "set_num_threads"}]
    function = getattr(relume, str(rng.choice(names)))
    if not callable(function) or isinstance(function, type):
        return
    arguments = [ARGUMENTS[i] for i in rng.integers(len(ARGUMENTS), size=rng.integers(1, 4))]
    try:
        function(*copy.deepcopy(arguments))
    except (*REFUSED, IndexError, OverflowError, ZeroDivisionError, AttributeError):
        pass


# -- Networks -------------------------------------------------------------------------------------

LAYERS = [each for each in networks.EXAMPLES if isinstance(each, nn.Layer | nn.Activation)]
OPTIMIZERS = [each for name, each in networks.OPTIMIZERS.items() if name != "LBFGS"]


def layers_of(rng, n_out, most=4):
    """Layers at random that end in a Dense; some do not make sense together."""
    middle = [copy.deepcopy(LAYERS[i]) for i in rng.integers(len(LAYERS), size=rng.integers(most))]
    first = nn.Dense(int(rng.integers(1, 20)), nn.LeakyReLU(0.1), bias_init=0.1)
    return [first, *middle, nn.Dense(n_out)]


def network_of(rng, n_out=3, **options):
    options = {
        "optimizer": copy.copy(OPTIMIZERS[rng.integers(len(OPTIMIZERS))]),
        "seed": int(rng.integers(100)),
        "dtype": str(rng.choice(["float32", "float64"])),
        "sparse": str(rng.choice(["auto", "never", "always"])),
    } | options
    return nn.Network(layers_of(rng, n_out), **options)


def data_of(rng, n_out=3):
    n, n_in = int(rng.integers(2, 300)), int(rng.integers(1, 12))
    return rng.normal(size=(n, n_in)), rng.integers(0, n_out, n)


def fitted(net, X, y, **options):
    """Fit; whether that ended well. Refused are networks that make no sense, and divergence."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            net.fit(X, y, **options)
    except (*REFUSED, FloatingPointError, RuntimeError):
        return False
    return True


def network_case(rng, folder):
    """The same bits for any number of threads, in parts, and after any layout of the data."""
    seed = int(rng.integers(2**31))
    X, y = data_of(rng)
    options = {"epochs": int(rng.integers(1, 4)), "batch_size": int(rng.choice([1, 7, 32, 300]))}
    results = []
    for threads in (1, 3):
        try:
            net = network_of(np.random.default_rng(seed))
        except REFUSED:
            return
        with relume.num_threads(threads):
            if not fitted(net, layout(rng, X).astype(net.dtype), y, **options):
                return
            results.append((net, net.predict_proba(X)))
    (net, p), (other, q) = results
    plain.assert_same_bits(net, other)
    same(p, q, "predict_proba")
    assert np.isfinite(p).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, 1e-5)
    rows = rng.integers(0, len(X), 9)
    same(net.predict_proba(X[rows]), p[rows], "rows of a prediction")
    state = net.state_dict()
    if not any(isinstance(layer, nn.Standardize) for layer in net.layers):
        expected = layer_twin.forward(net.layers, state, X.astype(net.dtype).astype(np.float64))
        scale = 1 + np.abs(expected).max()
        tolerance = 1e-3 if net.dtype == np.float32 else 1e-9
        np.testing.assert_allclose(net.forward(X) / scale, expected / scale, atol=tolerance)


def twin_case(rng, folder):
    """Training against the network written in NumPy."""
    cases = [plain.SAMPLE[i] for i in rng.integers(len(plain.SAMPLE), size=2)]
    loss = str(rng.choice(["cross_entropy", "mse"]))
    optimizer = [("SGD", {"lr": 0.05}), ("SGD", {"lr": 0.02, "momentum": 0.9}), ("Adam", {})]
    n_in, widths = int(rng.integers(1, 9)), [int(n) for n in rng.integers(1, 12, size=3)]
    widths[-1] = max(widths[-1], 2)
    net, twin = plain.pair(n_in, widths, [*cases, None], loss, optimizer[rng.integers(3)])
    X, y = plain.data(int(rng.integers(2, 80)), n_in, widths[-1], loss)
    for _ in range(3):
        net.train_on_batch(X, y)
        twin.train_on_batch(X, y)
    plain.assert_close_parameters(net, twin, 1e-6)


VALUES = (
    None, True, False, 0, 1, 3, -1, 2**40, 0.0, 0.5, -0.5, 1e30, np.nan, "relu", "mse", "auto",
    "never", "float64", [], (), {}, object(), np.float32(0.1), nn.Dense(3), nn.Dense(5, "relu"),
    nn.Adam(0.01), nn.SGD(0.1, 0.9), nn.MSE(), nn.CrossEntropy(), nn.LayerNorm(), nn.Dropout(0.2),
    nn.Cosine(5), [nn.Dense(4, "tanh"), nn.Dense(3)], [nn.Dropout(0.3)], [nn.GELU()],
    lambda epoch: 0.5,
)  # fmt: skip


def assign(rng, net):
    """Assign something to an attribute of the network or of a part; wrong values are refused."""
    parts = [net, net.optimizer, net.loss, net.schedule, *net.layers]
    part = parts[rng.integers(len(parts))]
    names = [name for name in dir(part) if not name.startswith("_")]
    if part is None or not names:
        return
    value = copy.deepcopy(VALUES[rng.integers(len(VALUES))])
    try:
        if part is net and rng.integers(3) == 0:
            net.layers.insert(int(rng.integers(len(net.layers))), value)
        else:
            name = str(rng.choice(names))
            if not callable(getattr(part, name)):
                setattr(part, name, value)
    except (*REFUSED, AttributeError, RuntimeError):
        pass


def attribute_case(rng, folder):
    """Assignments between and during fits: they work or are refused, and nothing is overrun."""
    try:
        net = network_of(rng)
    except REFUSED:
        return
    X, y = data_of(rng)
    labels = y.copy()

    def during(net, *arguments):
        if rng.integers(3) == 0:
            assign(rng, net)
        if rng.integers(8) == 0:
            labels[rng.integers(len(labels))] = rng.choice([-1, 3, 10**9, -(2**63)])

    class Meddling(nn.Callback):
        def on_batch_begin(self, net, batch):
            during(net)

    for _ in range(3):
        assign(rng, net)
        callbacks = [[during], [Meddling()]][rng.integers(2)]
        for call in (
            lambda callbacks=callbacks: net.fit(X, labels, epochs=2, callbacks=callbacks),
            lambda: net.predict(X),
            lambda: net.evaluate(X, y),
        ):
            try:
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    call()
            except (*REFUSED, AttributeError, RuntimeError, FloatingPointError, OverflowError):
                pass
            except MemoryError:
                return
        labels[:] = y


def state_case(rng, folder):
    """State dicts that were changed: taken over, or refused with nothing changed."""
    net = networks.all_layers().build(6)
    state = net.state_dict()
    before = plain.bits(net)
    for _ in range(rng.integers(1, 3)):
        key = str(rng.choice(list(state)))
        value = state.pop(key)
        change = rng.integers(7)
        if change == 0:
            state[key + "x"] = value
        elif change == 1:
            state[key] = value[..., None]
        elif change == 2:
            state[key] = np.resize(value, np.add(value.shape, 1))
        elif change == 3:
            other = rng.choice(["f2", "f8", ">f4", "i4", "c8", "O", "S3"])
            state[key] = np.asarray(value).astype(other)
        elif change == 4:
            state[key] = ARGUMENTS[rng.integers(len(ARGUMENTS))]
        elif change == 5:
            state[key] = np.full_like(value, rng.choice([np.nan, np.inf, 1e38]))
        if not state:
            return
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            net.load_state_dict(state)
    except REFUSED:
        assert plain.bits(net) == before, "refused, and changed"
    X, _ = plain.data(5, 6, 3)
    with contextlib.suppress(ValueError):  # a parameter is not finite
        assert net.predict(X).shape == (5,)


FORMS = ["csr", "csc", "coo", "bsr", "lil", "dok", "dia"]


def sparse_case(rng, folder):
    """Sparse matrices, sound and damaged: what the dense matrix gives, or a ValueError."""
    n, n_in = int(rng.integers(1, 200)), int(rng.integers(1, 12))
    dtype = rng.choice(["f4", "f8"])
    dense = np.where(rng.random((n, n_in)) < 0.3, rng.normal(size=(n, n_in)), 0).astype(dtype)
    net = nn.Network([nn.Dense(5, "relu"), nn.Dense(3)], seed=0, dtype=np.dtype(dtype)).build(n_in)
    M = scipy.sparse.csr_matrix(dense).asformat(str(rng.choice(FORMS)))
    damaged = bool(rng.integers(2))
    if damaged:
        names = [
            a for a in ("indices", "indptr", "row", "col", "data", "offsets") if hasattr(M, a)
        ]
        if not names:
            return
        name = str(rng.choice(names))
        array = np.array(getattr(M, name))
        if array.size == 0 or array.dtype == object:
            return
        if rng.integers(3) == 0:
            array = array[: rng.integers(array.size)]
        else:
            with np.errstate(all="ignore"):
                value = rng.choice([-1, n_in, n, 10**8, -(10**8), 2**31 - 1, -(2**31), 0])
                array[rng.integers(len(array))] = value
        try:
            setattr(M, name, array)
        except REFUSED:
            return
    y = np.zeros(n, int)
    calls = [
        net.predict_proba,
        net.forward,
        lambda M: net.evaluate(M, y),
        lambda M: net.fit(M, y),
        lambda M: diagnostics.inspect(net, M),
    ]
    call = calls[rng.integers(len(calls))]
    before = plain.bits(net)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            result = call(M)
    except (*REFUSED, FloatingPointError):
        assert damaged, "a sound matrix was refused"
        assert plain.bits(net) == before, "refused, and changed"
        return
    if not damaged and isinstance(result, np.ndarray):
        np.testing.assert_allclose(result, call(dense), 1e-4, 1e-5)


def file_case(rng, folder):
    """An altered model file is refused."""
    net = durability.network()
    net.fit(*durability.data(), epochs=1)
    path = Path(folder, "net")
    net.save(path)
    whole = path.read_bytes()
    for alteration in durability.ALTERATIONS:
        changed = alteration(whole, rng)
        if changed == whole:
            continue
        path.write_bytes(changed)
        try:
            nn.load(path)
        except nn.ModelFileError:
            continue
        raise AssertionError(f"{alteration.__name__}: the file loads")


def pickle_case(rng, folder):
    """A network's pickle, copy and file go on with the same bits."""
    try:
        net = network_of(rng)
    except REFUSED:
        return
    X, y = data_of(rng)
    if rng.integers(3) and not fitted(net, X, y):
        return
    copies = [pickle.loads(pickle.dumps(net, int(rng.integers(2, 6)))), copy.deepcopy(net)]
    try:
        net.save(Path(folder, "net"))
        copies.append(nn.load(Path(folder, "net")))
    except ValueError:
        pass  # a parameter is not finite
    went_well = fitted(net, X, y)
    for each in copies:
        assert fitted(each, X, y) == went_well
        if went_well:
            plain.assert_same_bits(net, each)


# -- The engine, called with sizes that do not fit ------------------------------------------------


def engine_case(rng, folder):
    """An array, a label or an op of a wrong size is refused before anything is read or written."""
    n, n_in, n_out = (int(each) for each in rng.integers(1, [200, 9, 5]))
    dtype, fault = np.dtype(rng.choice(["f4", "f8"])), rng.integers(10)

    def wrong(number, size):
        """The size, or another one if the case has this fault."""
        return max(int(size + (rng.choice([1, -1, 1000]) if number == fault else 0)), 0)

    specs = [
        OpSpec(kind="dense", units=int(rng.integers(1, 9)), bias=True),
        OpSpec(kind="dense", units=n_out, bias=bool(rng.integers(2))),
    ]
    if rng.integers(2):
        activation = wrong(1, len(ROWS) - 1) if fault == 1 else ROWS["tanh"]["index"]
        specs.insert(1, OpSpec(kind="activation", activation=activation))
    try:
        plan = Plan(n_in, specs, dtype)
        weights = SimpleNamespace(average=None, steps=0)
        weights.parameters = rng.normal(size=wrong(2, plan.n_parameters)).astype(dtype)
        weights.optimizer_state = np.zeros((2, wrong(3, plan.n_parameters)), dtype)
        X = rng.normal(size=(wrong(4, n), wrong(5, n_in))).astype(dtype)
        y = rng.integers(0, n_out, wrong(6, n))
        if fault == 7 and len(y):
            y[rng.integers(len(y))] = rng.choice([-1, n_out, 10**9, -(10**9), 2**62])
        loss = "cross_entropy", np.zeros(wrong(8, 1), dtype)
        gradients = np.zeros(wrong(9, plan.n_parameters), dtype)
        order = rng.integers(0, n + rng.integers(2), n)
        z = rng.normal(size=(n, n_out)).astype(dtype)

        def training():
            return Training(plan, weights, n, loss, y[:0], nn.SGD())

        def observer():
            nodes = plan.n_ops + 1
            bounds = np.tile([-np.inf, np.inf], (nodes, 1))
            return Observer(plan, np.full(nodes, OBSERVE_VALUES, np.uint8), bounds)

        calls = [
            lambda: predict(plan, weights.parameters, X),
            lambda: training().batch(X, y, None, 0.1),
            lambda: training().epoch(X, y, None, order, np.full(1, 0.1), n),
            lambda: training().gradients(X, y, None, gradients),
            lambda: plan.row_losses(*loss, z, y),
            lambda: observer().observe(weights.parameters, X, y, loss),
        ]
        calls[rng.integers(len(calls))]()
    except (*REFUSED, IndexError):
        pass


KINDS = {
    "ufunc": ufunc_case, "axis": axis_case, "argument": argument_case, "network": network_case,
    "twin": twin_case, "attribute": attribute_case, "state": state_case, "sparse": sparse_case,
    "file": file_case, "pickle": pickle_case, "engine": engine_case,
}  # fmt: skip


# -- Running --------------------------------------------------------------------------------------


def run_case(seed, kind, number):
    """Run one case; return the text of its failure, or None."""
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            KINDS[kind](rng, folder)
        except Exception:
            text = io.StringIO()
            traceback.print_exc(file=text)
            return text.getvalue()
    return None


def run_batch(seed, kind, first, count):
    """Run cases of a kind, and say before each that it begins."""
    for number in range(first, first + count):
        print(f"case {number}", flush=True)
        failure = run_case(seed, kind, number)
        if failure:
            print(f"failed {number}\n{failure}", flush=True)
            return 1
    print("done", flush=True)
    return 0


def failure_of(seed, kind, first, count=BATCH):
    """Run a batch in a process of its own; return what failed, with the command, or None."""
    command = [sys.executable, __file__, "--seed", str(seed), "--kind", kind]
    try:
        run = subprocess.run(
            [*command, "--first", str(first), "--count", str(count)],
            capture_output=True, text=True, errors="replace", check=False,
            timeout=CASE_SECONDS * max(count, 5),
        )  # fmt: skip
        out, err, status = run.stdout, run.stderr, run.returncode
    except subprocess.TimeoutExpired as late:
        out, err, status = (late.stdout or b"").decode(), "", "of a batch that hangs"
    if status == 0 and out.endswith("done\n"):
        return None
    begun = [line.split()[1] for line in out.splitlines() if line.startswith("case ")]
    number = begun[-1] if begun else first
    reproducer = f"python tools/fuzz.py --seed {seed} --kind {kind} --first {number} --count 1"
    details = out.partition("failed ")[2] or err[-6000:]
    return (
        f"seed {seed}, kind {kind}, case {number}: exit status {status}\n{details}\n{reproducer}"
    )


def fuzz(seconds, seed, kinds=tuple(KINDS), batch=BATCH):
    """Run batches of all kinds in turn, at least one of each; return counts and failures."""
    end, counts, failures = time.monotonic() + seconds, dict.fromkeys(kinds, 0), []
    first = 0
    while True:
        for kind in kinds:
            failure = failure_of(seed, kind, first, batch)
            counts[kind] += batch
            if failure:
                failures.append(failure)
            if first and time.monotonic() > end:
                return counts, failures
        first += batch
        if time.monotonic() > end:
            return counts, failures


def main(arguments):
    parser = argparse.ArgumentParser(description="Call the library at random.")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, help="default: another one each time")
    parser.add_argument("--kind", choices=KINDS, help="run only cases of this kind")
    parser.add_argument("--first", type=int, help="run cases from this number on, in this process")
    parser.add_argument("--count", type=int, default=BATCH)
    options = parser.parse_args(arguments)
    seed = options.seed if options.seed is not None else int(time.time())
    if options.first is not None:
        return run_batch(seed, options.kind, options.first, options.count)
    kinds = [options.kind] if options.kind else list(KINDS)
    print(f"seed {seed}", flush=True)
    counts, failures = fuzz(options.seconds, seed, kinds, options.count)
    print("\n".join(failures))
    print(f"{sum(counts.values())} cases, {len(failures)} failures: {counts}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
