"""inspect: statistics against plain NumPy, what it accepts, its memory, and bad input."""

import json
import tracemalloc
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import scipy.sparse
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import relume.sklearn
from relume import diagnostics, nn
from relume.__main__ import main
from tests.support.ill_networks import DIGITS, blobs, digits_net, mlp, values

NET = digits_net(seed=0)


def forward(net, X):
    """Pre-activations and outputs of dense layers with relu, the last one without, by NumPy."""
    arrays = list(net.state_dict().values())
    pairs = list(zip(arrays[::2], arrays[1::2], strict=True))
    found = []
    for weight, bias in pairs:
        z = X.astype(np.float64) @ weight.T + bias
        X = z if weight is pairs[-1][0] else np.maximum(z, 0)
        found.append((z, X))
    return found


@pytest.mark.parametrize("rows", [1, 63, 64, 65, 450, 1347])
def test_statistics_are_those_of_numpy(rows):
    X = DIGITS[0][:rows]
    report = diagnostics.inspect(NET, X)
    assert report.rows == rows
    for layer, (z, y) in zip(report.layers, forward(NET, X), strict=True):
        values = layer.activations
        assert layer.units == y.shape[1]
        assert layer.zero_fraction == pytest.approx((y == 0).mean(), abs=2e-3)
        assert values.mean == pytest.approx(y.mean(), rel=1e-4, abs=1e-5)
        assert values.std == pytest.approx(y.std(), rel=1e-4, abs=1e-5)
        assert values.min == pytest.approx(y.min(), rel=1e-4, abs=1e-4)
        assert values.max == pytest.approx(y.max(), rel=1e-4, abs=1e-4)
        assert sum(values.counts) == min(rows, 128) * layer.units
        if layer.pre_activations is not None:
            assert layer.pre_activations.mean == pytest.approx(z.mean(), rel=1e-4, abs=1e-5)
            active = (y > 0).sum(axis=0)
            assert layer.dead_units == np.flatnonzero(active == 0).tolist()
            nearly = np.flatnonzero((active > 0) & (active < 0.01 * rows))
            assert layer.nearly_dead_units == nearly.tolist()


def test_a_dead_unit_is_not_constant_too():
    """Unit 0 is dead, unit 1 gives 2 for all rows, unit 2 varies."""
    net = nn.Network([nn.Dense(3, activation="relu"), nn.Dense(2)], seed=0).build(4)
    weight = np.array([[0.0] * 4, [0.0] * 4, [1.0] * 4])
    net.load_state_dict(net.state_dict() | {"0.weight": weight, "0.bias": [-1.0, 2.0, 0.0]})
    hidden, _ = diagnostics.inspect(net, np.random.default_rng(0).random((50, 4))).layers
    assert hidden.dead_units == [0]
    assert hidden.constant_units == [1]


def test_gradients_are_those_of_numpy():
    X, y = DIGITS[2:]
    report = diagnostics.inspect(NET, X, y)
    weights = list(NET.state_dict().values())[::2]
    found = forward(NET, X)
    z = found[-1][0]
    p = np.exp(z - z.max(axis=1, keepdims=True))
    grad = p / p.sum(axis=1, keepdims=True) - np.eye(10)[y]
    for k in range(len(weights) - 1, -1, -1):
        gradient = report.layers[k].gradient
        assert gradient.norm == pytest.approx(np.sqrt((grad**2).sum() / len(X)), rel=1e-3)
        assert gradient.zero_fraction == pytest.approx((grad == 0).mean(), abs=5e-3)
        if k:
            grad = (grad @ weights[k]) * (found[k - 1][0] > 0)
    assert report.loss == pytest.approx(NET.evaluate(X, y)["loss"], rel=1e-5)


