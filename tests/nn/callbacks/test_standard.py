"""EarlyStopping, ModelCheckpoint, CSVLogger, LearningRateScheduler, TerminateOnNaN."""

import csv
import io
import pickle
from pathlib import Path

import numpy as np
import pytest

from relume import nn
from relume.nn.callbacks import standard
from tests.support import twin as plain

NAN, INF = float("nan"), float("inf")
X, Y = plain.data(100, 4, 3)
VALIDATION = plain.data(40, 4, 3, seed=2)


class Network(nn.Network):
    """Notes what is to be saved, in place of writing it."""

    saved = ()

    def save(self, path):
        self.saved = (*self.saved, (path, plain.bits(self)))


def network(seed=0, **options):
    layers = [nn.Dense(5, activation="tanh"), nn.Dense(3)]
    return Network(layers, **{"optimizer": nn.Adam(0.01), "seed": seed} | options)


class Fake:
    """A network to a callback: its state is a number."""

    epoch, state = 0, 0

    def __init__(self):
        self.saved = []

    def snapshot(self):
        return self.state

    def restore(self, snapshot):
        self.state = snapshot

    def save(self, path):
        self.saved.append(path)


def told(callback, values, name="loss", net=None):
    """Give a callback the logs of epochs; return the epoch after which it ends the fit."""
    net = net or Fake()
    callback.on_fit_begin(net)
    for epoch, value in enumerate(values, 1):
        net.state = epoch
        if callback.on_epoch_end(net, epoch, {name: value}):
            break
    callback.on_fit_end(net)
    return epoch, net


# -- EarlyStopping --


@pytest.mark.parametrize(
    ("values", "options", "ended", "best"),
    [
        ([5, 4, 3, 2, 1], {}, 5, 5),
        ([5, 4, 4, 4, 4], {}, 5, 2),
        ([5, 4, 4, 4, 4], {"patience": 3}, 5, 2),
        ([5, 4, 4, 4, 4], {"patience": 2}, 4, 2),
        ([5, 4, 4, 4, 4], {"patience": 1}, 3, 2),
        ([5, 6, 4, 6, 6, 3], {"patience": 2}, 5, 3),
        ([5, 4.9, 4.8, 4.7], {"patience": 2, "min_delta": 0.15}, 4, 3),
        ([5, 4.9, 4.8, 4.7], {"patience": 2, "min_delta": 0.5}, 3, 1),
        ([5, 4, 3, 6, 6], {"patience": 2, "mode": "max"}, 3, 1),
        ([NAN, NAN, 3, NAN, 2], {"patience": 3}, 5, 5),
        ([3, NAN, NAN, 2], {"patience": 2}, 3, 1),
        ([INF, 3, INF, INF], {"patience": 2}, 4, 2),
    ],
)
def test_early_stopping(values, options, ended, best):
    stopping = nn.EarlyStopping(**options)
    for _ in range(2):  # a second fit begins anew
        epoch, net = told(stopping, values)
        assert epoch == ended
        assert (stopping.best_epoch, stopping.best) == (best, values[best - 1])
        assert net.state == best
        waited = ended - best
        assert stopping.stopped_epoch == (ended if waited >= stopping.patience else None)
    assert told(nn.EarlyStopping(**options, restore_best=False), values)[1].state == ended


def test_early_stopping_of_only_nan_restores_nothing():
    stopping = nn.EarlyStopping(patience=2)
    epoch, net = told(stopping, [NAN, NAN, NAN])
    assert (epoch, net.state, stopping.best, stopping.best_epoch) == (2, 2, None, None)


@pytest.mark.parametrize(
    ("name", "ended"),
    [
        ("accuracy", 4),
        ("val_accuracy", 4),
        ("val_f1", 4),
        ("r2", 4),
        ("val_loss", 3),
        ("rmse", 3),
        ("mae", 3),
    ],
)
def test_early_stopping_knows_which_way_is_better(name, ended):
    assert told(nn.EarlyStopping(name, patience=2), [1, 2, 2, 2], name)[0] == ended


