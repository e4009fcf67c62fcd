"""The command `relume inspect`: a saved network and data, a report."""

import sys

import numpy as np

NAMES = ("digits", "fashion-mnist")
HEALTHY, ILL, WRONG = 0, 1, 2  # exit statuses


def run(model, data, out=print):
    """Print the report; return 0 if nothing was found, 1 if there is advice, 2 at an error."""
    try:
        from relume import diagnostics, nn

        net = nn.load(model)
        report = diagnostics.inspect(net, *data_of(data))
    except (OSError, ValueError, TypeError, RuntimeError, FloatingPointError) as error:
        print(f"relume inspect: {error}", file=sys.stderr)
        return WRONG
    out(str(report))
    return ILL if report.advice else HEALTHY


def data_of(name):
    """X and y, or X alone: of a data set, its held-out rows; or of a .npz or .npy file."""
    from relume.datasets import held_out

    if name in NAMES:
        load = {"digits": held_out.load_digits, "fashion-mnist": held_out.load_fashion_mnist}[name]
        return load()[2:]
    if not name.endswith((".npz", ".npy")):
        raise ValueError(
            f"--data must be {' or '.join(NAMES)}, or a .npz or .npy file, got {name!r}"
        )
    if name.endswith(".npy"):
        return (np.load(name, mmap_mode="r", allow_pickle=False),)
    with np.load(name, allow_pickle=False) as arrays:
        if "X" not in arrays:
            raise ValueError(f"{name} must hold X, and y if it is known; got {arrays.files}")
        return tuple(arrays[key] for key in ("X", "y") if key in arrays)
