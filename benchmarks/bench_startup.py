"""The time to import relume, measured in new processes."""

import subprocess
import sys

from .calls import named
from .peers.timing import interleaved


@named("Import: a new process, with the interpreter's start")
def timeraw_import(module):
    return f"import {module}"


timeraw_import.params = [["numpy", "relume", "relume.nn"]]
timeraw_import.param_names = ["module"]
timeraw_import.version = "1"
timeraw_import.number, timeraw_import.repeat, timeraw_import.rounds = 1, 5, 1


def python(code):
    subprocess.run([sys.executable, "-c", code], check=True)


@named("Import: relume beyond NumPy")
def track_import_beyond_numpy():
    """The median difference between interleaved processes that import relume or only NumPy."""
    times = interleaved(lambda: python("import numpy, relume"), lambda: python("import numpy"), 11)
    return sorted(ours - numpys for ours, numpys in zip(*times, strict=True))[5]


track_import_beyond_numpy.unit = "seconds"
track_import_beyond_numpy.version = "1"
