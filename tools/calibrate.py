"""Measure from which share of zeros on it pays to skip them; print the rows of engine/zeros.pyx.

For each product and class of widths, on one thread: compressing x and multiplying by what is left,
against the dense product, over shares of zeros, interleaved, medians. A share is entered if
skipping takes less time from there on for every shape of the class; 2 if it never does.

    RELUME_SIMD=avx2 python tools/calibrate.py      another instruction set than this CPU's best
"""

import sys
import time

import numpy as np

from relume.engine import zeros
from relume.kernels import dispatch

SHARES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 0.98)
ROWS = {"one row": (1,), "forward": (64,), "gradient": (64, 128)}
HEIGHTS = (64, 256, 1024)
OF_CLASS = {1: (2, 10), 16: (16, 32), 64: (64, 96), 128: (128, 192), 256: (256, 1024)}
SECONDS = 0.02  # for a share of a shape


def aligned(shape):
    """Normal numbers in memory that begins on a page, as the engine's buffers do."""
    memory = np.empty(4 * np.prod(shape) + 4096, np.uint8)
    start = -memory.ctypes.data % 4096
    array = memory[start : start + 4 * np.prod(shape)].view(np.float32).reshape(shape)
    array[:] = np.random.default_rng(0).normal(size=shape)
    return array


def pair(product, rows, height, n, share):
    """Two functions that compute the same: without zeros, and dense."""
    x = aligned((rows, height))
    x[np.random.default_rng(1).random(x.shape) < share] = 0
    if product == "gradient":
        delta, out = aligned((rows, n)), aligned((height, n))
        return (
            lambda: zeros.times_dense(zeros.compress(x, columns=True), delta, out=out),
            lambda: zeros.dense_product(x, delta, out, True),
        )
    matrix, out = aligned((height, n)), aligned((rows, n))
    return (
        lambda: zeros.times_dense(zeros.compress(x), matrix, out=out),
        lambda: zeros.dense_product(x, matrix, out),
    )


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
    """The least share from which skipping pays for all shapes of a class."""
    least = 2
    for share in reversed(SHARES):
        for rows in ROWS[product]:
            for height in HEIGHTS:
                for n in widths:
                    if ratio(pair(product, rows, height, n, share)) > 1:
                        return least
        least = share
    return least


def main():
    print(f'    "{dispatch.name}": {{')
    for product in zeros.PRODUCTS:
        row = tuple(least_share(product, OF_CLASS[width]) for width in zeros.WIDTHS)
        print(f'        "{product}": {row},', flush=True)
        if row != zeros.LEAST[dispatch.name][product]:
            print(f"        # the source has {zeros.LEAST[dispatch.name][product]}")
    print("    },")


if __name__ == "__main__":
    sys.exit(main())
