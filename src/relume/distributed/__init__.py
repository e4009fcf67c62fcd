"""Training on more than one process, with the bits of ``net.fit(groups=)`` on one.

`relume.distributed.mpi` trains the processes of an MPI job together, and `relume.distributed.dask`
on the arrays and dataframes of a Dask cluster. Nothing of them is imported by ``import relume``.
"""
