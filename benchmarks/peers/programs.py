"""Programs with their own way of measuring, which write rows like run.py's to --out FILE."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS = {
    "busy": ["busy.py"],
    "calls": ["calls.py"],
    "auto": ["auto.py"],
    "activations": ["activations.py", "--rounds", "15", "--sizes", "1000,100000,5000000"],
    "fits": ["fits.py"],
    "compilers": ["compilers.py"],
    "scaling": ["scaling.py"],
}


def run(group):
    """Run a program, which prints its measurements, and return its rows."""
    file, *arguments = PROGRAMS[group]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [sys.executable, str(Path(__file__).with_name(file)), *arguments]
        subprocess.run([*command, "--out", str(out)], check=True)
        for row in json.loads(out.read_text()):
            yield {"group": group, "aim": None, "note": "", **row}


def write(rows, argv):
    """Write a program's rows to the FILE of its command line, if there is one."""
    if "--out" in argv:
        Path(argv[argv.index("--out") + 1]).write_text(json.dumps(rows))
