"""Measure from which share of zeros on it pays to skip them; print the rows of
engine/skip_zeros.pyx.

For each product and class of widths, on one thread: a layer that always skips zeros beside one
that never does, over shares of zeros, interleaved, medians. Printed is the least share from which
on skipping takes less time, as a geometric mean over the shapes of the class; 2 if it never does.

    RELUME_SIMD=avx2 python tools/calibrate.py      another instruction set than this CPU's best
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
SECONDS = 0.03  # for a share of a shape


def layer(product, height, n, share, sparse):
    """What makes the product once; a gradient with that by the input, the same for all."""
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
    """The first one's time by the second one's, each the median of interleaved runs."""
    times, end = ([], []), time.perf_counter() + SECONDS
    while time.perf_counter() < end or len(times[0]) < 5:
        for function, found in zip(functions, times, strict=True):
            begin = time.perf_counter()
            function()
            found.append(time.perf_counter() - begin)
    return np.median(times[0]) / np.median(times[1])


def least_share(product, widths):
    """The least share from which on skipping pays for the shapes of a class, on the whole."""
    least = 2
    for share in reversed(SHARES):
        ratios = [
            ratio([layer(product, height, n, share, sparse) for sparse in ("always", "never")])
            for height in HEIGHTS
            for n in widths
        ]
        if np.log(ratios).mean() > 0:
            break
        least = share
    return least


def main():
    with relume.num_threads(1):
        print(f'    "{dispatch.name}": {{')
        for product in skip_zeros.PRODUCTS:
            row = tuple(least_share(product, OF_CLASS[width]) for width in skip_zeros.WIDTHS)
            print(f'        "{product}": {row},', flush=True)
            if row != skip_zeros.LEAST[dispatch.name][product]:
                print(f"        # the source has {skip_zeros.LEAST[dispatch.name][product]}")
        print("    },")


if __name__ == "__main__":
    sys.exit(main())
