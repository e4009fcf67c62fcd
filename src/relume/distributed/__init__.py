"""Training on more than one process, with the bits of ``net.fit(groups=)`` on one.

`relume.distributed.dask` trains on the arrays and dataframes of a Dask cluster. Nothing of it is
imported by ``import relume``.
"""
