"""Training on the ranks of an MPI job together, with the bits of ``net.fit(groups=)``."""

from relume.distributed.mpi.fitting import fit, rows
from relume.public_names import publish as _publish

__all__ = ["fit", "rows"]

_publish(globals())
