"""The settings of L-BFGS; nn/training/lbfgs_fit.py runs it."""

import numpy as np

from relume import validation
from relume.nn.configurable import Configurable


class LBFGS(Configurable):
    """Limited-memory BFGS over all rows at once, as SciPy's ``L-BFGS-B`` has it.

    For data of some thousand rows at most, on which it needs far fewer passes than the others and
    no learning rate. Minibatches and schedules have no part in it.

    Parameters
    ----------
    max_iter : int, default=200
        Iterations at most, at least 1, in each epoch of a fit: an epoch is a run of the method,
        which begins without memory. One epoch, the default of ``fit``, is what is meant.
    history_size : int, default=10
        Pairs of steps and differences of gradients that stand for the curvature, at least 1.
    gtol : float, default=1e-5
        It ends when no element of the gradient is larger, at least 0.
    ftol : float, default=1.4210854715202004e-14
        It ends when an iteration lowers the loss by less, relative to the loss where that is over
        1, at least 0. The default is 64 times the spacing of float64 at 1.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said.

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
