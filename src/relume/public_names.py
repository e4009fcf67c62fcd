"""Public names belong to the module that users import them from, wherever they are written."""


def set_module(namespace):
    """Set ``__module__`` of the classes in a module's `__all__` to that module.

    Reprs, tracebacks and pickles then name ``relume.nn.Dense``, not the file that defines it.
    Since Python 3.13, `inspect` looks up the line of a class in the file of its module; without
    that line it raises OSError, as before, and does not return other source code.

    Parameters
    ----------
    namespace : dict
        The module's ``globals()``, with its ``__all__``.
    """
    for name in namespace["__all__"]:
        if isinstance(namespace[name], type):
            namespace[name].__module__ = namespace["__name__"]
            if "__firstlineno__" in vars(namespace[name]):
                del namespace[name].__firstlineno__
