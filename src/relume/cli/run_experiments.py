"""The command `relume experiments`."""

import argparse
import sys

from relume.experiments.registry import EXPERIMENTS
from relume.experiments.run import checked_names, run


def execute(options: argparse.Namespace) -> int:
    """Run the requested experiments, or list them; return the exit status."""
    if options.list:
        for experiment in EXPERIMENTS.values():
            print(f"{experiment.name:<20} {experiment.question}")
        return 0
    try:
        names = checked_names(options.names)
    except ValueError as error:
        return _failed(error)
    try:
        run(names, quick=options.quick, out=options.out)
    except (ImportError, OSError) as error:
        return _failed(error)
    print(f"wrote index.html and results.json to {options.out}")
    return 0


def _failed(error: Exception) -> int:
    print(f"relume experiments: {error}", file=sys.stderr)
    return 1
