"""Measure the share of zeros from which skipping them pays off, for engine/skip_zeros.pyx.

For each product and class of widths, a layer that always skips zeros is timed against one that
never does, on one thread, over a range of shares of zeros. The runs are interleaved, and medians
are compared. Prints the rows of the table in skip_zeros.pyx: the minimum share from which skipping
takes less time, as a geometric mean over the shapes of the class, or 2 if it never does.

    RELUME_SIMD=avx2 python tools/calibrate.py      measure another instruction set than the best
"""

import sys
import time

import numpy as np

import relume
from relume.engine import skip_zeros
from relume.engine.arrays import aligned_zeros
from relume.engine.op_spec import OpSpec
from relume.engine.plan import Plan
from relume.engine.prediction import predict
from relume.kernels import dispatch

SHARES = (*(i / 20 for i in range(4, 20)), 0.98)
ROWS = {"one row": 1, "forward": 64, "gradient": 128}
HEIGHTS = (64, 256, 1024)
OF_CLASS = {
    1: (2, 10), 16: (16, 24), 32: (32, 48), 64: (64, 128), 256: (256, 384),
    512: (512, 768), 1024: (1024, 1536),
}  # fmt: skip
SECONDS = 0.03  # time to measure one share of zeros for one shape


def layer(product, height, n, share, sparse):
    """A function that computes the product once.

    For "gradient" it also computes the gradient with respect to the input, which takes the same
    time in both modes.
    """
    rng, float32, rows = np.random.default_rng(0), np.dtype(np.float32), ROWS[product]
    plan = Plan(height, [OpSpec(kind="dense", units=n)], float32, sparse)
    parameters = aligned_zeros(plan.n_parameters, float32)
    parameters[:] = rng.normal(size=plan.n_parameters)
    x = rng.normal(size=(rows, height)).astype(float32)
    x[rng.random(x.shape) < share] = 0
    if product != "gradient":
        return lambda: predict(plan, parameters, x)
    tape, gradients = plan.new_tape(rows), np.zeros_like(parameters)
    dz = plan.forward(parameters, x, tape)
    return lambda: plan.backward(parameters, gradients, x, tape, dz)


def ratio(functions):
    """Time of the first function over that of the second, as medians of interleaved runs."""
    times, end = ([], []), time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times[0]) < 5:
        for function, taken in zip(functions, times, strict=True):
            begin = time.perf_counter()
            function()
            taken.append(time.perf_counter() - begin)
    return np.median(times[0]) / np.median(times[1])


def min_share(product, widths):
    """The minimum share of zeros from which skipping pays off for the shapes of a class."""
    found = 2
    for share in reversed(SHARES):
        ratios = [
            ratio([layer(product, height, n, share, sparse) for sparse in ("always", "never")])
            for height in HEIGHTS
            for n in widths
        ]
        if np.log(ratios).mean() > 0:
            break
        found = share
    return found


def main():
    with relume.num_threads(1):
        print(f'    "{dispatch.name}": {{')
        for product in skip_zeros.PRODUCTS:
            row = tuple(min_share(product, OF_CLASS[width]) for width in skip_zeros.WIDTHS)
            print(f'        "{product}": {row},', flush=True)
            if row != skip_zeros.MIN_SHARES[dispatch.name][product]:
                print(f"        # the source has {skip_zeros.MIN_SHARES[dispatch.name][product]}")
        print("    },")


if __name__ == "__main__":
    sys.exit(main())
