"""`fit`: its order of rows, going on, repeating itself, what it records and what it prints."""

import collections.abc
import copy
import json
import os
import pickle
import re
import subprocess
import sys

import numpy as np
import pytest

import relume
from relume import nn
from tests.support import twin as plain

OPTIMIZERS = {
    "sgd": nn.SGD(0.1),
    "nesterov": nn.SGD(0.05, momentum=0.9, nesterov=True),
    "adam": nn.Adam(0.01),
}
by_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
by_loss = pytest.mark.parametrize("loss", ["cross_entropy", "mse"])


def network(loss="cross_entropy", optimizer=None, seed=0, **options):
    layers = [nn.Dense(12, activation="relu"), nn.Dense(7, activation="tanh"), nn.Dense(3)]
    return nn.Network(layers, loss=loss, optimizer=optimizer, seed=seed, **options)


# -- The order of rows --


@by_loss
@by_optimizer
@pytest.mark.parametrize("batch_size", [1, 32, 64, 100, 1000])
def test_unshuffled_fit_is_train_on_batch_in_order(batch_size, optimizer, loss):
    X, y = plain.data(135, 6, 3, loss)
    fitted, stepped = network(loss, optimizer), network(loss, optimizer)
    history = fitted.fit(X, y, epochs=3, batch_size=batch_size, shuffle=False)
    for epoch in range(3):
        losses, rows = [], []
        for i in range(0, 135, batch_size):
            losses.append(stepped.train_on_batch(X[i : i + batch_size], y[i : i + batch_size]))
            rows.append(len(X[i : i + batch_size]))
        # Over rows, as `evaluate`: a short minibatch counts for less.
        expected = np.average(losses, weights=rows)
        assert history["loss"][epoch] == pytest.approx(expected, rel=1e-6), f"epoch {epoch}"
    plain.assert_same_bits(fitted, stepped)


def orders_of(seed, rows, epochs):
    """Return the order of rows in each epoch of a shuffled fit, read off its weights.

    Rows of the identity make one weight the mark of one row: a step on row i moves it by the
    error at that time, which the bias, falling all the time, tells.
    """
    net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(1e-3), seed=seed, dtype="float64")
    net.build(rows)
    orders = []
    for _ in range(epochs):
        before = net.state_dict()["0.weight"][0]
        net.fit(np.eye(rows), np.full(rows, -10.0), batch_size=1)
        moved = before - net.state_dict()["0.weight"][0]
        bias = moved / 2e-3 - before
        orders.append(np.argsort(-bias))
        assert (moved > 0).all(), "a row was left out"
    return orders


def test_shuffled_fit_takes_each_row_once_in_a_new_order():
    orders = orders_of(seed=3, rows=50, epochs=3)
    orders.append(np.arange(50))
    orders += orders_of(seed=4, rows=50, epochs=1)
    for i, order in enumerate(orders):
        assert sorted(order) == list(range(50))
        for other in orders[:i]:
            assert np.mean(order == other) < 0.2


@pytest.mark.parametrize("batch_size", [1, 16, 50])
def test_shuffled_fit_is_train_on_batch_in_the_shuffled_order(batch_size):
    """The order depends on the seed and the number of rows, not on batch size or values."""
    first, second = orders_of(seed=3, rows=50, epochs=2)
    X, y = np.eye(50), np.random.default_rng(1).normal(size=50)
    options = {"loss": "mse", "optimizer": nn.SGD(0.1, 0.9), "seed": 3, "dtype": "float64"}
    fitted = nn.Network([nn.Dense(1)], **options)
    fitted.fit(X, y, epochs=2, batch_size=batch_size)
    stepped = nn.Network([nn.Dense(1)], **options)
    for order in (first, second):
        for i in range(0, 50, batch_size):
            rows = order[i : i + batch_size]
            stepped.train_on_batch(X[rows], y[rows])
    plain.assert_same_bits(fitted, stepped)


# -- Going on --


