"""Optimizers: their names and numbers. The loops over parameters are kernels."""

from relume.nn import checks


def _fraction(value, name):
    return checks.number(value, name, "at least 0 and less than 1", lambda x: 0 <= x < 1)


class SGD:
    """Stochastic gradient descent, with momentum if asked.

    ``v = momentum * v + grad; p -= lr * v``, or with Nesterov's look ahead
    ``p -= lr * (grad + momentum * v)``: as ``torch.optim.SGD``.

    Parameters
    ----------
    lr : float, default=0.01
        Learning rate, greater than 0.
    momentum : float, default=0.0
        At least 0 and less than 1.
    nesterov : bool, default=False
        Needs a momentum.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said.

    References
    ----------
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
    ICML 2013.

    Examples
    --------
    >>> from relume import nn
    >>> nn.SGD(0.1, momentum=0.9)
    SGD(lr=0.1, momentum=0.9, nesterov=False)
    """

    kernel = "sgd"

    def __init__(self, lr: float = 0.01, momentum: float = 0.0, nesterov: bool = False) -> None:
        self.lr: float = checks.positive(lr, "lr")
        self.momentum: float = _fraction(momentum, "momentum")
        self.nesterov: bool = checks.flag(nesterov, "nesterov")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum greater than 0, got momentum=0.0")

    def hyper(self) -> list[float]:
        """The kernel's numbers."""
        return [self.lr, self.momentum, float(self.nesterov)]

    def __repr__(self) -> str:
        return f"SGD(lr={self.lr}, momentum={self.momentum}, nesterov={self.nesterov})"


class Adam:
    """Adam: steps scaled by running means of the gradient and of its square.

    Parameters
    ----------
    lr : float, default=0.001
        Learning rate, greater than 0.
    betas : tuple of two floats, default=(0.9, 0.999)
        How much of the running means is kept at a step, each at least 0 and less than 1.
    eps : float, default=1e-8
        Added to the denominator, greater than 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is not as said.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Adam(1e-3)
    Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08)
    """

    kernel = "adam"

    def __init__(
        self, lr: float = 0.001, betas: tuple[float, float] = (0.9, 0.999), eps: float = 1e-8
    ) -> None:
        self.lr: float = checks.positive(lr, "lr")
        if not isinstance(betas, tuple | list) or len(betas) != 2:
            raise TypeError(f"betas must be a tuple of two numbers, got {betas!r}")
        self.betas: tuple[float, float] = (
            _fraction(betas[0], "betas[0]"),
            _fraction(betas[1], "betas[1]"),
        )
        self.eps: float = checks.positive(eps, "eps")

    def hyper(self) -> list[float]:
        """The kernel's numbers."""
        return [self.lr, *self.betas, self.eps]

    def __repr__(self) -> str:
        return f"Adam(lr={self.lr}, betas={self.betas}, eps={self.eps})"


OPTIMIZERS = {"adam": Adam, "sgd": SGD}


def optimizer_of(value):
    """An optimizer from what a user may give for one: itself, a name, or None for Adam."""
    if value is None:
        return Adam()
    if isinstance(value, str):
        return OPTIMIZERS[checks.choice(value, "optimizer", OPTIMIZERS)]()
    if not isinstance(value, tuple(OPTIMIZERS.values())):
        raise TypeError(f"optimizer must be nn.SGD, nn.Adam or a name of one, got {value!r}")
    return value