def test_update_ratio_is_that_of_a_step():
    """Under SGD without momentum: learning rate times gradient, over the weights."""
    X, y = DIGITS[0][:256], DIGITS[1][:256]
    net = digits_net(optimizer=nn.SGD(0.01), epochs=0, seed=0)
    report = diagnostics.inspect(net, X, y)
    before = net.state_dict()
    net.train_on_batch(X[::2], y[::2])
    for k, layer in enumerate(report.layers):
        old, new = before[f"{2 * k}.weight"], net.state_dict()[f"{2 * k}.weight"]
        ratio = np.linalg.norm(new - old) / np.linalg.norm(old)
        assert layer.update_ratio == pytest.approx(ratio, rel=1e-3)


def test_every_kind_of_layer_has_an_entry():
    from tests.support.networks import all_layers

    net = all_layers()
    X = np.random.default_rng(0).normal(size=(300, 6)).astype("float32")
    y = np.arange(300) % 3
    net.fit(X, y, epochs=1)
    before = net.snapshot()
    report = diagnostics.inspect(net, X, y)
    assert [layer.kind for layer in report.layers] == [type(each).__name__ for each in net.layers]
    assert report.layers[0].gradient is None  # nothing before it learns
    assert all(layer.gradient is not None for layer in report.layers[1:])
    assert [layer.name for layer in report.layers[3].inner] == [
        "layer 4.1", "layer 4.2", "layer 4.3"
    ]  # fmt: skip
    after = net.snapshot()
    np.testing.assert_array_equal(before.weights[0], after.weights[0])
    assert before.rng == after.rng


def test_gradient_in_prediction_is_that_of_finite_differences():
    """Dropout keeps all, and BatchNorm goes by its running statistics."""
    net = nn.Network(
        [nn.Dense(5, "tanh"), nn.BatchNorm(), nn.Dropout(0.5), nn.Dense(4, nn.RReLU()),
         nn.Dense(3)], seed=0, dtype="float64",
    )  # fmt: skip
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 4)), rng.integers(3, size=40)
    net.fit(X, y, epochs=2)
    report = diagnostics.inspect(net, X[:1], y[:1])
    state, step = net.state_dict(), 1e-6
    differences = []
    for unit in range(5):
        losses = []
        for sign in (1, -1):
            moved = {name: value.copy() for name, value in state.items()}
            moved["0.bias"][unit] += sign * step
            net.load_state_dict(moved)
            losses.append(net.evaluate(X[:1], y[:1])["loss"])
        differences.append((losses[0] - losses[1]) / (2 * step))
    assert report.layers[0].gradient.norm == pytest.approx(np.linalg.norm(differences), rel=1e-5)


# -- what it accepts ------------------------------------------------------------------------------


def test_pipeline_and_estimators_are_seen_through():
    X, y = blobs(0)
    names = np.array(["a", "b", "c", "d"])[y]
    for cls in (MLPClassifier, relume.sklearn.MLPClassifier):
        mlp_ = cls([16], max_iter=60, tol=1e-2, random_state=0, learning_rate_init=0.01)
        pipeline = make_pipeline(StandardScaler(), mlp_).fit(X * 100, names)
        report = diagnostics.inspect(pipeline, X * 100, names)
        assert not {"unscaled_input", "label_shift"} & {each.kind for each in report.advice}
        inner = diagnostics.inspect(
            pipeline[-1], pipeline[:-1].transform(X * 100).astype(X.dtype), names
        )
        assert inner.loss == pytest.approx(report.loss, rel=1e-3)
        hidden = np.maximum(
            pipeline[:-1].transform(X * 100) @ mlp_.coefs_[0] + mlp_.intercepts_[0], 0
        )
        layer = report.layers[0] if cls is MLPClassifier else report.layers[1]
        assert layer.zero_fraction == pytest.approx((hidden == 0).mean(), abs=1e-3)
        assert layer.dead_units == np.flatnonzero((hidden == 0).all(axis=0)).tolist()


