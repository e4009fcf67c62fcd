"""Optimizers: their names and numbers. The loops over parameters are kernels."""

from typing import Any, ClassVar, TypedDict, Unpack

from relume import validation
from relume.nn.configurable import Configurable
from relume.nn.optimizers.lbfgs import LBFGS


class Options(TypedDict, total=False):
    """Keyword arguments of every optimizer but `LBFGS`: see `Optimizer`."""

    clip_norm: float | None
    clip_value: float | None
    ema_decay: float | None


class Optimizer(Configurable):
    """What `SGD`, `RMSprop`, `Adam`, `AdamW`, `NAdam` and `Lion` have in common.

    Parameters
    ----------
    clip_norm : float or None, default=None
        Maximum norm of all gradients together; larger ones are scaled down to it.
    clip_value : float or None, default=None
        Each element of the gradients is clipped to between ``-clip_value`` and `clip_value`,
        before their norm is taken.
    ema_decay : float or None, default=None
        At least 0 and less than 1: after each step the parameters are averaged,
        ``mean = ema_decay * mean + (1 - ema_decay) * p``.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training recurrent neural
    networks", ICML 2013. B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic
    approximation by averaging", SIAM Journal on Control and Optimization 30, 1992.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Adam(clip_norm=1.0)
    Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False, clip_norm=1.0)
    """

    lr: float
    weight_decay: float

    def __init__(
        self,
        *,
        clip_norm: float | None = None,
        clip_value: float | None = None,
        ema_decay: float | None = None,
    ) -> None:
        self.clip_norm = None if clip_norm is None else validation.positive(clip_norm, "clip_norm")
        self.clip_value = (
            None if clip_value is None else validation.positive(clip_value, "clip_value")
        )
        self.ema_decay = None if ema_decay is None else validation.fraction(ema_decay, "ema_decay")

    @property
    def kernel(self) -> str:
        """Name of the kernel."""
        raise NotImplementedError

    @property
    def n_state(self) -> int:
        """How many arrays like the parameters the kernel keeps."""
        return 2

    @property
    def decoupled(self) -> bool:
        """Whether the weight decay is a part of the step, not of the gradient."""
        return False

    def config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        options = {name: getattr(self, name) for name in Options.__annotations__}
        return super().config() | options

    def hyper(self) -> list[float]:
        """The kernel's numbers: learning rate, both weight decays, its own."""
        decay = (0.0, self.weight_decay) if self.decoupled else (self.weight_decay, 0.0)
        return [self.lr, *decay, *self._own()]

    def _own(self) -> list[float]:
        raise NotImplementedError


def _betas_of(betas):
    if not isinstance(betas, tuple | list) or len(betas) != 2:
        raise TypeError(f"betas must be a tuple of two numbers, got {validation.shown(betas)}")
    return validation.fraction(betas[0], "betas[0]"), validation.fraction(betas[1], "betas[1]")


