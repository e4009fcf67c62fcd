"""Ratios of times on a machine that drifts: interleaved calls, and medians of the pairs."""

import statistics
import time


def interleaved(first, second, repeats):
    """Seconds of two calls, interleaved so that a drift of the machine affects both equally."""
    times = [], []
    for _ in range(repeats):
        for call, taken in zip((first, second), times, strict=True):
            begin = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begin)
    return times


def ratio(first, second, repeats):
    """The median over pairs of the first call's time over the second's."""
    pairs = zip(*interleaved(first, second, repeats), strict=True)
    return statistics.median(a / b for a, b in pairs)
