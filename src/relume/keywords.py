"""Errors for wrong arguments: they name the function that was called and the keyword meant.

Other libraries have other names for the same things. `SYNONYMS` lists them, for keywords and for
the names that options take; a name that is in no group is compared by its letters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

# Names of the same thing here, in Keras, PyTorch and scikit-learn. A name may be in several
# groups; the first group that holds an allowed name decides.
SYNONYMS = [
    names.split()
    for names in (
        # functions
        "negative_slope alpha slope leak leakiness leaky_slope a",
        "weight alpha slope negative_slope num_parameters a",
        "alpha a negative_slope scale",
        "axis dim dims axes",
        "keepdims keepdim keep_dims",
        "out inplace in_place output dst",
        "grad grad_output grad_outputs upstream dy gradient g",
        "x input inputs X array a data",
        "X x data inputs input",
        "y labels label target targets",
        "lower min_val min_value min a_min",
        "upper max_val max_value max a_max",
        "min_val min min_value a_min lower",
        "max_val max max_value a_max upper",
        "lambd lambda lambda_ threshold theta",
        "threshold theta lambd",
        "pieces num_pieces pool_size n_pieces",
        "approximate approximation mode",
        "training train is_training",
        "rng generator seed random_state",
        "where mask",
        # training
        "lr learning_rate learning_rate_init eta step_size base_lr",
        "learning_rate_init lr learning_rate eta",
        "epochs n_epochs num_epochs nb_epoch nb_epochs max_epochs max_iter n_iter",
        "max_iter epochs n_epochs num_epochs max_epochs n_iter",
        "batch_size batchsize batch minibatch_size mini_batch_size batch_sz bs n_batch",
        "progress verbose verbosity progress_bar",
        "verbose progress verbosity",
        "sample_weight sample_weights weights weight",
        "class_weight class_weights",
        "validation_data val_data valid_data eval_set eval_data validation",
        "validation_split validation_fraction val_split val_fraction test_size",
        "validation_fraction validation_split val_split test_size",
        "steps_per_epoch steps batches_per_epoch n_steps",
        "callbacks callback",
        "seed random_state random_seed rng generator",
        "random_state seed random_seed rng",
        "loss criterion loss_function loss_fn objective",
        "optimizer solver optim opt",
        "solver optimizer",
        "metrics metric scoring",
        "schedule scheduler lr_scheduler lr_schedule learning_rate_schedule",
        "n_threads n_jobs num_threads threads",
        "n n_threads num_threads threads n_jobs",
        # optimizers and schedules
        "betas beta_1 beta_2 beta1 beta2 b1 b2",
        "beta_1 betas beta1 b1",
        "beta_2 betas beta2 b2",
        "alpha rho decay",
        "eps epsilon",
        "epsilon eps",
        "nesterov nesterovs_momentum use_nesterov",
        "momentum nesterovs_momentum beta",
        "weight_decay l2 wd decay kernel_regularizer alpha reg_lambda",
        "alpha l2 weight_decay",
        "l2 weight_decay kernel_regularizer",
        "l1 l1_penalty activity_regularizer lambda lambda_",
        "clip_norm clipnorm global_clipnorm max_grad_norm grad_clip gradient_clip_val max_norm",
        "clip_value clipvalue grad_clip",
        "ema_decay ema_momentum use_ema",
        "max_norm kernel_constraint",
        "factor gamma decay_rate",
        "gamma factor decay_rate",
        "every step_size save_freq period freq",
        "warmup warmup_epochs warmup_steps",
        "epochs T_max decay_steps total_steps steps",
        # callbacks
        "monitor metric quantity",
        "patience n_iter_no_change",
        "n_iter_no_change patience",
        "min_delta tol threshold epsilon min_change",
        "tol min_delta",
        "threshold min_delta tol",
        "restore_best restore_best_weights",
        "save_best_only save_best",
        "path filepath filename file fname",
        "min_factor min_lr",
        # layers and losses
        "units out_features n_units num_units output_dim n_out hidden_units width",
        "hidden_layer_sizes hidden_layers hidden_sizes layers units n_hidden",
        "n_features in_features input_dim input_shape n_inputs n_features_in",
        "activation act act_fn activation_fn activation_function nonlinearity non_linearity",
        "weight_init kernel_initializer init kernel_init initializer weight_initializer",
        "bias_init bias_initializer",
        "use_bias bias fit_intercept",
        "rate p prob drop_prob dropout dropout_rate",
        "std stddev sigma",
        "scale affine gamma elementwise_affine",
        "label_smoothing smoothing",
        "pos_weight pos_weights positive_weight",
        "delta beta",
        "q quantile tau alpha",
        # names of options
        "cross_entropy crossentropy categorical_crossentropy sparse_categorical_crossentropy nll"
        " softmax crossentropyloss nllloss",
        "log_loss cross_entropy binary_cross_entropy crossentropy",
        "binary_cross_entropy bce binary_crossentropy bce_with_logits bceloss bcewithlogitsloss"
        " logistic log_loss binary_log_loss",
        "mse mean_squared_error squared_error l2 mseloss",
        "squared_error mse mean_squared_error",
        "mae mean_absolute_error absolute_error l1 l1loss",
        "rmse root_mean_squared_error",
        "huber smooth_l1 smoothl1 smooth_l1_loss huberloss",
        "quantile pinball",
        "poisson poisson_nll poissonnllloss",
        "accuracy acc categorical_accuracy sparse_categorical_accuracy binary_accuracy",
        "balanced_accuracy balanced_acc",
        "val_accuracy val_acc val_categorical_accuracy val_binary_accuracy accuracy acc",
        "val_loss validation_loss valid_loss test_loss",
        "top_5_accuracy top_k_categorical_accuracy top5 top_5 top_k",
        "f1 f1_score",
        "r2 r2_score",
        "log_loss logloss",
        "sigmoid logistic",
        "silu swish",
        "relu rectifier rectified_linear",
        "linear identity none",
        "identity linear none",
        "he_normal kaiming_normal he kaiming",
        "he_uniform kaiming_uniform",
        "glorot_normal xavier_normal xavier glorot",
        "glorot_uniform xavier_uniform xavier glorot",
    )
]

# What every ufunc takes beside its operands.
UFUNC_KEYWORDS = ["out", "where", "casting", "order", "dtype", "subok"]


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name.lower()))


def meant(name: object, allowed: Iterable[str]) -> str | None:
    """The allowed name that another one probably stands for, or None."""
    if not isinstance(name, str):
        return None
    import difflib

    allowed, plain = list(allowed), _plain(name)
    for each in allowed:
        if _plain(each) == plain:
            return each
    for first, *others in SYNONYMS:
        if first in allowed and plain in map(_plain, others):
            return first
    close = difflib.get_close_matches(name.lower(), [each.lower() for each in allowed], 1)
    return next((each for each in allowed if each.lower() in close), None)


def is_a_setting(name: str) -> bool:
    """Whether something has a setting of this name, here or in another library."""
    return any(_plain(name) == _plain(each) for group in SYNONYMS for each in group)


def unexpected(function: str, keyword: str, allowed: Iterable[str]) -> TypeError:
    """The error for a keyword that a function does not take."""
    allowed = list(allowed)
    guess = meant(keyword, allowed)
    if guess is not None:
        remedy = f"did you mean {guess!r}?"
    elif allowed:
        remedy = f"it takes {', '.join(allowed)}"
    else:
        remedy = "it takes none"
    error = TypeError(f"{function}() got an unexpected keyword argument {keyword!r}; {remedy}")
    vars(error).update(keyword=keyword, allowed=allowed)
    return error


def of_ufunc(
    error: TypeError, function: Any, keywords: Iterable[str], ufunc: Any = None
) -> TypeError:
    """The error to raise where the ufunc of a public function has raised one.

    Parameters
    ----------
    error : TypeError
        The ufunc's.
    function : callable
        The public function, by whose name the user knows it.
    keywords : iterable of str
        The keywords that were passed on.
    ufunc : numpy.ufunc
        Whose name the error has; None means ``function.ufunc``.
    """
    import inspect
    import re

    parameters = inspect.signature(function).parameters.values()
    named = [each.name for each in parameters if each.kind is not each.VAR_KEYWORD]
    allowed = [*named, *(key for key in UFUNC_KEYWORDS if key not in named)]
    for keyword in keywords:
        if keyword not in allowed and repr(keyword) in str(error):
            return unexpected(function.__name__, keyword, allowed)
    called = (ufunc or function.ufunc).__name__
    if called == function.__name__ or called not in str(error):
        return error
    return TypeError(re.sub(rf"\b{called}\b", function.__name__, str(error)))


def refused_by_ufunc(
    error: TypeError, ufunc: Any, n_positional: int, keywords: Iterable[str]
) -> TypeError:
    """The error to raise where a ufunc of relume's has raised one: another, or the same.

    Parameters
    ----------
    error : TypeError
        NumPy's.
    ufunc : numpy.ufunc
        That was called.
    n_positional : int
        How many arguments were passed by position.
    keywords : iterable of str
        Those that were passed.
    """
    name = ufunc.__name__
    if not str(error).startswith(f"{name}() "):
        return error  # another container's function may take more
    for keyword in keywords:
        if keyword not in (*UFUNC_KEYWORDS, "sig", "signature"):
            if n_positional < ufunc.nin:
                return TypeError(
                    f"{name}() takes its inputs by position; got {n_positional} of {ufunc.nin}, "
                    f"and the keyword {keyword!r}"
                )
            return unexpected(name, keyword, UFUNC_KEYWORDS)
    return error


def refuse_unknown(function: Any, keywords: Iterable[str]) -> None:
    """Raise where a ufunc would refuse keywords, but another error would come before that."""
    for keyword in keywords:
        if keyword not in (*UFUNC_KEYWORDS, "sig", "signature"):
            raise of_ufunc(TypeError(repr(keyword)), function, [keyword])


def _wrong_call(name: str, signature: Any, args: tuple[Any, ...], keywords: Any) -> TypeError:
    """The error for arguments that a signature does not take, none of them `self`."""
    parameters = signature.parameters.values()
    positional = [
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    named = [
        each.name
        for each in parameters
        if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)
    ]
    anything = any(each.kind is each.VAR_KEYWORD for each in parameters)
    for keyword in keywords:
        if keyword not in named and not anything:
            return unexpected(name, keyword, named)
    if len(args) > len(positional):
        rest = [each for each in named if each not in positional]
        takes = f"at most {len(positional)}" if positional else "no"
        listed = f" ({', '.join(positional)})" if positional else ""
        remedy = f"; pass by keyword: {', '.join(rest)}" if rest else ""
        return TypeError(
            f"{name}() takes {takes} positional arguments{listed}, got {len(args)}{remedy}"
        )
    for keyword in keywords:
        if keyword in positional[: len(args)]:
            return TypeError(f"{name}() got multiple values for argument {keyword!r}")
    missing = [
        each.name
        for each in parameters
        if each.default is each.empty
        and each.kind not in (each.VAR_POSITIONAL, each.VAR_KEYWORD)
        and each.name not in keywords
        and each.name not in positional[: len(args)]
    ]
    plural = "s" if len(missing) > 1 else ""
    return TypeError(f"{name}() is missing the required argument{plural} {', '.join(missing)}")


def _explained(
    error: TypeError, function: Any, owner: str, args: tuple[Any, ...], keywords: Any
) -> TypeError:
    """The error to raise where a call of a function has raised one: another, or the same."""
    import inspect

    name, signature = function.__name__, None
    if owner:
        this, *rest = args
        args = tuple(rest)
        cls = type(this)
        found = getattr(getattr(cls, name, None), "__wrapped__", None)
        if found is not function:  # a subclass calls it by super()
            cls = next((each for each in cls.__mro__ if each.__name__ == owner), cls)
        if name == "__init__":
            name, signature = cls.__name__, vars(cls).get("__signature__")
        else:
            name = f"{cls.__name__}.{name}"
    if signature is None:
        signature = inspect.signature(function)
        if owner:
            _, *parameters = signature.parameters.values()
            signature = signature.replace(parameters=parameters)
    try:
        signature.bind(*args, **keywords)
    except TypeError:
        return _wrong_call(name, signature, args, keywords)
    keyword = getattr(error, "keyword", None)
    parameters = signature.parameters.values()
    if keyword in keywords and any(each.kind is each.VAR_KEYWORD for each in parameters):
        own = [
            each.name
            for each in parameters
            if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)
        ]
        return unexpected(name, str(keyword), [*own, *getattr(error, "allowed", [])])
    return error


def misfit(error: TypeError, function: Any, call: str, *arguments: Any) -> TypeError:
    """The error to raise where a user's function raised one: another if it takes other arguments.

    Parameters
    ----------
    error : TypeError
        That was raised.
    function : callable
        The user's.
    call : str
        How it is called, such as "f(epoch, lr)".
    *arguments : object
        What it was called with.
    """
    import inspect

    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some functions written in C
        return error
    try:
        signature.bind(*arguments)
    except TypeError:
        name = getattr(function, "__qualname__", type(function).__qualname__)
        return TypeError(f"{name} is called as {call}, but takes {signature}")
    return error


def no_attribute(
    owner: str, name: str, remedy: str | None = None, allowed: Iterable[str] = ()
) -> AttributeError:
    """The error for an attribute that something does not have.

    Parameters
    ----------
    owner : str
        What errors call it.
    name : str
        The attribute's.
    remedy : str or None
        What to use instead, if that is known.
    allowed : iterable of str
        Names of which one may be meant.
    """
    if remedy is None and not name.startswith("_"):
        guess = meant(name, allowed)
        remedy = None if guess is None else f"did you mean {guess!r}?"
    return AttributeError(f"{owner} has no attribute {name!r}{f'; {remedy}' if remedy else ''}")


def explains(function: F, owner: str = "") -> F:
    """A function whose errors for wrong arguments say what to do.

    The arguments are compared with the signature only where a TypeError was raised.

    Parameters
    ----------
    function : function
        Also one that is compiled.
    owner : str
        Name of the class whose method it is.
    """

    @functools.wraps(function)
    def explaining(*args: Any, **keywords: Any) -> Any:
        try:
            return function(*args, **keywords)
        except TypeError as error:
            if owner and not args:
                raise
            better = _explained(error, function, owner, args, keywords)
            if better is error:
                raise
            raise better from None

    vars(explaining)["explains"] = True
    return explaining  # type: ignore[return-value]


def refusing(function: F) -> F:
    """A function that calls `refuse` with its ``**unknown``, which its signature leaves out.

    That costs a call 30 ns, where the function that `explains` makes costs 120 or more.
    """
    import inspect

    signature = inspect.signature(function)
    shown = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    vars(function).update(explains=True, __signature__=signature.replace(parameters=shown))
    return function


def refuse(function: Any, owner: Any, keywords: Iterable[str]) -> None:
    """Raise for the first of the keywords that a `refusing` method of an object does not take."""
    first, allowed = next(iter(keywords)), list(function.__signature__.parameters)[1:]
    raise unexpected(f"{type(owner).__name__}.{function.__name__}", first, allowed)
