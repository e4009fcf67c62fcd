"""The parameters and attributes that both estimators have, described once."""

import inspect

SHAPES = """
hidden_layer_sizes : array-like of int or int, default=(100,)
    The number of units of each hidden layer.
activation : str, Activation, or list of them, default="relu"
    Of the hidden layers: "identity", "logistic", "tanh", "relu", the name of any other function
    of relume, or an activation with parameters such as ``nn.LeakyReLU(0.1)``. A list has one for
    each hidden layer.
"""
SCIKIT_LEARN = """
solver : {"lbfgs", "sgd", "adam"}, default="adam"
    L-BFGS, which takes all rows at once; stochastic gradient descent; or Adam.
alpha : float, default=0.0001
    Strength of the L2 penalty: ``alpha / 2`` times the sum of the squares of the weights, divided
    by the rows of the minibatch, or the sum of their weights, is added to its loss.
batch_size : int or "auto", default="auto"
    Rows of a minibatch; "auto" is ``min(200, n_samples)``.
learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
    Of "sgd": constant; ``learning_rate_init / t**power_t`` where t is the number of rows seen; or
    divided by 5 when the fit would end, until it is 1e-6.
learning_rate_init : float, default=0.001
    The learning rate, or the first one.
power_t : float, default=0.5
    Exponent of "invscaling".
max_iter : int, default=200
    Maximum number of epochs of a fit, or of iterations of L-BFGS.
shuffle : bool, default=True
    Whether rows are put in a new order for each epoch.
random_state : int, RandomState instance or None, default=None
    Of the initial values, the order of rows, the rows held out, and dropout.
tol : float, default=1e-4
    The fit ends when the loss, or the score under `early_stopping`, has not got better by more
    than this for more than `n_iter_no_change` epochs; L-BFGS when no element of the gradient is
    larger.
verbose : bool, default=False
    Whether to print the loss and score of each epoch.
warm_start : bool, default=False
    Whether `fit` goes on from the values of the fit before.
momentum : float, default=0.9
    Of "sgd", from 0 to 1.
nesterovs_momentum : bool, default=True
    Whether the momentum of "sgd" is Nesterov's.
early_stopping : bool, default=False
    Whether to hold out rows, to end when the score on them stops getting better, and to go back to
    the best epoch.
validation_fraction : float, default=0.1
    The share of rows that `early_stopping` holds out.
beta_1, beta_2 : float, default=0.9, 0.999
    How much Adam keeps of its running means at a step.
epsilon : float, default=1e-8
    What Adam adds to its denominator.
n_iter_no_change : int, default=10
    See `tol`.
max_fun : int, default=15000
    Maximum number of evaluations of the loss by L-BFGS.
"""
RELUME = """
dropout : float or list of float, default=0.0
    The probability with which the output of a hidden unit is set to 0 in training; a list has one
    for each hidden layer.
normalization : {"batch", "layer"} or None, default=None
    What stands between the product and the activation of each hidden layer: `nn.BatchNorm`,
    `nn.LayerNorm`, or nothing.
residual : bool, default=False
    Whether the input of each hidden layer but the first is added to its output, through a learnt
    projection where their widths differ.
weight_init : str, Initializer or None, default=None
    What draws the initial weights, such as "he_normal"; intercepts are 0 then. None is
    scikit-learn's: uniform, Glorot.
optimizer : str, Optimizer, LBFGS or None, default=None
    Instead of `solver`: an optimizer of relume.nn, such as ``nn.AdamW(weight_decay=0.1)``, or its
    name, which takes the learning rate `learning_rate_init`.
schedule : Schedule, callable or None, default=None
    Instead of `learning_rate`, and for all optimizers that make steps: what the learning rate is
    multiplied by, such as ``nn.Cosine(20)``, or a function of the epoch as a float.
clip_norm : float or None, default=None
    Gradients are scaled down where the norm of all of them together is larger.
callbacks : list or None, default=None
    Callbacks such as ``nn.EarlyStopping()`` or functions ``f(net, epoch, logs)``, where ``net``
    is `network_`; one that returns True ends the fit.
dtype : {"float32", "float64"} or None, default=None
    What is computed in. None is the dtype of X: float32, else float64.
n_threads : int or None, default=None
    Threads of a fit or prediction; None leaves it to `relume.set_num_threads`.
"""
ATTRIBUTES = """
coefs_ : list of ndarray of shape (n_in, n_out)
    The weights of each layer.
intercepts_ : list of ndarray of shape (n_out,)
    The intercepts of each layer.
loss_ : float
    The loss of the last epoch.
loss_curve_ : list of float
    The loss of each epoch, not of L-BFGS.
best_loss_ : float or None
    The lowest of them; None under `early_stopping`.
validation_scores_ : list of float or None
    Under `early_stopping`, the score after each epoch.
best_validation_score_ : float or None
    The largest of them.
validation_loss_curve_ : list of float or None
    Where there is validation data, held out or given, its loss after each epoch, without penalty.
n_iter_ : int
    The epochs of the last fit.
t_ : int
    The rows seen.
n_layers_, n_outputs_ : int
    Of layers, input and output among them; of outputs.
out_activation_ : str
    "softmax", "logistic", "identity" or "exp".
n_features_in_ : int
    Of features in the fit.
feature_names_in_ : ndarray of str
    Their names, if X had any.
network_ : relume.nn.Network
    What is trained; it shares its values with the estimator.
"""
NOTES = '''
Predictions are computed in the dtype of the fit. In these the results differ from scikit-learn's
beyond rounding: a multilabel log loss is not limited where a probability is 0 or 1 to rounding;
and a fit whose loss became infinite is taken for diverged, even where its gradient was finite.
Where a fit diverges, the loss is NaN from that epoch on and the fit goes on to `max_iter`; then
it raises a ValueError, or under `early_stopping` goes back to the best epoch.
'''  # fmt: skip


def documented(cls):
    """Put the common parts into a class's docstring."""
    parts = {
        "shapes": SHAPES, "scikit_learn": SCIKIT_LEARN, "relume": RELUME,
        "attributes": ATTRIBUTES, "notes": NOTES,
    }  # fmt: skip
    doc = inspect.cleandoc(cls.__doc__)
    cls.__doc__ = doc.format(**{name: text.strip() for name, text in parts.items()})
    return cls
