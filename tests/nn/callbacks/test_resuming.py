"""The state of callbacks travels in files: a run that is begun again goes on as if never stopped.

The oracle is the same run without an interruption.
"""

import signal

import numpy as np
import pytest

from relume import nn
from relume.nn.callbacks.callback import Callback
from relume.nn.saving import model_file
from tests.support import twin as plain

X, Y = plain.data(120, 4, 3)
VALIDATION = plain.data(60, 4, 3, seed=2)
SCHEDULE = nn.ReduceOnPlateau(factor=0.5, patience=1)


def network(optimizer=None, **options):
    layers = [nn.Dense(12, "relu"), nn.Dense(3)]
    options = {"optimizer": optimizer or nn.Adam(0.05), "seed": 0, "schedule": SCHEDULE} | options
    return nn.Network(layers, **options)


class Widening(Callback):
    """A user's callback: adds noise when the loss rises; keeps an array and a snapshot."""

    def __init__(self):
        self.last, self.noise, self.rises, self.first = None, np.zeros(3), 0, None

    def on_epoch_end(self, net, epoch, logs):
        if self.last is not None and logs["loss"] > self.last:
            self.rises += 1
            self.noise += np.arange(3) / epoch
            state = net.state_dict()
            state["2.bias"] = state["2.bias"] + self.noise
            snapshot = net.snapshot()
            net.load_state_dict(state)
            self.first = self.first or snapshot
        self.last = logs["loss"]

    def state_dict(self):
        names = ("last", "noise", "rises", "first")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state):
        vars(self).update(state)


CALLBACKS = {
    "early stopping": lambda: [nn.EarlyStopping(patience=4)],
    "early stopping by the loss": lambda: [nn.EarlyStopping("loss", patience=2, min_delta=0.01)],
    "without going back": lambda: [nn.EarlyStopping(patience=4, restore_best=False)],
    "by two metrics": lambda: [nn.EarlyStopping("val_accuracy", 9), nn.EarlyStopping(patience=4)],
    "revive": lambda: [nn.Revive(every=2, threshold=0.3, lr=0.02), nn.EarlyStopping(patience=4)],
    "monitor": lambda: [nn.Monitor(), nn.EarlyStopping(patience=3)],
    "a user's": lambda: [Widening(), nn.EarlyStopping(patience=6)],
}
by_callbacks = pytest.mark.parametrize("callbacks", CALLBACKS.values(), ids=CALLBACKS)


def begin(net, others, *more, epochs=25, **options):
    """Train until the network has done so many epochs, as docs/saving_and_loading.md does."""
    callbacks = [*others, *more]
    options = {"validation_data": VALIDATION, "batch_size": 30} | options
    history = net.fit(X, Y, epochs=epochs - net.epoch, callbacks=callbacks, **options)
    return history, others


def attributes(callbacks):
    """What users read from callbacks."""
    names = ("best", "best_epoch", "stopped_epoch", "revived", "rises")
    return [{name: getattr(each, name, None) for name in names} for each in callbacks]


@by_callbacks
@pytest.mark.parametrize("saves_last", [True, False])
def test_resumed_after_any_epoch(saves_last, callbacks, tmp_path):
    """Wherever the checkpoint stands among the callbacks: its file holds what all have done."""
    checkpoint = nn.ModelCheckpoint(tmp_path / "{epoch}")
    net, own = network(), callbacks()
    given = [*own, checkpoint] if saves_last else [checkpoint, *own]
    begin(net, given)
    files = sorted(tmp_path.iterdir(), key=lambda path: int(path.name))
    assert len(files) > 3
    for path in files[::3]:
        resumed, new = nn.load(path), callbacks()
        if resumed.epoch < 25:
            begin(resumed, new)
        else:
            continue
        plain.assert_same_bits(resumed, net, path.name)
        assert resumed.epoch == net.epoch
        assert attributes(new) == attributes(own)
        assert resumed.schedule.state() == net.schedule.state()
        begin(resumed, [], epochs=net.epoch + 2)
        other = nn.load(path, resume=False)
        other.restore(net.snapshot())
        begin(other, [], epochs=net.epoch + 2)
        plain.assert_same_bits(resumed, other, "random state and optimizer")