def test_regressors_and_other_kinds_of_x():
    X, y = values(0)
    regressor = MLPRegressor(hidden_layer_sizes=[16], max_iter=50, tol=1e-2, random_state=0).fit(
        X, y
    )
    expected = ((regressor.predict(X) - y) ** 2).mean()
    assert diagnostics.inspect(regressor, X, y).loss == pytest.approx(expected, rel=1e-4)
    dense = diagnostics.inspect(NET, DIGITS[2], DIGITS[3]).to_dict()
    for kind in (list, np.asfortranarray, scipy.sparse.csc_array, lambda X: X.astype("float64")):
        assert diagnostics.inspect(NET, kind(DIGITS[2]), DIGITS[3]).to_dict() == dense


def test_python_loss_has_gradients():
    def half_square(y_true, y_pred):
        error = y_pred - y_true[:, None]
        return (error**2).mean() / 2, error / error.size

    X, y = values(0)
    net = mlp([16], "relu", 1, loss=half_square, seed=0).build(6)
    same = mlp([16], "relu", 1, loss="mse", seed=0).build(6)
    ours, mse = diagnostics.inspect(net, X, y), diagnostics.inspect(same, X, y)
    assert ours.layers[0].gradient.norm == pytest.approx(mse.layers[0].gradient.norm / 2, rel=1e-4)


def test_bits_do_not_depend_on_threads():
    X = np.tile(DIGITS[0], (4, 1))
    y = np.tile(DIGITS[1], 4)
    reports = []
    for n in (1, 2):
        with relume.num_threads(n):
            reports.append(diagnostics.inspect(NET, X, y).to_dict())
    assert reports[0] == reports[1]


def test_memory_does_not_depend_on_rows(tmp_path):
    """Of a memory map of another dtype too, which is converted block by block."""
    peaks = []
    for rows in (8_192, 65_536):
        path = tmp_path / f"{rows}.npy"
        X = np.lib.format.open_memmap(path, "w+", np.float64, (rows, 64))
        X[:] = np.resize(DIGITS[0], (rows, 64))
        y = np.resize(DIGITS[1], rows)
        tracemalloc.start()
        diagnostics.inspect(NET, np.load(path, mmap_mode="r"), y)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.1 * peaks[0]


def waking(rows, late):
    """Rows of zeros, on which unit k of a layer wakes only in row late[k], and its network."""
    X = np.zeros((rows, len(late)), np.float32)
    X[late, range(len(late))] = 1
    net = nn.Network([nn.Dense(len(late) + 1, "relu"), nn.Dense(2)], seed=0).build(len(late))
    weight = np.vstack([np.eye(len(late)), np.zeros(len(late))])
    net.load_state_dict(net.state_dict() | {"0.weight": weight, "0.bias": np.zeros(len(weight))})
    return net, X


# First and last rows of blocks of 4,096 rows, and of shards of 64.
LATE = [0, 63, 64, 4095, 4096, 4097, 8191, 8192, 9998, 9999]


def test_units_that_wake_only_in_a_later_block_are_alive():
    net, X = waking(10_000, LATE)
    (layer, _) = diagnostics.inspect(net, X).layers
    assert layer.dead_units == [len(LATE)]
    assert layer.nearly_dead_units == list(range(len(LATE)))
    assert layer.activations.max == 1
    assert layer.zero_fraction == pytest.approx(1 - len(LATE) / (10_000 * (len(LATE) + 1)))
    assert diagnostics.revive(net, X) == {"layer 1": [len(LATE)]}


@pytest.mark.parametrize("rows", [1, 100, 4096, 5000])
def test_the_report_is_the_same_for_any_block_size(rows, monkeypatch):
    X, y = np.tile(DIGITS[0], (7, 1)), np.tile(DIGITS[1], 7)
    if rows == 1:
        X, y = X[:130], y[:130]
    reports = []
    for block in (len(X), rows):
        monkeypatch.setattr("relume.nn.data.row_blocks.ROWS", block)
        reports.append(diagnostics.inspect(NET, X, y).to_dict())
    assert_nearly_equal(*reports)


def assert_nearly_equal(a, b):
    """Whole numbers and text exactly, sums of floats but for the order of their terms."""
    assert type(a) is type(b)
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_nearly_equal(a[key], b[key])
    elif isinstance(a, list):
        assert len(a) == len(b)
        for each in zip(a, b, strict=True):
            assert_nearly_equal(*each)
    else:
        assert a == (pytest.approx(b, rel=1e-6, abs=1e-9) if isinstance(a, float) else b)


