"""`relume export`: what the files hold computes what the network does, and nothing is pickled."""

import importlib.util
import json
import re
import sys

import numpy as np
import onnx
import pytest

from relume import nn
from relume.__main__ import main
from relume.cli.torch_code import CLASSES
from relume.nn.layers import LAYERS, activations

RNG = np.random.default_rng(0)
X = RNG.standard_normal((40, 6)).astype(np.float32)
LABELS, VALUES = np.arange(40) % 3, RNG.standard_normal(40) * 50 + 300


def saved(folder, layers, y=LABELS, **options):
    """A trained network, and its file."""
    net = nn.Network(layers, seed=0, **options)
    net.fit(X, y, epochs=3)
    path = folder / "net.safetensors"
    net.save(path)
    return net, path


def imported(path):
    """A Python file as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def export(path, to, *more):
    assert main(["export", str(path), "--to", to, *map(str, more)]) == 0


MLPS = {
    "classes": ([nn.Standardize(), nn.Dense(8, "relu"), nn.Dense(3)], LABELS, {}),
    "two classes": ([nn.Dense(8, "tanh"), nn.Dense(2)], LABELS % 2, {}),
    "one output": (
        [nn.Dense(8, "tanh"), nn.Dense(1)], LABELS % 2, {"loss": "binary_cross_entropy"}
    ),
    "labels": (
        [nn.Dense(8, "sigmoid"), nn.Dense(3)], np.eye(3)[LABELS], {"loss": "binary_cross_entropy"}
    ),
    "values": ([nn.Dense(8, "relu"), nn.Dense(1)], VALUES, {"loss": "mse", "scale_targets": True}),
    "two values": (
        [nn.Dense(8, "relu"), nn.Dense(2)], X[:, :2], {"loss": "mse", "dtype": "float64"}
    ),
    "counts": ([nn.Dense(2, "relu"), nn.Dense(1)], LABELS, {"loss": "poisson"}),
    "linear": ([nn.Dense(3)], LABELS, {"optimizer": nn.SGD(0.1, momentum=0.9)}),
}  # fmt: skip


@pytest.mark.parametrize("kind", MLPS)
def test_sklearn(kind, tmp_path):
    """The oracle is the estimator of `Network.to_sklearn`."""
    layers, y, options = MLPS[kind]
    net, path = saved(tmp_path, layers, y, **options)
    export(path, "sklearn")
    mlp, expected = imported(tmp_path / "net_sklearn.py").load(), net.to_sklearn()
    assert mlp.get_params() == expected.get_params()
    predictions = mlp.predict(X)
    np.testing.assert_array_equal(predictions, expected.predict(X), strict=True)
    if net.loss.classifies:
        np.testing.assert_array_equal(mlp.predict_proba(X), expected.predict_proba(X))
    assert type(mlp) is type(expected)
    assert sorted(path.name for path in tmp_path.glob("net_sklearn*")) == [
        "net_sklearn.py", "net_sklearn.safetensors"
    ]  # fmt: skip


def test_onnx(tmp_path):
    net, path = saved(tmp_path, [nn.Dense(8, "relu"), nn.Dense(3)])
    export(path, "onnx", "--out", tmp_path / "other.onnx")
    net.to_onnx(tmp_path / "expected.onnx")
    found, expected = (onnx.load(tmp_path / f"{name}.onnx") for name in ("other", "expected"))
    assert found.graph == expected.graph


# Every layer, each with its own parameters, in the forms that PyTorch tells apart.
EVERY_LAYER = [
    nn.Standardize(), nn.Dense(8, nn.PReLU(per_unit=True)), nn.BatchNorm(1e-4, 0.2),
    nn.Dropout(0.1), nn.LayerNorm(1e-3),
    nn.Residual([nn.Dense(8, nn.PReLU(0.1)), nn.LayerNorm(), nn.Residual([nn.Dense(4, "elu")])]),
    nn.GroupNorm(2), nn.Scale(), nn.Dense(6, nn.Sine(2.0), use_bias=False), nn.AlphaDropout(0.1),
    nn.RReLU(0.1, 0.3), nn.ActivityL1(), nn.Dense(6, nn.FATReLU(0.2)), nn.Dense(3),
]  # fmt: skip
ACTIVATIONS = [
    nn.LeakyReLU(0.2), nn.Threshold(-0.5, 0.1), nn.Hardtanh(-2.0, 2.0), nn.ReLUSquared(),
    nn.Hardshrink(0.1), nn.Softplus(2.0), nn.QuickGELU(), nn.GELU(), nn.GELUTanh(), nn.Mish(),
    nn.Squareplus(3.0), nn.ReLU6(), nn.Softshrink(0.1), nn.Hardsigmoid(), nn.Hardswish(),
    nn.SELU(), nn.CELU(0.5), nn.LogSigmoid(), nn.Sigmoid(), nn.Tanh(), nn.Tanhshrink(),
    nn.SiLU(), nn.Softsign(), nn.ReLU(), nn.ELU(0.5),
]  # fmt: skip
TORCH = {
    "every layer": (EVERY_LAYER, LABELS, {}),
    "float64": (EVERY_LAYER, LABELS, {"dtype": "float64"}),
    "no mean": ([nn.Standardize(with_mean=False), nn.Dense(3)], LABELS, {}),
    "scaled targets": ([nn.Dense(4, "relu"), nn.Dense(1)], VALUES,
                       {"loss": "mse", "scale_targets": True}),
    **{
        type(each).__name__: ([nn.Dense(5, each), each, nn.Dense(3)], LABELS, {})
        for each in ACTIVATIONS
    },
}  # fmt: skip


def test_every_layer_is_tried():
    names = {type(layer).__name__ for layer in EVERY_LAYER}
    names |= {"Residual", "PReLU", "Sine", "FATReLU", "RReLU"}
    assert names == set(LAYERS)
    assert {type(each) for each in ACTIVATIONS} == set(activations.ACTIVATIONS.values())


@pytest.mark.parametrize("kind", TORCH)
def test_torch_files(kind, tmp_path):
    """The code compiles, and the numbers are those of the network."""
    net, path = saved(tmp_path, TORCH[kind][0], TORCH[kind][1], **TORCH[kind][2])
    export(path, "torch")
    code = (tmp_path / "net_torch.py").read_text()
    compile(code, "net_torch.py", "exec")
    assert max(map(len, code.splitlines())) < 100
    safetensors = pytest.importorskip("safetensors.numpy")  # no wheel for free-threaded Python
    values = safetensors.load_file(tmp_path / "net_torch.safetensors")
    state = net.state_dict()
    assert values.keys() == state.keys()
    for name, value in state.items():
        np.testing.assert_array_equal(values[name], value, strict=True)


@pytest.mark.parametrize("kind", TORCH)
def test_torch_computes_the_same(kind, tmp_path):
    torch = pytest.importorskip("torch", reason="PyTorch, over 200 MB, is not in the test extra")
    net, path = saved(tmp_path, TORCH[kind][0], TORCH[kind][1], **TORCH[kind][2])
    export(path, "torch")
    found = imported(tmp_path / "net_torch.py").load()
    with torch.inference_mode():
        y = found(torch.from_numpy(X.astype(net.dtype))).numpy()
    expected = net.predict(X)[:, None] if net.scale_targets else net.forward(X)
    rtol = 2e-5 if net.dtype == np.float32 else 1e-9
    np.testing.assert_allclose(y, expected, rtol=rtol, atol=rtol)


def test_torch_code_reads_as_one_would_write_it(tmp_path):
    _, path = saved(tmp_path, [nn.Dense(8, nn.LeakyReLU(0.2)), nn.BatchNorm(), nn.Dense(3)])
    export(path, "torch")
    code = (tmp_path / "net_torch.py").read_text()
    assert code.splitlines()[0].startswith(
        '"""The network of net.safetensors in PyTorch, exported'
    )
    body = code[code.index("    net = nn.Sequential(") : code.index("    return net\n")]
    assert body == (
        "    net = nn.Sequential(\n"
        "        nn.Linear(6, 8),\n"
        "        nn.LeakyReLU(negative_slope=0.2),\n"
        "        nn.BatchNorm1d(8, eps=1e-05, momentum=0.1),\n"
        "        nn.Linear(8, 3),\n"
        "    )\n"
    )
    assert not any(f"class {name}" in code for name in CLASSES)
    assert "logits of the classes" in code


