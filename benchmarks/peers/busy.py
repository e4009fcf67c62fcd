"""Time all threads against one while other processes keep all CPUs busy.

PyTorch is imported first, so that relume uses PyTorch's OpenMP runtime. The effect of interest, a
thread that waits for another one without a CPU, occurs at random, so there are several starts. The
ratio combines the times of all starts; the ratio of the worst start reveals a failure. The
scheduler alone makes one thread differ from one thread by a tenth within a start, so such a
control is measured and printed too. `busy.py one` is a single start, which interleaves all
variants in random order.
"""

import itertools
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import time

import programs

STARTS = 5
SECONDS = 9.0  # for each work of a start
EPOCHS = 20  # a short fit takes 11 or 23 ms, depending on whether the scheduler interrupts it
TURNS = (1, 1, max(2, os.cpu_count()))  # numbers of threads; the second is the control
MUSTS = {  # work: minimum ratios of (medians, means), each as (all starts, worst start)
    "a fit, digits 64-256-128-10, batch 128": ((0.9, 0.67), None),
    "relu of 200,000 float32": ((0.9, 0.67), (0.67, 0.33)),
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

    found, rng = [], np.random.default_rng()
    for make in (fit, relu):
        reset, run = make(relume, np)
        times = [[] for _ in TURNS]
        end = time.perf_counter() + SECONDS
        while time.perf_counter() < end:
            for k in rng.permutation(len(TURNS)):
                relume.set_num_threads(TURNS[k])
                reset()
                begin = time.perf_counter()
                run()
                times[k].append(time.perf_counter() - begin)
        found.append(times)
    print(json.dumps(found))


def ratios(statistic, times):
    """The ratios of one thread over all threads, and of one thread over the control."""
    one, control, every = map(statistic, times)
    return (one + control) / 2 / every, one / control


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
    for i, (work, both) in enumerate(MUSTS.items()):
        of_starts = [start[i] for start in starts]
        together = [list(itertools.chain(*times)) for times in zip(*of_starts, strict=True)]
        for statistic, musts in zip((statistics.median, statistics.mean), both, strict=True):
            if musts:
                pairs = sorted(ratios(statistic, times) for times in of_starts)
                spelled = ", ".join(f"{ratio:.2f} ({control:.2f})" for ratio, control in pairs)
                found = (ratios(statistic, together)[0], pairs[0][0])
                for name, ratio, must in zip(("", ", worst start"), found, musts, strict=True):
                    rows.append({
                        "work": f"{work}, CPUs busy, {statistic.__name__}{name}",
                        "ours": "all threads", "theirs": "one thread", "must": must,
                        "ratio": ratio, "note": f"starts (one by one): {spelled}",
                    })  # fmt: skip
    programs.write(rows, sys.argv)


if __name__ == "__main__":
    one_start() if "one" in sys.argv else main()