# -- what it gives --------------------------------------------------------------------------------


def test_report_as_text_dict_and_html():
    report = diagnostics.inspect(digits_net(optimizer=nn.Adam(0.1), epochs=3, seed=0), *DIGITS[2:])
    text = str(report)
    assert "advice:" in text
    assert "try 0.01" in text.replace("\n  ", " ")
    data = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    layer = data["layers"][0]
    assert (layer["name"], layer["units"]) == ("layer 1", 64)
    assert layer["dead_units"] == report.layers[0].dead_units
    assert 0 <= layer["zero_fraction"] <= 1
    assert {"kind", "layer", "text", "suggestion"} == set(data["advice"][0])
    page = report.to_html()
    root = ET.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    assert root.tag == "html"
    assert "http" not in page
    assert "src=" not in page
    assert all(svg.get("aria-label") for svg in root.iter("svg"))
    ET.fromstring(report._repr_html_())
    assert "no problem was found" in str(diagnostics.inspect(NET, DIGITS[2]))


def test_model_without_rectifier_says_what_does_not_apply():
    report = diagnostics.inspect(digits_net("tanh", seed=0), *DIGITS[2:])
    assert any(note.startswith("dead units: not checked") for note in report.notes)
    assert report.layers[0].dead_units == []
    assert "dead units: not checked, because no layer has a rectifier" in str(report)