@pytest.mark.parametrize("to", ["torch", "sklearn"])
def test_a_name_is_no_code(to, tmp_path):
    """The name of a model's file stands in a docstring, which it must not end."""
    _, path = saved(tmp_path, [nn.Dense(3)])
    strange = path.rename(tmp_path / 'a"""; raise SystemExit\\.safetensors')
    export(strange, to, "--out", tmp_path / "out.py")
    code = (tmp_path / "out.py").read_text()
    assert '"""; raise' not in code
    compile(code, "out.py", "exec")


def test_json_names_the_files(tmp_path, capsys):
    _, path = saved(tmp_path, [nn.Dense(3)])
    export(path, "sklearn", "--json")
    found = json.loads(capsys.readouterr().out)
    assert found["model"] == str(path)
    assert [each["path"] for each in found["files"]] == [
        str(tmp_path / "net_sklearn.py"), str(tmp_path / "net_sklearn.safetensors")
    ]  # fmt: skip
    assert all(each["bytes"] > 100 for each in found["files"])


def test_nothing_is_pickled(tmp_path):
    _, path = saved(tmp_path, [nn.Dense(3)])
    for to in ("torch", "sklearn"):
        export(path, to)
        code = (tmp_path / f"net_{to}.py").read_text()
        assert not re.search(r"pickle|joblib|torch\.load\(|eval\(\w|exec\(", code)
        assert (tmp_path / f"net_{to}.safetensors").read_bytes()[8:9] == b"{"