def test_early_stopping_takes_the_validation_if_there_is_one():
    stopping = nn.EarlyStopping(patience=1)
    net = Fake()
    assert not stopping.on_epoch_end(net, 1, {"loss": 1.0, "val_loss": 2.0})
    assert not stopping.on_epoch_end(net, 2, {"loss": 3.0, "val_loss": 1.0})
    assert stopping.on_epoch_end(net, 3, {"loss": 0.0, "val_loss": 1.0})


def test_early_stopping_on_a_missing_metric():
    with pytest.raises(ValueError, match=r"monitor must be one of loss; got 'val_loss'"):
        network().fit(X, Y, callbacks=[nn.EarlyStopping("val_loss")])


def test_early_stopping_goes_back_to_the_best_epoch():
    """All of it: training on is as if there had been no other epochs."""
    net, other = network(optimizer=nn.Adam(0.05)), network(optimizer=nn.Adam(0.05))
    stopping = nn.EarlyStopping(patience=4)
    history = net.fit(X, Y, epochs=500, validation_data=VALIDATION, callbacks=[stopping])
    best = int(np.argmin(history["val_loss"])) + 1
    assert stopping.best_epoch == net.epoch == best
    assert stopping.stopped_epoch == len(history["loss"]) == best + 4
    assert net.evaluate(*VALIDATION)["loss"] == stopping.best == min(history["val_loss"])
    other.fit(X, Y, epochs=best)
    plain.assert_same_bits(net, other)
    for n in (net, other):
        n.fit(X, Y, epochs=2)
    plain.assert_same_bits(net, other, "training on")


def test_early_stopping_without_going_back():
    net, other = network(optimizer=nn.Adam(0.05)), network(optimizer=nn.Adam(0.05))
    stopping = nn.EarlyStopping(patience=2, restore_best=False)
    net.fit(X, Y, epochs=500, validation_data=VALIDATION, callbacks=[stopping])
    assert net.epoch == stopping.stopped_epoch == stopping.best_epoch + 2
    other.fit(X, Y, epochs=net.epoch)
    plain.assert_same_bits(net, other)
    assert pickle.loads(pickle.dumps(stopping)).best == stopping.best


# -- ModelCheckpoint --


def test_checkpoint_formats_its_path(tmp_path):
    path = tmp_path / "{epoch:03d}" / "{val_loss:.2f}-{loss:.1f}"
    net = network()
    history = net.fit(
        X, Y, epochs=4, validation_data=VALIDATION, callbacks=[nn.ModelCheckpoint(path, every=2)]
    )
    expected = [
        str(tmp_path / f"{i:03d}" / f"{history['val_loss'][i - 1]:.2f}-")
        + f"{history['loss'][i - 1]:.1f}"
        for i in (2, 4)
    ]
    assert [path for path, _ in net.saved] == expected
    assert all(Path(path).parent.is_dir() for path in expected)
    assert net.saved[-1][1] == plain.bits(net)
    net.fit(X, Y, epochs=2, callbacks=[nn.ModelCheckpoint("{epoch}", every=3)])
    assert [path for path, _ in net.saved[2:]] == ["6"]


def test_checkpoint_of_the_best():
    net, checkpoint = Fake(), nn.ModelCheckpoint("{epoch}", save_best_only=True)
    told(checkpoint, [5, 6, 4, NAN, 4, 3], net=net)
    assert net.saved == ["1", "3", "6"]
    told(checkpoint, [3.5, 2, 2.5], net=net)  # a second fit goes on
    assert net.saved == ["1", "3", "6", "2"]
    assert checkpoint.best == 2
    told(nn.ModelCheckpoint("{epoch}", "val_accuracy", True, 2), [1, 2, 9, 1], "val_accuracy", net)
    assert net.saved[4:] == ["2"]


def test_checkpoint_tries_again_where_saving_failed():
    class Full(Fake):
        def save(self, path):
            raise OSError("disk full")

    checkpoint = nn.ModelCheckpoint("net", save_best_only=True)
    with pytest.raises(OSError, match="disk full"):
        told(checkpoint, [1.0], net=Full())
    assert told(checkpoint, [2.0])[1].saved == ["net"]


