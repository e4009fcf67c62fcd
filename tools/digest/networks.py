"""Networks drawn from a seed and trained for two epochs and one more.

A description is the expression that makes the network, and how it is trained on what.
"""

import numpy as np
import scipy.sparse

from relume import nn
from tools.digest.draw import NAMES, call

OPTIONS = ["clip_norm=0.5", "clip_value=0.05", "ema_decay=0.9", "clip_norm=1.0, ema_decay=0.5"]
DENSE = [
    "l1=0.001", "l2=0.001", "max_norm=0.8", "trainable=False", "lr_scale=0.5", "use_bias=False",
    "bias_init=0.1", "l1=0.0001, l2=0.01, max_norm=1.5, lr_scale=2.0",
]  # fmt: skip
CALLBACKS = [
    "nn.EarlyStopping('loss', patience=1)", "nn.LearningRateScheduler(halved)", "nn.Monitor()",
    "nn.Revive()", "nn.Revive(how='leaky')", "nn.TerminateOnNaN()",
]  # fmt: skip
REVIVABLE = ["nn.Dense(24, nn.ReLU(), bias_init=-0.5)", "nn.Dense(12, nn.ReLU(), bias_init=-0.5)"]
APART = {"BatchNorm", "Dense", "Residual", "Standardize"}  # layers with a place of their own
LEARNABLE = ["FATReLU", "PReLU", "RReLU", "Sine"]  # layers that a Dense takes as its activation


# -- descriptions ---------------------------------------------------------------------------------


def draw_network(draw, classes):
    """The description of a network."""
    name = draw.one(*classes["optimizers"])
    steps = name != "LBFGS"
    wide = draw.chance(0.2)
    loss = draw.object(*classes["losses"])
    training = _training(draw, steps, loss, wide)
    if "Revive" in training:
        layers = REVIVABLE
    else:
        layers = _layers(draw, classes, steps, wide)
        if "'csr'" not in training and draw.chance(0.1) and "Standardize" not in layers[0]:
            layers = ["nn.Dropout(0.1)", *layers]
    if "Standardize" in layers[0]:  # it must see more than a minibatch
        training = training.replace("minibatches(", "fit(")
    by_class = loss.startswith(("nn.BinaryCrossEntropy", "nn.CrossEntropy"))
    outputs = 3 if by_class or draw.chance(0.7) else 1
    network = call(
        "nn.Network",
        f"[{', '.join([*layers, f'nn.Dense({outputs})'])}]",
        f"loss={loss}",
        f"optimizer={draw.object(name, more=[draw.some(0.4, *OPTIONS)] if steps else [])}",
        f"schedule={draw.object(*classes['schedules'])}" if steps and draw.chance(0.6) else "",
        draw.one("", "", "dtype='float64'"),
        draw.one("sparse='never'", "", "sparse='always'"),
    )
    return f"{network} {training}"


def _layers(draw, classes, steps, wide):
    """The hidden layers."""
    layers = [draw.object("Standardize")] if draw.chance(0.3) else []
    layers += _block(draw, classes, steps, wide)
    for _ in range(draw.one(0, 1, 2)):
        block = _block(draw, classes, steps, wide)
        layers += [f"nn.Residual([{', '.join(block)}])"] if draw.chance(0.4) else block
    return layers


def _block(draw, classes, steps, wide):
    """A Dense, and mostly a layer after it."""
    others = [name for name in classes["layers"] if name not in APART]
    activations = [*classes["activations"], *(name for name in LEARNABLE if name in others)]
    init = f"weight_init={draw.object(*classes['initializers'])}"
    dense = call(
        "nn.Dense",
        str(draw.one(64, 130, 256) if wide else draw.one(4, 6, 8, 12, 16, 24, 34)),
        draw.object(*activations) if draw.chance(0.8) else "",
        init if draw.chance(0.3) else "",
        draw.some(0.4, *DENSE),
    )
    if steps and draw.chance(0.2):
        return [dense, draw.object("BatchNorm")]
    more = [draw.object(*(others if draw.chance(0.8) else classes["activations"]))]
    return [dense, *(more if draw.chance(0.6) else [])]


