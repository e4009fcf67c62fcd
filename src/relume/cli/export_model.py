"""The command `relume export`: write a saved network for another library.

Pickles run code when they are read, and belong to one version of a library, so none are written.
For PyTorch and scikit-learn there is a Python file that makes the model, to be read and imported,
and a safetensors file beside it with the numbers.
"""

import argparse
import os
from typing import TYPE_CHECKING, Any

import numpy as np

import relume
from relume.cli import terminal
from relume.cli.terminal import CommandError, about, quoted

if TYPE_CHECKING:
    from relume.nn import Network

SUFFIXES = {"onnx": ".onnx", "torch": "_torch.py", "sklearn": "_sklearn.py"}

SKLEARN = '''\
"""The network of {model} as scikit-learn's {estimator}, exported by relume {version}."""

import pathlib
import warnings

import numpy as np
from safetensors.numpy import load_file
from sklearn.neural_network import {estimator}


def load():
    """The fitted estimator, with the numbers of the file beside this one."""
    values = load_file(pathlib.Path(__file__).with_suffix(".safetensors"))
    mlp = {constructor}
    # A fit to rows of zeros makes what scikit-learn keeps besides; then the weights are replaced.
    X = np.zeros(({rows}, {n_in}), np.{dtype})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlp.set_params(max_iter=1).fit(X, {y})
    mlp.set_params(max_iter={max_iter})
    mlp.coefs_ = [values[f"coefs_.{{i}}"] for i in range({layers})]
    mlp.intercepts_ = [values[f"intercepts_.{{i}}"] for i in range({layers})]
    return mlp
'''


def run(options: argparse.Namespace) -> int:
    """Write the files, and print their names; return the exit status."""
    from relume import nn

    model, to = options.model, options.to
    with about(model):
        net = nn.load(model)
        if net._weights is None:
            raise ValueError("the network is not built, so it has no weights to export")
    out = os.path.splitext(model)[0] + SUFFIXES[to] if options.out is None else options.out
    expected = f".{SUFFIXES[to].rpartition('.')[2]}"
    if os.path.splitext(out)[1] != expected:
        raise CommandError(f"--out must be a file ending in {expected}, got {out!r}")
    written = [out] if to == "onnx" else [out, f"{os.path.splitext(out)[0]}.safetensors"]
    if any(_is_same_file(each, model) for each in written):
        raise CommandError(f"--out must not replace the model {model}, got {out!r}")
    if to == "onnx":
        with about(out):
            net.to_onnx(out)
    else:
        with about(model):
            code, values = _torch(net, model) if to == "torch" else _sklearn(net, model)
        with about(out):
            _write_pair(written[0], written[1], code, values)
    if options.json:
        sizes = [{"path": each, "bytes": os.path.getsize(each)} for each in written]
        terminal.print_json({"model": model, "to": to, "files": sizes})
        return terminal.DONE
    names = " and ".join(map(terminal.printable, written))
    print(f"wrote {terminal.styled(names, 'green')}")
    return terminal.DONE


def _is_same_file(path: str, other: str) -> bool:
    return os.path.exists(path) and os.path.samefile(path, other)


def _write_pair(path: str, beside: str, code: str, values: dict[str, Any]) -> None:
    """Write the numbers and then the code, each file as a whole."""
    from relume.nn.saving import safetensors_format
    from relume.runtime import files

    arrays = {name: np.asarray(value) for name, value in values.items()}
    files.replace(beside, safetensors_format.packed(arrays, None))
    files.replace(path, code.encode())


def _torch(net: "Network", model: str) -> tuple[str, dict[str, Any]]:
    from relume.cli.torch_code import code_of

    return code_of(net, os.path.basename(model)), net.state_dict()


def _sklearn(net: "Network", model: str) -> tuple[str, dict[str, Any]]:
    """The code that makes the perceptron of `Network.to_sklearn`, and its weights."""
    mlp = net.to_sklearn()
    defaults = type(mlp)().get_params()
    given = {
        name: _plain(value)
        for name, value in mlp.get_params().items()
        if value != defaults[name] and name != "max_iter"
    }
    arguments = ", ".join(f"{name}={value!r}" for name, value in given.items())
    estimator, n_outputs = type(mlp).__name__, len(mlp.intercepts_[-1])
    if not hasattr(mlp, "classes_"):
        y = "np.ones(2)" if n_outputs == 1 else f"np.ones((2, {n_outputs}))"
        rows = 2
    elif net.loss.outputs == "log_odds" and net.n_outputs > 1:  # a label of its own each
        y, rows = f"np.eye({n_outputs}, dtype=int)", n_outputs
    else:
        rows = len(mlp.classes_)
        y = f"np.arange({rows})"
    code = SKLEARN.format(
        model=quoted(model), version=relume.__version__, estimator=estimator,
        constructor=f"{estimator}({arguments})", rows=rows, n_in=len(mlp.coefs_[0]),
        dtype=mlp.coefs_[0].dtype.name, y=y, max_iter=mlp.max_iter, layers=len(mlp.coefs_),
    )  # fmt: skip
    values = {f"coefs_.{i}": each for i, each in enumerate(mlp.coefs_)}
    return code, values | {f"intercepts_.{i}": each for i, each in enumerate(mlp.intercepts_)}


def _plain(value: Any) -> Any:
    """A setting whose repr is Python: a number of NumPy as one of Python's."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return value.item() if isinstance(value, np.generic) else value
