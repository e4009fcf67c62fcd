"""Event files: read back, they hold the curves and the layers of the fit.

One reader is tensorboard itself, where it is installed: it brings gRPC and a web server, 55 MB in
all, so the test extra leaves it out. The other one is of a few lines here, by the format's
description, with tensorboardX's messages.
"""

import struct
import sys

import numpy as np
import pytest
import scipy.sparse

from relume import nn
from relume.nn.callbacks import tensorboard
from relume.sklearn import MLPClassifier
from tests.support import twin as plain

pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")
from tensorboardX.proto.event_pb2 import Event, SessionLog

X, Y = plain.data(120, 4, 3)


def shifted(crc):
    """A CRC-32C after eight more bits that are 0."""
    for _ in range(8):
        crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


TABLE = [shifted(byte) for byte in range(256)]


def checksum(data):
    """The masked CRC-32C of RFC 3720."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def events(folder):
    """The events of all files of a folder, in the order in which TensorBoard reads them."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (n,) = struct.unpack("<Q", data[:8])
            assert struct.unpack("<I", data[8:12]) == (checksum(data[:8]),)
            assert struct.unpack("<I", data[12 + n : 16 + n]) == (checksum(data[12 : 12 + n]),)
            found.append(Event.FromString(data[12 : 12 + n]))
            data = data[16 + n :]
    return found


def read(folder):
    """The last value of each tag at each step; a start of a session discards steps from it on."""
    steps = {}
    for event in events(folder):
        if event.session_log.status == SessionLog.START:
            steps = {step: tags for step, tags in steps.items() if step < event.step}
        for value in event.summary.value:
            shown = value.histo if value.HasField("histo") else value.simple_value
            steps.setdefault(event.step, {})[value.tag] = shown
    return steps


def network(*layers, **options):
    layers = layers or [nn.Dense(12, "relu"), nn.Dense(3)]
    return nn.Network(layers, **{"optimizer": nn.Adam(0.05), "seed": 0} | options)


def assert_histogram(shown, values, *, exact=True):
    """The histogram is of these values: its moments and, if they are exact, its buckets."""
    values = np.asarray(values, np.float64).ravel()
    assert (shown.num, sum(shown.bucket)) == (values.size, values.size)
    found = shown.min, shown.max, shown.sum, shown.sum_squares
    expected = values.min(), values.max(), values.sum(), np.square(values).sum()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    if not exact:
        return
    limits = np.array(shown.bucket_limit)
    below = [np.count_nonzero(values < limit) for limit in limits[:-1]]
    np.testing.assert_array_equal(np.cumsum(shown.bucket)[:-1], below)
    assert limits[-1] >= values.max()


def test_curves_are_the_logs_of_the_epochs(tmp_path):
    schedule = nn.Exponential(0.5)
    net = network(schedule=schedule)
    history = net.fit(
        X, Y, epochs=4, validation_data=(X, Y), batch_size=30,
        callbacks=[nn.TensorBoard(tmp_path / "made" / "here", histograms=False)],
    )  # fmt: skip
    steps = read(tmp_path / "made" / "here")
    assert list(steps) == [1, 2, 3, 4]
    for i, tags in enumerate(steps.values()):
        assert sorted(tags) == ["learning_rate", "loss", "val_accuracy", "val_loss"]
        for name in ("loss", "val_loss", "val_accuracy"):
            assert tags[name] == np.float32(history[name][i])
        last = i + 3 / 4  # of the four minibatches
        assert tags["learning_rate"] == np.float32(0.05 * schedule(last))


