"""Arrays that are what training and prediction take, as most are.

scikit-learn's checks need 0.1 ms or more to find that. They are left out for such arrays, and made
for everything else: all conversions, errors and warnings are scikit-learn's.
"""

import math

import numpy as np

FLOATS = (np.dtype(np.float32), np.dtype(np.float64))


def is_matrix(X, dtypes=FLOATS):
    """Whether X is a NumPy matrix of one of some dtypes that has rows and columns."""
    return type(X) is np.ndarray and X.ndim == 2 and X.size > 0 and X.dtype in dtypes


def is_vector(y, kinds):
    """Whether y is a NumPy vector of one of some kinds of dtypes, of finite numbers."""
    return type(y) is np.ndarray and y.ndim == 1 and y.dtype.kind in kinds and is_finite(y)


def is_finite(array):
    """Whether no number is NaN or infinite; False also where their sum overflows."""
    if array.dtype.kind != "f":
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(array.sum())