# -- bad input ------------------------------------------------------------------------------------


def fails(capsys, *arguments):
    """The one line of an error."""
    assert main(["export", *map(str, arguments)]) == 2
    out, err = capsys.readouterr()
    assert not out
    assert err.count("\n") == 1
    assert err.startswith("relume export: ")
    return err


def test_bad_files_are_named(tmp_path, capsys):
    _, path = saved(tmp_path, [nn.Dense(3)])
    whole = path.read_bytes()
    bad = tmp_path / "bad.safetensors"
    for content in (b"", whole[:100], whole[:-1], b"text", whole[:500] + b"?" + whole[501:]):
        bad.write_bytes(content)
        assert str(bad) in fails(capsys, bad, "--to", "onnx")
    assert str(tmp_path / "none") in fails(capsys, tmp_path / "none", "--to", "torch")
    assert str(tmp_path) in fails(capsys, tmp_path, "--to", "sklearn")
    assert not list(tmp_path.glob("*.onnx"))


def test_a_network_without_weights(tmp_path, capsys):
    nn.Network([nn.Dense(3)]).save(tmp_path / "new")
    error = fails(capsys, tmp_path / "new", "--to", "torch")
    assert f"{tmp_path / 'new'}: the network is not built" in error


def test_what_scikit_learn_has_not(tmp_path, capsys):
    _, path = saved(tmp_path, [nn.Dense(4, "gelu"), nn.Dense(3)])
    error = fails(capsys, path, "--to", "sklearn")
    assert f"{path}: layers[0] must be" in error
    assert not list(tmp_path.glob("net_*"))


@pytest.mark.parametrize(
    ("to", "out", "message"),
    [
        ("onnx", "a.txt", "--out must be a file ending in .onnx, got"),
        ("torch", "a.pt", "--out must be a file ending in .py, got"),
        ("torch", "net.py", "--out must not replace the model"),
        ("onnx", "no/folder/a.onnx", "no/folder"),
        ("sklearn", "no/folder/a.py", "no/folder"),
    ],
)
def test_bad_targets(to, out, message, tmp_path, capsys):
    _, path = saved(tmp_path, [nn.Dense(3)])
    whole = path.read_bytes()
    assert message in fails(capsys, path, "--to", to, "--out", tmp_path / out)
    assert path.read_bytes() == whole


def test_missing_onnx_says_what_to_install(tmp_path, capsys, monkeypatch):
    _, path = saved(tmp_path, [nn.Dense(3)])
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert "relume[onnx]" in fails(capsys, path, "--to", "onnx")