def test_histograms_are_of_the_layers(tmp_path):
    """The oracle of the gradients is the network's own backward pass, with the loss in NumPy."""
    net = network(nn.Dense(12, "relu"), nn.Residual([nn.Dense(12, nn.PReLU())]), nn.Dense(3))
    net.fit(X, Y, epochs=3, callbacks=[nn.TensorBoard(tmp_path, every=2)])
    steps = read(tmp_path)
    assert {tag for step in (1, 3) for tag in steps[step]} == {"loss", "learning_rate"}
    net = network(*net.layers)
    net.fit(X, Y, epochs=2)
    tags = steps[2]
    for i in range(3):
        assert_histogram(tags[f"layer_{i + 1}/activations"], net.layer_outputs(X, i))
    dead = (net.layer_outputs(X, 0) == 0).all(axis=0).mean()
    assert tags["layer_1/dead_fraction"] == np.float32(dead)
    z = net.forward(X, training=True)
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    net.backward((p - np.eye(3)[Y]) / len(X))
    layers = dict(zip(sorted(net.state_dict()), [1, 1, 2.1, 2.1, 2.1, 3, 3], strict=True))
    for name, gradient in net.gradients().items():
        layer = f"layer_{layers[name]}"
        assert_histogram(tags[f"{layer}/weights/{name}"], net.state_dict()[name])
        assert_histogram(tags[f"{layer}/gradients/{name}"], gradient, exact=False)
    assert sum("/" in tag for tag in tags) == 4 + 1 + 2 * len(layers)  # 2.1 has outputs too


@pytest.mark.parametrize(
    "values",
    [[0.0], [3.0] * 5, [1.0, np.nextafter(1.0, 2)], [-1e154, 0, 1e154], [5e-324, 0], range(99)],
)
def test_histograms_of_any_values(values):
    """Sixty-four intervals need not fit between two numbers."""
    shown = tensorboard._histogram(np.array(values, float))
    limits = np.array(shown.bucket_limit)
    assert sum(shown.bucket) == len(values)
    assert (np.diff(limits) > 0).all()
    assert limits[0] == min(values)
    assert limits[-1] >= max(values)
    below = [sum(value < limit for value in values) for limit in limits[:-1]]
    assert np.cumsum(shown.bucket)[:-1].tolist() == below


DATA = {
    "sparse": (scipy.sparse.csr_array(X), {}),
    "float64 before Standardize": (X.astype(np.float64) + 1e9, {}),
    "minibatches": ([(X[:60], Y[:60]), (X[60:], Y[60:])], {}),
    "weighted": (X, {"sample_weight": (np.arange(120) % 2).astype(float)}),
}


@pytest.mark.parametrize("kind", DATA)
def test_rows_of_every_kind(kind, tmp_path):
    rows, options = DATA[kind]
    layers = [nn.Dense(12, "relu"), nn.Dropout(0.3), nn.Dense(3)]
    if kind.endswith("Standardize"):
        layers.insert(0, nn.Standardize())
    net, y = network(*layers), None if kind == "minibatches" else Y
    net.fit(rows, y, epochs=1, callbacks=[nn.TensorBoard(tmp_path)], **options)
    tags, first = read(tmp_path)[1], len(layers) - 3
    seen = {"minibatches": X[:60], "weighted": X[1::2]}.get(kind, rows)
    assert_histogram(tags[f"layer_{first + 1}/activations"], net.layer_outputs(seen, first))
    assert f"layer_{first + 1}/gradients/{first}.weight" in tags


@pytest.mark.parametrize("optimizer", [nn.Adam(0.05, ema_decay=0.9), nn.NAdam(), nn.LBFGS(3)])
def test_looking_changes_nothing(optimizer, tmp_path):
    layers = [nn.Dense(12, "relu"), nn.Dropout(0.3), nn.LayerNorm(), nn.Dense(3)]
    nets = [network(*layers, optimizer=optimizer) for _ in range(2)]
    nets[0].fit(X, Y, epochs=4)
    nets[1].fit(X, Y, epochs=4, callbacks=[nn.TensorBoard(tmp_path)])
    plain.assert_same_bits(*nets)
    assert ("learning_rate" in read(tmp_path)[4]) == hasattr(optimizer, "lr")


def test_batch_norm_keeps_its_statistics(tmp_path):
    nets = [network(nn.Dense(12), nn.BatchNorm(), nn.Dense(3)) for _ in range(2)]
    nets[0].fit(X, Y, epochs=2)
    nets[1].fit(X, Y, epochs=2, callbacks=[nn.TensorBoard(tmp_path)])
    plain.assert_same_bits(*nets)


