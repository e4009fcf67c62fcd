"""Test model files, crashes, forks and limits of memory: `make durability`.

First, a model file is altered and truncated in many ways; none of the results may load. Second, a
run that saves checkpoints is killed at random moments. After each kill the file must load, and the
run that continues from it must end with the same file, byte for byte, as an uninterrupted run.
Third, children are forked while three Python threads fit; each child must be able to fit too.
Fourth, runs get little memory; each must go on, or raise a MemoryError.
Fifth, minibatches and steps are interrupted as by Ctrl-C at random moments. A step was then made
and counted, or not made, and training goes on to the same bits.
"""

import argparse
import ast
import copy
import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import safetensors.numpy
import threadpoolctl

import relume
from relume import nn
from relume.runtime.blas import single_threaded_blas
from relume.sklearn import MLPClassifier, MLPRegressor

EPOCHS = 60
SPAN = 0.3  # a run is killed within this many seconds of training


# -- Altered files --------------------------------------------------------------------------------


def parts(data):
    """The settings as text, and the tensors, from the bytes of a file."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    return header["__metadata__"]["relume"], safetensors.numpy.load(data)


def joined(text, tensors):
    """The bytes of a file with these settings and tensors, whose digest is not updated."""
    arrays = {name: np.array(value, order="C") for name, value in tensors.items()}
    return safetensors.numpy.save(arrays, {"relume": text})


def _span(data, rng):
    start, stop = sorted(rng.integers(len(data) + 1, size=2))
    return int(start), int(stop)


def bytes_changed(data, rng):
    changed = bytearray(data)
    for index in rng.integers(len(data), size=rng.integers(1, 4)):
        changed[index] = rng.integers(256)
    return bytes(changed)


def bit_flipped(data, rng):
    changed = bytearray(data)
    changed[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def header_changed(data, rng):
    """Change a byte of the header or of its length to a character that JSON may contain."""
    changed = bytearray(data)
    size = 8 + struct.unpack("<Q", data[:8])[0]
    changed[rng.integers(size)] = rng.choice(list(b' \t\n\r,:"\\{}[]0123456789aAeE+-.'))
    return bytes(changed)


def truncated(data, rng):
    return data[: rng.integers(len(data))]


def longer(data, rng):
    return data + rng.bytes(rng.integers(1, 50))


def span_removed(data, rng):
    start, stop = _span(data, rng)
    return data[:start] + data[stop:]


def span_doubled(data, rng):
    start, stop = _span(data, rng)
    return data[:stop] + data[start:]


def span_of_zeros(data, rng):
    start, stop = _span(data, rng)
    return data[:start] + bytes(stop - start) + data[stop:]


def tensors_swapped(data, rng):
    """Swap two tensors of the same shape and dtype."""
    text, tensors = parts(data)
    pairs = [
        (a, b)
        for a in tensors
        for b in tensors
        if a < b and tensors[a].shape == tensors[b].shape and tensors[a].dtype == tensors[b].dtype
    ]
    a, b = pairs[rng.integers(len(pairs))]
    tensors[a], tensors[b] = tensors[b], tensors[a]
    return joined(text, tensors)


def tensor_left_out(data, rng):
    text, tensors = parts(data)
    tensors.pop(list(tensors)[rng.integers(len(tensors))])
    return joined(text, tensors)


def number_nudged(data, rng):
    """Change one number of a tensor to the next larger one."""
    text, tensors = parts(data)
    names = [name for name in tensors if tensors[name].dtype.kind == "f"]
    name = names[rng.integers(len(names))]
    tensors[name] = tensors[name].copy()
    index = rng.integers(tensors[name].size)
    tensors[name].flat[index] = np.nextafter(tensors[name].flat[index], np.float32(np.inf))
    return joined(text, tensors)


def setting_changed(data, rng):
    """Change one number, name or flag of the settings."""
    text, tensors = parts(data)
    settings = json.loads(text)
    leaves = list(_leaves(settings))
    holder, key = leaves[rng.integers(len(leaves))]
    value = holder[key]
    if isinstance(value, bool) or value is None:
        holder[key] = not value
    else:
        holder[key] = value + 1 if isinstance(value, int | float) else value + "1"
    return joined(json.dumps(settings, sort_keys=True, separators=(",", ":")), tensors)


def _leaves(value):
    for key, each in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(each, dict | list):
            yield from _leaves(each)
        else:
            yield value, key


def settings_reformatted(data, rng):
    """Reformat the settings with whitespace, which does not change the meaning of JSON."""
    text, tensors = parts(data)
    return joined(json.dumps(json.loads(text), indent=int(rng.integers(4))), tensors)


ALTERATIONS = (
    bytes_changed, bit_flipped, header_changed, truncated, longer, span_removed, span_doubled,
    span_of_zeros, tensors_swapped, tensor_left_out, number_nudged, setting_changed,
    settings_reformatted,
)  # fmt: skip


def altered_that_load(folder, count, seed=0):
    """Alter a file `count` times; return the alterations after which it loads."""
    rng, path = np.random.default_rng(seed), Path(folder, "altered.safetensors")
    net = network()
    net.fit(*data(), epochs=3)
    net.save(path)
    whole, loaded = path.read_bytes(), []
    for i in range(count):
        alteration, changed = ALTERATIONS[i % len(ALTERATIONS)], whole
        while changed == whole:
            changed = alteration(whole, rng)
        path.write_bytes(changed)
        try:
            nn.load(path)
            loaded.append(f"alteration {i}, {alteration.__name__}")
        except nn.ModelFileError:
            pass
    return loaded


# -- Killed runs ----------------------------------------------------------------------------------


def data():
    rng = np.random.default_rng(1)
    return rng.normal(size=(300, 8)).astype(np.float32), rng.integers(3, size=300)


def network():
    """A network with every kind of state that a checkpoint must keep."""
    return nn.Network(
        [
            nn.Standardize(),
            nn.Dense(16, activation=nn.PReLU(per_unit=True)),
            nn.BatchNorm(),
            nn.Residual([nn.Dense(12, activation="relu"), nn.Dropout(0.2), nn.Dense(8)]),
            nn.Dense(3),
        ],
        optimizer=nn.NAdam(0.01, ema_decay=0.9, clip_norm=1.0),
        schedule=nn.ReduceOnPlateau("loss", factor=0.9, patience=0, warmup=2),
        seed=0,
    )


def train(path, epochs=EPOCHS):
    """Train up to a number of epochs, from the checkpoint if there is one."""
    path = Path(path)
    net = nn.load(path) if path.exists() else network()
    print("ready", flush=True)
    if net.epoch < epochs:
        net.fit(*data(), epochs=epochs - net.epoch, callbacks=[nn.ModelCheckpoint(path)])


def kill_runs(folder, count, seed=0, epochs=EPOCHS):
    """Kill runs `count` times and compare those that end with an uninterrupted run.

    Returns how many runs ended.
    """
    rng = np.random.default_rng(seed)
    whole, path = Path(folder, "whole.safetensors"), Path(folder, "killed.safetensors")
    start(whole, epochs).wait()
    killed = ended = 0
    while killed < count:
        run = start(path, epochs)
        time.sleep(rng.uniform(0, SPAN))
        run.kill()
        status = run.wait()
        if status == -signal.SIGKILL:
            killed += 1
        elif status == 0:  # it ended before the kill; the next run starts from scratch
            compare(whole, path, ended)
            path.unlink()
            ended += 1
        else:
            raise RuntimeError(f"a run failed with status {status}")
        if path.exists():
            nn.load(path)
    if start(path, epochs).wait() != 0:
        raise RuntimeError("the last run failed")
    compare(whole, path, ended)
    return ended + 1


def start(path, epochs):
    """Start a process that trains, and wait until it has loaded the checkpoint."""
    command = [sys.executable, __file__, "--train", str(path), "--epochs", str(epochs)]
    run = subprocess.Popen(command, stdout=subprocess.PIPE)
    if run.stdout.readline() != b"ready\n":
        raise RuntimeError(f"{command} did not start")
    run.stdout.close()
    return run


def compare(whole, path, ended):
    if whole.read_bytes() != path.read_bytes():
        shutil.copy(path, "killed.safetensors")
        raise AssertionError(f"run {ended + 1} ended with different bits: see killed.safetensors")


# -- Forked children ------------------------------------------------------------------------------

# Seconds after which a child hangs. One takes 20 ms, or 1 s where the machine is busy.
CHILD_SECONDS = 20


def fork_children(count):
    """Fork children while three Python threads fit, and let each fit; return what went wrong."""
    code = f"from tools import durability; print(durability.faults_of_children({count}))"
    command = [sys.executable, "-W", "ignore", "-c", code]
    done = subprocess.run(
        command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True
    )
    return ast.literal_eval(done.stdout)


def faults_of_children(count):
    X, y = data()
    stop = threading.Event()

    def classifier():
        MLPClassifier(hidden_layer_sizes=(8,), max_iter=2, n_threads=1, random_state=0).fit(X, y)

    def regressor():
        MLPRegressor(
            hidden_layer_sizes=(8,), solver="lbfgs", max_iter=3, n_threads=2, random_state=0
        ).fit(X, y)

    def lbfgs():
        layer = nn.Dense(3, weight_init="orthogonal")
        nn.Network([layer], seed=0, optimizer=nn.LBFGS(max_iter=3)).fit(X, y)

    def repeat(fit):
        while not stop.is_set():
            fit()

    fits = classifier, regressor, lbfgs
    for fit in fits:
        fit()
    before = blas_threads(), relume.get_num_threads()
    threads = [threading.Thread(target=repeat, args=(fit,)) for fit in fits]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations; and a fork beside threads
        for thread in threads:
            thread.start()
        faults = [fault for i in range(count) if (fault := fault_of_child(i, fits, before[0]))]
        stop.set()
        for thread in threads:
            thread.join()
    if (blas_threads(), relume.get_num_threads()) != before or single_threaded_blas._n_inside:
        faults.append("the parent's numbers of threads have changed")
    return faults


def fault_of_child(i, fits, blas):
    """Fork a child that fits; return what went wrong, or None."""
    child = os.fork()
    if child == 0:
        signal.alarm(CHILD_SECONDS)
        status = 1
        try:
            right = single_threaded_blas._n_inside == 0 and blas_threads() == blas
            fits[i % len(fits)]()
            right &= single_threaded_blas._n_inside == 0 and blas_threads() == blas
            status = 0 if right else 2
        finally:
            os._exit(status)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    faults = {0: None, 1: "raised", 2: "has other numbers of threads", -signal.SIGALRM: "hangs"}
    fault = faults.get(status, f"ended with status {status}")
    return fault and f"child {i} {fault}"


def blas_threads():
    """The number of threads of each BLAS library."""
    pools = threadpoolctl.threadpool_info()
    return [pool["num_threads"] for pool in pools if pool["user_api"] == "blas"]


# -- Limits of memory -----------------------------------------------------------------------------

LIMITED_RUN = """
import resource, sys, threading
import numpy as np
import relume
from relume import nn

