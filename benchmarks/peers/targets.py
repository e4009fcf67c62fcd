"""The comparisons, with the ratios that relume must reach and those that it aims for.

The default is 1: relume must not be slower. "PyTorch" is eager PyTorch, as most users run it; the
compiled step is a separate contender. The works of a group run together.
"""

from typing import NamedTuple

from works import Layer, Memory, Prediction, Training, ZerosTraining


class Target(NamedTuple):
    """A comparison: the minimum ratio and the aim of their time over ours."""

    theirs: str
    must: float = 1.0
    aim: float | None = None
    ours: str = "relume"


SMALL, MIDDLE = (64, 64, 32, 10), (64, 256, 128, 10)
FASHION, WIDE = (784, 256, 128, 10), (1024, 1024, 1024, 10)
SHARES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)


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


def _prediction(onnx_runtime, scikit_learn=1.0):
    peers = [Target("ONNX Runtime", *onnx_runtime), Target("scikit-learn", scikit_learn)]
    return [*peers, Target("PyTorch"), Target("JAX"), Target("NumPy")]


def _chosen(work):
    return work, [Target("relume never", 0.95), Target("relume always", 0.95)]


WORKS = {  # group: [(work, targets)]
    "train": [
        (Training("digits", SMALL, 32, 10), _training((1.4, 2.5), 12, 12, 10)),
        (Training("digits", MIDDLE, 128, 10), _training((1.3, 1.8), 2.5, 4, 1)),
        (Training("Fashion-MNIST", FASHION, 128, 1), _training((1.15, 1.4), 1.6, 4, 4)),
    ],
    "predict": [
        (Prediction(SMALL, 1), _prediction((2, 4), 40)),
        (Prediction(FASHION, 1), _prediction((1.7, 2.2), 20)),
        *(
            (Prediction(layers, rows), _prediction((1.0, 1.3)))
            for rows in (256, 4096)
            for layers in (SMALL, FASHION)
        ),
    ],
    "zeros": [
        (Prediction(WIDE, 1, 0.9), [Target("relume never", 3, 7), *_prediction((1.0, None))]),
        (Layer(WIDE[:2], 128, 0.9), [Target("NumPy", 1.3, 3)]),
        (Layer(WIDE[:2], 128, 0.95), [Target("NumPy", 2.5, 5)]),
    ],
    "auto": [
        *(_chosen(Prediction(WIDE, 1, share)) for share in SHARES),
        *(_chosen(Layer(WIDE[:2], 128, share)) for share in SHARES),
        *(_chosen(ZerosTraining("", FASHION, 128, 1, share)) for share in SHARES),
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
