"""The command `relume inspect`: print a report on a saved network and its data."""

import argparse
import warnings
from typing import Any

import numpy as np

from relume.cli import terminal
from relume.cli.terminal import CommandError, about

NAMES = ("digits", "fashion-mnist")
STARTS = {".npz": (b"PK\x03\x04", b"PK\x05\x06"), ".npy": (b"\x93NUMPY",)}


def run(options: argparse.Namespace) -> int:
    """Print the report; return 0 if it has no advice, 1 if it has."""
    from relume import diagnostics, nn

    with about(options.model):
        net = nn.load(options.model)
    with about(options.data):
        data = data_of(options.data)
    with about(f"{options.model} with {options.data}"):
        try:
            report = diagnostics.inspect(net, *data)
        except ValueError as error:
            if options.data not in NAMES or "features" not in str(error):
                raise
            text = f"{error}; give rows of the network's own data by --data rows.npz"
            raise ValueError(text) from error
    if options.json:
        terminal.print_json(report.to_dict())
    else:
        print(_colored(str(report)))
    return terminal.ADVICE if report.advice else terminal.DONE


def _colored(text: str) -> str:
    """The text of a report, with its table's head and its advice in colors."""
    table, advice, rest = text.partition("\nadvice:")
    lines = table.split("\n")
    lines[2:3] = [terminal.styled(line, "bold") for line in lines[2:3]]
    color = "green" if rest.startswith(" none") else "yellow"
    found = [terminal.styled(line, color) for line in f"{advice[1:]}{rest}".split("\n")]
    return "\n".join([*lines, *found])


def data_of(name: str) -> tuple[Any, ...]:
    """(X, y) or (X,): the held-out rows of a data set, or the content of a .npz or .npy file."""
    from relume.datasets import held_out

    if name in NAMES:
        load = {
            "digits": held_out.load_digits_split,
            "fashion-mnist": held_out.load_fashion_mnist_split,
        }[name]
        return load()[2:]
    if not name.endswith((".npz", ".npy")):
        raise CommandError(
            f"--data must be {', '.join(NAMES)}, or a .npz or .npy file, got {name!r}"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # NumPy's, about a damaged header
            return _arrays(name)
    except (OSError, MemoryError):
        raise
    except Exception as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def _arrays(name):
    """The arrays of a .npz or .npy file."""
    with open(name, "rb") as file:
        if not file.read(6).startswith(STARTS[name[-4:]]):
            raise ValueError(f"it is not a {name[-4:]} file")
    if name.endswith(".npy"):
        return (np.load(name, mmap_mode="r", allow_pickle=False),)
    # NumPy leaves a damaged file open that it has opened itself.
    with open(name, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        if "X" not in arrays:
            raise ValueError(
                f"it must contain an array X, and optionally y; it contains {arrays.files}"
            )
        return tuple(arrays[key] for key in ("X", "y") if key in arrays)
