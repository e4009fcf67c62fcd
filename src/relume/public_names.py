"""Public names belong to the module that users import them from, wherever they are written."""

from __future__ import annotations

import sys
from typing import Any

from relume.keywords import explains

FUNCTIONS = ("function", "cython_function_or_method")
CO_VARKEYWORDS = 8  # as in inspect, whose signatures would take milliseconds at import


def publish(namespace: dict[str, Any], lazy: tuple[str, ...] = ()) -> None:
    """Make a module's `__all__` its public face: names, errors for wrong arguments, and `dir`.

    Sets ``__module__`` of the classes to the module. Reprs, tracebacks and pickles then name
    ``relume.nn.Dense``, not the file that defines it. Since Python 3.13, `inspect` looks up the
    line of a class in the file of its module; without that line it raises OSError, as before, and
    does not return other source code.

    Parameters
    ----------
    namespace : dict
        The module's ``globals()``, with its ``__all__``.
    lazy : tuple of str
        Public names that the module imports when they are first used.
    """
    for name in namespace["__all__"]:
        value: Any = namespace.get(name)
        if isinstance(value, type):
            value.__module__ = namespace["__name__"]
            if "__firstlineno__" in vars(value):
                del value.__firstlineno__  # type: ignore[attr-defined]
            for cls in value.__mro__:
                if cls.__module__.startswith("relume"):
                    _explain_methods(cls, cls is value)
        elif type(value).__name__ in FUNCTIONS and _has_arguments(value.__code__):
            _explain_function(namespace, name)
    names = sorted({*namespace["__all__"], *lazy})
    namespace["__dir__"] = lambda: list(names)


def _has_arguments(code: Any) -> bool:
    """Whether a function has some, and none for a ufunc, whose error it explains itself."""
    some = code.co_argcount + code.co_kwonlyargcount > 0
    return some and not code.co_flags & CO_VARKEYWORDS


def _explain_function(namespace: dict[str, Any], name: str) -> None:
    function = namespace[name]
    if not hasattr(function, "explains"):
        namespace[name] = explains(function)
        home = sys.modules.get(function.__module__)
        if home is not None and vars(home).get(name) is function:  # where pickle looks for it
            setattr(home, name, namespace[name])


def _explain_methods(cls: type, is_public: bool) -> None:
    for name, method in list(vars(cls).items()):
        if type(method).__name__ not in FUNCTIONS or hasattr(method, "explains"):
            continue
        if name != "__init__" and name.startswith(("_", "on_")):
            continue  # relume calls hooks
        if is_public and not _has_options(method):
            continue  # Python's own text has the right name, and a prediction takes a microsecond
        setattr(cls, name, explains(method, cls.__name__))


def _has_options(method: Any) -> bool:
    """Whether a method is a constructor or has arguments that may be left out."""
    inner = method
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    return method.__name__ == "__init__" or bool(inner.__defaults__ or inner.__kwdefaults__)
