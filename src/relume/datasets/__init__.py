"""Two small data sets, which are read from local files; nothing is downloaded."""

from relume.datasets._bunch import Bunch
from relume.datasets._loaders import load_digits, load_fashion_mnist
from relume.public_names import set_module as _set_module

__all__ = ["Bunch", "load_digits", "load_fashion_mnist"]

_set_module(globals())
