"""relume: the ReLU family as NumPy ufuncs, forward and backward, and small networks built on them.

The submodules ``relume.nn``, ``relume.datasets``, ``relume.diagnostics``, ``relume.onnx``,
``relume.sklearn``, ``relume.plots`` and ``relume.experiments`` are imported when first used.
"""

import importlib as _importlib

from relume.build_info import show_config, simd
from relume.functional import *  # noqa: F403
from relume.functional import __all__ as _functions
from relume.keywords import no_attribute as _no_attribute
from relume.public_names import publish as _publish
from relume.runtime.threads import get_num_threads, num_threads, set_num_threads

__version__ = "0.1.0"

_SUBMODULES = ["datasets", "diagnostics", "nn"]
# These need packages that relume itself does not, so `import *` leaves them out.
_OPTIONAL = ["experiments", "onnx", "plots", "sklearn"]

__all__ = [
    *_functions,
    *_SUBMODULES,
    "get_num_threads",
    "num_threads",
    "set_num_threads",
    "show_config",
    "simd",
]


def __getattr__(name):
    if name in _SUBMODULES + _OPTIONAL:
        return _importlib.import_module(f"relume.{name}")
    raise _no_attribute("module 'relume'", name, _derivative(name), __all__)


def _derivative(name):
    """What to use for another name of a function's derivative; None for other names."""
    for end in ("_backward_from_output", "_grad", "_gradient", "_derivative", "_prime"):
        gradient = f"{name.removesuffix(end)}_backward"
        if name.endswith(end) and gradient in __all__:
            return f"use {gradient}(grad, x)"
    return None


_publish(globals(), lazy=tuple(_OPTIONAL))
