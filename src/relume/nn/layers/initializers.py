"""Initial weights: distributions that keep the variance from layer to layer, and others.

Where nothing is asked for, the kind of activation decides, and the distribution is normal: He for
rectifiers, whose slope below 0 enters the gain; Glorot for functions that saturate, which balances
forward and backward passes; LeCun for linear and self-normalizing layers. Biases begin at 0.
"""

import math
from typing import Any, ClassVar

import numpy as np

from relume import validation
from relume.nn.configurable import Configurable
from relume.runtime.blas import single_threaded_blas


class Initializer(Configurable):
    """Base class of the initializers, which draw the initial weights of a layer."""

    name: ClassVar[str]

    def draw(
        self, rng: np.random.Generator, n_in: int, n_out: int, slope: float = 0.0
    ) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
        """Weights of shape (n_in, n_out), before an activation of some slope below 0.

        Drawn in float64 for every dtype of the network, so that a seed gives the same weights in
        each.
        """
        raise NotImplementedError


# -- Variance kept: a formula for the standard deviation, and two distributions that have it --


class _Scaled(Initializer):
    """Drawn around 0 with a standard deviation that follows from the layer's shape."""

    def _std(self, n_in: int, n_out: int, slope: float) -> float:
        raise NotImplementedError


class _He(_Scaled):
    def _std(self, n_in, n_out, slope):
        return math.sqrt(2 / ((1 + slope**2) * n_in))


class _Glorot(_Scaled):
    def _std(self, n_in, n_out, slope):
        return math.sqrt(2 / (n_in + n_out))


class _Lecun(_Scaled):
    def _std(self, n_in, n_out, slope):
        return math.sqrt(1 / n_in)


class _Normal(_Scaled):
    def draw(self, rng, n_in, n_out, slope=0.0):
        return rng.standard_normal((n_in, n_out)) * self._std(n_in, n_out, slope)


class _Uniform(_Scaled):
    def draw(self, rng, n_in, n_out, slope=0.0):
        limit = math.sqrt(3) * self._std(n_in, n_out, slope)  # the variance is limit**2 / 3
        return rng.uniform(-1, 1, (n_in, n_out)) * limit


class HeNormal(_Normal, _He):
    """Normal with the standard deviation ``sqrt(2 / ((1 + slope**2) * n_in))``.

    Keeps the variance of the forward pass through rectifiers; ``slope`` is that of the layer's
    activation below 0. Not truncated.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> from relume import nn
    >>> nn.HeNormal()
    HeNormal()
    """

    name = "he_normal"


class HeUniform(_Uniform, _He):
    """Uniform with the standard deviation of `HeNormal`: within ``sqrt(3)`` times it.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015.

    Examples
    --------
    >>> from relume import nn
    >>> nn.HeUniform()
    HeUniform()
    """

    name = "he_uniform"


class GlorotNormal(_Normal, _Glorot):
    """Normal with the standard deviation ``sqrt(2 / (n_in + n_out))``.

    A compromise between the variances of the forward and the backward pass, for functions
    that saturate, such as tanh. Not truncated.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.

    Examples
    --------
    >>> from relume import nn
    >>> nn.GlorotNormal()
    GlorotNormal()
    """

    name = "glorot_normal"


class GlorotUniform(_Uniform, _Glorot):
    """Uniform within ``sqrt(6 / (n_in + n_out))``: the standard deviation of `GlorotNormal`.

    References
    ----------
    X. Glorot and Y. Bengio, "Understanding the difficulty of training deep feedforward neural
    networks", AISTATS 2010.

    Examples
    --------
    >>> from relume import nn
    >>> nn.GlorotUniform()
    GlorotUniform()
    """

    name = "glorot_uniform"


class LecunNormal(_Normal, _Lecun):
    """Normal with the standard deviation ``sqrt(1 / n_in)``.

    Keeps the variance of the forward pass through linear layers. The self-normalizing activation
    selu needs it. Not truncated.

    References
    ----------
    Y. LeCun et al., "Efficient BackProp", 1998. G. Klambauer et al., "Self-normalizing neural
    networks", NIPS 2017.

    Examples
    --------
    >>> from relume import nn
    >>> nn.LecunNormal()
    LecunNormal()
    """

    name = "lecun_normal"


class LecunUniform(_Uniform, _Lecun):
    """Uniform within ``sqrt(3 / n_in)``: the standard deviation of `LecunNormal`.

    References
    ----------
    Y. LeCun et al., "Efficient BackProp", 1998.

    Examples
    --------
    >>> from relume import nn
    >>> nn.LecunUniform()
    LecunUniform()
    """

    name = "lecun_uniform"


# -- Others --


class Orthogonal(Initializer):
    """A random matrix with orthonormal columns, or rows where there are fewer, times `gain`.

    Uniformly distributed among all such matrices (Haar measure): the Q of a normal matrix whose R
    has a positive diagonal.

    Parameters
    ----------
    gain : float, default=1.0
        All singular values, greater than 0.

    Raises
    ------
    TypeError, ValueError
        If `gain` is invalid.

    References
    ----------
    A. M. Saxe et al., "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks", ICLR 2014. F. Mezzadri, "How to generate random matrices from the classical compact
    groups", Notices of the AMS 54, 2007.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Orthogonal(gain=1.4)
    Orthogonal(gain=1.4)
    """

    name = "orthogonal"

    def __init__(self, gain: float = 1.0) -> None:
        self.gain: float = validation.positive(gain, "gain")

    def draw(self, rng, n_in, n_out, slope=0.0):
        normal = rng.standard_normal((max(n_in, n_out), min(n_in, n_out)))
        with single_threaded_blas:  # the bits are the same for any number of threads
            q, r = np.linalg.qr(normal)
        q *= np.copysign(self.gain, np.diag(r))
        return q if n_in >= n_out else np.ascontiguousarray(q.T)


class Constant(Initializer):
    """The same value everywhere.

    Parameters
    ----------
    value : float, default=0.0
        A finite number.

    Raises
    ------
    TypeError, ValueError
        If `value` is invalid.

    Notes
    -----
    Units of a hidden layer whose weights begin alike stay alike: only the last layer can learn
    from such a beginning.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Constant(0.5)
    Constant(value=0.5)
    """

    name = "constant"

    def __init__(self, value: float = 0.0) -> None:
        self.value: float = validation.number(value, "value", "a finite number", math.isfinite)

    def draw(self, rng, n_in, n_out, slope=0.0):
        return np.full((n_in, n_out), self.value)


INITIALIZERS: dict[str, type[Initializer]] = {
    cls.name: cls
    for cls in (
        HeNormal, HeUniform, GlorotNormal, GlorotUniform, LecunNormal, LecunUniform, Orthogonal,
        Constant,
    )
}  # fmt: skip


def initializer_of(value: Any, name: str = "weight_init") -> Initializer | None:
    """An initializer from a name, an object, or None, which is left to the activation."""
    if value is None or isinstance(value, Initializer):
        return value
    if not isinstance(value, str):
        raise TypeError(
            f"{name} must be a name, an initializer such as nn.HeNormal() or None, "
            f"got {validation.shown(value)}"
        )
    return INITIALIZERS[validation.choice(value, name, INITIALIZERS)]()


def draw(rng, activation, n_in, n_out, initializer=None):
    """Weights of shape (n_in, n_out) for a layer with this activation, as float64."""
    if initializer is None:
        family = "lecun" if activation is None else activation.initializer
        initializer = INITIALIZERS[f"{family}_normal"]()
    slope = 0.0 if activation is None else activation.slope
    return initializer.draw(rng, n_in, n_out, slope)