@by_optimizer
@pytest.mark.parametrize("shuffle", [True, False])
def test_fit_goes_on(shuffle, optimizer):
    X, y = plain.data(135, 6, 3)
    options = {"batch_size": 32, "shuffle": shuffle}
    once, twice, mixed = (network(optimizer=optimizer) for _ in range(3))
    once.fit(X, y, epochs=4, **options)
    for _ in range(2):
        twice.fit(X, y, epochs=2, **options)
    plain.assert_same_bits(once, twice, "2 + 2 epochs")
    mixed.fit(X, y, **options)
    mixed.predict(X)
    mixed.evaluate(X, y)
    mixed.forward(X, training=True)
    mixed.fit(X, y, epochs=3, validation_data=(X[:9], y[:9]), **options)
    plain.assert_same_bits(once, mixed, "looking on between")
    mixed.train_on_batch(X, y)
    once.train_on_batch(X, y)
    plain.assert_same_bits(once, mixed, "train_on_batch after")
    # An epoch more makes a difference: the comparison above sees something.
    assert plain.bits(twice) != plain.bits(once)


def test_optimizer_and_layers_are_descriptions():
    """Two networks from the same objects share no weight and no running mean."""
    X, y = plain.data(70, 6, 3)
    layers, optimizer = [nn.Dense(5, activation="relu"), nn.Dense(3)], nn.Adam(0.01)
    one = nn.Network(layers, optimizer=optimizer, seed=0)
    one.fit(X, y, epochs=2)
    before = plain.bits(one)
    two = nn.Network(layers, optimizer=optimizer, seed=0)
    two.fit(X, y, epochs=2)
    plain.assert_same_bits(one, two)
    two.fit(X, y)
    assert plain.bits(one) == before


def test_one_layer_object_twice_is_two_layers():
    layer = nn.Dense(6, activation="tanh")
    net = nn.Network([layer, layer, nn.Dense(3)], seed=0).build(6)
    state = net.state_dict()
    assert (state["0.weight"] != state["2.weight"]).all()


# -- The same bits --


def test_seeds():
    X, y = plain.data(135, 6, 3)
    nets = {name: network(seed=seed) for name, seed in [("0", 0), ("again", 0), ("1", 1)]}
    nets |= {"none": network(seed=None), "other none": network(seed=None)}
    for net in nets.values():
        net.fit(X, y, epochs=2)
    plain.assert_same_bits(nets["0"], nets["again"])
    distinct = {name: plain.bits(net)["0.weight"] for name, net in nets.items() if name != "again"}
    assert len(set(distinct.values())) == 4


def test_seed_may_be_a_generator():
    X, y = plain.data(135, 6, 3)
    one, two = (network(seed=np.random.default_rng(8)) for _ in range(2))
    one.fit(X, y, epochs=2)
    two.fit(X, y, epochs=2)
    plain.assert_same_bits(one, two)


def test_numpys_global_random_state_is_left_alone():
    X, y = plain.data(135, 6, 3)
    np.random.seed(5)  # noqa: NPY002
    before = pickle.dumps(np.random.get_state())  # noqa: NPY002
    network(seed=None).fit(X, y)
    assert pickle.dumps(np.random.get_state()) == before  # noqa: NPY002


HASH = """
import hashlib, sys
import numpy as np
from relume import nn
rng = np.random.default_rng(0)
X, y = rng.normal(size=(2000, 784)).astype("float32"), rng.integers(10, size=2000)
layers = [nn.Dense(256, activation="relu"), nn.Dense(128, activation="tanh"), nn.Dense(10)]
net = nn.Network(layers, seed=0)
net.fit(X, y, epochs=2, batch_size=256)
results = [*net.state_dict().values(), net.predict(X), net.predict_proba(X)]
print(hashlib.sha256(b"".join(a.tobytes() for a in results)).hexdigest())
"""


def test_same_bits_in_other_processes():
    """Whatever the number of threads and the hash seed a process begins with."""
    seen = {}
    for threads, hash_seed in [("1", "0"), ("2", "1"), ("3", "2")]:
        env = os.environ | {
            "RELUME_NUM_THREADS": threads,
            "PYTHONHASHSEED": hash_seed,
            "OPENBLAS_NUM_THREADS": threads,
        }
        command = [sys.executable, "-c", HASH]
        run = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert run.returncode == 0, run.stderr
        seen[threads] = run.stdout
    assert len(set(seen.values())) == 1, seen


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_same_bits_for_any_number_of_threads(loss, dtype):
    X, y = plain.data(2000, 784, 10, loss)
    seen = {}
    for threads in (1, 2, 3):
        layers = [nn.Dense(256, activation="relu"), nn.Dense(128, activation="tanh"), nn.Dense(10)]
        net = nn.Network(layers, loss=loss, seed=0, dtype=dtype)
        with relume.num_threads(threads):
            net.fit(X, y, epochs=2, batch_size=256)
            z = net.forward(X[:300], training=True)
            dX = net.backward(z)
            results = net.state_dict() | {f"gradient {k}": g for k, g in net.gradients().items()}
            results |= {"z": z, "dX": dX, "predict": net.predict(X)}
            if loss == "cross_entropy":
                results["predict_proba"] = net.predict_proba(X)
        seen[threads] = {key: value.tobytes() for key, value in results.items()}
    for threads in (2, 3):
        wrong = [key for key in seen[1] if seen[1][key] != seen[threads][key]]
        assert not wrong, f"{threads} threads: {wrong}"


