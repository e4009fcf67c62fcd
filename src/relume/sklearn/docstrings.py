"""The parameters and attributes that both estimators have, described once."""

import inspect

SHAPES = """
hidden_layer_sizes : array-like of int or int, default=(100,)
    Number of units of each hidden layer.
activation : str, Activation, or list of them, default="relu"
    Activation of the hidden layers: "identity", "logistic", "tanh", "relu", the name of any other
    activation function of relume, or an activation object such as ``nn.LeakyReLU(0.1)``. A list
    has one entry for each hidden layer.
"""
SCIKIT_LEARN = """
solver : {"lbfgs", "sgd", "adam"}, default="adam"
    What trains the weights: L-BFGS, which uses all rows at once; stochastic gradient descent; or
    Adam.
alpha : float, default=0.0001
    Strength of the L2 penalty. ``alpha / 2`` times the sum of the squared weights is added to the
    loss of a minibatch, divided by its number of rows, or by the sum of their sample weights.
batch_size : int or "auto", default="auto"
    Number of rows per minibatch; "auto" means ``min(200, n_samples)``.
learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
    Learning rate of the solver "sgd". "invscaling" uses ``learning_rate_init / t**power_t``, where
    t is the number of rows seen. "adaptive" divides the learning rate by 5 each time that the fit
    would otherwise end, and lets it end once the learning rate is at most 1e-6.
learning_rate_init : float, default=0.001
    Learning rate at the beginning of the fit.
power_t : float, default=0.5
    Exponent of the learning rate "invscaling".
max_iter : int, default=200
    Maximum number of epochs of a fit, or of iterations of L-BFGS.
shuffle : bool, default=True
    Whether to put the rows into a new random order for each epoch.
random_state : int, RandomState instance or None, default=None
    Source of the random numbers for the initial values, the order of the rows, the rows that are
    held out, and dropout.
tol : float, default=1e-4
    The fit ends when the loss, or the score with `early_stopping`, has not improved by more than
    `tol` for more than `n_iter_no_change` epochs. L-BFGS ends when no element of the gradient is
    larger than `tol`.
verbose : bool, default=False
    Whether to print the loss and score of each epoch.
warm_start : bool, default=False
    Whether `fit` continues from the values of the previous fit.
momentum : float, default=0.9
    Momentum of the solver "sgd", from 0 to 1.
nesterovs_momentum : bool, default=True
    Whether the solver "sgd" uses Nesterov's momentum.
early_stopping : bool, default=False
    Whether to hold out some rows, to end the fit when the score on them no longer improves, and
    then to go back to the best epoch.
validation_fraction : float, default=0.1
    Fraction of the rows that `early_stopping` holds out.
beta_1, beta_2 : float, default=0.9, 0.999
    Fractions of Adam's two running means that are kept at each step.
epsilon : float, default=1e-8
    Number that Adam adds to its denominator.
n_iter_no_change : int, default=10
    Number of epochs without improvement that do not end the fit yet; see `tol`.
max_fun : int, default=15000
    Maximum number of evaluations of the loss by L-BFGS.
"""
RELUME = """
dropout : float or list of float, default=0.0
    Probability with which the output of a hidden unit is set to 0 in training. A list has one
    entry for each hidden layer.
normalization : {"batch", "layer"} or None, default=None
    Normalization between the matrix product and the activation of each hidden layer:
    `nn.BatchNorm`, `nn.LayerNorm`, or none.
residual : bool, default=False
    Whether the input of each hidden layer except the first is added to the layer's output. Where
    their widths differ, a learned projection is applied to the input.
weight_init : str, Initializer or None, default=None
    Initializer of the weights, such as "he_normal"; the intercepts are then initially 0. None
    draws weights and intercepts as scikit-learn does (Glorot, uniform).
optimizer : str, Optimizer, LBFGS or None, default=None
    Optimizer of `relume.nn` that replaces `solver`: an object, such as
    ``nn.AdamW(weight_decay=0.1)``, or a name; a name uses the learning rate `learning_rate_init`.
schedule : Schedule, callable or None, default=None
    Factor of the learning rate over time, which replaces `learning_rate` and works with every
    optimizer except L-BFGS: a schedule such as ``nn.Cosine(20)``, or a function of the epoch as a
    float.
clip_norm : float or None, default=None
    Maximum norm of all gradients together; larger ones are scaled down to it.
callbacks : list or None, default=None
    Callbacks such as ``nn.EarlyStopping()`` or functions ``f(net, epoch, logs)``, where ``net``
    is `network_`. The fit ends if one of them returns True after an epoch.
dtype : {"float32", "float64"} or None, default=None
    Precision of all computation. None means float32 if X is float32, else float64.
n_threads : int or None, default=None
    Number of threads of a fit or a prediction; None means that of `relume.set_num_threads`.
"""
ATTRIBUTES = """
coefs_ : list of ndarray of shape (n_in, n_out)
    The weights of each layer.
intercepts_ : list of ndarray of shape (n_out,)
    The intercepts of each layer.
loss_ : float
    The loss of the last epoch.
loss_curve_ : list of float
    The loss of each epoch. L-BFGS does not set it.
best_loss_ : float or None
    The lowest loss of an epoch; None with `early_stopping`.
validation_scores_ : list of float or None
    With `early_stopping`, the score on the held-out rows after each epoch.
best_validation_score_ : float or None
    The highest of these scores.
validation_loss_curve_ : list of float or None
    If there is validation data, held out or passed to `fit`, its loss after each epoch, without
    the penalty.
n_iter_ : int
    Number of epochs of the last fit, or of iterations of L-BFGS.
t_ : int
    Number of rows seen in training.
n_layers_, n_outputs_ : int
    Number of layers, including input and output; number of outputs.
out_activation_ : str
    Function that is applied to the outputs: "softmax", "logistic", "identity" or "exp".
n_features_in_ : int
    Number of features in the fit.
feature_names_in_ : ndarray of str
    Names of the features, if X had any.
network_ : relume.nn.Network
    The network that is trained; it shares its weights with the estimator.
"""
NOTES = '''
Predictions are computed in the dtype of the fit. The results differ from scikit-learn's by more
than rounding in two cases: a multilabel log loss is not limited where a probability is rounded to
0 or 1; and a fit counts as diverged when its loss is infinite, even if its gradient is finite.
When a fit diverges, the loss is NaN from that epoch on, and the fit continues until `max_iter`.
Then it raises a ValueError or, with `early_stopping`, goes back to the best epoch.
'''  # fmt: skip


def documented(cls):
    """Put the common parts into a class's docstring, and its parameters' defaults into the class.

    A subclass whose constructor does not call this one's has the defaults then.
    """
    for name, parameter in inspect.signature(cls).parameters.items():
        setattr(cls, name, parameter.default)
    parts = {
        "shapes": SHAPES, "scikit_learn": SCIKIT_LEARN, "relume": RELUME,
        "attributes": ATTRIBUTES, "notes": NOTES,
    }  # fmt: skip
    doc = inspect.cleandoc(cls.__doc__)
    cls.__doc__ = doc.format(**{name: text.strip() for name, text in parts.items()})
    return cls
