"""The table of the statements by which each library computes each activation; see case.py."""

from .axis import AXIS
from .case import Case
from .exponential import EXPONENTIAL, SMOOTH
from .gated import GATED
from .rational import RATIONAL
from .rectifiers import RECTIFIERS

__all__ = ["CASES", "Case"]

CASES = RECTIFIERS | EXPONENTIAL | SMOOTH | RATIONAL | AXIS | GATED
