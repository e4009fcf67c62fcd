"""A process for each contender and number of threads, and their turns.

Contenders have processes of their own because OpenBLAS and XLA fix their threads when a process
starts, because the order of imports decides which OpenMP runtime is shared, and because memory is
measured per process. Only one process works at a time: the others are stopped (SIGSTOP), because
the threads of a pool that spin while they wait would take the second CPU from whoever comes next.
"""

import importlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
import traceback
from multiprocessing.connection import Connection
from typing import NamedTuple

import numpy as np
from libraries import CONTENDERS, NotBuilt

PAUSE = 0.005  # seconds before a turn, in which the process before it comes to rest
THREADS = sorted({1, len(os.sched_getaffinity(0))})
VARIABLES = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RELUME_NUM_THREADS"]


class Process:
    """A process that answers messages, and is stopped in between.

    It runs a program with some arguments and, behind them, the number of its end of a pipe;
    `variables` are added to its environment.
    """

    def __init__(self, program, arguments, threads, variables=None):
        self.connection, theirs = multiprocessing.Pipe()
        self.process = subprocess.Popen(
            [sys.executable, program, *map(str, arguments), str(theirs.fileno())],
            env=os.environ | dict.fromkeys(VARIABLES, str(threads)) | (variables or {}),
            pass_fds=[theirs.fileno()],
        )
        theirs.close()

    def call(self, *message):
        """The answer to a message; the process runs only meanwhile."""
        self.process.send_signal(signal.SIGCONT)
        self.connection.send(message)
        answer = self.connection.recv()
        self.process.send_signal(signal.SIGSTOP)
        return answer

    def end(self):
        self.process.kill()
        self.process.wait()


class Worker(Process):
    """The process of a contender."""

    def __init__(self, name, threads, variables=None):
        super().__init__(__file__, [name, threads], threads, variables)

    def call(self, *message):
        """The result of a message, or its exception."""
        error, result = super().call(*message)
        if error is not None:
            raise error
        return result


def serve(connection, name, threads):
    """The loop of a worker, which handles prepare(work, problem), answer() and turn()."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])
    module, arguments = CONTENDERS[name]
    library, work, prepared = None, None, None
    while message := connection.recv():
        try:
            result = None
            if message[0] == "prepare":
                if library is None:
                    library = importlib.import_module(f"libraries.{module}")
                    library.set_up(threads, **arguments)
                work, problem = message[1], message[2].copied()
                message = prepared = None
                prepared = work.prepare(library, problem, arguments)
            else:
                result = getattr(work, message[0])(prepared)
            connection.send((None, result))
        except (ImportError, NotBuilt) as error:
            connection.send((NotBuilt(f"not built: {error}"), None))
        except Exception as error:
            traceback.print_exc()
            connection.send((NotBuilt(f"failed: {error!r}"[:200]), None))


class Measured(NamedTuple):
    """The measurements of one work."""

    times: dict  # contender: {threads: [time of each round]}
    notes: dict  # contender: how its results compare, or why there are none
    wrong: list  # contenders whose results differ


class Pool:
    """The workers of a run, which are reused for all works."""

    def __init__(self):
        self.workers = {}
        self.rng = np.random.default_rng()

    def measure(self, work, names, rounds):
        """Time contenders with one and with all threads, round by round in a new random order."""
        if work.fresh:
            self.end()
        problem, notes = work.problem(), {}
        threads = THREADS[-1:] if work.fresh else THREADS
        workers = self._prepared(work, problem, [(n, t) for n in names for t in threads], notes)
        answers = {key: worker.call("answer") for key, worker in workers.items()}  # warms up too
        wrong = []
        for (name, _), note, fine in work.differences(answers, problem):
            notes[name] = note
            wrong += [] if fine else [name]
        times = {name: {} for name, _ in workers}
        for name, t in workers:
            times[name][t] = []
        for _ in range(1 if work.fresh else rounds):
            for i in self.rng.permutation(len(workers)):
                (name, t), worker = [*workers.items()][i]
                time.sleep(PAUSE)
                times[name][t].append(worker.call("turn"))
        return Measured(times, notes, wrong)

    def _prepared(self, work, problem, keys, notes):
        """The workers after preparing the problem, without those that cannot run it."""
        ready = {}
        for key in keys:
            if key not in self.workers:
                self.workers[key] = Worker(*key)
            try:
                self.workers[key].call("prepare", work, problem)
                ready[key] = self.workers[key]
            except NotBuilt as error:
                notes[key[0]] = str(error)
        return ready

    def end(self):
        for worker in self.workers.values():
            worker.end()
        self.workers = {}


if __name__ == "__main__":
    serve(Connection(int(sys.argv[3])), sys.argv[1], int(sys.argv[2]))
