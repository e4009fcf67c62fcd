"""The command `relume info`: versions, the CPU, the build of the kernels, threads, extras."""

import argparse
import importlib.metadata
import os
import platform
from typing import Any

import relume
from relume.build_info import configuration, cpu_name
from relume.cli import terminal

DEPENDENCIES = ("numpy", "scipy", "threadpoolctl", "tqdm")
EXTRAS = {
    "dask": ("dask",),
    "mpi": ("mpi4py",),
    "onnx": ("onnx",),
    "plots": ("matplotlib",),
    "sklearn": ("scikit-learn",),
    "tensorboard": ("tensorboardX",),
}


def run(options: argparse.Namespace) -> int:
    """Print the information; return the exit status."""
    found = info()
    if options.json:
        terminal.print_json(found)
        return terminal.DONE
    rows = {
        "relume": found["relume"],
        "Python": f"{found['python']}, {found['platform']}",
        "CPU": f"{found['cpu']}, {found['cpus']} to use",
        "instruction set": found["instruction_set"],
        **{f"  {name}": state for name, state in found["instruction_sets"].items()},
        "threading layer": found["threading_layer"],
        "threads": found["threads"],
    }
    _print_rows(rows)
    print()
    _print_rows({name: version or "missing" for name, version in found["dependencies"].items()})
    print("\nextras")
    for name, packages in found["extras"].items():
        here = all(packages.values())
        text = ", ".join(f"{each} {version}" for each, version in packages.items() if version)
        text = text if here else f"not installed: pip install 'relume[{name}]'"
        print(f"  {name:<14} {terminal.styled(text, 'green' if here else 'yellow')}")
    return terminal.DONE


def _print_rows(rows):
    for name, value in rows.items():
        print(f"{terminal.styled(f'{name:<16}', 'bold')} {value}")


def info() -> dict[str, Any]:
    """All of it, as JSON has it."""
    return {
        "relume": relume.__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": cpu_name(),
        "cpus": usable_cpus(),
        **configuration(),
        "dependencies": {name: version_of(name) for name in DEPENDENCIES},
        "extras": {
            extra: {name: version_of(name) for name in names} for extra, names in EXTRAS.items()
        },
    }


def version_of(name: str) -> str | None:
    """The version of an installed package; None if it is not installed."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def usable_cpus() -> int:
    """The number of CPUs that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
