"""Test the durability of model files: `make durability`.

First, a model file is altered and truncated in many ways; none of the results may load. Second, a
run that saves checkpoints is killed at random moments. After each kill the file must load, and the
run that continues from it must end with the same file, byte for byte, as an uninterrupted run.
"""

import argparse
import json
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import safetensors.numpy

from relume import nn

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


def main(arguments):
    parser = argparse.ArgumentParser(
        description="Alter model files and kill runs that save checkpoints."
    )
    parser.add_argument("--altered", type=int, default=1000, help="number of files to alter")
    parser.add_argument("--kills", type=int, default=50, help="number of runs to kill")
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
    return 1 if loaded else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
