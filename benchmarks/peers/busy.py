"""All threads against one while other processes keep all CPUs busy; PyTorch is imported first.

PyTorch's OpenMP runtime is then this process's, and relume's too. Several starts, since the
failure that this looks for comes and goes by luck; the worst start counts. `busy.py one` is one
start, in which both take turns, and prints the median and the mean ratio of each work.
"""

import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time

import programs

STARTS = 5
SECONDS = 6.0  # for each work of a start
EPOCHS = 20  # of a fit: a short one takes 11 or 23 ms, as the scheduler lets it run through or not
MUSTS = {  # work: (of the ratio of medians, of means)
    "a fit, digits 64-256-128-10, batch 128": (0.9, None),
    "relu of 200,000 float32": (0.67, 0.33),
}


def fit(relume, np):
    from libraries.relume import training
    from targets import MIDDLE
    from works import Training

    problem = Training("digits", MIDDLE, 128, EPOCHS).problem()
    reset, run, _ = training(problem)
    return reset, lambda: run(problem.epochs, len(problem.X))


def relu(relume, np):
    x = np.random.default_rng(0).standard_normal(200_000, dtype=np.float32)
    out = np.ones_like(x)
    return lambda: None, lambda: relume.relu(x, out=out)


def one_start():
    import torch  # noqa: F401  # isort: skip
    import numpy as np

    import relume

    ratios = []
    for make in (fit, relu):
        reset, run = make(relume, np)
        times = {1: [], max(2, os.cpu_count()): []}
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            for threads, taken in times.items():
                relume.set_num_threads(threads)
                reset()
                begin = time.perf_counter()
                run()
                taken.append(time.perf_counter() - begin)
        one, many = times.values()
        ratios.append([f(one) / f(many) for f in (statistics.median, statistics.mean)])
    print(json.dumps(ratios))


def spin():
    while True:
        pass


def main():
    busy = [multiprocessing.Process(target=spin, daemon=True) for _ in range(os.cpu_count())]
    for process in busy:
        process.start()
    command = [sys.executable, __file__, "one"]
    try:
        starts = [
            json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
            for _ in range(STARTS)
        ]
    finally:
        for process in busy:
            process.kill()
    rows = []
    for i, (work, musts) in enumerate(MUSTS.items()):
        for j, (statistic, must) in enumerate(zip(("median", "mean"), musts, strict=True)):
            if must:
                found = [start[i][j] for start in starts]
                rows.append({
                    "work": f"{work}, CPUs busy, {statistic}", "ours": "all threads",
                    "theirs": "one thread", "must": must, "ratio": min(found),
                    "note": "starts: " + ", ".join(f"{ratio:.2f}" for ratio in sorted(found)),
                })  # fmt: skip
    programs.write(rows, sys.argv)


if __name__ == "__main__":
    one_start() if "one" in sys.argv else main()
