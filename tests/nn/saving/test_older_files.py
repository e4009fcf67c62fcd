"""Model files written by earlier commits load, predict what they predicted, and train on.

`data/version_1` holds files in version 1 of the format, written by commit 6b11aa3 of relume 0.1.0.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from relume import nn
from relume.nn.saving.model_file import unpacked

FOLDER = Path(__file__).parent / "data" / "version_1"
FILES = sorted(FOLDER.glob("*.safetensors"))
TRAINED = [path for path in FILES if path.stem != "unbuilt"]
# Other instruction sets sum in another order and have other approximations of exp.
TOLERANCES = {"float32": 1e-4, "float64": 1e-10}
with np.load(FOLDER / "expected.npz") as _arrays:
    EXPECTED = dict(_arrays)
X = EXPECTED["X"]


def targets(net):
    """What the loss of a network takes."""
    kinds = {nn.CrossEntropy: "labels", nn.BinaryCrossEntropy: "binary"}
    return EXPECTED[kinds.get(type(net.loss), "values")]


def name_of(path):
    return path.stem


def classes_in(settings):
    """The names of all classes in the settings of a file."""
    if isinstance(settings, list):
        return set().union(*map(classes_in, settings))
    if not isinstance(settings, dict):
        return set()
    own = {settings["class"]} if "class" in settings else set()
    return own.union(*map(classes_in, settings.values()))


def test_files_cover_every_class_of_the_version():
    """And every metric, dtype, sparse mode and NumPy bit generator but PCG64DXSM."""
    every = [unpacked(path.read_bytes())[0] for path in FILES]
    known = json.loads((FOLDER / "classes.json").read_text())["classes"]
    assert sorted(set().union(*map(classes_in, every))) == known
    assert {name for settings in every for name in settings["metrics"]} == {
        "accuracy", "balanced_accuracy", "f1", "log_loss", "mae", "mse", "r2", "rmse",
        "top_5_accuracy",
    }  # fmt: skip
    assert {settings["dtype"] for settings in every} == {"float32", "float64"}
    assert {settings["sparse"] for settings in every} == {"auto", "never", "always"}
    assert {settings["random"]["bit_generator"] for settings in every} == {
        "PCG64", "MT19937", "Philox", "SFC64"
    }  # fmt: skip


@pytest.mark.parametrize("path", TRAINED, ids=name_of)
def test_old_file_predicts_what_was_recorded(path):
    net = nn.load(path)
    expected = EXPECTED[f"{path.stem}.outputs"]
    outputs = net.forward(X)
    assert outputs.dtype == expected.dtype
    tolerance = TOLERANCES[net.dtype.name] * np.abs(expected).max()
    np.testing.assert_allclose(outputs, expected, rtol=0, atol=tolerance)
    assert net.epoch == EXPECTED[f"{path.stem}.epoch"]


@pytest.mark.parametrize("path", TRAINED, ids=name_of)
def test_old_file_trains_on(path):
    """The optimizer's state, the schedule's and the random state are taken up: the loss falls."""
    net = nn.load(path)
    y = targets(net)
    before = net.evaluate(X, y)["loss"]
    history = net.fit(X, y, epochs=10, batch_size=16)
    assert np.isfinite(history["loss"]).all()
    assert net.evaluate(X, y)["loss"] < before
    assert net.epoch == EXPECTED[f"{path.stem}.epoch"] + 10


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_old_file_is_saved_again_as_it_was(path, tmp_path):
    """But for settings that are new, and for second moments, of which the roots are kept now.

    The difference of a ReduceOnPlateau has another name since.
    """
    nn.load(path).save(tmp_path / "again.safetensors")
    (old, had), (new, has) = (
        unpacked(file.read_bytes()) for file in (path, tmp_path / "again.safetensors")
    )
    assert_holds(new, old)
    assert has.keys() == {name.replace("optimizer.1.", "optimizer.r.") for name in had}
    for name, value in had.items():
        if name.startswith("optimizer.1."):
            root = has[name.replace("optimizer.1.", "optimizer.r.")]
            np.testing.assert_array_equal(root, np.sqrt(value))
        else:
            assert has[name].tobytes() == value.tobytes(), name
    nn.load(tmp_path / "again.safetensors").save(tmp_path / "once_more.safetensors")
    assert (tmp_path / "once_more.safetensors").read_bytes() == (
        tmp_path / "again.safetensors"
    ).read_bytes()


def assert_holds(new, old):
    """All old settings are there, with the values that they had."""
    if isinstance(old, dict):
        for key, value in old.items():
            assert_holds(new[{"min_delta": "threshold"}.get(key, key)], value)
    elif isinstance(old, list):
        for each, value in zip(new, old, strict=True):
            assert_holds(each, value)
    else:
        assert new == old


def test_old_file_of_a_network_that_is_not_built():
    net = nn.load(FOLDER / "unbuilt.safetensors")
    with pytest.raises(RuntimeError, match="not built"):
        net.predict(X)
    history = net.fit(X, EXPECTED["labels"], epochs=20)
    assert history["loss"][-1] < history["loss"][0]
