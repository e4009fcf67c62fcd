"""Networks made from scikit-learn's multilayer perceptrons."""

import copy
from typing import Any

from relume import validation
from relume.nn.layers.dense import Dense
from relume.nn.losses import loss_of
from relume.nn.network import Network
from relume.nn.optimizers.lbfgs import LBFGS
from relume.nn.optimizers.optimizers import SGD, Adam

# scikit-learn's name of an activation where it is not relume's; of an output's, with its loss.
ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}
LOSSES = {
    "softmax": "cross_entropy",
    "logistic": "binary_cross_entropy",
    "identity": "mse",
    "exp": "poisson",
}


def from_sklearn(mlp: Any) -> Network:
    """A network that predicts what a fitted ``MLPClassifier`` or ``MLPRegressor`` does.

    Parameters
    ----------
    mlp : MLPClassifier or MLPRegressor
        Of scikit-learn or relume, fitted.

    Returns
    -------
    Network
        A network in the dtype of ``mlp.coefs_``. Where a classifier predicts labels, the network
        predicts their indices in ``mlp.classes_``. For two classes it has one output and the loss
        ``"binary_cross_entropy"``. The optimizer has the settings of `mlp` and starts without
        state. ``alpha`` becomes the ``l2`` of the layers if the size of the minibatches is known.
        A learning-rate schedule of `mlp` is not copied.

    Raises
    ------
    TypeError
        If `mlp` is not a multilayer perceptron.
    ValueError
        If it is not fitted.

    Examples
    --------
    >>> from relume import datasets, nn
    >>> from sklearn.neural_network import MLPClassifier
    >>> X, y = datasets.load_digits(return_X_y=True)
    >>> mlp = MLPClassifier([16], tol=0.01, random_state=0).fit(X, y)
    >>> net = nn.from_sklearn(mlp)
    >>> bool((net.predict(X) == mlp.predict(X)).all())
    True
    """
    if isinstance(own := getattr(mlp, "network_", None), Network):
        return copy.copy(own)
    if isinstance(mlp, type) or not hasattr(mlp, "hidden_layer_sizes"):
        raise TypeError(
            f"mlp must be a fitted MLPClassifier or MLPRegressor, got {validation.shown(mlp)}"
        )
    if not hasattr(mlp, "coefs_"):
        raise ValueError(f"mlp must be fitted: call its fit first; got {validation.shown(mlp)}")
    l2 = _l2_of(mlp)
    *hidden, last = [coef.shape[1] for coef in mlp.coefs_]
    name = ACTIVATIONS.get(mlp.activation, mlp.activation)
    net = Network(
        [*(Dense(units, activation=name, l2=l2) for units in hidden), Dense(last, l2=l2)],
        loss=loss_of(LOSSES[mlp.out_activation_]),
        optimizer=_optimizer_of(mlp),
        dtype=mlp.coefs_[0].dtype,
    )
    state = net.build(mlp.coefs_[0].shape[0]).state_dict()
    values = [each for pair in zip(mlp.coefs_, mlp.intercepts_, strict=True) for each in pair]
    net.load_state_dict({key: value.T for key, value in zip(state, values, strict=True)})
    return net


def _l2_of(mlp):
    """alpha / 2 of the squares for each row of a minibatch; 0 where there are none."""
    if mlp.solver == "lbfgs" or not getattr(mlp, "t_", 0):
        return 0.0
    rows = mlp.t_ / len(mlp.loss_curve_)
    return mlp.alpha / 2 / min(200 if mlp.batch_size == "auto" else mlp.batch_size, rows)


def _optimizer_of(mlp):
    if mlp.solver == "lbfgs":
        return LBFGS(max_iter=mlp.max_iter, gtol=mlp.tol)
    if mlp.solver == "sgd":
        nesterov = mlp.nesterovs_momentum and mlp.momentum > 0
        return SGD(mlp.learning_rate_init, momentum=mlp.momentum, nesterov=nesterov)
    return Adam(mlp.learning_rate_init, betas=(mlp.beta_1, mlp.beta_2), eps=mlp.epsilon)
