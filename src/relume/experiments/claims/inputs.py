"""Claims about inputs: skewed, heavy-tailed, sparse and small ones."""

from functools import partial

import numpy as np
from scipy import sparse

from relume import nn
from relume.experiments.claims.costs import interleaved
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, above, greater, times
from relume.experiments.training import Split, accuracy, classifier, digits, hidden, train

ACCURACY = Quantity(
    "accuracy", "held-out accuracy, %", "Accuracy at the end of training", form=".1f"
)

# -- skewed-inputs --------------------------------------------------------------------------------

SHAPES = {
    "skewed": lambda normal, rng: np.exp(1.5 * normal),
    "heavy-tailed": lambda normal, rng: normal / np.sqrt(rng.chisquare(2, normal.shape) / 2),
}


def generated(shape, seed, rows=2000, features=20):
    """Two classes, given by a smooth function of normal numbers that are then transformed."""
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((rows, features))
    teacher = rng.standard_normal((features, 3))
    y = (np.tanh(normal @ teacher / np.sqrt(features)).sum(axis=1) > 0).astype(np.int64)
    X = SHAPES[shape](normal, rng)
    X = X * 10.0 ** rng.uniform(-2, 2, features)  # each feature has its own scale
    held_out = rows // 4
    X = X.astype(np.float32)
    return Split(X[held_out:], y[held_out:], X[:held_out], y[:held_out])


def measure_skewed(seeds, epochs):
    """Measure accuracy with and without a layer that standardizes."""
    data = Data()
    for seed in range(seeds):
        for shape in SHAPES:
            split = generated(shape, seed)
            for suffix, first in (("raw", []), ("Standardize", [nn.Standardize()])):
                net = classifier([*first, *hidden("relu", 64, 2)], seed)
                data.add(
                    "accuracy", f"{shape}, {suffix}", accuracy(train(net, split, epochs), split)
                )
    return data


def judge_skewed(data: Data) -> list[Part]:
    """For each distribution."""
    return [
        greater(f"{shape} inputs: Standardize helps", data, ACCURACY, f"{shape}, Standardize",
                f"{shape}, raw")
        for shape in SHAPES
    ]  # fmt: skip


SKEWED = Experiment(
    name="skewed-inputs",
    title="Skewed and heavy-tailed inputs",
    question="Do ReLU networks need input features of similar scale?",
    claim="On skewed or heavy-tailed inputs, standardizing them improves a ReLU network.",
    method="20 normal features determine two classes. The features are then skewed by an "
    "exponential (log-normal, shape 1.5) or made heavy-tailed (Student's t, 2 degrees of "
    "freedom), and each is multiplied by a factor between 0.01 and 100. Two hidden layers of 64 "
    "ReLU units are trained on 1,500 rows with Adam at 0.001 in batches of 32, with and without "
    "an nn.Standardize as the first layer; 500 rows are held out. Each seed draws other data and "
    "weights.",
    rule="For each of the two distributions, with 95 % confidence, paired by seed: held-out "
    "accuracy is higher with Standardize.",
    measure=measure_skewed,
    judge=judge_skewed,
    quantities=[ACCURACY],
    full={"seeds": 10, "epochs": 40},
    quick={"seeds": 5, "epochs": 15},
)

# -- sparse-inputs --------------------------------------------------------------------------------

SECONDS = Quantity("seconds", "seconds per epoch", "Time per epoch by storage format", form=".3f")
RELU, TANH = "relu", "tanh"
CSR, DENSE = "sparse (CSR)", "dense"