def test_large_step_agrees_with_the_twin():
    """Large enough for threads, and not in whole shards."""
    cases = [("relu", {}), ("tanh", {}), None]
    net, twin = plain.pair(784, [256, 128, 10], cases, optimizer=("SGD", {"lr": 0.1}))
    X, y = plain.data(250, 784, 10)
    with relume.num_threads(2):
        for _ in range(3):
            net.train_on_batch(X, y)
            twin.train_on_batch(X, y)
    plain.assert_close_parameters(net, twin, 1e-10)


# -- History and progress --


def test_history():
    X, y = plain.data(128, 6, 3)
    net = network()
    history = net.fit(X, y, epochs=3)
    assert isinstance(history, collections.abc.Mapping)
    assert set(history) == {"loss", "skipped", "seconds"}
    history = net.fit(X, y, epochs=3, validation_data=(X[:50], y[:50]))
    assert set(history) == {"loss", "skipped", "seconds", "val_loss", "val_accuracy"}
    for key, values in history.items():
        assert type(values) is list, key
        assert [type(v) for v in values] == [float] * 3, key
    assert sorted(history["seconds"]) == history["seconds"]
    last = net.evaluate(X[:50], y[:50])
    assert (history["val_loss"][-1], history["val_accuracy"][-1]) == tuple(last.values())
    assert history["loss"][0] > history["loss"][-1]


def test_history_of_mse_has_no_accuracy():
    X, y = plain.data(128, 6, 3, "mse")
    history = network("mse").fit(X, y, validation_data=(X, y))
    assert set(history) == {"loss", "skipped", "seconds", "val_loss"}


def test_history_copies_and_pickles():
    X, y = plain.data(64, 6, 3)
    history = network().fit(X, y, epochs=2)
    for other in (copy.copy(history), copy.deepcopy(history), pickle.loads(pickle.dumps(history))):
        assert other == history
        assert type(other) is nn.History
        assert other.epochs == [1, 2]
    assert "loss" in repr(history)
    assert json.loads(json.dumps(history)) == dict(history)
    assert history != network().fit(X, y)


def test_history_as_a_table():
    """pandas took a Mapping that is no dict for a list of its keys."""
    pd = pytest.importorskip("pandas")
    X, y = plain.data(64, 6, 3)
    net = network()
    net.fit(X, y)
    history = net.fit(X, y, epochs=3, validation_data=(X, y))
    for frame in (pd.DataFrame(history), history.to_frame()):
        assert list(frame.columns) == list(history)
        assert len(frame) == 3
        for name, values in history.items():
            assert frame[name].tolist() == values
    assert (frame.index.name, frame.index.tolist()) == ("epoch", [2, 3, 4])
    assert nn.History().to_frame().shape == (0, 0)


def test_history_as_a_table_needs_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"to_frame needs pandas"):
        nn.History().to_frame()


def test_history_of_metrics_that_change():
    """Their lists were shorter than the others, and at the wrong epochs."""
    X, y = plain.data(64, 6, 3)

    def change(net, epoch, logs):
        net.metrics = ["f1"] if epoch < 3 else []

    history = network().fit(X, y, epochs=4, validation_data=(X, y), callbacks=[change])
    for name, known in (
        ("val_loss", [1, 1, 1, 1]),
        ("val_accuracy", [1, 0, 0, 0]),
        ("val_f1", [0, 1, 1, 0]),
    ):
        np.testing.assert_array_equal(np.isfinite(history[name]), known, err_msg=name)


