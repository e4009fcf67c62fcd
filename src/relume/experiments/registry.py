"""All experiments, in the order in which the page shows them."""

from relume.experiments.claims.costs import EXP, SPARSITY
from relume.experiments.claims.dying import CURES, DYING
from relume.experiments.claims.gradients import RESIDUAL, VANISHING
from relume.experiments.claims.inputs import SKEWED, SMALL, SPARSE
from relume.experiments.claims.recipes import BATCHES, DROPOUT
from relume.experiments.claims.speed import SIX_TIMES
from relume.experiments.claims.tasks import AUTOENCODER, MIXTURE, PERIODIC
from relume.experiments.claims.variance import VARIANCE
from relume.experiments.claims.zeros import HALF, HOMOGENEITY
from relume.experiments.experiment import Experiment

EXPERIMENTS: dict[str, Experiment] = {
    each.name: each
    for each in (
        VANISHING, HALF, HOMOGENEITY, DYING, CURES, SIX_TIMES, EXP, VARIANCE, SPARSITY,
        DROPOUT, BATCHES, SKEWED, RESIDUAL, MIXTURE, PERIODIC, SPARSE, AUTOENCODER, SMALL,
    )
}  # fmt: skip