@by_callbacks
@pytest.mark.parametrize("every", [1, 4])
def test_a_run_that_has_stopped_is_done(every, callbacks, tmp_path):
    """A restart trained on from the best epoch, and the file held another one than the network."""
    path = tmp_path / "run"
    net, own = network(), callbacks()
    begin(net, own, nn.ModelCheckpoint(path, every=every), epochs=200)
    assert own[-1].stopped_epoch is not None
    data = path.read_bytes()
    if every == 1 or own[-1].restore_best:
        plain.assert_same_bits(nn.load(path), net, "file and network")
        resumed, new = nn.load(path), callbacks()
        history, _ = begin(resumed, new, nn.ModelCheckpoint(path, every=every), epochs=200)
        assert dict(history) == {}
        assert attributes(new) == attributes(own)
        plain.assert_same_bits(resumed, net)
        assert path.read_bytes() == data
        begin(resumed, callbacks(), epochs=resumed.epoch + 1)  # another fit of the same object
        assert resumed.epoch == net.epoch + 1


def test_stopped_but_not_yet_gone_back(tmp_path):
    """Killed between the last epoch's checkpoint and the end of the fit: the best is in it."""
    net = network()
    stopping = nn.EarlyStopping(patience=3)
    begin(net, [stopping], nn.ModelCheckpoint(tmp_path / "{epoch}"))
    resumed = nn.load(tmp_path / str(stopping.stopped_epoch))
    assert resumed.epoch == stopping.stopped_epoch
    history, _ = begin(resumed, [nn.EarlyStopping(patience=3)], nn.ModelCheckpoint(tmp_path / "x"))
    assert dict(history) == {}
    plain.assert_same_bits(resumed, net)
    plain.assert_same_bits(nn.load(tmp_path / "x"), net)


def test_more_patience_goes_on(tmp_path):
    """As the run with that patience from the beginning."""
    nets = network(), network()
    begin(nets[0], [nn.EarlyStopping(patience=2)], nn.ModelCheckpoint(tmp_path / "run"))
    resumed = nn.load(tmp_path / "run")
    _, new = begin(resumed, [nn.EarlyStopping(patience=6)])
    _, own = begin(nets[1], [nn.EarlyStopping(patience=6)])
    plain.assert_same_bits(resumed, nets[1])
    assert attributes(new) == attributes(own)


def test_resumed_at_wish_only(tmp_path):
    net = network()
    begin(net, [nn.EarlyStopping(patience=2)])
    net.save(tmp_path / "net")
    again = nn.load(tmp_path / "net")
    assert not begin(again, [nn.EarlyStopping(patience=2)])[0].epochs
    afresh = nn.load(tmp_path / "net", resume=False)
    assert begin(afresh, [nn.EarlyStopping(patience=2)])[0].epochs
    other = nn.load(tmp_path / "net")
    assert begin(other, [nn.EarlyStopping("loss", patience=2)])[0].epochs, "another metric"
    plain.assert_raises(
        TypeError, ["resume", "True or False"], lambda: nn.load(tmp_path / "net", resume=None)
    )


def test_states_survive_a_fit_that_failed_at_once(tmp_path):
    net = network()
    begin(net, [nn.EarlyStopping(patience=2)])
    net.save(tmp_path / "net")
    again = nn.load(tmp_path / "net")
    with pytest.raises(ValueError, match="must have"):
        again.fit(X[:, :2], Y, callbacks=[nn.EarlyStopping(patience=2)])
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == (tmp_path / "net").read_bytes()
    assert not begin(again, [nn.EarlyStopping(patience=2)])[0].epochs


# -- checkpoints --


def best_only(path, monitor="val_loss"):
    return nn.ModelCheckpoint(path, monitor, save_best_only=True)


