"""Prints the name under which benchmark results of this machine are filed: its CPU's.

    python tools/cpu_name.py

It is the name that the CPU gives itself, without trademarks and clock rates, with its family and
model, since a virtual machine may hide the rest: "amd-epyc-25-17", "intel-xeon-6-143", "apple-m2".
Where an x86 CPU has no AVX-512, or a virtual machine does not offer it, what it has ends the name:
"amd-epyc-25-17-avx2".
"""

import platform
import re
import subprocess
import sys
from pathlib import Path

NOISE = r"\((R|TM|C)\)|@.*|\b(CPU|Processor|with .* Graphics|\d+-Core)\b"


def name_of(brand, *numbers):
    """A brand as a CPU states it, and its family and model if known, as the name of a folder."""
    words = re.findall(r"[a-z0-9]+", re.sub(NOISE, " ", brand, flags=re.IGNORECASE).lower())
    return "-".join([*words, *numbers]) or "unknown"


def name_in_cpuinfo(text):
    """The name in the text of Linux's /proc/cpuinfo; None where it has none, as on some arm64."""
    fields = dict(re.findall(r"^([\w ]+?)\s*: (.*)$", text.split("\n\n")[0], re.MULTILINE))
    if "model name" not in fields:
        return None
    numbers = [fields[key] for key in ("cpu family", "model") if key in fields]
    return name_of(fields["model name"], *numbers)


def ending_for(text):
    """What ends the name of a CPU, by the text of /proc/cpuinfo: nothing with AVX-512."""
    flags = re.search(r"^flags\s*: (.*)$", text, re.MULTILINE)
    if flags is None or "avx512f" in flags[1].split():
        return ""
    return "-avx2" if "avx2" in flags[1].split() else "-baseline"


def machine_name():
    """The name under which results are filed."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpu_name() + (ending_for(cpuinfo.read_text()) if cpuinfo.exists() else "")


def cpu_name():
    """The name of the CPU, whatever it offers."""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return name_of(subprocess.check_output(command, text=True))
    cpuinfo = Path("/proc/cpuinfo")
    found = name_in_cpuinfo(cpuinfo.read_text()) if cpuinfo.exists() else None
    return found or name_of(platform.processor() or platform.machine())


if __name__ == "__main__":
    print(machine_name())
