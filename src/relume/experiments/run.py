"""Running experiments and writing the page and the JSON file of their results."""

import contextlib
import io
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import relume
from relume import validation
from relume.build_info import cpu_name
from relume.experiments.data import CONFIDENCE, Data
from relume.experiments.experiment import Experiment, Part, verdict_of
from relume.experiments.registry import EXPERIMENTS
from relume.plots.style import matplotlib_or_raise
from relume.runtime import files


@dataclass(frozen=True)
class Result:
    """An experiment, the settings it was run with, and its results."""

    experiment: Experiment
    settings: dict[str, Any]
    data: Data
    parts: Sequence[Part]
    seconds: float

    @property
    def verdict(self) -> str:
        """One of "holds", "holds in part" and "does not hold here"."""
        return verdict_of(self.parts)

    def to_dict(self) -> dict[str, Any]:
        """The result in a form that JSON can hold."""
        texts = ("name", "title", "question", "claim", "method", "rule")
        return {
            **{text: getattr(self.experiment, text) for text in texts},
            "verdict": self.verdict,
            "parts": [part._asdict() for part in self.parts],
            "settings": self.settings,
            "seconds": round(self.seconds, 2),
            "quantities": {each.name: each.label for each in self.experiment.quantities},
            "data": self.data.records(),
        }


def run_one(experiment: Experiment, quick: bool) -> Result:
    """Run one experiment and judge its data."""
    settings = experiment.quick if quick else experiment.full
    begin = time.perf_counter()
    data = experiment.measure(**settings)
    return Result(experiment, settings, data, experiment.judge(data), time.perf_counter() - begin)


def run(
    names: Iterable[str] | None = None,
    *,
    quick: bool = False,
    out: str | os.PathLike[str] = "experiments",
    report: Callable[[str], Any] = lambda line: print(line, file=sys.stderr, flush=True),
) -> list[Result]:
    """Run experiments and write ``index.html`` and ``results.json``.

    Parameters
    ----------
    names : iterable of str or None, default=None
        Names of the experiments to run; None runs all.
    quick : bool, default=False
        Whether to use fewer seeds and epochs, which takes minutes instead of half an hour.
    out : str or path-like, default="experiments"
        Folder for the two files; it is created if necessary.
    report : callable, default=print to stderr
        Called with a line of text after each experiment.

    Returns
    -------
    results : list of Result

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If a name is not that of an experiment. The message lists all names.
    """
    from relume.experiments.page import page

    quick, folder = validation.flag(quick, "quick"), Path(validation.path(out, "out"))
    chosen = [EXPERIMENTS[name] for name in checked_names(names)]
    matplotlib_or_raise()  # now, rather than after half an hour of measuring
    folder.mkdir(parents=True, exist_ok=True)
    results = []
    for experiment in chosen:
        results.append(run_one(experiment, quick))
        report(f"{experiment.name:<20} {results[-1].verdict:<20} {results[-1].seconds:7.1f} s")
    text = json.dumps(to_dict(results, quick), indent=1, allow_nan=False)
    files.replace(str(folder / "results.json"), text.encode())
    files.replace(str(folder / "index.html"), page(results, quick, machine()).encode())
    return results


def checked_names(names: Iterable[str] | None) -> list[str]:
    """Names of experiments without repetitions; ValueError lists all names if one is unknown."""
    if isinstance(names, str):
        raise TypeError(f"names must be a list of names, got the string {validation.shown(names)}")
    wanted = list(dict.fromkeys(names or ()))
    return [validation.choice(name, "names", EXPERIMENTS) for name in wanted] or list(EXPERIMENTS)


def to_dict(results: Sequence[Result], quick: bool) -> dict[str, Any]:
    """The content of ``results.json``."""
    return {
        "relume": relume.__version__,
        "machine": machine(),
        "quick": quick,
        "confidence": CONFIDENCE,
        "interval": "of the mean over seeds, Student's t",
        "experiments": [result.to_dict() for result in results],
    }


def machine() -> str:
    """The CPU's name, then the output of `relume.show_config`; no host name, no folder."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        relume.show_config()
    return f"CPU              {cpu_name()}\n{text.getvalue().strip()}"
