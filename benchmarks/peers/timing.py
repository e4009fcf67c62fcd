"""Ratios of times on a machine that drifts: calls in turn, medians of the pairs."""

import statistics
import time


def interleaved(first, second, repeats):
    """Seconds of two calls, taken in turn so that a drift of the machine meets both."""
    times = [], []
    for _ in range(repeats):
        for call, taken in zip((first, second), times, strict=True):
            begin = time.perf_counter()
            call()
            taken.append(time.perf_counter() - begin)
    return times


def ratio(first, second, repeats):
    """The median of first over second, pair by pair."""
    pairs = zip(*interleaved(first, second, repeats), strict=True)
    return statistics.median(a / b for a, b in pairs)