@pytest.mark.parametrize("path", ["{val_loss}", "{}", "{loss:d}", "{loss.x[}"])
def test_checkpoint_with_a_path_that_cannot_be_formed(path):
    with pytest.raises(ValueError, match="path must be") as caught:
        told(nn.ModelCheckpoint(path), [1.0])
    assert path in str(caught.value)


# -- CSVLogger --


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_csv_logger(tmp_path):
    path, net, seen = tmp_path / "log.csv", network(), []
    callbacks = [nn.CSVLogger(path), lambda *_: seen.append(len(read(path)))]
    history = net.fit(X, Y, epochs=3, validation_data=VALIDATION, callbacks=callbacks)
    header, *rows = read(path)
    assert header == ["epoch", "loss", "val_loss", "val_accuracy"]
    assert [row[0] for row in rows] == ["1", "2", "3"]
    for i, name in enumerate(header[1:], 1):
        assert [float(row[i]) for row in rows] == history[name], name
    assert seen == [2, 3, 4], "a line an epoch, at once"
    assert b"\r" not in path.read_bytes()


def test_csv_logger_goes_on_or_begins_anew(tmp_path):
    path, net = tmp_path / "log.csv", network()
    for epochs in (2, 1):
        net.fit(X, Y, epochs=epochs, callbacks=[nn.CSVLogger(path, append=True)])
    assert [row[0] for row in read(path)] == ["epoch", "1", "2", "3"]
    logger = nn.CSVLogger(path)
    net.fit(X, Y, callbacks=[logger])
    assert [row[0] for row in read(path)] == ["epoch", "4"]
    net.fit(X, Y, validation_data=VALIDATION, callbacks=[logger])
    assert [len(row) for row in read(path)] == [4, 4]


def test_csv_logger_in_a_file_with_other_columns(tmp_path):
    path, net = tmp_path / "log.csv", network()
    net.fit(X, Y, callbacks=[nn.CSVLogger(path)])
    before = path.read_bytes()
    words = ["path must be a file with the columns", "epoch,loss,val_loss", "with epoch,loss$"]
    options = {"validation_data": VALIDATION, "callbacks": [nn.CSVLogger(path, append=True)]}
    plain.assert_raises(ValueError, words, lambda: net.fit(X, Y, **options))
    assert path.read_bytes() == before


@pytest.mark.parametrize("missing", range(1, 26))
def test_csv_logger_after_a_line_that_was_not_written_to_its_end(missing, tmp_path):
    """What a full disk or a crash leaves: the next line would go on in the middle of it."""
    path, net = tmp_path / "log.csv", network()
    net.fit(X, Y, epochs=12, callbacks=[nn.CSVLogger(path)])
    whole = path.read_bytes()
    path.write_bytes(whole[:-missing])
    kept = whole[:-missing].rpartition(b"\n")[0].count(b"\n")
    net.fit(X, Y, epochs=2, callbacks=[nn.CSVLogger(path, append=True)])
    header, *rows = read(path)
    assert header == ["epoch", "loss"]
    assert [row[0] for row in rows] == [*map(str, range(1, kept + 1)), "13", "14"]
    assert all(len(row) == 2 for row in rows)
    assert path.read_bytes().startswith(b"\n".join(whole.split(b"\n")[: kept + 1]))