def documents(seed, rows, words, topics=10, length=30):
    """Bags of words as a CSR matrix; a third of each document's words are typical of its topic."""
    rng = np.random.default_rng(seed)
    y = rng.integers(topics, size=rows)
    common = rng.integers(words, size=(rows, length))
    own = y[:, None] * (words // topics) + rng.integers(words // topics // 4, size=common.shape)
    columns = np.where(rng.random(common.shape) < 1 / 3, own, common)
    index = np.repeat(np.arange(rows), length), columns.ravel()
    X = sparse.coo_array((np.ones(rows * length, np.float32), index), (rows, words)).tocsr()
    held_out = rows // 4
    return Split(X[held_out:], y[held_out:], X[:held_out], y[:held_out])


def measure_sparse(seeds, epochs, repeats, rows=4000, words=10_000):
    """Measure accuracy by activation, and the time per epoch by storage format."""
    data = Data()
    for seed in range(seeds):
        split = documents(seed, rows, words)
        for activation in (RELU, TANH):
            net = train(classifier(hidden(activation, 64, 1), seed), split, epochs)
            data.add("accuracy", activation, accuracy(net, split))
        ways = {}
        for condition, X in ((CSR, split.X), (DENSE, split.X.toarray())):
            net = classifier(hidden(RELU, 64, 1), seed)
            ways[condition] = partial(net.fit, X, split.y, batch_size=128)
        for condition, seconds in interleaved(ways, repeats).items():
            data.add("seconds", condition, seconds)
    return data


def judge_sparse(data: Data) -> list[Part]:
    """ReLU learns, no worse than tanh, and faster with sparse storage."""
    return [
        above("ReLU learns: over 90 %", data, ACCURACY, RELU, 90),
        greater("ReLU is less than 1 point below tanh", data, ACCURACY, RELU, TANH, by=-1),
        times("an epoch takes over twice as long with dense rows", data, SECONDS, DENSE, CSR, 2),
    ]


SPARSE = Experiment(
    name="sparse-inputs",
    title="Very sparse, high-dimensional input",
    question="Does a ReLU network learn from thousands of features, most of which are 0?",
    claim="ReLU networks learn from very sparse, high-dimensional input without storing its "
    "zeros.",
    method="4,000 synthetic documents have 30 words out of 10,000, a third of them typical of one "
    "of ten topics. A network with a hidden layer of 64 units is trained on the topics of three "
    "quarters of them with Adam at 0.001 in batches of 32; the others are held out. An epoch in "
    "batches of 128 is timed with sparse rows (CSR) and dense rows in turn, and the medians are "
    "compared. Each seed draws other documents and weights.",
    rule="With 95 % confidence: held-out accuracy with ReLU is over 90 %; it is less than 1 point "
    "below that with tanh, paired by seed; and an epoch takes over twice as long with dense rows "
    "as with CSR.",
    measure=measure_sparse,
    judge=judge_sparse,
    quantities=[ACCURACY, SECONDS],
    full={"seeds": 10, "epochs": 10, "repeats": 5},
    quick={"seeds": 4, "epochs": 5, "repeats": 3},
)

# -- small-signals --------------------------------------------------------------------------------

KEPT = Quantity(
    "kept", "variance that can be recovered, %", "Information that a first layer keeps",
    x_label="size of the signal", x_log=True, form=".1f",
)  # fmt: skip
LEARNED = Quantity(
    "accuracy", "held-out accuracy, %", "Accuracy at the end of training",
    x_label="size of the signal", x_log=True, form=".1f",
)  # fmt: skip
FAINT = 0.01


def readable(outputs, X):
    """The share of X's variance that a linear map of the outputs recovers, in per cent."""
    outputs = np.column_stack([outputs, np.ones(len(outputs))])
    residual = X - outputs @ np.linalg.lstsq(outputs, X, rcond=None)[0]
    return 100 * (1 - np.sum(residual**2) / np.sum((X - X.mean(axis=0)) ** 2))


def measure_small(seeds, epochs, sizes=(1.0, 0.1, 0.01), width=64):
    """Measure on digits around 0, scaled to smaller and smaller size."""
    data = Data()
    for seed in range(seeds):
        split = digits(seed)
        mean = split.X.mean(axis=0)
        for size in sizes:
            X, X_test = (size * (rows - mean) for rows in (split.X, split.X_test))
            faint = split._replace(X=X, X_test=X_test)
            for activation in ("relu", "leaky_relu", "tanh"):
                first = nn.Network(hidden(activation, width, 1), loss="mse", seed=seed)
                outputs = first.forward(X).astype(np.float64)
                data.add("kept", activation, readable(outputs, X.astype(np.float64)), size)
                net = train(classifier(hidden(activation, width, 2), seed), faint, epochs)
                data.add("accuracy", activation, accuracy(net, faint), size)
    return data


def judge_small(data: Data) -> list[Part]:
    """At size 0.01."""
    parts = []
    for quantity, words in ((KEPT, "keeps more"), (LEARNED, "learns better")):
        for other in ("tanh", "leaky_relu"):
            statement = f"{other} {words} than ReLU at size {FAINT}"
            parts.append(greater(statement, data, quantity, other, "relu", FAINT))
    return parts


SMALL = Experiment(
    name="small-signals",
    title="Small signals around zero",
    question="Do small signals around zero pass through a ReLU?",
    claim="ReLU cuts off half of a small signal around zero. Tanh, which is linear there, and "
    "leaky ReLU let it pass.",
    method="The digits, with their mean subtracted, are multiplied by 1, 0.1 and 0.01. They are "
    "the input of a freshly initialized layer of 64 units. The least-squares linear map from its "
    "outputs back to the 64 inputs shows how much the layer kept. A network with two such layers "
    "is then trained on the digits with Adam at 0.001 in batches of 32. Each seed has its own "
    "weights, order and held-out quarter.",
    rule="At size 0.01, with 95 % confidence, paired by seed: tanh keeps more than ReLU; leaky "
    "ReLU keeps more than ReLU; a tanh network is more accurate than a ReLU network; and so is a "
    "leaky ReLU network.",
    measure=measure_small,
    judge=judge_small,
    quantities=[KEPT, LEARNED],
    full={"seeds": 10, "epochs": 20},
    quick={"seeds": 5, "epochs": 8},
)