def test_a_resumed_run_keeps_the_better_file(tmp_path):
    """The best value was not in the file, so that the first epoch of the next run replaced it."""
    path = tmp_path / "best"
    net = network(nn.SGD(0.1), schedule=None)
    begin(net, [best_only(path)], epochs=10)
    data, good = path.read_bytes(), nn.load(path).evaluate(*VALIDATION)["loss"]
    resumed = nn.load(path)
    resumed.optimizer.lr = 30.0
    checkpoint = best_only(path)
    begin(resumed, [checkpoint], epochs=resumed.epoch + 2)
    assert path.read_bytes() == data
    assert checkpoint.best == good
    moved = nn.load(path)
    moved.optimizer.lr = 30.0
    begin(moved, [best_only(tmp_path / "moved")], epochs=moved.epoch + 2)
    assert not (tmp_path / "moved").exists()
    afresh = network(nn.SGD(1e-6), schedule=None)
    begin(afresh, [best_only(path)], epochs=1)
    plain.assert_same_bits(nn.load(path), afresh, "a run that begins afresh")


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)], ids=str)
def test_each_checkpoint_knows_the_best_of_all(order, tmp_path):
    """A file that was written first held the other callbacks' values of the epoch before."""

    def checkpoints():
        made = (
            nn.ModelCheckpoint(tmp_path / "{epoch}"),
            best_only(tmp_path / "loss"),
            best_only(tmp_path / "accuracy", "val_accuracy"),
        )
        return [made[i] for i in order]

    net, own = network(), checkpoints()
    history, _ = begin(net, own, epochs=8)
    for epoch in range(1, 8):
        new = checkpoints()
        begin(nn.load(tmp_path / str(epoch)), new, epochs=epoch + 1)
        found = {each.path: each.best for each in new if each.save_best_only}
        assert found == {
            str(tmp_path / "loss"): min(history["val_loss"][: epoch + 1]),
            str(tmp_path / "accuracy"): max(history["val_accuracy"][: epoch + 1]),
        }


def test_best_of_early_stopping_in_a_file_of_the_best(tmp_path):
    """The file of the best epoch learns that the run has stopped."""
    path = tmp_path / "best"
    net = network()
    begin(net, [nn.EarlyStopping(patience=3)], best_only(path), epochs=200)
    plain.assert_same_bits(nn.load(path), net)
    history, _ = begin(nn.load(path), [nn.EarlyStopping(patience=3)], best_only(path), epochs=200)
    assert dict(history) == {}


# -- other callbacks --


@pytest.mark.parametrize("append", [True, False])
@pytest.mark.parametrize("every", [1, 3])
def test_a_log_goes_on(every, append, tmp_path):
    """It was emptied, or had the lines of repeated epochs twice."""
    log, path = tmp_path / "log.csv", tmp_path / "run"
    expected = tmp_path / "expected.csv"
    begin(network(), [nn.CSVLogger(expected)], epochs=9)

    def stop(net, epoch, logs):
        return epoch == 5

    checkpoint = nn.ModelCheckpoint(path, every=every)
    begin(network(), [nn.CSVLogger(log, append)], checkpoint, stop, epochs=9)
    begin(nn.load(path), [nn.CSVLogger(log, append)], epochs=9)
    assert log.read_bytes() == expected.read_bytes()
    begin(network(), [nn.CSVLogger(log)], epochs=1)
    assert len(log.read_text().splitlines()) == 2, "a run that begins afresh"


def test_a_monitor_warns_once(tmp_path):
    """Over all fits of a run, and by what the first of them recorded first."""
    net = network(nn.SGD(0.05), schedule=None)
    begin(net, [nn.Monitor()], epochs=2)
    weights = net.state_dict()
    weights["0.bias"][:6] = -1e3
    net.load_state_dict(weights)
    net.save(tmp_path / "net")
    with pytest.warns(nn.TrainingWarning, match="of its units are dead"):
        begin(nn.load(tmp_path / "net"), [nn.Monitor()], epochs=3)
    with pytest.warns(nn.TrainingWarning, match="of its units are dead"):
        begin(net, [nn.Monitor()], epochs=3)
    net.save(tmp_path / "net")
    begin(nn.load(tmp_path / "net"), [nn.Monitor()], epochs=4)  # no warning again


def test_terminated_on_nan_is_done(tmp_path):
    net = network(metrics=[lambda y, p: float("nan")])
    begin(net, [nn.TerminateOnNaN()])
    assert net.epoch == 1
    net.save(tmp_path / "net")
    again = nn.load(tmp_path / "net", metrics=[lambda y, p: float("nan")])
    history, (guard,) = begin(again, [nn.TerminateOnNaN()])
    assert (dict(history), guard.stopped_epoch) == ({}, 1)


# -- callbacks of users, and files --


class Holding(Callback):
    """Its state is what it was given."""

    def __init__(self, value):
        self.value, self.loaded = value, None

    def state_dict(self):
        return self.value

    def load_state_dict(self, state):
        self.loaded = state


