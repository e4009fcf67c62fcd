"""Estimators of relume.sklearn drawn from a seed and trained for two epochs and one more."""

import numpy as np

from relume.sklearn import MLPClassifier, MLPRegressor
from tools.digest.draw import NAMES, call
from tools.digest.networks import inputs

ROWS = 150
RECORDS = ["loss_", "best_loss_", "loss_curve_", "validation_scores_", "validation_loss_curve_"]
NAMES_TOO = {"MLPClassifier": MLPClassifier, "MLPRegressor": MLPRegressor}


# -- descriptions ---------------------------------------------------------------------------------


def draw_estimator(draw, classes):
    """The description of an estimator, and how it is trained on what."""
    solver = draw.one("adam", "adam", "sgd", "sgd", "lbfgs")
    how = "fit" if solver == "lbfgs" else draw.one("fit", "fit", "partial_fit")
    name = draw.one("MLPClassifier", "MLPRegressor")
    if name == "MLPClassifier":
        y = draw.one("binary", "three classes", "words", "multilabel")
        objective = [draw.one("", "", "loss='cross_entropy'") if y != "multilabel" else ""]
        if y in ("binary", "three classes"):
            objective += [draw.one("", "class_weight={0: 3.0}")]
    else:
        y = draw.one("values", "three values")
        losses = "squared_error", "absolute_error", "huber", "quantile", "poisson"
        objective = [f"loss={draw.one(*losses)!r}"]
    estimator = call(
        name,
        f"hidden_layer_sizes={draw.one('(12,)', '(8, 8)', '(9, 7, 5)', '(64, 40)')}",
        *objective,
        *_layers(draw, classes, solver),
        *_solver(draw, classes, solver, how),
    )
    X = draw.one("dense", "float64", "csr")
    weight = draw.one("", "", "sample_weight=True")
    return f"{estimator} {call(how, f'X={X!r}', f'y={y!r}', weight)}"


def _layers(draw, classes, solver):
    named = draw.one("relu", "tanh", "logistic", "identity")
    activation = draw.object(*classes["activations"]) if draw.chance(0.6) else repr(named)
    init = draw.object(*classes["initializers"])
    norms = ["'layer'"] if solver == "lbfgs" else ["'layer'", "'batch'"]
    return [
        f"activation={activation}",
        f"weight_init={init}" if draw.chance(0.3) else "",
        draw.one("", "alpha=0.0", "alpha=0.01"),
        draw.one("", "dropout=0.2"),
        f"normalization={draw.one(*norms)}" if draw.chance(0.5) else "",
        draw.one("", "", "residual=True"),
    ]


def _solver(draw, classes, solver, how):
    arguments = [f"solver={solver!r}", f"max_iter={8 if solver == 'lbfgs' else 2}"]
    if solver != "lbfgs":
        arguments += [f"batch_size={draw.one(16, 50)}", draw.one("", "clip_norm=0.5")]
        arguments += [draw.one("", "early_stopping=True") if how == "fit" else ""]
    if solver == "sgd":
        arguments += [f"learning_rate={draw.one('constant', 'invscaling', 'adaptive')!r}"]
        arguments += [draw.one("", "nesterovs_momentum=False", "momentum=0.5")]
    if solver == "adam" and draw.chance(0.6):
        by_steps = [name for name in classes["optimizers"] if name != "LBFGS"]
        arguments += [f"optimizer={draw.object(*by_steps)}"]
        arguments += [f"schedule={draw.object(*classes['schedules'])}" if how == "fit" else ""]
    return arguments


# -- training -------------------------------------------------------------------------------------


def targets(rng, kind, classifies):
    """Classes, words, or counts."""
    if not classifies:
        shape = (ROWS, 3) if kind == "three values" else ROWS
        return rng.poisson(1.5, size=shape).astype(np.float64)
    if kind == "multilabel":
        return rng.integers(2, size=(ROWS, 3))
    labels = rng.integers(2 if kind == "binary" else 3, size=ROWS)
    return np.array(["relu", "sine", "tanh"])[labels] if kind == "words" else labels


def train_estimator(number, expression, how, *, X, y, sample_weight=False):
    """What an estimator gives after two epochs, and after it went on from there."""
    rng = np.random.default_rng(number)
    estimator = eval(f"{expression[:-1]}, random_state={number})", NAMES | NAMES_TOO)
    classifies = isinstance(estimator, MLPClassifier)
    X, y = inputs(rng, ROWS, X), targets(rng, y, classifies)
    options = {"sample_weight": rng.random(ROWS) + 0.5} if sample_weight else {}
    if how == "partial_fit":
        first = {"classes": np.unique(y)} if classifies else {}
        fits = [lambda: estimator.partial_fit(X, y, **first, **options)]
        fits += [lambda: estimator.partial_fit(X, y, **options)] * 2
    else:
        fits = [lambda: estimator.fit(X, y, **options)]
        fits += [lambda: estimator.set_params(warm_start=True).fit(X, y, **options)]
    found = []
    for fit in fits:
        fit()
        found += [estimator.coefs_, estimator.intercepts_, estimator.n_iter_]
        found += [getattr(estimator, name, None) for name in RECORDS]
        found += [estimator.network_.state_dict(), estimator.predict(X)]
        if classifies:
            found += [list(estimator.classes_), estimator.predict_proba(X)]
    return found
