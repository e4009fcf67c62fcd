"""The experiments, in the order of the page."""

from relume.experiments.costs import EXP, SPARSITY
from relume.experiments.dying import CURES, DYING
from relume.experiments.experiment import Experiment
from relume.experiments.gradients import RESIDUAL, VANISHING
from relume.experiments.inputs import SKEWED, SMALL, SPARSE
from relume.experiments.recipes import BATCHES, DROPOUT
from relume.experiments.speed import SIX_TIMES
from relume.experiments.tasks import AUTOENCODER, MIXTURE, PERIODIC
from relume.experiments.variance import VARIANCE
from relume.experiments.zeros import HALF, HOMOGENEITY

EXPERIMENTS: dict[str, Experiment] = {
    each.name: each
    for each in (
        VANISHING, HALF, HOMOGENEITY, DYING, CURES, SIX_TIMES, EXP, VARIANCE, SPARSITY,
        DROPOUT, BATCHES, SKEWED, RESIDUAL, MIXTURE, PERIODIC, SPARSE, AUTOENCODER, SMALL,
    )
}  # fmt: skip
