"""Two small data sets to train on, read from local files; nothing is downloaded."""

from relume.datasets._bunch import Bunch
from relume.datasets._loaders import load_digits, load_fashion_mnist

__all__ = ["Bunch", "load_digits", "load_fashion_mnist"]