def test_scaled_targets_and_losses_in_python(tmp_path):
    def squares(y, z):
        d = z - y[:, None]
        return float(np.mean(d**2)), 2 * d / d.size

    net = network(nn.Dense(1), loss="mse", scale_targets=True)
    net.fit(X, X[:, 0] * 1e4, epochs=1, callbacks=[nn.TensorBoard(tmp_path / "a")])
    net = network(nn.Dense(1), loss=squares)
    net.fit(X, X[:, 0], epochs=1, callbacks=[nn.TensorBoard(tmp_path / "b")])
    for folder in "ab":
        assert read(tmp_path / folder)[1]["layer_1/gradients/0.weight"].max < 10


def test_a_continued_fit_replaces_the_epochs_it_repeats(tmp_path):
    """A run that was interrupted after its last checkpoint would show two curves at once."""
    board, path = tmp_path / "board", tmp_path / "net"
    saving = nn.ModelCheckpoint(path, every=2)
    net = network()
    net.fit(X, Y, epochs=3, callbacks=[nn.TensorBoard(board), saving])
    resumed = nn.load(path)
    assert resumed.epoch == 2
    history = resumed.fit(X, Y, epochs=3, callbacks=[nn.TensorBoard(board), saving])
    steps = read(board)
    assert list(steps) == [1, 2, 3, 4, 5]
    found = [steps[epoch]["loss"] for epoch in history.epochs]
    assert found == [np.float32(loss) for loss in history["loss"]]
    assert len(list(board.iterdir())) == 2


def test_a_fit_without_an_epoch_leaves_no_file(tmp_path):
    net = network()

    def stop(net, epoch, logs):
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        net.fit(X, Y, callbacks=[stop, nn.TensorBoard(tmp_path)])
    assert not list(tmp_path.iterdir())


def test_values_that_are_not_finite_are_left_out(tmp_path):
    """The loss of the sample overflows, so its gradient is unknown; the rest is still shown."""
    net = network(nn.Dense(1), loss="mse", optimizer=nn.SGD(1e18), dtype="float32")
    rows = np.ones((4, 1), np.float32)
    with np.errstate(all="ignore"):
        net.fit(rows, rows[:, 0], epochs=1, callbacks=[nn.TensorBoard(tmp_path)])
    assert np.isfinite(read(tmp_path)[1]["layer_1/weights/0.weight"].max)


def test_estimators_take_it(tmp_path):
    board = nn.TensorBoard(tmp_path)
    MLPClassifier((5,), max_iter=2, tol=0, random_state=0, callbacks=[board]).partial_fit(
        X, Y, classes=[0, 1, 2]
    )
    assert "loss" in read(tmp_path)[1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3,), TypeError, "log_dir must be a string or a path"),
        (("runs", 1), TypeError, "histograms must be"),
        (("runs", True, 0), ValueError, "every must be"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        nn.TensorBoard(*arguments)


def test_a_folder_that_cannot_be_made_is_an_error_before_training(tmp_path):
    (tmp_path / "file").write_text("")
    net = network()
    with pytest.raises(OSError, match="file"):
        net.fit(X, Y, callbacks=[nn.TensorBoard(tmp_path / "file")])
    assert net.epoch == 0


def test_missing_tensorboardx_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'relume\[tensorboard\]'"):
        network().fit(X, Y, callbacks=[nn.TensorBoard(tmp_path)])


def test_tensorboard_reads_it(tmp_path):
    reader = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard, 55 MB with gRPC, is not part of the test extra",
    )
    net = network()
    net.fit(X, Y, epochs=3, callbacks=[nn.TensorBoard(tmp_path)])
    net.epoch = 1  # as if the second and the third epoch were lost
    history = net.fit(X, Y, epochs=3, callbacks=[nn.TensorBoard(tmp_path)])
    shown = reader.EventAccumulator(str(tmp_path)).Reload()
    losses = [(each.step, each.value) for each in shown.Scalars("loss")][1:]
    assert losses == list(zip([2, 3, 4], np.float32(history["loss"]), strict=True))
    last = shown.Histograms("layer_1/weights/0.weight")[-1]
    assert last.step == 4
    assert_histogram(last.histogram_value, net.state_dict()["0.weight"])
    assert {"layer_2/activations", "layer_1/gradients/0.bias"} <= set(shown.Tags()["histograms"])
