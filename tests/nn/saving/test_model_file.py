"""Model files: no damaged one loads, a crash leaves a whole one, errors say what is wrong."""

import copy
import os
import struct
import tracemalloc

import numpy as np
import pytest

from relume import nn
from relume.nn.saving import model_file, save
from tests.support import twin as plain
from tests.support.networks import all_layers, saved
from tools import durability

X, Y = plain.data(70, 6, 3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.safetensors"


# -- Damage and crashes --


def test_none_of_many_altered_files_loads(tmp_path):
    """Of 13 kinds; `make durability` alters 1,000."""
    assert not durability.altered_that_load(tmp_path, 12 * len(durability.ALTERATIONS), seed=1)


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_killed_runs_end_with_the_same_bits(tmp_path):
    """`make durability` kills 50."""
    assert durability.kill_runs(tmp_path, 4, seed=1, epochs=20) >= 1


def test_truncations_of_a_small_file(path):
    net = nn.Network([nn.Dense(1)], loss="mse", seed=0).build(1)
    whole = saved(net, path)
    for size in [*range(20), *range(20, len(whole), 7)]:
        path.write_bytes(whole[:size])
        with pytest.raises(nn.ModelFileError, match="truncated"):
            nn.load(path)


def test_flipped_bits_of_a_small_file(path):
    net = nn.Network([nn.Dense(1)], loss="mse", seed=0).build(1)
    whole = saved(net, path)
    for offset in [*range(20), *range(20, len(whole), 7)]:
        changed = bytearray(whole)
        changed[offset] ^= 1 << (offset % 8)
        path.write_bytes(changed)
        with pytest.raises(nn.ModelFileError):
            nn.load(path)


def test_data_is_on_the_disk_before_it_has_the_name(path, monkeypatch):
    """And the name is before `save` returns."""
    calls = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(
            os, name, lambda *a, name=name, real=real: (calls.append((name, *a)), real(*a))[1]
        )
    all_layers().save(path)
    assert [name for name, *_ in calls] == ["fsync", "replace", "fsync"]
    temporary, target = calls[1][1:]
    assert os.path.dirname(temporary) == os.path.dirname(target) == str(path.parent)


def test_permissions_and_symbolic_links_stay(path, tmp_path):
    net = all_layers()
    net.save(path)
    fresh = tmp_path / "fresh"
    fresh.touch()
    assert path.stat().st_mode == fresh.stat().st_mode
    path.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(path)
    net.build(6).save(link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    assert saved(nn.load(link), tmp_path / "again") == path.read_bytes()


def test_paths_that_cannot_be_written_or_read(tmp_path):
    net = all_layers()
    with pytest.raises(FileNotFoundError):
        net.save(tmp_path / "no" / "net")
    with pytest.raises(FileExistsError, match="not a regular file"):
        net.save(tmp_path)
    with pytest.raises(FileNotFoundError):
        nn.load(tmp_path / "no")
    with pytest.raises(IsADirectoryError):
        nn.load(tmp_path)
    for call in (net.save, nn.load):
        plain.assert_raises(TypeError, ["path must be", r"\b3$"], lambda call=call: call(3))


# -- What is not saved --


class Mine(nn.Dense):
    """A layer of a user's."""


class Relu(nn.ReLU):
    """An activation of a user's."""


Relu.__name__ = "ReLU"


class Bits(np.random.PCG64):
    """A bit generator of a user's."""


NOT_SAVED = {
    "layer": (lambda: nn.Network([Mine(3)]), TypeError, [r"layers\[0\] must be", r"got .*\.Mine"]),
    "activation": (
        lambda: nn.Network([nn.Dense(3, Relu())]), TypeError, [r"layers\[0\]'s activation"],
    ),
    "optimizer": (
        lambda: nn.Network([nn.Dense(3)], optimizer=type("My", (nn.SGD,), {})()),
        TypeError, ["optimizer must be of a class of relume.nn"],
    ),
    "random": (
        lambda: nn.Network([nn.Dense(3)], seed=np.random.Generator(Bits(1))),
        TypeError, ["seed must be", "PCG64, PCG64DXSM", "got Bits"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("network", "error", "words"), NOT_SAVED.values(), ids=NOT_SAVED)
def test_what_cannot_be_loaded_is_not_saved(network, error, words, path):
    all_layers().save(path)
    before = path.read_bytes()
    plain.assert_raises(error, words, lambda: network().save(path))
    assert path.read_bytes() == before


def test_parameters_that_are_not_finite_are_not_saved(path):
    net = nn.Network([nn.Dense(3)], seed=0).build(2)
    net._weights.parameters[1] = np.nan
    plain.assert_raises(ValueError, [r"0\.weight must be finite"], lambda: net.save(path))
    assert not path.exists()


def test_second_moments_of_huge_gradients(path):
    """Adam's mean of squares became infinite; its root is finite, and training goes on."""
    net = nn.Network([nn.Dense(1)], loss="mse", optimizer=nn.Adam(1e-3), seed=0)
    net.fit(np.full((4, 1), 1e15), np.full(4, 1e15))
    assert np.isfinite(net._weights.optimizer_state).all()
    assert net._weights.optimizer_state.max() > 1e25
    file = saved(net, path)
    assert saved(nn.load(path), path) == file


@pytest.mark.parametrize("square", [4.0, 0.0, np.inf])
def test_second_moments_of_earlier_versions(path, square):
    """They were written as squares, which may have overflowed."""
    net = nn.Network([nn.Dense(3)], loss="mse", optimizer=nn.Adam(1e-3), seed=0)
    net.fit(np.ones((4, 2)), np.ones((4, 3)))
    tensors = save._tensors(net)
    old = {name.replace("optimizer.r.", "optimizer.1."): value for name, value in tensors.items()}
    old["optimizer.1.0.bias"] = np.full(3, square, "float32")
    path.write_bytes(model_file.packed(save._settings(net), old))
    loaded = nn.load(path)
    root = loaded._weights.named(loaded._weights.optimizer_state[1])["0.bias"]
    largest = np.float32(np.finfo(np.float32).max)
    np.testing.assert_array_equal(root, np.sqrt(np.minimum(np.float32(square), largest)))
    loaded.fit(np.ones((4, 2)), np.ones((4, 3)))
    assert np.isfinite(loaded._weights.parameters).all()
    old["optimizer.1.0.bias"] = np.full(3, -1.0, "float32")
    path.write_bytes(model_file.packed(save._settings(net), old))
    plain.assert_raises(
        nn.ModelFileError, [r"optimizer\.1\.0\.bias must be at least 0"], lambda: nn.load(path)
    )


@pytest.mark.parametrize(
    "optimizer",
    [nn.Adam(amsgrad=True), nn.RMSprop(centered=True), nn.SGD(0.1, 0.9, dampening=0.5),
     nn.NAdam(weight_decay=0.1, decoupled_weight_decay=True)], ids=repr,
)  # fmt: skip
def test_optimizers_that_keep_more_train_on(path, optimizer):
    X, y = plain.data(40, 4, 3)
    whole = nn.Network([nn.Dense(5, "relu"), nn.Dense(3)], optimizer=optimizer, seed=0)
    whole.fit(X, y, epochs=2, batch_size=10)
    whole.save(path)
    other = nn.load(path)
    assert other.optimizer == optimizer
    copied = copy.copy(whole)
    for net in (whole, other, copied):
        snapshot = net.snapshot()
        net.fit(X, y)
        net.restore(snapshot)
        net.fit(X, y, epochs=2, batch_size=10)
    plain.assert_same_bits(whole, other)
    plain.assert_same_bits(whole, copied)


# -- Files that are sealed, and wrong --


def crafted(path, change, net=None):
    """Save a network, changed as no alteration could: with a digest that is right."""
    net = net or all_layers()
    if net._weights is None:
        net.fit(X, Y)
    net.save(path)
    settings, tensors = model_file.unpacked(path.read_bytes())
    change(settings, tensors)
    path.write_bytes(model_file.packed(settings, tensors))
    tracemalloc.start()
    try:
        with pytest.raises(nn.ModelFileError) as caught:
            nn.load(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**24, f"{peak:,} bytes: something large was built"
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def put(*keys, value):
    """A change of one setting."""

    def change(settings, tensors):
        for key in keys[:-1]:
            settings = settings[key]
        settings[keys[-1]] = value

    return change


def tensor(name, f):
    def change(settings, tensors):
        tensors[name] = f(tensors[name])

    return change


def without(name):
    return lambda settings, tensors: tensors.pop(name) if name in tensors else settings.pop(name)


def renamed(old, new):
    def change(settings, tensors):
        holder = tensors if old in tensors else settings
        holder[new] = holder.pop(old)

    return change


DENSE = ("layers", 1, "config")
BAD = {
    "class": (
        put("layers", 1, "class", value="Dence"), [r"layers\[1\]", "one of Dense,.*'Dence'"],
    ),
    "import": (put("layers", 1, "class", value="os.system"), ["one of", "'os.system'"]),
    "no name": (put("layers", 1, "class", value=["Dense"]), ["must be a name"]),
    "no config": (put("layers", 1, value={"class": "Dense"}), ["class and a config"]),
    "argument": (
        lambda s, t: s["layers"][1]["config"].update(unitz=3),
        [r"argument of layers\[1\], Dense, must be one of units,.*'unitz'"],
    ),
    "value": (
        put("layers", 3, "config", "layers", 1, "config", "rate", value=1.5),
        [r"layers\[3\]'s layers\[1\], Dropout: rate", r"less than 1, got 1\.5"],
    ),
    "units": (
        put(*DENSE, "units", value=9), [r"1\.weight must have shape \(9, 6\), got \(8, 6\)"],
    ),
    "huge": (put(*DENSE, "units", value=10**12), [r"1\.weight", r"\(1000000000000, 6\)"]),
    "huger": (put(*DENSE, "units", value=10**30), [r"\bunits\b.*Dense\(", r"10{30}$"]),
    "width": (put("n_features", value=7), [r"0\.mean must have shape \(7,\), got \(6,\)"]),
    "no layers": (put("layers", value=[]), ["at least one layer"]),
    "no layer": (put("layers", 0, value=3), [r"layers\[0\] must be a layer", r"\b3$"]),
    "loss as layer": (
        put("layers", 0, value={"class": "MSE", "config": {}}), [r"layers\[0\] must be a layer"],
    ),
    "layer as activation": (
        put(*DENSE, "activation", value={"class": "LayerNorm", "config": {}}),
        [r"layers\[1\], Dense: activation must be"],
    ),
    "Standardize": (
        lambda s, t: s["layers"].append(s["layers"].pop(0)), ["lacks the tensor '0.weight'"],
    ),
    "loss": (
        put("loss", value={"class": "Adam", "config": {}}), ["loss must be a loss of relume.nn"],
    ),
    "loss 2": (put("loss", value="mse"), ["loss must be dict"]),
    "optimizer": (
        put("optimizer", value={"class": "MSE", "config": {}}),
        ["optimizer must be .*or one of adam"],
    ),
    "schedule": (
        put("schedule", value={"class": "MSE", "config": {}}), ["schedule must be a schedule"],
    ),
    "schedule state": (put("schedule_state", value={"best": 1.0}), ["schedule", "state"]),
    "metric": (put("metrics", value=["acuracy"]), ["one of accuracy,.*'acuracy'"]),
    "metric 2": (put("metrics", value=[3]), ["metrics must be"]),
    "dtype": (put("dtype", value="float16"), ["dtype must be one of float", "'float16'"]),
    "other dtype": (
        put("dtype", value="float64"), [r"0\.scale must have dtype float64, got float32"],
    ),
    "lacking": (without("epoch"), ["lack 'epoch'"]),
    "unknown": (renamed("epoch", "epochs"), ["one of epoch,.*'epochs'"]),
    "epoch": (put("epoch", value=-1), ["epoch must be at least 0", "-1"]),
    "steps": (put("steps", value=2**64), ["steps must be"]),
    "flag": (put("steps", value=True), ["steps must be int", "True"]),
    "no flag": (put("standardized", value=1), ["standardized must be bool", r"\b1$"]),
    "n_features": (put("n_features", value=0), ["n_features must be at least 1"]),
    "not built": (put("n_features", value=None), ["no tensors", "got '"]),
    "format": (put("format", value="other"), ["format must be 'relume.network', got 'other'"]),
    "version": (put("version", value=2), ["version must be 1", "got 2"]),
    "nested": (
        put("layers", value=eval("[" * 90 + "]" * 90)), [r"layers\[0\] must be a layer"],
    ),
    "tensor less": (without("1.bias"), ["lacks the tensor '1.bias'"]),
    "state less": (
        without("optimizer.r.14.weight"), ["lacks the tensor 'optimizer.r.14.weight'"]
    ),
    "tensor more": (
        lambda s, t: t.update({"1.weights": np.zeros(3)}), [r"one of 1\.weight,.*'1\.weights'"],
    ),
    "turned": (
        tensor("14.weight", np.transpose), [r"14\.weight must have shape \(3, 6\), got \(6, 3\)"],
    ),
    "average": (
        tensor("average.1.bias", lambda a: a[:3]),
        [r"average\.1\.bias must have shape \(8,\), got \(3,\)"],
    ),
    "double": (tensor("1.bias", np.float64), [r"1\.bias must have dtype float32, got float64"]),
    "NaN": (tensor("1.bias", lambda a: a * np.nan), [r"1\.bias must be finite"]),
    "infinity": (tensor("average.1.bias", lambda a: a + np.inf), [r"average\.1\.bias", "finite"]),
    "count": (
        tensor("3.num_batches_tracked", lambda a: a - 100), [r"3\.num_batches_tracked", "least 0"],
    ),
    "generator": (put("random", "bit_generator", value="PCG65"), ["one of PCG64", "'PCG65'"]),
    "no generator": (put("random", value={}), ["bit_generator"]),
    "no state": (put("random", "state", value={}), ["random's state must have state, inc"]),
    "number": (put("random", "state", "inc", value=3), ["random's state's inc", "digits", "3$"]),
    "negative": (put("random", "state", "inc", value="-3"), ["digits", "'-3'"]),
    "large": (put("random", "state", "inc", value=str(2**128)), ["at most"]),
    "half": (put("random", "has_uint32", value="2"), ["at most 1, got 2"]),
    "other state": (put("random", "bit_generator", value="MT19937"), ["must have"]),
}  # fmt: skip


@pytest.mark.parametrize(("change", "words"), BAD.values(), ids=BAD)
def test_wrong_contents_are_named(change, words, path):
    message = crafted(path, change)
    plain.assert_raises(nn.ModelFileError, words, lambda: nn.load(path))
    assert len(message) < 2000


def test_states_of_generators_stay_in_their_memory(path):
    """NumPy takes a position beyond its buffer, and then reads there."""
    cases = [("MT19937", "state", "pos", "625"), ("Philox", "buffer_pos", "5")]
    for name, *keys, value in cases:
        rng = np.random.Generator(getattr(np.random, name)(1))
        message = crafted(path, put("random", *keys, value=value), all_layers(seed=rng))
        assert f"must be at most {int(value) - 1}, got {value}" in message


def test_the_state_of_a_plateau_is_checked(path):
    schedule = nn.ReduceOnPlateau("loss")
    for key, value in {"factor": 2.0, "best": "a", "waited": -1}.items():
        net = all_layers(schedule=schedule)
        message = crafted(path, put("schedule_state", key, value=value), net)
        assert key in message


# -- Files of others --


def test_other_files(path):
    for content in (b"", b"{}", b"\0" * 100, b"PK\3\4" * 100, os.urandom(1000)):
        path.write_bytes(content)
        with pytest.raises(nn.ModelFileError):
            nn.load(path)
    deep = b"[" * 100_000
    path.write_bytes(struct.pack("<Q", len(deep)) + deep)
    plain.assert_raises(nn.ModelFileError, ["header is not JSON"], lambda: nn.load(path))
    safetensors = pytest.importorskip("safetensors.numpy")  # no wheel for free-threaded Python
    safetensors.save_file({"0.weight": np.ones((1, 1))}, path, {"format": "pt"})
    words = [str(path), "no relume network", "load_state_dict"]
    plain.assert_raises(nn.ModelFileError, words, lambda: nn.load(path))
