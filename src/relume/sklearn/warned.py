"""Warnings as scikit-learn's estimators give them.

Scripts silence these by ``warnings.filterwarnings("ignore", module="sklearn")``, as scikit-learn's
own examples do. With relume's module instead they would be met by no such filter.
"""

import contextlib
import sys
import warnings

MODULE = "sklearn.neural_network._multilayer_perceptron"


def warn(message, category=UserWarning):
    """Warn in scikit-learn's name, at the line outside of both libraries that led here."""
    frame = sys._getframe(1)
    while frame.f_back and frame.f_globals.get("__name__", "").startswith(("relume.", "sklearn.")):
        frame = frame.f_back
    warnings.warn_explicit(
        message,
        category,
        frame.f_code.co_filename,
        frame.f_lineno,
        module=MODULE,
        registry=frame.f_globals.setdefault("__warningregistry__", {}),
    )


@contextlib.contextmanager
def as_of_scikit_learn():
    """Let the warnings of a helper of scikit-learn's, which name its caller, be such ones."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
    for each in told:
        warn(str(each.message), each.category)
