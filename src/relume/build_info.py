"""What this build of relume is and what it uses on this machine."""

import platform

import numpy as np

from relume.kernels import dispatch
from relume.runtime import threads


def simd() -> str:
    """The instruction set in use.

    Returns
    -------
    str
        ``"baseline"`` (x86-64-v2, or whatever the machine is if not x86-64), ``"avx2"`` or
        ``"avx512"``: the best that CPU and operating system support, unless the environment
        variable ``RELUME_SIMD`` named another when relume was imported.

    Examples
    --------
    >>> import relume
    >>> relume.simd() in ("baseline", "avx2", "avx512")
    True
    """
    return dispatch.name


def show_config() -> None:
    """Print versions, instruction sets, and the threading layer with its number of threads.

    Examples
    --------
    >>> import relume
    >>> relume.show_config()  # doctest: +ELLIPSIS
    relume ...
    """
    import relume

    version = threads.openmp_version()
    layer = f"OpenMP {version}" if version else "none: built without OpenMP, works on one thread"
    print(f"relume           {relume.__version__}")
    print(f"Python, NumPy    {platform.python_version()}, {np.__version__}")
    print(f"machine          {platform.machine()}")
    print(f"instruction set  {dispatch.name}")
    for name, needs in dispatch.builds().items():
        lacks = dispatch.missing_features(needs)
        state = f"not supported here: lacks {', '.join(lacks)}" if lacks else "supported"
        print(f"  {name:<14} {state}")
    print(f"threading layer  {layer}")
    print(f"threads          {threads.get_num_threads()}")