def test_plot_without_matplotlib_says_what_to_install(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'relume\[plots\]'"):
        diagnostics.inspect(NET, DIGITS[2]).plot()


# -- the command ----------------------------------------------------------------------------------


def test_command_tells_by_its_status(tmp_path, capsys):
    path = tmp_path / "m.safetensors"
    NET.save(path)
    assert main(["inspect", str(path), "--data", "digits"]) == 0
    assert "450 rows" in capsys.readouterr().out
    np.savez(tmp_path / "d.npz", X=DIGITS[2] * 255, y=DIGITS[3])
    assert main(["inspect", str(path), "--data", str(tmp_path / "d.npz")]) == 1
    assert "the input is not scaled" in capsys.readouterr().out
    np.save(tmp_path / "d.npy", DIGITS[2])
    assert main(["inspect", str(path), "--data", str(tmp_path / "d.npy")]) == 0
    for data in ("no_such", str(tmp_path / "no.npz"), str(path)):
        assert main(["inspect", str(path), "--data", data]) == 2
        assert capsys.readouterr().err.startswith("relume inspect: ")
    assert main(["inspect", str(tmp_path / "no.safetensors")]) == 2


def small_files(folder):
    """A model and data for it."""
    model = folder / "m"
    nn.Network([nn.Dense(3)], seed=0).build(4).save(model)
    rows = np.random.default_rng(0).random((9, 4))
    np.save(folder / "X.npy", rows)
    np.savez(folder / "X.npz", X=rows, y=np.arange(9) % 3)
    np.savez_compressed(folder / "compressed.npz", X=rows)
    return model


def assert_one_line(capsys, model, data):
    """The command either works or says in one line what is wrong, with the exit status 2."""
    status = main(["inspect", str(model), "--data", str(data)])
    out, err = capsys.readouterr()
    if status == 2:
        assert err.startswith("relume inspect: "), err
        assert err.count("\n") == 1, err
        assert not out
    else:
        assert not err
    return status


@pytest.mark.parametrize("name", ["X.npy", "X.npz", "compressed.npz", "m"])
def test_command_with_a_truncated_file(name, tmp_path, capsys):
    model = small_files(tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    data = tmp_path / "X.npz" if name == "m" else path
    for size in range(0, len(whole), max(1, len(whole) // 60)):
        path.write_bytes(whole[:size])
        assert assert_one_line(capsys, model, data) == 2, f"{size} of {len(whole)} bytes"


@pytest.mark.parametrize("name", ["X.npy", "X.npz", "compressed.npz", "m"])
def test_command_with_flipped_bits(name, tmp_path, capsys):
    model, rng = small_files(tmp_path), np.random.default_rng(0)
    path = tmp_path / name
    whole = path.read_bytes()
    data = tmp_path / "X.npz" if name == "m" else path
    for offset in range(0, len(whole), max(1, len(whole) // 100)):
        changed = bytearray(whole)
        changed[offset] ^= 1 << int(rng.integers(8))
        path.write_bytes(changed)
        assert_one_line(capsys, model, data)


BAD_DATA = {
    "empty.npy": lambda path: path.touch(),
    "empty.npz": lambda path: path.touch(),
    "folder.npy": lambda path: path.mkdir(),
    "folder.npz": lambda path: path.mkdir(),
    "text.npy": lambda path: path.write_text("no array"),
    "objects.npy": lambda path: np.save(path, np.array([{}], object)),
    "objects.npz": lambda path: np.savez(path, X=np.array([{}], object)),
    "names.npz": lambda path: np.savez(path, data=np.ones((9, 4))),
    "vector.npy": lambda path: np.save(path, np.ones(4)),
    "number.npy": lambda path: np.save(path, 1.0),
    "cube.npy": lambda path: np.save(path, np.ones((2, 4, 4))),
    "wide.npy": lambda path: np.save(path, np.ones((9, 5))),
    "rows.npy": lambda path: np.save(path, np.ones((0, 4))),
    "nan.npy": lambda path: np.save(path, np.full((9, 4), np.nan)),
    "words.npy": lambda path: np.save(path, np.full((9, 4), "word")),
    "complex.npy": lambda path: np.save(path, np.ones((9, 4), complex)),
    "labels.npz": lambda path: np.savez(path, X=np.ones((9, 4)), y=np.arange(9)),
    "lengths.npz": lambda path: np.savez(path, X=np.ones((9, 4)), y=np.zeros(8, int)),
    "huge.npy": lambda path: path.write_bytes(
        b"\x93NUMPY\1\0v\0" + b"{'descr': '<f8', 'fortran_order': False, 'shape': (9999999999999, "
        b"9999999999)}".ljust(117) + b"\n"
    ),
    "missing.npy": lambda path: None,
    "unknown.txt": lambda path: path.touch(),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD_DATA)
def test_command_with_bad_data(name, tmp_path, capsys):
    BAD_DATA[name](tmp_path / name)
    assert assert_one_line(capsys, small_files(tmp_path), tmp_path / name) == 2


def test_command_with_an_unreadable_file(tmp_path, capsys, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied", "X.npy")

    model = small_files(tmp_path)
    monkeypatch.setattr(np, "load", refused)
    assert assert_one_line(capsys, model, tmp_path / "X.npy") == 2


# -- bad input ------------------------------------------------------------------------------------


def test_bad_input_is_named():
    X, y = DIGITS[2:]
    bad = X.copy()
    bad[100, 3] = np.nan
    cases = [
        (RuntimeError, "not built", (nn.Network([nn.Dense(1)]), X)),
        (ValueError, "must be fitted", (MLPClassifier(), X)),
        (ValueError, "not fitted", (relume.sklearn.MLPClassifier(), X)),
        (TypeError, "net must be a relume.nn.Network", (object(), X)),
        (TypeError, "net must be a relume.nn.Network", (make_pipeline(StandardScaler()), X)),
        (ValueError, "X must have 64 features, got 63", (NET, X[:, :63])),
        (ValueError, "X must not be empty", (NET, X[:0])),
        (ValueError, "X must have shape", (NET, X[0])),
        (ValueError, "X must have shape", (NET, np.array(3.0))),
        (ValueError, "X must be finite", (NET, bad)),
        (ValueError, "X and y must have the same length, got 450 and 449", (NET, X, y[1:])),
        (ValueError, "y must", (NET, X, y + 1)),
        (TypeError, "X", (NET, np.full(X.shape, "a"))),
    ]
    for error, text, arguments in cases:
        with pytest.raises(error, match=text):
            diagnostics.inspect(*arguments)


def test_a_unit_of_subnormal_activations_is_dead():
    """Prediction takes them for 0, but the report counted the unit as active."""
    net = nn.Network(
        [nn.Dense(3, activation="relu"), nn.Dense(3, activation="relu"), nn.Dense(1)],
        loss="mse", seed=0, optimizer=nn.SGD(1e-30),
    ).build(2)  # fmt: skip
    state = net.state_dict()
    state["0.weight"] = np.array([[1e-20, 0], [1.0, 0], [1e-39, 0]])
    state["0.bias"] = np.array([0, 0, 1e-40])
    state["2.weight"] = np.diag([1.0, 1e-39, 1e15])
    net.load_state_dict(state)
    X = np.random.default_rng(0).uniform(1e-20, 2e-20, size=(40, 2)).astype("float32")
    X[:, 1] = 1
    first, second = net.layers[:1], net.layers[:2]
    hidden = []
    for layers in (first, second):
        part = nn.Network(list(layers), loss="mse")
        names = part.build(2).state_dict()
        part.load_state_dict({name: state[name] for name in names})
        hidden.append(part.forward(X))
    report = diagnostics.inspect(net, X, np.zeros(40))
    monitor = nn.Monitor()
    with pytest.warns(nn.TrainingWarning, match="are dead"):
        net.fit(X, np.zeros(40), callbacks=[monitor])
    records = list(monitor.records[0].values())
    for layer, outputs, record in zip(report.layers, hidden, records, strict=False):
        dead = np.flatnonzero((outputs == 0).all(axis=0))
        assert layer.dead_units == dead.tolist()
        assert record["dead_fraction"] == pytest.approx(len(dead) / 3)
    assert report.layers[0].dead_units == [0, 2]
    assert report.layers[1].dead_units == [0, 1, 2]


@pytest.mark.parametrize("size", [1e20, 1e-22])
def test_statistics_of_values_whose_squares_float32_cannot_hold(size):
    """The std was infinite, or 0."""
    net = nn.Network([nn.Dense(2), nn.Dense(1)], loss="mse", seed=0).build(2)
    state = net.state_dict() | {"0.weight": np.eye(2)}
    net.load_state_dict(state | {"0.bias": np.zeros(2)})
    X = (np.random.default_rng(0).normal(size=(200, 2)) * size).astype("float32")
    values = diagnostics.inspect(net, X).layers[0].activations
    assert values.mean == pytest.approx(X.mean(dtype=float), rel=1e-4, abs=1e-4 * size)
    assert values.std == pytest.approx(X.astype(float).std(), rel=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_constant_features_before_standardize(dtype):
    """The report looks at rows whose mean is subtracted."""
    X = np.random.default_rng(0).normal(1e6, 1, size=(60, 4)).astype(dtype)
    X[:, 1], X[:, 3] = 5.0, 0.0
    net = nn.Network([nn.Standardize(), nn.Dense(1)], loss="mse", seed=0)
    net.fit(X, X[:, 0] - 1e6)
    (advice,) = (each for each in diagnostics.inspect(net, X).advice
                 if each.kind == "constant_feature")  # fmt: skip
    assert advice.suggestion == {"features": [1]}


def test_the_trial_step_knows_that_the_mean_is_subtracted():
    """Rows less the mean of a Standardize must not lose it again."""
    from relume.diagnostics.inspected_model import InspectedModel
    from relume.diagnostics.trial_step import try_step

    X, y = values(0)
    X = X.astype(np.float64) + 1e6
    net = nn.Network([nn.Standardize(), nn.Dense(8, "relu"), nn.Dense(1)], loss="mse", seed=0)
    net.fit(X, y, epochs=2)
    rows = InspectedModel(net)
    trial = try_step(net, rows.features(X), rows.targets(y))
    assert trial.before == pytest.approx(net.evaluate(X[1::2], y[1::2])["loss"], rel=1e-5)
