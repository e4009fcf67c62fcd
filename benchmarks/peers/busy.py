"""Prints the median and the mean of threaded calls over one-thread calls, taken in turn for 8 s.

PyTorch is imported first: its OpenMP runtime is then this process's, and relume's too. For
figures.py, which keeps all CPUs busy meanwhile.
"""

import os
import statistics
import time

import numpy as np
import torch  # noqa: F401

import relume

SECONDS = 8.0

x = np.random.default_rng(0).standard_normal(200_000, dtype=np.float32)
out = np.ones_like(x)
times = {1: [], max(2, os.cpu_count()): []}
end = time.perf_counter() + SECONDS
while time.perf_counter() < end:
    for threads, taken in times.items():
        relume.set_num_threads(threads)
        begin = time.perf_counter()
        relume.relu(x, out=out)
        taken.append(time.perf_counter() - begin)
one, many = times.values()
print(
    statistics.median(many) / statistics.median(one), statistics.mean(many) / statistics.mean(one)
)
