"""Measure relume against its peers: training, prediction, zeros, memory, activations, calls.

Each contender has one process with one thread and CPU, and one with all of them; all but one are
stopped. The processes take turns, round by round in a new random order, so that a drift of the
machine affects all of them equally. A ratio is the median over the rounds of their time over ours,
each with its faster number of threads. All contenders get the same rows, initial weights, order of
rows and optimizer in float32, and their results are compared. The last table sums up the rows: one
line for each goal of goals.py.

`make peers`, or `make peers ARGS="--only train,predict --add"`; see --help. Requires
benchmarks/peers/requirements.txt; a missing library is skipped.
"""

import argparse
import sys
from pathlib import Path

import programs
import report
from libraries import CONTENDERS, PEERS
from results import Results, compared
from targets import SEED, WORKS, shapes
from workers import Pool


def measure(options, results):
    """Measure the requested works and programs, and print the results of each."""
    pool = Pool()
    names = {*options.peers, *(set(CONTENDERS) - set(PEERS))}
    try:
        for group, work, targets in options.works:
            targets = [target for target in targets if names.intersection(target.peers)]
            contenders = dict.fromkeys(
                name for t in targets for name in (t.ours, *t.peers) if name in names
            )
            if contenders:
                measured = pool.measure(work, [*contenders], options.rounds)
                rows = compared(group, work, targets, measured)
                results.add(rows, measured)
                report.show(rows)
                report.show_notes(measured.notes, measured.wrong)
    finally:
        pool.end()
    for program in options.programs:
        rows = list(programs.run(program))
        results.add(rows)
        report.show(rows)


def parse():
    parser = argparse.ArgumentParser(description="Measure relume against its peers.")
    many = {"type": lambda text: text.split(",")}
    every = [*WORKS, *programs.PROGRAMS]
    parser.add_argument(
        "--only",
        **many,
        default=every,
        help=f"groups ({', '.join(every)}) or parts of the names of works",
    )
    parser.add_argument("--peers", **many, default=PEERS, help=f"default: {','.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seed", type=int, default=SEED, help=f"of the shapes (default: {SEED})")
    parser.add_argument("--out", type=Path, default=Path("build/peers.json"))
    parser.add_argument("--add", action="store_true", help="add to the results in --out")
    parser.add_argument("--show", action="store_true", help="only print the results in --out")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("--rounds must be at least 5")
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"--peers: unknown {', '.join(unknown)}; allowed are {', '.join(PEERS)}")
    options.works = [
        (group, work, targets)
        for group, works in (WORKS | {"shapes": shapes(options.seed)}).items()
        for work, targets in works
        if any(part == group or part in str(work) for part in options.only)
    ]
    options.programs = [name for name in programs.PROGRAMS if name in options.only]
    if not options.works and not options.programs:
        parser.error(f"--only: no group or work matches; the groups are {', '.join(every)}")
    return options


def main():
    options = parse()
    results = Results(options.out, keep=options.show or (options.add and options.out.exists()))
    if not options.show:
        measure(options, results)
    picture = options.out.with_suffix(".svg")
    print()
    report.table(results)
    report.goals(results)
    report.picture(results, picture)
    print(f"written: {options.out}, {picture}")


if __name__ == "__main__":
    sys.exit(main())
