"""The comparisons, with the ratios that relume must reach and those that it aims for.

The default is 1: relume must not be slower. "PyTorch" is eager PyTorch, as most users run it; the
compiled step is a separate contender. The works of a group run together.
"""

from typing import NamedTuple

from problems import random_shapes
from works import Layer, Memory, Prediction, Steps, Training


class Target(NamedTuple):
    """A comparison: the minimum ratio and the aim of their time over ours."""

    theirs: str | tuple[str, ...]  # of several, the fastest
    must: float = 1.0
    aim: float | None = None
    ours: str = "relume"
    threads: int | None = None  # of both sides; None takes the faster number for each

    @property
    def peers(self):
        return (self.theirs,) if isinstance(self.theirs, str) else self.theirs

    @property
    def label(self):
        return " or ".join(self.peers)


SEED = 40  # of the random shapes
SMALL, MIDDLE = (64, 64, 32, 10), (64, 256, 128, 10)
FASHION, WIDE = (784, 256, 128, 10), (1024, 1024, 1024, 10)
TINY, WIDER = (20, 40, 40, 10), (2048, 2048, 2048, 10)


def _training(jax, pytorch, scikit_learn, wrapped):
    """Targets for training; `wrapped` is the required ratio of relume.sklearn to scikit-learn."""
    return [
        Target("JAX", *jax),
        Target("PyTorch", pytorch),
        Target("PyTorch compiled"),
        Target("scikit-learn", scikit_learn),
        Target("NumPy"),
        Target("relume", 0.95, ours="relume.sklearn"),
        Target("scikit-learn", wrapped, ours="relume.sklearn"),
    ]


def _prediction(onnx_runtime, scikit_learn=1.0, threads=1):
    peers = [Target("ONNX Runtime", *onnx_runtime, threads=threads)]
    peers += [Target("scikit-learn", scikit_learn)]
    return [*peers, Target("PyTorch"), Target("JAX"), Target("NumPy")]


def shapes(seed):
    """The works of the group "shapes" for a seed."""
    target = Target("JAX", 0.95, 1.1)
    return [(Steps("", *shape, 1), [target]) for shape in random_shapes(seed)]


WORKS = {  # group: [(work, targets)]
    "train": [
        (Training("digits", SMALL, 32, 10), _training((1.9, 2.5), 12, 12, 10)),
        (Training("digits", MIDDLE, 128, 10), _training((1.8, 2.5), 2.5, 4, 1)),
        (Training("Fashion-MNIST", FASHION, 128, 1), _training((1.35, 1.6), 1.6, 4, 4)),
    ],
    "shapes": shapes(SEED),
    "wide": [
        (Steps("", layers, batch, 1), [Target(("JAX", "PyTorch"), 1.0, 1.15)])
        for layers in (WIDE, WIDER)
        for batch in (128, 512)
    ],
    "predict": [
        (Prediction(TINY, 1), _prediction((4, 7), 40)),
        (Prediction(SMALL, 1), _prediction((4, 7), 40)),
        (Prediction(FASHION, 1), _prediction((2, 2.3), 20)),
        *(
            (Prediction(layers, rows), _prediction((1.15, 1.5)))
            for rows in (256, 4096)
            for layers in (TINY, SMALL, FASHION)
        ),
    ],
    "zeros": [
        (
            Prediction(WIDE, 1, 0.9),
            [Target("relume never", 3, 7), *_prediction((1.0, None), threads=None)],
        ),
        (Layer(WIDE[:2], 128, 0.9), [Target("NumPy", 1.3, 3)]),
        (Layer(WIDE[:2], 128, 0.95), [Target("NumPy", 2.5, 5)]),
    ],
    "memory": [
        (
            Memory("Fashion-MNIST", FASHION, 128, 1),
            [
                Target("scikit-learn", 1, 2),
                Target("PyTorch", 1, 2),
                Target("JAX"),
                Target("scikit-learn", ours="relume.sklearn"),
            ],
        ),
    ],
}
