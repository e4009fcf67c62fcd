"""Public names belong to the module that users import them from, wherever they are written."""


def set_module(namespace):
    """Set ``__module__`` of the classes in a module's `__all__` to that module.

    Reprs, tracebacks and pickles then name ``relume.nn.Dense``, not the file that defines it.

    Parameters
    ----------
    namespace : dict
        The module's ``globals()``, with its ``__all__``.
    """
    for name in namespace["__all__"]:
        if isinstance(namespace[name], type):
            namespace[name].__module__ = namespace["__name__"]
