"""Estimators for scikit-learn, which take its parameters and more.

Needs scikit-learn 1.7 to 1.9: ``pip install relume[sklearn]``.
"""

try:
    import sklearn  # noqa: F401
except ImportError as _error:
    raise ImportError(
        "relume.sklearn needs scikit-learn 1.7 or newer: pip install 'relume[sklearn]'"
    ) from _error

from relume.public_names import publish as _publish
from relume.sklearn.classifier import MLPClassifier
from relume.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]

_publish(globals())
