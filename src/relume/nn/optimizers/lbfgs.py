"""The settings of L-BFGS; nn/training/lbfgs_fit.py runs it."""

import numpy as np

from relume import validation
from relume.nn.configurable import Configurable


class LBFGS(Configurable):
    """Limited-memory BFGS over all rows at once, by SciPy's ``L-BFGS-B``.

    For data of some thousand rows at most, on which it needs far fewer passes than the others and
    no learning rate. Minibatches and schedules are not used.

    Parameters
    ----------
    max_iter : int, default=200
        Maximum number of iterations in each epoch of a fit, at least 1. An epoch is one run of the
        method, which starts without memory; one epoch, the default of ``fit``, is the usual case.
    history_size : int, default=10
        Number of pairs of steps and gradient differences that approximate the curvature.
    gtol : float, default=1e-5
        Tolerance of the gradient, at least 0: a run ends when no element is larger.
    ftol : float, default=1.4210854715202004e-14
        Tolerance of the loss, at least 0: a run ends when an iteration lowers it by less, relative
        to the loss where that is over 1. The default is 64 times the spacing of float64 at 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    R. H. Byrd, P. Lu, J. Nocedal and C. Zhu, "A limited memory algorithm for bound constrained
    optimization", SIAM Journal on Scientific Computing 16, 1995.

    Examples
    --------
    >>> from relume import nn
    >>> nn.LBFGS(max_iter=500)
    LBFGS(max_iter=500, history_size=10, gtol=1e-05, ftol=1.4210854715202004e-14)
    """

    def __init__(
        self,
        max_iter: int = 200,
        history_size: int = 10,
        gtol: float = 1e-5,
        ftol: float = 64 * float(np.finfo(np.float64).eps),
    ) -> None:
        self.max_iter: int = validation.integer(max_iter, "max_iter")
        self.history_size: int = validation.integer(history_size, "history_size")
        self.gtol: float = validation.not_negative(gtol, "gtol")
        self.ftol: float = validation.not_negative(ftol, "ftol")
