"""From an estimator's parameters to a network: its layers, optimizer, and initial values."""

import copy
from numbers import Integral

import numpy as np

from relume import validation
from relume.nn.layers import initializers
from relume.nn.layers.activations import Activation
from relume.nn.layers.dense import Dense
from relume.nn.layers.layer import Layer
from relume.nn.layers.normalization import BatchNorm, LayerNorm
from relume.nn.layers.parametric import elementwise_of
from relume.nn.layers.regularization import Dropout
from relume.nn.layers.residual import Residual
from relume.nn.optimizers import optimizers
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.scikit_learn import AdamOfScikitLearn, SGDOfScikitLearn

NORMALIZATIONS = {"batch": BatchNorm, "layer": LayerNorm}
SCIKIT_LEARN_NAMES = {"identity": "linear", "logistic": "sigmoid"}
STOCHASTIC_SOLVERS = ("sgd", "adam")
AT_ONCE = 1 << 13  # random numbers: 64 KB


def layer_sizes(estimator):
    """The widths of the hidden layers."""
    sizes = estimator.hidden_layer_sizes
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    if not all(isinstance(size, Integral) and not isinstance(size, bool) for size in sizes):
        raise TypeError(f"hidden_layer_sizes must be integers of at least 1, got {sizes}")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return sizes


def activations_of(estimator, n_hidden):
    """The activation of each hidden layer; None for a linear one."""
    each = _for_each(estimator.activation, "activation", n_hidden)
    return [
        elementwise_of(SCIKIT_LEARN_NAMES.get(value, value) if isinstance(value, str) else value)
        for value in each
    ]


def _for_each(value, name, n_hidden):
    """One entry a hidden layer."""
    if not isinstance(value, list | tuple):
        return [value] * n_hidden
    if len(value) != n_hidden:
        raise ValueError(
            f"{name} must have one entry for each of {n_hidden} hidden layers, got {len(value)}"
        )
    return list(value)


def layers_of(estimator, sizes, n_outputs):
    """The layers: a product, normalization, activation and dropout for each hidden one."""
    rates = _for_each(estimator.dropout, "dropout", len(sizes))
    activations, l2 = activations_of(estimator, len(sizes)), estimator.alpha / 2
    layers: list[Layer | Activation] = []
    for i, (units, activation, rate) in enumerate(zip(sizes, activations, rates, strict=True)):
        block: list[Layer | Activation] = [Dense(units, l2=l2)]
        if estimator.normalization is not None:
            block.append(NORMALIZATIONS[estimator.normalization]())
        if activation is not None:
            block.append(activation)
        if validation.fraction(rate, "dropout"):
            block.append(Dropout(rate))
        layers += [Residual(block)] if estimator.residual and i > 0 else block
    return [*layers, Dense(n_outputs, l2=l2)]


def draw(estimator, weights, random_state):
    """Draw the initial values, from the stream of random numbers that scikit-learn draws from.

    There weights and intercepts are uniform, Glorot and Bengio, AISTATS 2010; with a smaller
    variance where the activation is the logistic function.
    """
    initializer = initializers.initializer_of(estimator.weight_init)
    steps = [(spec, arrays) for spec, arrays in weights.by_op() if arrays]
    n_dense = sum(spec.kind == "dense" for spec, _ in steps)
    # The output layer is drawn as the one before it, since scikit-learn's has its activation.
    activations = activations_of(estimator, n_dense - 1)
    activations.append(activations[-1] if activations else _of_all_layers(estimator))
    generator = None
    if initializer is not None or len(steps) > n_dense:
        generator = np.random.default_rng(random_state.randint(2**31))
    for spec, arrays in steps:
        if spec.kind != "dense":
            spec.layer.draw(generator, arrays)
        elif initializer is None:
            _draw_as_scikit_learn(arrays, activations.pop(0), random_state)
        else:
            n_in, n_out = arrays["weight"].shape
            arrays["weight"][...] = initializers.draw(
                generator, activations.pop(0), n_in, n_out, initializer
            )


def _of_all_layers(estimator):
    return (
        None if isinstance(estimator.activation, list | tuple) else activations_of(estimator, 1)[0]
    )


def _draw_as_scikit_learn(arrays, activation, random_state):
    n_in, n_out = arrays["weight"].shape
    factor = 2.0 if activation is not None and activation.name == "sigmoid" else 6.0
    bound = np.sqrt(factor / (n_in + n_out))
    # A few rows at a time, which stay in cache; the random numbers are the same.
    step = max(1, AT_ONCE // n_out)
    for first in range(0, n_in, step):
        rows = arrays["weight"][first : first + step]
        rows[...] = random_state.uniform(-bound, bound, rows.shape)
    arrays["bias"][...] = random_state.uniform(-bound, bound, n_out)


def is_stochastic(estimator):
    """Whether training makes steps; else it is by L-BFGS."""
    if estimator.optimizer is None:
        return estimator.solver in STOCHASTIC_SOLVERS
    return not isinstance(estimator.optimizer, LBFGS) and estimator.optimizer != "lbfgs"


def optimizer_of(estimator):
    """What the parameters ask for: scikit-learn's, or one of relume.nn.

    A name takes the learning rate of the estimator; an object has its own.
    """
    given = estimator.optimizer
    optimizer = (
        _optimizer_of_solver(estimator)
        if given is None
        else copy.copy(optimizers.optimizer_of(given))
    )
    if isinstance(optimizer, LBFGS):
        return optimizer
    if isinstance(given, str):
        optimizer.lr = estimator.learning_rate_init
    if estimator.clip_norm is not None:
        optimizer.clip_norm = float(estimator.clip_norm)
    return optimizer


def _optimizer_of_solver(estimator):
    """As scikit-learn's solver of that name."""
    if estimator.solver not in STOCHASTIC_SOLVERS:
        return LBFGS()
    lr = estimator.learning_rate_init
    if estimator.solver == "sgd":
        return SGDOfScikitLearn(lr, estimator.momentum, estimator.nesterovs_momentum)
    return AdamOfScikitLearn(lr, (estimator.beta_1, estimator.beta_2), estimator.epsilon)
