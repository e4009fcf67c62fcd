"""Information about this build of relume and the hardware features that it uses."""

import platform
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from relume.kernels import dispatch
from relume.runtime import threads


def simd() -> str:
    """Return the name of the instruction set in use.

    Returns
    -------
    str
        ``"baseline"``, ``"avx2"`` or ``"avx512"``. It is the best instruction set that the CPU and
        the operating system support, unless the environment variable ``RELUME_SIMD`` selected
        another when relume was imported. ``"baseline"`` is x86-64-v2, or the compiler's default
        on other architectures.

    Examples
    --------
    >>> import relume
    >>> relume.simd() in ("baseline", "avx2", "avx512")
    True
    """
    return dispatch.name


def show_config() -> None:
    """Print the versions, the instruction sets, the threading layer and the number of threads.

    Examples
    --------
    >>> import relume
    >>> relume.show_config()  # doctest: +ELLIPSIS
    relume ...
    """
    import relume

    found = configuration()
    print(f"relume           {relume.__version__}")
    print(f"Python, NumPy    {platform.python_version()}, {np.__version__}")
    print(f"machine          {platform.machine()}")
    print(f"instruction set  {found['instruction_set']}")
    for name, state in found["instruction_sets"].items():
        print(f"  {name:<14} {state}")
    print(f"threading layer  {found['threading_layer']}")
    print(f"threads          {found['threads']}")


def configuration() -> dict[str, Any]:
    """The instruction sets, the threading layer and the number of threads, as JSON has them."""
    version = threads.openmp_version()
    states = {}
    for name, needs in dispatch.builds().items():
        lacks = dispatch.missing_features(needs)
        states[name] = f"not supported: the CPU lacks {', '.join(lacks)}" if lacks else "supported"
    return {
        "instruction_set": dispatch.name,
        "instruction_sets": states,
        "threading_layer": f"OpenMP {version}"
        if version
        else "none (built without OpenMP, uses one thread)",
        "threads": threads.get_num_threads(),
    }


def cpu_name() -> str:
    """The name that the CPU gives itself."""
    name = ""
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        name = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        found = re.search(r"^model name\s*: (.*)$", cpuinfo.read_text(), re.MULTILINE)
        name = found[1] if found else ""
    return name.strip() or platform.processor() or platform.machine()