@pytest.mark.parametrize("size", range(len("epoch,loss") + 1))
def test_csv_logger_after_a_header_that_was_not_written_to_its_end(size, tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("epoch,loss"[:size])
    network().fit(X, Y, callbacks=[nn.CSVLogger(path, append=True)])
    assert [len(row) for row in read(path)] == [2, 2]
    assert read(path)[0] == ["epoch", "loss"]


OTHER_FILES = {
    "other columns": b"epoch,loss,val_loss\n1,2,3\n",
    "another order": b"loss,epoch\n1,2\n",
    "of another program": b"time,value\n1,2\n",
    "no table": b"hello",
    "a longer header": b"epoch,losses",
    "an empty line": b"\n1,2\n",
    "no text": bytes(range(256)),
}


@pytest.mark.parametrize("content", OTHER_FILES.values(), ids=OTHER_FILES)
def test_csv_logger_refuses_another_file_before_training(content, tmp_path):
    path, net = tmp_path / "log.csv", network().build(4)
    path.write_bytes(content)
    before = plain.bits(net)
    words = ["path must be a file with the columns epoch,loss, got", "log.csv"]
    options = {"callbacks": [nn.CSVLogger(path, append=True), lambda *_: pytest.fail("trained")]}
    plain.assert_raises(ValueError, words, lambda: net.fit(X, Y, **options))
    assert path.read_bytes() == content
    assert plain.bits(net) == before


def test_csv_logger_on_a_full_disk_leaves_whole_lines(tmp_path, monkeypatch):
    class FullDisk(io.BufferedWriter):
        def write(self, data):
            super().write(data[: len(data) // 2])
            self.flush()
            raise OSError(28, "No space left on device")

    path, net = tmp_path / "log.csv", network()
    net.fit(X, Y, epochs=2, callbacks=[nn.CSVLogger(path)])
    before = path.read_bytes()
    logger = nn.CSVLogger(path, append=True)

    def fill(net, epoch, logs):
        full = lambda path, mode: FullDisk(io.FileIO(path, mode.replace("b", "")))  # noqa: E731
        monkeypatch.setattr(standard, "open", full, raising=False)

    with pytest.raises(OSError, match="No space left"):
        net.fit(X, Y, callbacks=[fill, logger])
    assert path.read_bytes() == before


def test_csv_logger_that_cannot_write_fails_before_training(tmp_path):
    net = network().build(4)
    before = plain.bits(net)
    with pytest.raises(FileNotFoundError):
        net.fit(X, Y, callbacks=[nn.CSVLogger(tmp_path / "no" / "log.csv")])
    assert plain.bits(net) == before


# -- LearningRateScheduler --


def test_learning_rate_scheduler():
    seen = []

    def halved(epoch, lr):
        seen.append((epoch, lr))
        return lr / 2

    net, other = network(optimizer=nn.SGD(0.8)), network(optimizer=nn.SGD(0.8))
    for _ in range(2):
        net.fit(X, Y, epochs=2, callbacks=[nn.LearningRateScheduler(halved)])
    assert seen == [(1, 0.8), (2, 0.4), (3, 0.2), (4, 0.1)]
    assert net.optimizer.lr == 0.05
    for lr in (0.4, 0.2, 0.1, 0.05):
        other.optimizer.lr = lr
        other.fit(X, Y)
    plain.assert_same_bits(net, other)


def test_learning_rate_scheduler_beside_a_schedule():
    net = network(optimizer=nn.SGD(0.8), schedule=lambda t: 0.5)
    other = network(optimizer=nn.SGD(0.1))
    net.fit(X, Y, callbacks=[nn.LearningRateScheduler(lambda epoch, lr: 0.2)])
    other.fit(X, Y)
    plain.assert_same_bits(net, other)


@pytest.mark.parametrize("answer", [0.0, -1.0, NAN, INF, None, "a"], ids=repr)
def test_learning_rate_scheduler_with_a_bad_answer(answer):
    net, other = network(), network()
    scheduler = nn.LearningRateScheduler(lambda epoch, lr: lr if epoch < 3 else answer)
    with pytest.raises((TypeError, ValueError), match="what f returns must be"):
        net.fit(X, Y, epochs=5, callbacks=[scheduler])
    other.fit(X, Y, epochs=2)
    plain.assert_same_bits(net, other)
    assert (net.epoch, net.optimizer.lr) == (2, 0.01)


def test_learning_rate_scheduler_without_a_learning_rate():
    net = Fake()
    net.optimizer = "L-BFGS"
    with pytest.raises(ValueError, match="optimizer must have a learning rate, got 'L-BFGS'"):
        nn.LearningRateScheduler(min).on_epoch_begin(net, 1)


# -- TerminateOnNaN --


@pytest.mark.parametrize("batch_size", [100, 32])
def test_terminate_on_nan(batch_size):
    """The error it stands in for tells the epoch; the network is the same."""
    nets = [
        nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.SGD(30.0), seed=0) for _ in range(2)
    ]
    x, y = plain.data(100, 4, 1, "mse")
    with pytest.raises(FloatingPointError, match=r"epoch (\d+) of this fit, step \d") as caught:
        nets[0].fit(x, y, epochs=1000, batch_size=batch_size)
    calls, guard = [], nn.TerminateOnNaN()
    callbacks = [guard, lambda net, epoch, logs: calls.append(epoch)]
    history = nets[1].fit(x, y, epochs=1000, batch_size=batch_size, callbacks=callbacks)
    assert f"epoch {guard.stopped_epoch} of" in str(caught.value)
    assert calls == list(range(1, guard.stopped_epoch))
    assert len(history["loss"]) == nets[1].epoch == guard.stopped_epoch - 1
    assert np.isfinite(history["loss"]).all()
    plain.assert_same_bits(*nets)
    network().fit(X, Y, callbacks=[guard])
    assert guard.stopped_epoch is None, "of the fit before"


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_terminate_on_another_metric(value):
    guard = nn.TerminateOnNaN()
    assert not guard.on_epoch_end(Fake(), 1, {"loss": 1.0, "val_loss": 2.0})
    assert guard.on_epoch_end(Fake(), 2, {"loss": 1.0, "val_loss": value})
    assert guard.stopped_epoch == 2


def test_divergence_that_no_callback_takes_is_raised():
    net, seen = network(optimizer=nn.SGD(1e38)).build(4), []
    before = plain.bits(net)

    class Seeing(nn.Callback):
        def on_divergence(self, net, epoch, error):
            seen.append((epoch, plain.bits(net) == before, str(error)))

    with pytest.raises(FloatingPointError) as caught:
        net.fit(X, Y, epochs=9, callbacks=[Seeing()])
    assert seen == [(net.epoch + 1, net.epoch == 0, str(caught.value))]


# -- Arguments --

BAD = {
    "monitor": (lambda: nn.EarlyStopping(3), TypeError, ["monitor", r"\b3$"]),
    "monitor?": (
        lambda: nn.EarlyStopping("val_profit"),
        ValueError,
        ["is no metric of relume", "'val_profit'"],
    ),
    "mode": (lambda: nn.EarlyStopping(mode="up"), ValueError, ["mode", "auto", "'up'"]),
    "patience": (lambda: nn.EarlyStopping(patience=0), ValueError, ["patience", "at least 1"]),
    "patience 1.5": (lambda: nn.EarlyStopping(patience=1.5), TypeError, ["patience", r"1\.5"]),
    "min_delta": (lambda: nn.EarlyStopping(min_delta=-1), ValueError, ["min_delta", "-1"]),
    "restore_best": (lambda: nn.EarlyStopping(restore_best=1), TypeError, ["restore_best"]),
    "path": (lambda: nn.ModelCheckpoint(3), TypeError, ["path", r"\b3$"]),
    "path {": (lambda: nn.ModelCheckpoint("a{"), ValueError, ["path", "format", "a{"]),
    "path }": (lambda: nn.ModelCheckpoint("a}b"), ValueError, ["path", "format", "a}b"]),
    "every": (lambda: nn.ModelCheckpoint("a", every=0), ValueError, ["every", "at least 1"]),
    "best": (lambda: nn.ModelCheckpoint("a", save_best_only=2), TypeError, ["save_best_only"]),
    "best of": (lambda: nn.ModelCheckpoint("a", "gain"), ValueError, ["mode", "'gain'"]),
    "csv path": (lambda: nn.CSVLogger(None), TypeError, ["path", "None"]),
    "append": (lambda: nn.CSVLogger("a", "yes"), TypeError, ["append", "'yes'"]),
    "f": (lambda: nn.LearningRateScheduler(0.1), TypeError, [r"\bf must", r"0\.1"]),
}


@pytest.mark.parametrize(("call", "error", "words"), BAD.values(), ids=BAD)
def test_bad_arguments(call, error, words):
    plain.assert_raises(error, words, call)


def test_mode_lets_any_metric_be_monitored():
    assert told(nn.EarlyStopping("gain", 1, mode="max"), [1, 2, 2], "gain")[0] == 3
