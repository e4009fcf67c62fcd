"""Two small data sets, which are read from local files; nothing is downloaded."""

from relume.datasets._bunch import Bunch
from relume.datasets._loaders import load_digits, load_fashion_mnist
from relume.public_names import publish as _publish

__all__ = ["Bunch", "load_digits", "load_fashion_mnist"]

_publish(globals())