VALUES = {
    "scalars": {"a": 1, "b": -0.5, "c": True, "d": None, "e": "x", "f": 2**70},
    "not finite": {"a": float("inf"), "b": -float("inf")},
    "nested": {"a": [1, [2.0, {"b": "c"}]], "class": {"config": {}, "tensor": "x"}},
    "NumPy's": {"a": np.float32(0.1), "b": np.int8(-3), "c": np.True_, "d": np.float64(2.5)},
    "arrays": {
        "a": np.arange(6.0).reshape(2, 3)[:, ::-1],
        "b": np.array([True, False]),
        "c": np.float16(3).reshape(()),
        "d": np.arange(3, dtype=">i4"),
        "e": np.zeros((0, 3), "uint8"),
    },
}


@pytest.mark.parametrize("value", VALUES.values(), ids=VALUES)
def test_values_come_back(value, tmp_path):
    net = network()
    net.fit(X, Y, callbacks=[Holding({}), Holding(value)])
    net.save(tmp_path / "net")
    new = [Holding({}), Holding({}), Holding({})]
    nn.load(tmp_path / "net").fit(X, Y, callbacks=new)
    assert [each.loaded is not None for each in new] == [False, True, False]
    np.testing.assert_equal(new[1].loaded, value)


NOT_SAVED = {
    "an object": ({"a": {"b": [object()]}}, TypeError, ["Holding", r"a, b\[0\]", "object"]),
    "a key": ({3: 1}, TypeError, ["Holding", "strings", "3"]),
    "objects": ({"a": np.array([None])}, TypeError, ["Holding", "arrays of numbers", "object"]),
    "complex": ({"a": np.array([1j])}, TypeError, ["Holding", "arrays of numbers", "complex128"]),
}


@pytest.mark.parametrize(("value", "error", "words"), NOT_SAVED.values(), ids=NOT_SAVED)
def test_states_that_cannot_be_saved(value, error, words, tmp_path):
    net = network()
    net.fit(X, Y, callbacks=[Holding(value)])
    plain.assert_raises(error, words, lambda: net.save(tmp_path / "net"))
    assert not (tmp_path / "net").exists()


def test_a_state_must_be_a_dict():
    words = ["state_dict of Holding", "dict", "list"]
    plain.assert_raises(TypeError, words, lambda: network().fit(X, Y, callbacks=[Holding([1])]))


def test_a_state_that_a_callback_refuses_changes_nothing(tmp_path):
    net = network()
    begin(net, [nn.EarlyStopping()], epochs=2)
    net.save(tmp_path / "net")
    loaded = nn.load(tmp_path / "net")
    loaded._callback_states[0]["state"]["best"] = "high"
    words = ["best", "a number or None"]
    call = lambda: begin(loaded, [nn.EarlyStopping()], epochs=3)  # noqa: E731
    plain.assert_raises(TypeError, words, call)
    plain.assert_same_bits(loaded, net)
    assert loaded.epoch == net.epoch


def mapping(settings):
    return settings["callbacks"][0]["state"]["mapping"]


def snapshot(settings):
    return mapping(settings)["snapshot"]["snapshot"]["mapping"]


def weights(settings):
    return snapshot(settings)["weights"]["mapping"]


CRAFTED = {
    "no list": (lambda s, t: s.update(callbacks={}), ["callbacks must be list"]),
    "no entry": (lambda s, t: s.update(callbacks=[3]), [r"callbacks\[0\]", "class and a state"]),
    "a class": (lambda s, t: s["callbacks"][0].update({"class": 3}), ["name of a class"]),
    "no mapping": (lambda s, t: s["callbacks"][0].update(state=[]), ["a mapping"]),
    "no tensor": (lambda s, t: t.pop("callbacks.0"), ["tensor", "callbacks.0"]),
    "more": (lambda s, t: t.update({"callbacks.9": np.zeros(3)}), ["callbacks.9"]),
    "no snapshot": (
        lambda s, t: mapping(s).update(snapshot={"snapshot": 3}),
        ["snapshot", "layers"],
    ),
    "shape": (
        lambda s, t: t.update({"callbacks.0": t["callbacks.0"][:1]}),
        ["parameters", "shape"],
    ),
    "dtype": (
        lambda s, t: t.update({"callbacks.0": t["callbacks.0"].astype("float64")}),
        ["parameters", "float32"],
    ),
    "nan": (
        lambda s, t: t.update({"callbacks.0": t["callbacks.0"] * np.nan}),
        ["parameters", "finite"],
    ),
    "steps": (lambda s, t: weights(s).update(steps=-1), ["steps", "-1"]),
    "flag": (lambda s, t: weights(s).update(standardized=3), ["standardized", "3"]),
    "rows": (lambda s, t: weights(s).update(optimizer_state=[]), ["optimizer_state", "rows"]),
    "epoch": (lambda s, t: snapshot(s).update(epoch=-1), ["epoch", "-1"]),
    "features": (lambda s, t: snapshot(s).update(n_features=None), ["n_features"]),
    "layers": (lambda s, t: snapshot(s).update(layers=[3]), ["layers"]),
    "optimizer": (lambda s, t: snapshot(s).update(optimizer=None), ["optimizer"]),
}


