"""PyTorch's results, recorded so that tests can compare with them where it is not installed.

`functions`, `networks` and `training` each define CASES, a dict of cases by name. A case has
`inputs()`, the arrays it starts from, and `compute(torch)`, the arrays PyTorch makes of them. What
`compute` returned is stored next to the module in a safetensors file of the same name.
`make test-pytorch` computes everything again in an environment with PyTorch and compares it with
the files; `make test-pytorch RECORD=1` replaces them.

Inputs come from `np.random.RandomState`, whose stream never changes, and from arithmetic that IEEE
754 rounds correctly, so they have the same bits on every machine. Nothing recorded depends on
relume's arithmetic: relume only contributes the configuration of its layers.
"""

import json
import zlib
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
import safetensors.numpy

FOLDER = Path(__file__).parent
MODULES = ("functions", "networks", "training")


class Recording(NamedTuple):
    """The contents of one file."""

    version: str  # of PyTorch
    digests: dict[str, str]  # of the inputs of each case
    results: dict[str, dict[str, np.ndarray]]  # of each case, in the order of its `compute`


def uniform(rng, low, high, shape):
    """Draw as `rng.uniform` does, but never with a fused multiply-add, which rounds only once."""
    return low + (high - low) * rng.random_sample(shape)


def digest(case):
    """Return a checksum of a case's inputs: their names, dtypes, shapes and bytes."""
    checksum = 0
    for name, array in case.inputs().items():
        header = f"{name} {array.dtype} {array.shape}".encode()
        checksum = zlib.crc32(header + np.ascontiguousarray(array).tobytes(), checksum)
    return f"{checksum:08x}"


def path_of(module):
    return FOLDER / f"{module}.safetensors"


@cache
def load(module):
    """Read a module's recording: tensors named `case|index|name`, which keeps their order."""
    with safetensors.safe_open(path_of(module), framework="numpy") as file:
        about = json.loads(file.metadata()["recording"])
        results = {}
        for key in sorted(file.keys()):
            case, _, name = key.split("|")
            results.setdefault(case, {})[name] = file.get_tensor(key)
    return Recording(about["torch"], about["digests"], results)


def save(module, recording):
    tensors = {
        f"{case}|{index:02}|{name}": np.array(array, order="C")
        for case, arrays in recording.results.items()
        for index, (name, array) in enumerate(arrays.items())
    }
    # One entry, since safetensors writes several in random order.
    about = json.dumps({"torch": recording.version, "digests": recording.digests})
    path_of(module).write_bytes(safetensors.numpy.save(tensors, {"recording": about}))
