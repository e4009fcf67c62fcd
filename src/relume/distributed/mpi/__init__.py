"""Training on the ranks of an MPI job together, with the bits of ``net.fit(groups=)``."""

from relume.distributed.mpi.fitting import fit, rows

__all__ = ["fit", "rows"]
