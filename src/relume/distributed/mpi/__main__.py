"""``mpiexec -n 4 python -m relume.distributed.mpi script.py``: a script on all ranks.

An exception that a rank does not catch ends the whole job, as ``python -m mpi4py`` does, and each
rank begins with one thread unless RELUME_NUM_THREADS or OMP_NUM_THREADS says otherwise.
"""

import os


def main() -> None:
    """Run the script that the command line names."""
    if "OMP_NUM_THREADS" not in os.environ:
        os.environ.setdefault("RELUME_NUM_THREADS", "1")
    from relume.distributed.mpi.channel import mpi4py_or_error

    mpi4py_or_error()
    from mpi4py.run import main as run

    run()


if __name__ == "__main__":
    main()