class SGD(Optimizer):
    """Stochastic gradient descent, optionally with momentum.

    ``v = momentum * v + (1 - dampening) * grad; p -= lr * v``, where the first step sets
    ``v = grad``; or with Nesterov's look ahead ``p -= lr * (grad + momentum * v)``: as
    ``torch.optim.SGD``.

    Parameters
    ----------
    lr : float, default=0.01
        Learning rate, greater than 0.
    momentum : float, default=0.0
        At least 0 and less than 1.
    nesterov : bool, default=False
        Whether to look ahead; needs a momentum, and no dampening.
    weight_decay : float, default=0.0
        At least 0; ``weight_decay * p`` is added to the gradient.
    dampening : float, default=0.0
        Share of the gradient that is left out of the velocity, at least 0 and less than 1. It
        has no effect without momentum.
    **options : optional
        ``clip_norm``, ``clip_value`` and ``ema_decay``: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    I. Sutskever et al., "On the importance of initialization and momentum in deep learning",
    ICML 2013.

    Examples
    --------
    >>> from relume import nn
    >>> nn.SGD(0.1, momentum=0.9)
    SGD(lr=0.1, momentum=0.9, nesterov=False, weight_decay=0.0, dampening=0.0)
    """

    kernel = "sgd"
    lr_in_velocity: ClassVar[bool] = False  # scikit-learn's velocities hold the learning rate

    def __init__(
        self,
        lr: float = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        dampening: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.lr = validation.positive(lr, "lr")
        self.momentum: float = validation.fraction(momentum, "momentum")
        self.nesterov: bool = validation.flag(nesterov, "nesterov")
        self.weight_decay = validation.not_negative(weight_decay, "weight_decay")
        self.dampening: float = validation.fraction(dampening, "dampening")
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov=True needs a momentum greater than 0, got momentum=0.0")
        if self.nesterov and self.dampening != 0:
            raise ValueError(
                f"nesterov=True needs dampening=0.0, got dampening={self.dampening!r}"
            )

    def _own(self) -> list[float]:
        return [self.momentum, float(self.nesterov), float(self.lr_in_velocity), self.dampening]


class RMSprop(Optimizer):
    """Steps scaled by a running mean of the gradient's square.

    ``v = alpha * v + (1 - alpha) * grad**2; b = momentum * b + grad / (sqrt(v) + eps)``, then
    ``p -= lr * b``: as ``torch.optim.RMSprop``. With `centered`, v is the
    gradient's running variance.

    Parameters
    ----------
    lr : float, default=0.01
        Learning rate, greater than 0.
    alpha : float, default=0.99
        How much of the running mean is kept at a step, at least 0 and less than 1.
    eps : float, default=1e-8
        Added to the denominator, greater than 0.
    momentum : float, default=0.0
        At least 0 and less than 1.
    weight_decay : float, default=0.0
        At least 0; ``weight_decay * p`` is added to the gradient.
    centered : bool, default=False
        Whether the running mean of the gradient, squared, is subtracted from that of its square.
    **options : optional
        ``clip_norm``, ``clip_value`` and ``ema_decay``: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    T. Tieleman and G. Hinton, "Lecture 6.5: rmsprop", Coursera, Neural Networks for Machine
    Learning, 2012.

    Examples
    --------
    >>> from relume import nn
    >>> nn.RMSprop(1e-3)
    RMSprop(lr=0.001, alpha=0.99, eps=1e-08, momentum=0.0, weight_decay=0.0, centered=False)
    """

    def __init__(
        self,
        lr: float = 0.01,
        alpha: float = 0.99,
        eps: float = 1e-8,
        momentum: float = 0.0,
        weight_decay: float = 0.0,
        centered: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.lr = validation.positive(lr, "lr")
        self.alpha: float = validation.fraction(alpha, "alpha")
        self.eps: float = validation.positive(eps, "eps")
        self.momentum: float = validation.fraction(momentum, "momentum")
        self.weight_decay = validation.not_negative(weight_decay, "weight_decay")
        self.centered: bool = validation.flag(centered, "centered")

    @property
    def kernel(self) -> str:
        """Name of the kernel."""
        return "centered_rmsprop" if self.centered else "rmsprop"

    @property
    def n_state(self) -> int:
        """How many arrays like the parameters the kernel keeps."""
        return 3 if self.centered else 2

    def _own(self) -> list[float]:
        return [self.alpha, self.eps, self.momentum]


class Adam(Optimizer):
    """Adam: adapts the step of each parameter to the running mean of its squared gradient.

    At step t, a parameter p with the gradient grad is updated by::

        m = beta1 * m + (1 - beta1) * grad
        v = beta2 * v + (1 - beta2) * grad**2
        p -= lr * m / (1 - beta1**t) / (sqrt(v / (1 - beta2**t)) + eps)

    Parameters
    ----------
    lr : float, default=0.001
        Learning rate, greater than 0.
    betas : tuple of two floats, default=(0.9, 0.999)
        Decay rates of the two running means, each at least 0 and less than 1.
    eps : float, default=1e-8
        Added to the denominator, greater than 0.
    weight_decay : float, default=0.0
        At least 0; ``weight_decay * p`` is added to the gradient. `AdamW` decouples it.
    amsgrad : bool, default=False
        Whether to use the largest v of all steps so far instead of v.
    **options : optional
        ``clip_norm``, ``clip_value`` and ``ema_decay``: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    D. P. Kingma and J. Ba, "Adam: a method for stochastic optimization", ICLR 2015. S. J. Reddi,
    S. Kale and S. Kumar, "On the convergence of Adam and beyond", ICLR 2018.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Adam(1e-3)
    Adam(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.0, amsgrad=False)
    """

    eps_uncorrected: ClassVar[bool] = False  # scikit-learn adds eps to the root of v as it is

    def __init__(
        self,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.lr = validation.positive(lr, "lr")
        self.betas: tuple[float, float] = _betas_of(betas)
        self.eps: float = validation.positive(eps, "eps")
        self.weight_decay = validation.not_negative(weight_decay, "weight_decay")
        self.amsgrad: bool = validation.flag(amsgrad, "amsgrad")

    @property
    def kernel(self) -> str:
        """Name of the kernel."""
        return "amsgrad" if self.amsgrad else "adam"

    @property
    def n_state(self) -> int:
        """How many arrays like the parameters the kernel keeps."""
        return 3 if self.amsgrad else 2

    def _own(self) -> list[float]:
        return [*self.betas, self.eps, float(self.eps_uncorrected)]


class AdamW(Adam):
    """`Adam` with decoupled weight decay.

    ``p -= lr * weight_decay * p`` beside Adam's step, instead of a part of the gradient that its
    scaling would undo: as ``torch.optim.AdamW``.

    Parameters
    ----------
    lr : float, default=0.001
        Learning rate, greater than 0.
    betas : tuple of two floats, default=(0.9, 0.999)
        Decay rates of the two running means, each at least 0 and less than 1.
    eps : float, default=1e-8
        Added to the denominator, greater than 0.
    weight_decay : float, default=0.01
        At least 0.
    amsgrad : bool, default=False
        Whether to use the largest v of all steps so far instead of v.
    **options : optional
        ``clip_norm``, ``clip_value`` and ``ema_decay``: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.

    Examples
    --------
    >>> from relume import nn
    >>> nn.AdamW(weight_decay=0.1)
    AdamW(lr=0.001, betas=(0.9, 0.999), eps=1e-08, weight_decay=0.1, amsgrad=False)
    """

    decoupled = True

    def __init__(
        self,
        lr: float = 0.001,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        amsgrad: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(lr, betas, eps, weight_decay, amsgrad, **options)


class NAdam(Optimizer):
    """`Adam` with Nesterov's look ahead.

    The momentum of step t is ``mu(t) = beta1 * (1 - 0.5 * 0.96**(t * momentum_decay))``, P(t) the
    product of those of steps 1 to t. Where Adam has ``m / (1 - beta1**t)``, NAdam has
    ``(1 - mu(t)) / (1 - P(t)) * grad + mu(t + 1) / (1 - P(t + 1)) * m``: as ``torch.optim.NAdam``.

    Parameters
    ----------
    lr : float, default=0.002
        Learning rate, greater than 0.
    betas : tuple of two floats, default=(0.9, 0.999)
        Decay rates of the two running means, each at least 0 and less than 1.
    eps : float, default=1e-8
        Added to the denominator, greater than 0.
    momentum_decay : float, default=0.004
        At least 0; how fast the momentum rises from half of beta1 to beta1.
    weight_decay : float, default=0.0
        At least 0; ``weight_decay * p`` is added to the gradient.
    decoupled_weight_decay : bool, default=False
        Whether the weights decay as `AdamW`'s, ``p -= lr * weight_decay * p``, in place of a part
        of the gradient.
    **options : optional
        ``clip_norm``, ``clip_value`` and ``ema_decay``: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    T. Dozat, "Incorporating Nesterov momentum into Adam", ICLR 2016 workshop.

    Examples
    --------
    >>> from relume import nn
    >>> nn.NAdam() == nn.NAdam(lr=0.002, betas=(0.9, 0.999), momentum_decay=0.004)
    True
    """

    kernel = "nadam"

    def __init__(
        self,
        lr: float = 0.002,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        momentum_decay: float = 0.004,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.lr = validation.positive(lr, "lr")
        self.betas: tuple[float, float] = _betas_of(betas)
        self.eps: float = validation.positive(eps, "eps")
        self.momentum_decay: float = validation.not_negative(momentum_decay, "momentum_decay")
        self.weight_decay = validation.not_negative(weight_decay, "weight_decay")
        self.decoupled_weight_decay: bool = validation.flag(
            decoupled_weight_decay, "decoupled_weight_decay"
        )

    @property
    def decoupled(self) -> bool:
        """Whether the weight decay is a part of the step, not of the gradient."""
        return self.decoupled_weight_decay

    def _own(self) -> list[float]:
        return [*self.betas, self.eps, self.momentum_decay, 1.0, 0.0]  # P(0), of no step


class Lion(Optimizer):
    """Steps of equal size, by the sign of a running mean of the gradient.

    ``p -= lr * (sign(beta1 * m + (1 - beta1) * grad) + weight_decay * p)``, then
    ``m = beta2 * m + (1 - beta2) * grad``.

    Parameters
    ----------
    lr : float, default=0.0001
        Learning rate, greater than 0; three to ten times less than Adam's.
    betas : tuple of two floats, default=(0.9, 0.99)
        How much of the mean enters the step and how much is kept, each at least 0 and less than 1.
    weight_decay : float, default=0.0
        At least 0, decoupled from the gradient; three to ten times more than Adam's.
    **options : optional
        ``clip_norm``, ``clip_value`` and ``ema_decay``: see `Optimizer`.

    Raises
    ------
    TypeError, ValueError
        If an argument is invalid.

    References
    ----------
    X. Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Lion(weight_decay=0.1)
    Lion(lr=0.0001, betas=(0.9, 0.99), weight_decay=0.1)
    """

    kernel = "lion"
    decoupled = True

    def __init__(
        self,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(**options)
        self.lr = validation.positive(lr, "lr")
        self.betas: tuple[float, float] = _betas_of(betas)
        self.weight_decay = validation.not_negative(weight_decay, "weight_decay")

    def _own(self) -> list[float]:
        return [*self.betas]


OPTIMIZERS: dict[str, type[Optimizer] | type[LBFGS]] = {
    "adam": Adam,
    "adamw": AdamW,
    "lbfgs": LBFGS,
    "lion": Lion,
    "nadam": NAdam,
    "rmsprop": RMSprop,
    "sgd": SGD,
}


def optimizer_of(value: Any) -> Any:
    """An optimizer from an optimizer, its name, or None for Adam."""
    if value is None:
        return Adam()
    if isinstance(value, str):
        return OPTIMIZERS[validation.choice(value, "optimizer", OPTIMIZERS)]()
    if not isinstance(value, tuple(OPTIMIZERS.values())):
        raise TypeError(
            f"optimizer must be an optimizer such as nn.Adam(), or one of "
            f"{', '.join(OPTIMIZERS)}; got {validation.shown(value)}{validation.instance(value)}"
        )
    return value