def network():
    return nn.Network([nn.Dense(256, "relu"), nn.Dense(10)], seed=0).build(64)

X, y, net = np.zeros((20_000, 64), "f4"), np.zeros(20_000, "i8"), network()
calls = {
    "predict": lambda: net.predict(X),
    "fit": lambda: network().fit(X, y, batch_size=512),
    "ufuncs": lambda: (relume.gelu(X), relume.softmax(X, axis=0)),
}
relume.set_num_threads(int(sys.argv[2]))
now = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (now + int(sys.argv[1]), -1))

def work():
    try:
        calls[sys.argv[3]]()
        results.append("success")
    except MemoryError:
        results.append("MemoryError")

results, threads = [], []
try:
    for _ in range(2):
        threads.append(threading.Thread(target=work))
        threads[-1].start()
except (MemoryError, RuntimeError):     # Python itself cannot start one
    threads.pop()
work()
for thread in threads:
    thread.join()
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
net.predict(X)
print(*results)
"""


def limit_memory(count, megabytes=200):
    """Run with 0 to `megabytes` more memory than at the start; return the runs that failed."""
    failed = []
    for i in range(count):
        more = megabytes * 2**20 * i // count
        arguments = [str(more), str((2, 2, 8, 64)[i % 4]), ("predict", "fit", "ufuncs")[i % 3]]
        run = subprocess.run(
            [sys.executable, "-c", LIMITED_RUN, *arguments],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if run.returncode != 0:
            failed.append(f"{' '.join(arguments)}: status {run.returncode}, {run.stderr[-200:]}")
    return failed


# -- Interrupts -----------------------------------------------------------------------------------


def by_batch(net, X, y):
    net.train_on_batch(X, y)


def by_step(net, X, y):
    """A step of one's own loop. Interrupted before its gradients are there, it begins anew."""
    if net._built().gradients is None:
        random = net._rng.bit_generator.state
        try:
            z = net.forward(X, training=True)
            net.backward(z - np.eye(3, dtype=np.float32)[y])
        except KeyboardInterrupt:
            if net._built().gradients is None:
                net._rng.bit_generator.state = random
            raise
    net.step()


