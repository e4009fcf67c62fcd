"""Initial weights: the normal distribution that keeps the variance, by kind of activation.

He keeps it through rectifiers, whose slope below 0 enters the gain; Glorot balances forward and
backward passes for functions that saturate; LeCun is for linear and self-normalizing layers.
Biases begin at 0.
"""

import math

FORMULAS = {
    "he": lambda n_in, n_out, slope: math.sqrt(2 / ((1 + slope**2) * n_in)),
    "glorot": lambda n_in, n_out, slope: math.sqrt(2 / (n_in + n_out)),
    "lecun": lambda n_in, n_out, slope: math.sqrt(1 / n_in),
}


def draw(rng, activation, n_in, n_out):
    """Weights of shape (n_in, n_out) for a layer with this activation, as float64.

    Drawn in float64 whatever the network's dtype, so that a seed gives the same weights in each.

    References
    ----------
    K. He et al., "Delving deep into rectifiers", ICCV 2015. X. Glorot and Y. Bengio,
    "Understanding the difficulty of training deep feedforward neural networks", AISTATS 2010. Y.
    LeCun et al., "Efficient BackProp", 1998.
    """
    family = "lecun" if activation is None else activation.initializer
    slope = 0.0 if activation is None else activation.parameters.get("negative_slope", 0.0)
    return rng.standard_normal((n_in, n_out)) * FORMULAS[family](n_in, n_out, slope)
