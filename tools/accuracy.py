"""Measure the accuracy of every function against mpmath, on each instruction set of this CPU.

Prints the maximum error in ULP and the inputs at which it occurs, for every function, direction
and dtype. An error that exceeds the documented bound is marked by ! and makes the exit status 1.

    python tools/accuracy.py [--points N] [ACTIVATION ...]

By default it measures all activations at 100,000 points each.
"""

import argparse
import os
import pickle
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from tqdm import tqdm

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from relume.kernels import dispatch  # noqa: E402
from tests.support.ops import (  # noqa: E402
    DTYPES,
    OPS,
    accuracy_inputs,
    bound,
    errors,
    exact_results,
)

BY_NAME = {op.name: op for op in OPS}


class Server:
    """A process that runs relume with one instruction set."""

    def __init__(self, simd):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve"],
            env=os.environ | {"RELUME_SIMD": simd},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __call__(self, name, inputs):
        pickle.dump((name, inputs), self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def serve():
    """Read (name of a function, inputs) and write the results, until the input ends."""
    while True:
        try:
            name, inputs = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        pickle.dump(BY_NAME[name].function(*inputs), sys.stdout.buffer)
        sys.stdout.buffer.flush()


def expected(task):
    """The inputs and the exact results of one function in one dtype."""
    name, dtype, n = task
    inputs = accuracy_inputs(BY_NAME[name], dtype, n)
    return inputs, exact_results(BY_NAME[name], inputs)


def row_of(op, dtype, inputs, results, servers):
    """A line of the table, and whether the error is in bounds on every instruction set."""
    cells, in_bounds = [], True
    for server in servers:
        error = errors(op, server(op.name, inputs), results)
        worst = int(error.argmax())
        where = ", ".join(f"{column[worst]:.9g}" for column in inputs[op.n_data - 1 :])
        above = bool(error[worst] > bound(op, dtype))
        in_bounds &= not above
        cells.append(f"{error[worst]:6.3g}{'!' if above else ' '} at {where:36}")
    line = f"{op.name:36} {np.dtype(dtype).name:8} {bound(op, dtype):5g}  {' '.join(cells)}"
    return line, in_bounds


def main(arguments):
    parser = argparse.ArgumentParser(description="Measure the accuracy of every function.")
    parser.add_argument(
        "names", metavar="ACTIVATION", nargs="*", help="activations to measure (default: all)"
    )
    parser.add_argument(
        "--points", type=int, default=100_000, help="points per function (default: %(default)s)"
    )
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.serve:
        return serve()
    if unknown := set(options.names) - {op.row["name"] for op in OPS}:
        parser.error(f"unknown activation: {', '.join(sorted(unknown))}")
    ops = [op for op in OPS if not options.names or op.row["name"] in options.names]
    supported = [
        n for n, needs in dispatch.builds().items() if not dispatch.missing_features(needs)
    ]
    servers = [Server(name) for name in supported]
    tasks = [(op.name, dtype, options.points) for op in ops for dtype in DTYPES]
    print(f"{'function':36} {'dtype':8} bound  {' '.join(f'{n:47}' for n in supported)}")
    failures = 0
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        results = zip(tasks, pool.map(expected, tasks), strict=True)
        for (name, dtype, _), (inputs, exact) in tqdm(
            results, total=len(tasks), leave=False, disable=None
        ):
            line, in_bounds = row_of(BY_NAME[name], dtype, inputs, exact, servers)
            failures += not in_bounds
            tqdm.write(line.rstrip())
    for server in servers:
        server.close()
    print(f"{failures} of {len(tasks)} lines exceed their bound")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