def interrupts(train, count, seed=0, steps=20):
    """Interrupt `count` times, and compare with a run that is not; returns how many runs ended."""
    rng, (X, y) = np.random.default_rng(seed), data()
    layers = [nn.Dense(64, activation="relu"), nn.Dropout(0.2), nn.Dense(3)]
    begin = nn.Network(layers, optimizer=nn.NAdam(0.01, ema_decay=0.9), seed=0).build(X.shape[1])
    whole = copy.copy(begin)
    started = time.perf_counter()
    for _ in range(steps):
        train(whole, X, y)
    span = time.perf_counter() - started
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    seen = ended = 0
    try:
        while seen < count:
            net = copy.copy(begin)
            while net._built().steps < steps:
                try:
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(0, span))
                    while net._built().steps < steps:
                        train(net, X, y)
                    signal.setitimer(signal.ITIMER_REAL, 0)
                except KeyboardInterrupt:
                    seen += 1
            if net._built().parameters.tobytes() != whole._built().parameters.tobytes():
                raise AssertionError(f"run {ended + 1} of {train.__name__} ended with other bits")
            ended += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    return ended


def main(arguments):
    parser = argparse.ArgumentParser(
        description="Alter model files, kill runs that save checkpoints, fork, limit memory."
    )
    parser.add_argument("--altered", type=int, default=1000, help="number of files to alter")
    parser.add_argument("--kills", type=int, default=50, help="number of runs to kill")
    parser.add_argument("--forks", type=int, default=500, help="number of children to fork")
    parser.add_argument("--limits", type=int, default=100, help="number of limits of memory")
    parser.add_argument("--interrupts", type=int, default=200, help="number of each of two kinds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--train", metavar="PATH", help="only train; used for the killed runs")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    options = parser.parse_args(arguments)
    if options.train:
        return train(options.train, options.epochs)
    with tempfile.TemporaryDirectory() as folder:
        loaded = altered_that_load(folder, options.altered, options.seed)
        print(f"{options.altered} altered or truncated files: {len(loaded)} load {loaded or ''}")
        ended = kill_runs(folder, options.kills, options.seed, options.epochs)
        print(f"{options.kills} kills: every file loads, {ended} runs end with the same bits")
    for way in (by_batch, by_step):
        ended = interrupts(way, options.interrupts, options.seed)
        count = f"{options.interrupts} interrupts, {way.__name__}"
        print(f"{count}: {ended} runs end with the same bits")
    faults = fork_children(options.forks)
    print(f"{options.forks} forked children: {len(faults)} have faults {faults or ''}")
    failed = limit_memory(options.limits)
    print(f"{options.limits} limits of memory: {len(failed)} runs fail {failed or ''}")
    return 1 if loaded or faults or failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