@pytest.mark.parametrize(("change", "words"), CRAFTED.values(), ids=CRAFTED)
def test_wrong_contents_are_named(change, words, tmp_path):
    net = network(nn.SGD(0.1))
    path = tmp_path / "net"
    save = lambda net, epoch, logs: net.save(path)  # noqa: E731
    begin(net, [nn.EarlyStopping()], save, epochs=2)
    settings, tensors = model_file.unpacked(path.read_bytes())
    change(settings, tensors)
    path.write_bytes(model_file.packed(settings, tensors))
    plain.assert_raises(nn.ModelFileError, words, lambda: nn.load(path))


# -- the history, and fits that do not reach their end --


class Interrupting(Callback):
    def __init__(self, epoch, hook):
        self.epoch, self.ended = epoch, 0
        setattr(self, hook, self.interrupt)

    def interrupt(self, net, *rest):
        if net.epoch >= self.epoch:
            signal.raise_signal(signal.SIGINT)

    def on_fit_end(self, net):
        self.ended += 1


@pytest.mark.parametrize("hook", ["on_batch_end", "on_epoch_begin", "on_epoch_end"])
@pytest.mark.parametrize("optimizer", [nn.Adam(0.05), nn.LBFGS(max_iter=1)], ids=["adam", "lbfgs"])
def test_ctrl_c_ends_a_fit_as_its_last_epoch_does(optimizer, hook):
    """The history was lost, and early stopping left the network somewhere."""
    if isinstance(optimizer, nn.LBFGS) and hook == "on_batch_end":
        pytest.skip("L-BFGS has no minibatches")
    net = network(optimizer, schedule=None)
    stopping, interrupting = nn.EarlyStopping("val_loss", 99), Interrupting(7, hook)
    with pytest.raises(KeyboardInterrupt):
        begin(net, [stopping], interrupting, epochs=50)
    history = net.history
    assert history.epochs == [*range(1, len(history["loss"]) + 1)]
    assert len(history["val_loss"]) == 7
    assert interrupting.ended == 1
    best = int(np.argmin(history["val_loss"])) + 1
    assert net.epoch == best == stopping.best_epoch
    assert net.evaluate(*VALIDATION)["loss"] == min(history["val_loss"])


def test_interrupted_and_begun_again(tmp_path):
    """The bits are those of the run without the interrupt."""
    whole, net, path = network(), network(), tmp_path / "run"
    begin(whole, [nn.EarlyStopping(patience=5)])
    others = [nn.EarlyStopping(patience=5)], Interrupting(6, "on_batch_end")
    with pytest.raises(KeyboardInterrupt):
        begin(net, *others, nn.ModelCheckpoint(path))
    plain.assert_same_bits(nn.load(path), net)
    resumed = nn.load(path)
    begin(resumed, [nn.EarlyStopping(patience=5)], nn.ModelCheckpoint(path))
    plain.assert_same_bits(resumed, whole)


def test_interrupted_within_an_epoch_without_early_stopping(tmp_path):
    """The checkpoint keeps the last complete epoch."""
    net, path = network(), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        begin(net, [], nn.ModelCheckpoint(path), Interrupting(3, "on_batch_end"))
    whole = network()
    begin(whole, [], epochs=3)
    plain.assert_same_bits(nn.load(path), whole)


def fails(net, epoch, logs):
    if epoch == 3:
        raise OSError("the disk is gone")


def test_the_history_of_a_fit_that_failed():
    net = network()
    assert net.history is None
    with pytest.raises(OSError, match="gone"):
        begin(net, [], fails)
    assert len(net.history["loss"]) == len(net.history.epochs) == 3
    history, _ = begin(net, [], epochs=5)
    assert net.history is history
    assert history.epochs == [*range(net.epoch - len(history["loss"]) + 1, net.epoch + 1)]
    plain.assert_raises(AttributeError, ["history"], lambda: setattr(net, "history", {}))
