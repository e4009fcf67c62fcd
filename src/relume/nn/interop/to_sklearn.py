"""scikit-learn's multilayer perceptrons made from networks."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from relume import validation
from relume.nn.layers.activations import Activation
from relume.nn.layers.dense import Dense
from relume.nn.layers.ops import ops_of
from relume.nn.losses import Poisson, Quantile
from relume.nn.network import Network
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import SGD, Adam, AdamW


class Chain:
    """Dense layers with one activation, into which the layers of a network are put."""

    def __init__(self):
        self.weights, self.biases, self.activations = [], [], []
        self.factor = self.shift = None  # of what is to become part of the next dense layer
        self.largest_shift = 0.0  # of inputs: of a thousand deviations, float32 loses 3 digits

    def dense(self, values):
        """A layer of its own; what scaled its input becomes part of it."""
        weight = values["weight"].T.astype(np.float64)
        bias = np.zeros(weight.shape[1]) + values.get("bias", 0.0)
        if self.factor is not None:
            weight, bias = self.factor[:, None] * weight, bias + self.shift @ weight
            self.factor = self.shift = None
        self.weights.append(weight)
        self.biases.append(bias)
        self.activations.append("identity")

    def activation(self, layer):
        """That of the last dense layer, if it has none yet."""
        names = {"relu": "relu", "tanh": "tanh", "sigmoid": "logistic"}
        name = names.get(layer.name)
        follows = self.activations and self.activations[-1] == "identity" and self.factor is None
        if not (name and follows):
            return False
        self.activations[-1] = name
        return True

    def affine(self, factor, shift):
        """Part of the last dense layer if it has no activation, else of the next one."""
        if self.activations and self.activations[-1] == "identity":
            self.weights[-1] = self.weights[-1] * factor
            self.biases[-1] = self.biases[-1] * factor + shift
        elif self.factor is not None:
            self.factor, self.shift = self.factor * factor, self.shift * factor + shift
        else:
            self.factor, self.shift = factor, shift
            self.largest_shift = max(self.largest_shift, float(np.abs(shift).max()))

    def add(self, layer, values):
        """Whatever a layer is; False if it does not fit."""
        if isinstance(layer, Dense):
            self.dense(values)
        elif isinstance(layer, Activation):
            return self.activation(layer)
        elif not layer.only_training:
            affine = layer.affine(values)
            if affine is None:
                return False
            self.affine(*affine)
        return True


def _chain_of(net):
    """The layers of a network as a Chain; ValueError names the first that does not fit."""
    chain, state = Chain(), net.state_dict()
    indices = [
        i for i, layer in enumerate(net.layers) for module in layer.modules() for _ in module
    ]
    for i, op in zip(indices, ops_of(net.layers), strict=True):
        prefix = f"{op.name}."
        values = {key.removeprefix(prefix): state[key] for key in state if key.startswith(prefix)}
        if not chain.add(op.layer, values):
            raise ValueError(
                f"layers[{i}] must be what scikit-learn's MLP has, layers with relu, tanh or "
                f"sigmoid or none, got {net.layers[i]!r}"
            )
    *hidden, last = chain.activations
    if last != "identity" or chain.factor is not None:
        raise ValueError(f"the last of layers must be linear, got {net.layers[-1]!r}")
    for units, name in zip(chain.biases, hidden, strict=False):
        if name != hidden[0]:
            raise ValueError(
                "all hidden layers must have the same activation in scikit-learn's MLP, got "
                f"{hidden[0]} and, of {len(units)} units, {name}"
            )
    return chain


def _solver_of(optimizer):
    """The arguments of scikit-learn's MLP that say how it is trained further."""
    if isinstance(optimizer, LBFGS):
        return {"solver": "lbfgs", "max_iter": optimizer.max_iter, "tol": optimizer.gtol}
    if isinstance(optimizer, SGD):
        return {
            "solver": "sgd", "learning_rate_init": optimizer.lr, "momentum": optimizer.momentum,
            "nesterovs_momentum": optimizer.nesterov,
        }  # fmt: skip
    if not isinstance(optimizer, Adam) or isinstance(optimizer, AdamW):
        return {}
    beta_1, beta_2 = optimizer.betas
    return {
        "learning_rate_init": optimizer.lr, "beta_1": beta_1, "beta_2": beta_2,
        "epsilon": optimizer.eps,
    }  # fmt: skip


def _labels(net, classes):
    """Targets with a row of each class, of which scikit-learn learns what the classes are."""
    n = net.n_outputs
    if net.loss.outputs == "log_odds" and n > 1:
        if classes is not None:
            raise ValueError(
                f"classes must be None for a network of {n} labels, "
                f"got {validation.shown(classes)}"
            )
        return np.eye(n, dtype=int)
    n = 2 if net.loss.outputs == "log_odds" else n
    labels = np.arange(n) if classes is None else np.asarray(classes)
    if labels.shape != (n,) or not np.array_equal(np.unique(labels), labels):
        raise ValueError(
            f"classes must hold {n} labels in ascending order, got {validation.shown(classes)}"
        )
    return labels


def to_sklearn(net: Network, classes: ArrayLike | None = None) -> Any:
    """What `Network.to_sklearn` returns."""
    try:
        from sklearn.neural_network import MLPClassifier, MLPRegressor
    except ImportError as error:
        raise ImportError(
            "to_sklearn needs scikit-learn: pip install 'relume[sklearn]'"
        ) from error
    if isinstance(net.loss, Quantile) and net.loss.n_quantiles > 1:
        raise ValueError(
            f"loss must be one whose outputs are the predictions, got {net.loss!r}, which sorts "
            "them; use to_onnx"
        )
    chain = _chain_of(net)
    form = net._target_form
    if form.mean is not None:
        chain.affine(form.scale, form.mean)
    *hidden, n_outputs = map(len, chain.biases)
    options = {"hidden_layer_sizes": tuple(hidden), "alpha": 0.0, **_solver_of(net.optimizer)}
    options["activation"] = chain.activations[0] if hidden else "relu"
    if net.loss.classifies:
        y, mlp = _labels(net, classes), MLPClassifier(**options)
    elif classes is not None:
        raise ValueError(f"classes must be None for values, got {validation.shown(classes)}")
    else:
        loss = "poisson" if isinstance(net.loss, Poisson) else "squared_error"
        y, mlp = np.ones((2, n_outputs)), MLPRegressor(loss=loss, **options)
        y = y.ravel() if n_outputs == 1 else y
    if net.loss.outputs == "logits" and n_outputs == 2:
        # Of two classes scikit-learn has the probability of one, by the difference of the logits.
        chain.weights[-1] = chain.weights[-1][:, 1:] - chain.weights[-1][:, :1]
        chain.biases[-1] = chain.biases[-1][1:] - chain.biases[-1][:1]
    dtype = np.float64 if form.learned or chain.largest_shift > 1000 else net.dtype
    return _fitted(mlp, np.zeros((len(y), len(chain.weights[0])), dtype), y, chain)


def _fitted(mlp, X, y, chain):
    """The perceptron as fitted, for its own bookkeeping, but with the values of the chain."""
    from sklearn.exceptions import ConvergenceWarning

    max_iter = mlp.max_iter
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mlp.set_params(max_iter=1).fit(X, y)
    mlp.set_params(max_iter=max_iter)
    vars(mlp).pop("_optimizer", None)  # of which partial_fit then makes a new one
    mlp.coefs_ = [weight.astype(X.dtype) for weight in chain.weights]
    mlp.intercepts_ = [bias.astype(X.dtype) for bias in chain.biases]
    return mlp
