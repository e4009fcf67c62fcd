"""How predictions of single rows scale over Python threads that share one network.

    python benchmarks/python_threads.py [--threads N] [--seconds S] [--rounds R]

Without the GIL (a free-threaded CPython, PYTHON_GIL=0) N threads, 8 by default, are compared with
one: the rate of all together, divided by that of one thread and by the number of CPUs that they
have. Rounds of both are timed in turn; the median of their ratios is printed. With the GIL they
take turns, so that the figure is about 1 divided by the CPUs.
"""

import argparse
import os
import statistics
import sys
import threading
import time

import numpy as np

import relume
from relume import nn


def rate(net, x, n, seconds):
    """Predictions a second of n threads, each of a row of its own."""
    counts, start, end = [0] * n, threading.Barrier(n + 1), threading.Event()

    def work(k, net, x):
        own, done = x.copy(), 0
        start.wait()
        while not end.is_set():
            for _ in range(500):
                net.predict_proba(own)
            done += 500
        counts[k] = done

    threads = [threading.Thread(target=work, args=(k, net, x)) for k in range(n)]
    for thread in threads:
        thread.start()
    start.wait()
    begin = time.perf_counter()
    time.sleep(seconds)
    end.set()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - begin)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=0.5, help="of a round")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    cpus = min(len(os.sched_getaffinity(0)), options.threads)
    relume.set_num_threads(1)
    gil = getattr(sys, "_is_gil_enabled", lambda: True)()
    print(f"{options.threads} threads on {cpus} CPUs, {'with' if gil else 'without'} the GIL")
    for sizes in ([64], [256, 128], [1024, 1024]):
        layers = [*(nn.Dense(n, "relu") for n in sizes), nn.Dense(10)]
        net = nn.Network(layers, seed=0).build(64)
        x = np.random.default_rng(0).normal(size=(1, 64)).astype("float32")
        rate(net, x, options.threads, 0.1)
        ratios, alone = [], []
        for _ in range(options.rounds):
            alone.append(rate(net, x, 1, options.seconds))
            ratios.append(rate(net, x, options.threads, options.seconds) / alone[-1] / cpus)
        name = "-".join(map(str, [x.shape[1], *sizes, 10]))
        print(f"{name:18} {1e6 / statistics.median(alone):6.2f} us alone, "
              f"{statistics.median(ratios):.2f} per core")  # fmt: skip


if __name__ == "__main__":
    main()
