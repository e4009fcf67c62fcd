"""Measures relume beside its peers: training, prediction, zeros, memory, activations, calls.

Each contender has a process of its own with one thread and CPU, and one with all; they take turns,
round by round, so that a drift of the machine meets all. A ratio is the median over the rounds of
their time over ours, each side with the better of its numbers of threads. All get the same rows,
initial weights, order of rows, optimizer and float32, and their results are compared.

`make peers`, and `make peers ARGS="--only train,predict --add"`; --help says more. Needs
benchmarks/peers/requirements.txt; a library that is missing is left out.
"""

import argparse
import json
import platform
import statistics
import sys
from importlib import metadata
from pathlib import Path

import programs
import report
from libraries import CONTENDERS, PEERS
from targets import WORKS
from workers import THREADS, Pool

DISTRIBUTIONS = [
    "relume", "numpy", "scipy", "scikit-learn", "torch", "jax", "onnxruntime", "numexpr"
]  # fmt: skip


def rows_of(group, work, targets, measured):
    """A row for each target."""
    for target in targets:
        row = {
            "group": group, "work": str(work), "ours": target.ours, "theirs": target.theirs,
            "must": target.must, "aim": target.aim,
        }  # fmt: skip
        pair = [measured.times.get(name) for name in (target.theirs, target.ours)]
        missing = [
            f"{name}: {measured.notes.get(name, 'not measured')}"
            for name, times in zip((target.theirs, target.ours), pair, strict=True)
            if times is None
        ]
        if missing:
            yield row | {"ratio": None, "note": "; ".join(missing)}
            continue
        best = [
            min(times, key=lambda t, times=times: statistics.median(times[t])) for times in pair
        ]
        each = [times[t] for times, t in zip(pair, best, strict=True)]
        ratios = [theirs / ours for theirs, ours in zip(*each, strict=True)]
        wrong = {target.theirs, target.ours} & set(measured.wrong)
        yield row | {
            "ratio": statistics.median(ratios), "threads": best[::-1],
            "figures": [statistics.median(times) for times in each[::-1]],
            "note": "".join(f"{name} computes something else" for name in sorted(wrong)),
        }  # fmt: skip


def machine():
    cpu = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.split(":")[1].strip()
            break
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    import relume

    return {
        "cpu": cpu, "cpus": THREADS[-1], "simd": relume.simd(), "python": platform.python_version(),
        "versions": versions | {"relume": relume.__version__},
    }  # fmt: skip


def measure(options):
    """The results of all works that were asked for."""
    results, pool = {"machine": machine(), "rows": [], "works": []}, Pool()
    peers = {*options.peers, *(set(CONTENDERS) - set(PEERS))}
    try:
        for group, work, targets in options.works:
            targets = [t for t in targets if t.theirs in peers]
            names = list(dict.fromkeys(n for t in targets for n in (t.ours, t.theirs)))
            if not names:
                continue
            measured = pool.measure(work, names, options.rounds)
            rows = list(rows_of(group, work, targets, measured))
            results["rows"] += rows
            results["works"].append(
                {"group": group, "work": str(work), "times": measured.times,
                 "notes": measured.notes}
            )  # fmt: skip
            report.show(rows)
            report.show_notes(str(work), measured.notes, measured.wrong)
    finally:
        pool.end()
    for program in options.programs:
        rows = list(programs.run(program))
        results["rows"] += rows
        report.show(rows)
    return results


def merged(before, results):
    """The results of an earlier run, but for the works that were measured again."""
    for part in ("rows", "works"):
        again = {(row["group"], row["work"]) for row in results[part]}
        kept = [row for row in before.get(part, []) if (row["group"], row["work"]) not in again]
        results[part] = kept + results[part]
    return results


def parse():
    parser = argparse.ArgumentParser(description="Measure relume beside its peers.")
    many = {"type": lambda text: text.split(",")}
    every = [*WORKS, *programs.PROGRAMS]
    parser.add_argument(
        "--only",
        **many,
        default=every,
        help=f"groups ({', '.join(every)}) or parts of works' names",
    )
    parser.add_argument("--peers", **many, default=PEERS, help=", ".join(PEERS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("build/peers.json"))
    parser.add_argument("--add", action="store_true", help="to what is in --out already")
    parser.add_argument("--show", action="store_true", help="only what is in --out")
    options = parser.parse_args()
    if options.rounds < 5:
        parser.error("--rounds must be at least 5")
    if unknown := set(options.peers) - set(PEERS):
        parser.error(f"--peers: {', '.join(unknown)}; there are {', '.join(PEERS)}")
    options.works = [
        (group, work, targets)
        for group, works in WORKS.items()
        for work, targets in works
        if any(part == group or part in str(work) for part in options.only)
    ]
    options.programs = [name for name in programs.PROGRAMS if name in options.only]
    if not options.works and not options.programs:
        parser.error(f"--only: nothing is called so; groups are {', '.join(every)}")
    return options


def main():
    options = parse()
    before = json.loads(options.out.read_text()) if options.add or options.show else {}
    results = before if options.show else merged(before, measure(options))
    if not options.show:
        options.out.parent.mkdir(parents=True, exist_ok=True)
        options.out.write_text(json.dumps(results, indent=1))
    print()
    short = report.table(results)
    report.picture(results, options.out.with_suffix(".svg"))
    print(f"\n{options.out} and {options.out.with_suffix('.svg')} written; {short} short")


if __name__ == "__main__":
    sys.exit(main())
