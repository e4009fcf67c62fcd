"""What measures in a way of its own: programs that write rows as run.py's to --out FILE."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAMS = {
    "busy": ["busy.py"],
    "calls": ["calls.py"],
    "activations": ["activations.py", "--rounds", "31"],
    "scaling": ["scaling.py"],
}


def run(group):
    """The rows of a program, which shows what it measures as it goes."""
    file, *arguments = PROGRAMS[group]
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "rows.json"
        command = [sys.executable, str(Path(__file__).with_name(file)), *arguments]
        subprocess.run([*command, "--out", str(out)], check=True)
        for row in json.loads(out.read_text()):
            yield {"group": group, "aim": None, "note": "", **row}


def write(rows, argv):
    """For the programs: write rows to the FILE of the command line, if there is one."""
    if "--out" in argv:
        Path(argv[argv.index("--out") + 1]).write_text(json.dumps(rows))
