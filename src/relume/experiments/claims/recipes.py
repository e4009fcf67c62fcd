"""Claims about training: dropout, and warm-up with large batches."""

from relume import nn
from relume.experiments.data import Data
from relume.experiments.experiment import Experiment, Part, Quantity, greater
from relume.experiments.training import accuracy, classifier, digits, hidden, train

ACCURACY = Quantity(
    "accuracy", "held-out accuracy, %", "Accuracy at the end of training", form=".1f"
)

# -- dropout --------------------------------------------------------------------------------------

DROPOUTS = {"no dropout": 0.0, "dropout 0.2": 0.2, "dropout 0.5": 0.5}


def measure_dropout(seeds, epochs, rows=200, units=256):
    """Measure with few rows, which a network of this size memorizes."""
    data = Data()
    for seed in range(seeds):
        split = digits(seed, rows)
        for condition, rate in DROPOUTS.items():
            layers = [
                each
                for dense in hidden("relu", units, 2)
                for each in (dense, *([nn.Dropout(rate)] if rate else []))
            ]
            net = train(classifier(layers, seed), split, epochs)
            data.add("accuracy", condition, accuracy(net, split))
    return data


def judge_dropout(data: Data) -> list[Part]:
    """Each dropout rate compared with no dropout."""
    none, *others = DROPOUTS
    return [greater(f"{other} helps", data, ACCURACY, other, none) for other in others]


DROPOUT = Experiment(
    name="dropout",
    title="Dropout with ReLU",
    question="Does dropout make a ReLU network generalize better from few rows?",
    claim="Dropout after ReLU layers improves held-out accuracy.",
    method="Two hidden layers of 256 ReLU units are trained on 200 digits with Adam at 0.001 in "
    "batches of 32, without dropout and with 20 % and 50 % dropout after each hidden layer. Each "
    "seed has its own rows, weights, order and held-out quarter of all digits.",
    rule="With 95 % confidence, paired by seed: accuracy is higher with 20 % dropout than "
    "without; and higher with 50 % dropout than without.",
    measure=measure_dropout,
    judge=judge_dropout,
    quantities=[ACCURACY],
    full={"seeds": 20, "epochs": 100},
    quick={"seeds": 6, "epochs": 60},
)

# -- large-batches --------------------------------------------------------------------------------

SMALL, LARGE = 32, 512
RATE = 0.01  # the default of nn.SGD
SMALL_BATCH, WITHOUT, WITH = "batch of 32", "batch of 512", "batch of 512, warm-up"


def measure_batches(seeds, epochs, warmup=5):
    """Measure with a learning rate in proportion to the batch size, for as many epochs."""
    scaled = RATE * LARGE / SMALL
    runs = {
        SMALL_BATCH: (SMALL, RATE, None),
        WITHOUT: (LARGE, scaled, None),
        WITH: (LARGE, scaled, nn.ConstantRate(warmup=warmup)),
    }
    data = Data()
    for seed in range(seeds):
        split = digits(seed)
        for condition, (batch, rate, schedule) in runs.items():
            layers = hidden("relu", 256, 1) + hidden("relu", 128, 1)
            optimizer = nn.SGD(rate, momentum=0.9)
            net = classifier(layers, seed, optimizer=optimizer, schedule=schedule)
            train(net, split, epochs, batch_size=batch)
            data.add("accuracy", condition, accuracy(net, split))
    return data


def judge_batches(data: Data) -> list[Part]:
    """What is lost without warm-up, and whether warm-up recovers it."""
    return [
        greater("without warm-up the large batch loses accuracy", data, ACCURACY, SMALL_BATCH,
                WITHOUT),
        greater("warm-up helps the large batch", data, ACCURACY, WITH, WITHOUT),
        greater("with warm-up it is less than 1 point below the small batch", data, ACCURACY, WITH,
                SMALL_BATCH, by=-1),
    ]  # fmt: skip


BATCHES = Experiment(
    name="large-batches",
    title="Large batches and warm-up",
    question="Do large batches with a scaled learning rate need warm-up?",
    claim="Large batches with a scaled learning rate lose accuracy unless the rate is warmed up.",
    method="Hidden layers of 256 and 128 ReLU units are trained on the digits by SGD with "
    "momentum 0.9 for the same number of epochs: in batches of 32 at rate 0.01, and in batches "
    "of 512 at 16 times that rate, from the start or after 5 epochs of linear warm-up. If the "
    "loss overflows, the network before that epoch counts. Each seed has its own weights, order "
    "and held-out quarter.",
    rule="With 95 % confidence, paired by seed: the large batch without warm-up is less accurate "
    "than the small batch; with warm-up it is more accurate than without; and with warm-up it is "
    "less than 1 point below the small batch.",
    measure=measure_batches,
    judge=judge_batches,
    quantities=[ACCURACY],
    full={"seeds": 10, "epochs": 30},
    quick={"seeds": 5, "epochs": 20},
)
