"""The optimizers of scikit-learn's estimators, where they differ from those of relume.nn.

They are here rather than beside the estimators so that a saved network loads without scikit-learn.
"""

from typing import Unpack

from relume.nn.optimizers.optimizers import SGD, Adam, Options


class SGDOfScikitLearn(SGD):
    """Velocities that hold the learning rate; momentum may be 1, and nesterov needs none."""

    lr_in_velocity = True

    def __init__(
        self,
        lr: float = 0.001,
        momentum: float = 0.9,
        nesterov: bool = True,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(lr, **options)
        self.momentum, self.nesterov = float(momentum), bool(nesterov)


class AdamOfScikitLearn(Adam):
    """Adam whose eps is added to the root of v as it is."""

    eps_uncorrected = True


OF_SCIKIT_LEARN: dict[str, type[SGD | Adam]] = {
    "sgd": SGDOfScikitLearn,
    "adam": AdamOfScikitLearn,
}
