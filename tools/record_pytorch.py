"""Compute PyTorch's results anew and compare them with the recorded ones: `make test-pytorch`.

    python tools/record_pytorch.py [--write]

On a CPU with the instructions of the one that recorded them, all bits are the same. With other
instructions PyTorch's last bits differ; more than that is an error, and the exit status is 1.
"""

import argparse
import importlib
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.support import pytorch
from tests.support.pytorch import functions, training
from tests.support.reference import ROWS

# What other instructions may change. A function's results are compared one by one; those of a
# training to the largest of an array, for which the tests allow 1e-5 and 1e-10.
ROUNDING_OF_FUNCTIONS = 64  # times eps: 1 - tanh(x)**2 is off by 1 eps, gelu's slope by x**3 of it
ROUNDING_OF_TRAINING = {"float32": 2e-6, "float64": 2e-11}


def compute(module):
    """Compute every case of a module."""
    cases = importlib.import_module(f"tests.support.pytorch.{module}").CASES
    return pytorch.Recording(
        torch.__version__.partition("+")[0],
        {name: pytorch.digest(case) for name, case in cases.items()},
        {name: case.compute(torch) for name, case in cases.items()},
    )


def same_but_for_rounding(module, new, old):
    """Whether two arrays of one case differ by no more than other instructions explain."""
    if (new.dtype, new.shape) != (old.dtype, old.shape):
        return False
    if new.dtype.kind != "f":
        return np.array_equal(new, old)
    if module == "functions":
        rounding = ROUNDING_OF_FUNCTIONS * np.finfo(new.dtype).eps
        return np.allclose(new, old, rtol=rounding, atol=rounding, equal_nan=True)
    error = np.abs(new - old).max() / max(np.abs(old).max(), 1e-3)
    return error <= ROUNDING_OF_TRAINING[new.dtype.name]


def differences(module, new, old):
    """Yield a line for each difference of two recordings beyond rounding."""
    if new.version != old.version:
        yield f"PyTorch is {new.version}, that of the recording {old.version}"
    for case in old.results:
        if case not in new.results:
            yield f"{case}: recorded, but not a case"
    for case, arrays in new.results.items():
        recorded = old.results.get(case, {})
        if not recorded:
            yield f"{case}: not recorded"
        elif new.digests[case] != old.digests[case]:
            yield f"{case}: recorded with other inputs"
        elif list(arrays) != list(recorded):
            yield f"{case}: {list(arrays)}, recorded {list(recorded)}"
        else:
            for name, array in arrays.items():
                if not same_but_for_rounding(module, array, recorded[name]):
                    yield f"{case}: {name} differs"


def n_same_bits(new, old):
    """Return in how many cases of a recording all results have the bits of the other."""

    def bits(arrays):
        return {name: array.tobytes() for name, array in arrays.items()}

    return sum(
        bits(arrays) == bits(old.results.get(case, {})) for case, arrays in new.results.items()
    )


def wrongly_lacking():
    """Yield what the cases leave out although PyTorch has it."""
    for name, row in ROWS.items():
        if not row.in_pytorch and hasattr(torch.nn.functional, functions.NAMES.get(name, name)):
            yield f"{name}: PyTorch has it, its row in reference.py says that it has not"
    for name in training.LACKING:
        if hasattr(torch.optim, name):
            yield f"{name}: PyTorch has it, LACKING in training.py says that it has not"


def main():
    """Compare or write; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="replace the recorded results")
    write = parser.parse_args().write
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float64)  # NAdam's product of momenta has it
    found = list(wrongly_lacking())
    for module in pytorch.MODULES:
        new = compute(module)
        if write:
            pytorch.save(module, new)
            print(f"{module}: {len(new.results)} cases recorded")
            continue
        old = pytorch.load(module)
        found += differences(module, new, old)
        print(f"{module}: {n_same_bits(new, old)} of {len(new.results)} cases have the same bits")
    print(*(found or ["no difference"]), sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