def test_fit_is_silent(capfd):
    X, y = plain.data(64, 6, 3)
    network().fit(X, y, epochs=2, validation_data=(X, y))
    network().fit(X, y, epochs=2, progress=False)
    assert capfd.readouterr() == ("", "")


def test_progress_without_a_terminal_is_a_line_an_epoch(capfd):
    X, y = plain.data(64, 6, 3)
    quiet, shown = network(), network()
    quiet.fit(X, y, epochs=3)
    history = shown.fit(X, y, epochs=3, validation_data=(X, y), progress=True)
    out, err = capfd.readouterr()
    assert out == ""
    assert re.fullmatch(r"[^\r\x1b\n]+\n[^\r\x1b\n]+\n[^\r\x1b\n]+\n", err), repr(err)
    for epoch, line in enumerate(err.splitlines(), 1):
        assert re.search(rf"\b{epoch}\b.*\b3\b.*loss", line), line
        loss = float(re.search(r"\bloss\W+(\S+)", line)[1])
        assert loss == pytest.approx(history["loss"][epoch - 1], rel=1e-3), line
    plain.assert_same_bits(quiet, shown, "progress=True")


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs pseudo-terminals")
def test_progress_on_a_terminal_is_a_bar():
    code = """
from relume import nn
nn.Network([nn.Dense(2)], seed=0).fit([[0.0], [1.0]], [0, 1], epochs=20, progress=True)
print("done")
"""
    try:
        terminal, child = os.openpty()
    except OSError as error:  # as in a root without /dev/pts
        pytest.skip(f"no pseudo-terminals here: {error}")
    termios = pytest.importorskip("termios", reason="needs pseudo-terminals")
    termios.tcsetwinsize(child, (24, 80))
    with os.fdopen(terminal, "rb", buffering=0) as output:
        with os.fdopen(child, "wb") as error:
            run = subprocess.run(
                [sys.executable, "-c", code],
                stdout=subprocess.PIPE,
                stderr=error,
                env=os.environ | {"TERM": "xterm"},
                timeout=60,
            )
            error.write(b"end")  # a read of an empty terminal would wait
        shown = output.read(65536).decode()
    assert run.returncode == 0, shown
    assert run.stdout == b"done\n"
    assert "\r" in shown, repr(shown)
    assert "/20" in shown, repr(shown)
    assert shown.count("\n") <= 1, repr(shown)


@pytest.mark.parametrize("error", [ValueError, OSError, KeyboardInterrupt])
def test_a_metric_that_raises_leaves_no_epoch_without_history(error):
    """The epoch counted, and no callback had seen it."""
    calls, seen = [], []

    def metric(y_true, y_pred):
        calls.append(1)
        if len(calls) == 3:
            raise error("no value")
        return 0.0

    X = np.random.default_rng(0).normal(size=(40, 3)).astype("float32")
    net = nn.Network([nn.Dense(1)], loss="mse", metrics=[metric], seed=0)
    with pytest.raises(error, match="no value"):
        net.fit(
            X, X[:, 0], epochs=5, validation_split=0.25,
            callbacks=[lambda net, epoch, logs: seen.append(net.state_dict())],
        )  # fmt: skip
    assert net.epoch == len(net.history["loss"]) == len(seen) == 2
    if error is not KeyboardInterrupt:
        np.testing.assert_equal(net.state_dict(), seen[-1])


@pytest.mark.parametrize("epochs", [1, 4])
def test_fits_leave_snapshots_of_others_as_they_are(epochs):
    """Fits use the memory of their own snapshots again, and of no other."""
    X, y = plain.data(40, 5, 3)
    net, seen = network(), []
    for _ in range(3):
        net.fit(X, y, epochs=epochs)
        seen.append((net.snapshot(), net.state_dict(), net.forward(X)))
    for snapshot, state, z in seen:
        net.restore(snapshot)
        np.testing.assert_equal(net.state_dict(), state)
        np.testing.assert_array_equal(net.forward(X), z)


def test_a_fit_uses_the_memory_of_the_snapshot_of_the_fit_before():
    """New memory for 100 MB took as long as a step of so many parameters."""
    X, y = plain.data(40, 5, 3)
    net = network()
    net.fit(X, y, epochs=4)
    spare = [part.ctypes.data for part in net._built().spare]
    net.fit(X, y)
    assert [part.ctypes.data for part in net._built().spare] == spare
    assert not hasattr(pickle.loads(pickle.dumps(net))._built(), "spare")
