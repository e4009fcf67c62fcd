"""All digests and kills of `make distributed`, of which the suite has a sample.

Every case in both dtypes with 1, 7, 8 and 12 groups and uneven ones, on 1 to 4 ranks and with 1
and 2 threads; then a fit whose ranks are killed 20 times, at random steps.
"""

import itertools
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from relume import nn
from tests.distributed.cases import CASES, UNEVEN, case, digest, local
from tests.distributed.test_mpi import job


def digests():
    """Compare the digests of all cases; returns how many differ."""
    cases = list(itertools.product(CASES, [1, 7, 8, 12, UNEVEN], ["float32", "float64"]))
    expected = [local(*each) for each in cases]
    wrong = 0
    for ranks, threads in itertools.product([1, 2, 3, 4], [1, 2]):
        found = []
        for part in range(0, len(cases), 20):  # so that each job takes less than its limit
            found += job(ranks, "digests", cases[part : part + 20], threads)
        bad = [each for each, a, b in zip(cases, expected, found, strict=True) if a != b]
        print(f"{ranks} ranks, {threads} threads: {len(cases) - len(bad)} of {len(cases)} equal",
              *bad, flush=True)  # fmt: skip
        wrong += len(bad)
    return wrong


def kills(times=20):
    """Kill a rank at random steps, each time of another number of ranks, and let one job end."""
    net, X, y, arguments = case("dropout", 12, "float32")
    arguments |= {"epochs": 4, "callbacks": [nn.EarlyStopping(patience=3)]}
    expected = digest(net, net.fit(X, y, **arguments))
    rng, wrong = np.random.default_rng(0), 0
    for i in range(times):
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "fit.safetensors")
            ranks, at = int(rng.integers(2, 5)), int(rng.integers(1, 20))
            rank, others = int(rng.integers(ranks)), int(rng.integers(1, 5))
            job(ranks, "killed", path, at, rank, fails=True)
            found = job(others, "killed", path, -1, 0)
            print(f"kill {i + 1}: rank {rank} of {ranks} at step {at}, resumed on {others}:",
                  "equal" if found == expected else "DIFFERENT", flush=True)  # fmt: skip
            wrong += found != expected
    return wrong


if __name__ == "__main__":
    sys.exit(bool(digests() + kills()))
