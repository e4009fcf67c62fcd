"""Layers that training has and prediction does not: noise, and a penalty of activations."""

from typing import ClassVar

from relume import validation
from relume.engine.op_spec import OpSpec
from relume.nn.layers.layer import Layer

__all__ = ["ActivityL1", "AlphaDropout", "Dropout"]


class Dropout(Layer):
    """Sets elements to 0 with a probability in training, and scales the others up.

    ``x * mask / (1 - rate)``, where each element of ``mask`` is 0 with the probability `rate`,
    else 1; the identity in prediction: as ``torch.nn.Dropout``.

    Parameters
    ----------
    rate : float, default=0.5
        At least 0 and less than 1.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    Notes
    -----
    Masks depend on the network's seed and on the index of an element in its minibatch, not on the
    number of threads.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from overfitting",
    Journal of Machine Learning Research 15, 2014.

    Examples
    --------
    >>> from relume import nn
    >>> nn.Dropout(0.2)
    Dropout(rate=0.2)
    """

    kind: ClassVar[str] = "dropout"
    unitwise = only_training = True

    def __init__(self, rate: float = 0.5) -> None:
        self.rate: float = validation.fraction(rate, "rate")

    def spec(self) -> OpSpec:
        """An op of noise."""
        return OpSpec(kind=self.kind, numbers=(self.rate,))


class AlphaDropout(Dropout):
    """Dropout that keeps the mean 0 and the variance 1 that `nn.SELU` gives.

    A dropped element becomes selu(-inf), about -1.758, and an affine map restores both moments:
    as ``torch.nn.AlphaDropout``.

    Parameters
    ----------
    rate : float, default=0.5
        At least 0 and less than 1.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    References
    ----------
    G. Klambauer et al., "Self-normalizing neural networks", NIPS 2017.

    Examples
    --------
    >>> from relume import nn
    >>> nn.AlphaDropout(0.1)
    AlphaDropout(rate=0.1)
    """

    kind = "alpha_dropout"


class ActivityL1(Layer):
    """Adds a penalty of what passes through it to the loss: for activations with more zeros.

    ``l1 * sum(abs(x)) / rows`` is added to the loss of a minibatch; x passes as it is. Behind a
    relu it makes units fall silent for more inputs, whose products the engine can then skip.

    Parameters
    ----------
    l1 : float, default=1e-4
        At least 0.

    Raises
    ------
    TypeError, ValueError
        If the argument is invalid.

    Notes
    -----
    As the penalties of weights, it is in the loss that training reports and not in that of
    `Network.evaluate`. Weights of rows are ignored.

    References
    ----------
    X. Glorot, A. Bordes, Y. Bengio, "Deep sparse rectifier neural networks", AISTATS 2011.

    Examples
    --------
    >>> from relume import nn
    >>> layers = [nn.Dense(64, activation="relu"), nn.ActivityL1(1e-3), nn.Dense(10)]
    """

    unitwise = only_training = True

    def __init__(self, l1: float = 1e-4) -> None:
        self.l1: float = validation.not_negative(l1, "l1")

    def spec(self) -> OpSpec:
        """An op without parameters."""
        return OpSpec(kind="activity_l1", l1=self.l1)
