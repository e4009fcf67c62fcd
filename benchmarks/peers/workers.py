"""A process for each contender and number of threads, and their turns.

A process of its own, since threads of OpenBLAS and XLA are fixed at a process's start, libraries
share an OpenMP runtime by the order of their imports, and memory is a process's. Only one works at
a time; between two turns there is a pause, in which threads that spin come to rest.
"""

import importlib
import multiprocessing
import os
import time
import traceback
from typing import NamedTuple

from libraries import CONTENDERS, NotBuilt

PAUSE = 0.02
THREADS = sorted({1, len(os.sched_getaffinity(0))})
VARIABLES = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RELUME_NUM_THREADS"]


class Worker:
    """The process of a contender, which waits for what to do."""

    def __init__(self, name, threads):
        self.name, self.threads = name, threads
        self.connection, theirs = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")
        self.process = context.Process(target=serve, args=(theirs, name, threads), daemon=True)
        all_cpus = os.sched_getaffinity(0)
        kept = {name: os.environ.get(name) for name in VARIABLES}
        os.environ.update(dict.fromkeys(VARIABLES, str(threads)))
        os.sched_setaffinity(0, sorted(all_cpus)[-threads:])
        try:
            self.process.start()
        finally:
            os.sched_setaffinity(0, all_cpus)
            for variable, value in kept.items():
                os.environ.pop(variable)
                if value is not None:
                    os.environ[variable] = value
        theirs.close()

    def send(self, *message):
        self.connection.send(message)

    def receive(self):
        """What the last message led to; raises what it raised."""
        error, result = self.connection.recv()
        if error is not None:
            raise error
        return result

    def call(self, *message):
        self.send(*message)
        return self.receive()

    def end(self):
        self.process.terminate()
        self.process.join()


def serve(connection, name, threads):
    """The life of a worker: prepare(work, problem), then answer() and turn()."""
    module, arguments = CONTENDERS[name]
    library, work, prepared = None, None, None
    while message := connection.recv():
        try:
            result = None
            if message[0] == "prepare":
                if library is None:
                    library = importlib.import_module(f"libraries.{module}")
                    library.set_threads(threads)
                work, problem = message[1], message[2].copied()
                message = prepared = None
                prepared = work.prepare(library, problem, arguments)
            else:
                result = getattr(work, message[0])(prepared)
            connection.send((None, result))
        except (ImportError, NotBuilt) as error:
            connection.send((NotBuilt(str(error)), None))
        except Exception:
            connection.send((RuntimeError(traceback.format_exc()), None))


class Measured(NamedTuple):
    """Of one work."""

    times: dict  # contender: {threads: [each round's]}
    notes: dict  # contender: how its results compare, or why there are none
    wrong: list  # contenders whose results differ


class Pool:
    """The workers of a run, kept from work to work."""

    def __init__(self):
        self.workers = {}

    def measure(self, work, names, rounds):
        """Time some contenders in turn, round by round, with one and with all threads."""
        if work.fresh:
            self.end()
        problem, notes = work.problem(), {}
        threads = THREADS[-1:] if work.fresh else THREADS
        workers = self._prepared(work, problem, [(n, t) for n in names for t in threads], notes)
        answers = {}
        for name, _ in workers:
            if name not in answers:
                answers[name] = workers[name, threads[-1]].call("answer")
        wrong = []
        for name, note, fine in work.differences(answers, problem):
            notes[name] = note
            wrong += [] if fine else [name]
        times = {name: {t: [] for t in threads} for name, _ in workers}
        for number in range(1 if work.fresh else rounds + 1):
            for (name, t), worker in list(workers.items())[:: 1 if number % 2 else -1]:
                time.sleep(PAUSE)
                taken = worker.call("turn")
                if number or work.fresh:  # the first round warms up
                    times[name][t].append(taken)
        return Measured(times, notes, wrong)

    def _prepared(self, work, problem, keys, notes):
        """Workers that hold the problem, without those whose library or work is not there."""
        for key in keys:
            if key not in self.workers:
                self.workers[key] = Worker(*key)
        for key in keys:
            self.workers[key].send("prepare", work, problem)
        ready = {}
        for key in keys:
            try:
                self.workers[key].receive()
                ready[key] = self.workers[key]
            except NotBuilt as error:
                notes[key[0]] = f"not built: {error}"
        return ready

    def end(self):
        for worker in self.workers.values():
            worker.end()
        self.workers = {}
