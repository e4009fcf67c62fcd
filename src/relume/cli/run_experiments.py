"""The command `relume experiments`."""

import argparse

from relume.cli import terminal
from relume.experiments.registry import EXPERIMENTS
from relume.experiments.run import checked_names, run

COLORS = {"holds": "green", "holds in part": "yellow", "does not hold here": "red"}


def execute(options: argparse.Namespace) -> int:
    """Run the requested experiments, or list them; return the exit status."""
    names = checked_names(options.names)
    if options.list:
        listed = [EXPERIMENTS[name] for name in names]
        if options.json:
            terminal.print_json([{"name": e.name, "question": e.question} for e in listed])
        for each in [] if options.json else listed:
            print(f"{terminal.styled(f'{each.name:<20}', 'bold')} {each.question}")
        return terminal.DONE
    if not options.out:
        raise terminal.CommandError("--out must be a directory, got ''")
    with terminal.about(options.out), terminal.progress(len(names), "experiment") as report:
        results = run(names, quick=options.quick, out=options.out, report=report)
    if options.json:
        found = [
            {"name": each.experiment.name, "claim": each.experiment.claim,
             "verdict": each.verdict, "seconds": round(each.seconds, 2)}
            for each in results
        ]  # fmt: skip
        terminal.print_json({"out": options.out, "experiments": found})
        return terminal.DONE
    for each in results:
        print(f"{each.experiment.name:<20} {terminal.styled(each.verdict, COLORS[each.verdict])}")
    print(f"wrote index.html and results.json to {terminal.printable(options.out)}")
    return terminal.DONE
