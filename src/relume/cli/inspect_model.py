"""The command `relume inspect`: print a report on a saved network and its data."""

import sys
import warnings

import numpy as np

NAMES = ("digits", "fashion-mnist")
NO_ADVICE, ADVICE, ERROR = 0, 1, 2  # exit statuses


def run(model, data, out=print):
    """Print the report; return 0 if it has no advice, 1 if it has advice, 2 after an error."""
    try:
        from relume import diagnostics, nn

        net = nn.load(model)
        report = diagnostics.inspect(net, *data_of(data))
    except Exception as error:  # a damaged file raises nearly every class of error
        known = isinstance(
            error, OSError | ValueError | TypeError | RuntimeError | ArithmeticError
        )
        text = str(error) if known else f"{type(error).__name__}: {error}"
        print("relume inspect:", " ".join(text.split()), file=sys.stderr)
        return ERROR
    out(str(report))
    return ADVICE if report.advice else NO_ADVICE


def data_of(name):
    """(X, y) or (X,): the held-out rows of a data set, or the content of a .npz or .npy file."""
    from relume.datasets import held_out

    if name in NAMES:
        load = {"digits": held_out.load_digits, "fashion-mnist": held_out.load_fashion_mnist}[name]
        return load()[2:]
    if not name.endswith((".npz", ".npy")):
        raise ValueError(
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
    if name.endswith(".npy"):
        return (np.load(name, mmap_mode="r", allow_pickle=False),)
    # NumPy leaves a damaged file open that it has opened itself.
    with open(name, "rb") as file, np.load(file, allow_pickle=False) as arrays:
        if "X" not in arrays:
            raise ValueError(
                f"it must contain an array X, and optionally y; it contains {arrays.files}"
            )
        return tuple(arrays[key] for key in ("X", "y") if key in arrays)
