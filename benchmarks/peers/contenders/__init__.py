"""The table of how each library computes each activation; `case` says how to read it."""

from .axis import AXIS
from .case import Case
from .exponential import EXPONENTIAL, SMOOTH
from .gated import GATED
from .rational import RATIONAL
from .rectifiers import RECTIFIERS

__all__ = ["CASES", "Case"]

CASES = RECTIFIERS | EXPONENTIAL | SMOOTH | RATIONAL | AXIS | GATED