def _training(draw, steps, loss, wide):
    """How it is trained, and on what."""
    how = "fit"
    if steps:
        how = draw.one("fit", "fit", "fit", "minibatches", "train_on_batch", "step")
    sparse = [] if how == "step" else ["csr"]
    arguments = [f"X={draw.one('dense', 'dense', 'float64', 'Fortran', 'integers', *sparse)!r}"]
    arguments += [f"batch_size={draw.one(128, 200) if wide else draw.one(7, 16, 32, 64)}"]
    labels = loss.startswith("nn.CrossEntropy")
    if labels:
        arguments += [draw.one("", "", "soft_labels=True")]
    if how == "fit":
        if labels and "soft_labels=True" not in arguments:
            arguments += [draw.one("", "class_weight='balanced'", "class_weight={0: 2.0}")]
        arguments += [draw.one("", "validation_split=0.2", "validation_data=True")]
        arguments += [draw.one("", "", "", "shuffle=False")]
        arguments += [f"callbacks=[{draw.one(*CALLBACKS)}]" if steps and draw.chance(0.4) else ""]
    if how != "step" and "PythonLoss" not in loss:
        arguments += [draw.one("", "", "sample_weight=True")]
    return call(how, *arguments)


# -- data -----------------------------------------------------------------------------------------


def inputs(rng, rows, kind):
    """Ten features, a third of whose values are 0."""
    X = rng.normal(size=(rows, 10)) * (rng.random((rows, 10)) < 0.67)
    if kind == "integers":
        return np.rint(3 * X).astype(np.int64)
    X = X.astype(np.float64 if kind == "float64" else np.float32)
    return {"csr": scipy.sparse.csr_matrix, "Fortran": np.asfortranarray}.get(kind, np.asarray)(X)


def targets(rng, rows, loss, outputs, soft_labels):
    """What a loss takes: labels or their probabilities, 0 and 1, or counts."""
    if isinstance(loss, nn.CrossEntropy):
        labels = rng.integers(outputs, size=rows)
        return 0.8 * np.eye(outputs)[labels] + 0.2 / outputs if soft_labels else labels
    if isinstance(loss, nn.BinaryCrossEntropy):
        return rng.integers(2, size=(rows, outputs))
    return rng.poisson(1.5, size=(rows, outputs)).astype(np.float64)


# -- training -------------------------------------------------------------------------------------


def train_network(number, expression, how, *, X, batch_size, soft_labels=False, **options):
    """What a network gives after two epochs, and after one more.

    The last epoch depends on all that is kept between fits, such as the optimizer's state.
    """
    rng = np.random.default_rng(number)
    net = eval(f"{expression[:-1]}, seed={number})", dict(NAMES))
    rows, kind = (600 if batch_size > 100 else 150), X
    like = net.loss, net.layers[-1].units, soft_labels
    X, y = inputs(rng, rows, kind), targets(rng, rows, *like)
    if options.get("sample_weight"):
        options["sample_weight"] = rng.random(rows) + 0.5
    if options.get("validation_data"):
        options["validation_data"] = inputs(rng, 40, kind), targets(rng, 40, *like)
    found = []
    for epochs in (2, 1):
        found += [WAYS[how](net, X, y, batch_size, epochs, options)]
        found += [net.epoch, net.state_dict(), net.forward(X), net.predict(X)]
        found += [net.evaluate(X, y)]
        if isinstance(net.loss, nn.CrossEntropy | nn.BinaryCrossEntropy):
            found += [net.predict_proba(X)]
        if getattr(net.optimizer, "ema_decay", None) is not None:
            found += [net.averaged().state_dict()]
    return found


def _recorded(history):
    """What a fit records, but for times, and for products skipped where that is faster here."""
    return {name: history[name] for name in history if name not in ("seconds", "skipped")}


def _fit(net, X, y, batch_size, epochs, options):
    return _recorded(net.fit(X, y, epochs=epochs, batch_size=batch_size, **options))


def _batches(X, y, batch_size, options):
    weight = options.get("sample_weight")
    for start in range(0, X.shape[0], batch_size):
        rows = slice(start, start + batch_size)
        yield X[rows], y[rows], *([] if weight is None else [weight[rows]])


def _fit_minibatches(net, X, y, batch_size, epochs, options):
    return _recorded(net.fit(list(_batches(X, y, batch_size, options)), epochs=epochs))


def _train_on_batch(net, X, y, batch_size, epochs, options):
    losses = []
    for _ in range(epochs):
        losses += [net.train_on_batch(*each) for each in _batches(X, y, batch_size, options)]
        net.epoch += 1
    return losses


def _step(net, X, y, batch_size, epochs, options):
    """With a gradient of ordinary size, whatever the loss of the network is."""
    found = []
    for _ in range(epochs):
        for rows, _ in _batches(X, y, batch_size, options):
            z = net.forward(rows, training=True)
            found += [z, net.backward((z - 1) / len(z)), net.gradients()]
            net.step()
        net.epoch += 1
    return found


WAYS = {
    "fit": _fit,
    "minibatches": _fit_minibatches,
    "train_on_batch": _train_on_batch,
    "step": _step,
}
