"""The time saved by skipping zeros, for one row and for minibatches, in all modes of `sparse`.

    python benchmarks/zeros.py                  everything, for two minutes
    python benchmarks/zeros.py row 784          what has one of these words in its title

The networks are made so that a given share of every layer's input is 0: each unit has random
weights and a quantile of its outputs as its bias. Prints the time of "never" over that of the
other two modes, and the time of the faster of "never" and "always" over that of "auto". The last
ratio should be at least 0.95. At the end it prints the worst of them and their geometric mean.
"""

import os
import sys
import time
import traceback

import numpy as np

import relume
from relume import nn

SHARES = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)
MODES = ("never", "auto", "always")
TURN = 0.02  # seconds; in turns of 5 ms, "auto" takes up to 1.08 of the time


def network(widths, X, share, sparse):
    """A relu network in which the given share of each hidden layer's outputs is 0 for X."""
    layers = [nn.Dense(width, "relu") for width in widths[1:-1]] + [nn.Dense(widths[-1])]
    net = nn.Network(layers, seed=0, sparse=sparse).build(widths[0])
    state, x = net.state_dict(), X
    for i in range(len(widths) - 2):
        z = x @ state[f"{2 * i}.weight"].T
        state[f"{2 * i}.bias"][:] = -np.quantile(z, share, axis=0)
        x = np.maximum(z + state[f"{2 * i}.bias"], 0)
    net.load_state_dict(state)
    return net


def inputs(rows, width, share):
    rng = np.random.default_rng(1)
    X = rng.random((rows, width), dtype=np.float32)
    X[rng.random(X.shape) < share] = 0
    return X


def answer(make, asked, answers):
    """In a forked process: time a function for a turn whenever asked, then tell the median."""
    function, times = make(), []
    while os.read(asked, 1) == b"t":
        end = time.perf_counter() + TURN
        while not times or time.perf_counter() < end:
            begin = time.perf_counter()
            function()
            times.append(time.perf_counter() - begin)
        os.write(answers, b"d")
    os.write(answers, repr(float(np.median(times))).encode())


def medians(makers, seconds):
    """The median times of functions, which are made in a process each and take turns at random.

    The processes are forked at once, so that what they make has the same addresses in all. Two
    networks of one mode in a process take up to a third more or less than each other (6.6 and 8.8
    us for 256x10 and 99 % zeros).
    """
    children = []
    for make in makers:
        (asked, ask), (answers, tell) = os.pipe(), os.pipe()
        child = os.fork()
        if child == 0:
            try:
                answer(make, asked, tell)
            except BaseException:
                traceback.print_exc()
            os._exit(0)
        os.close(asked)
        os.close(tell)
        children.append((child, ask, answers))
    order = np.random.default_rng(3)
    turns = max(3, round(seconds / TURN / len(children)))
    for i in np.concatenate([order.permutation(len(children)) for _ in range(turns)]):
        os.write(children[i][1], b"t")
        os.read(children[i][2], 1)
    found = []
    for child, ask, answers in children:
        os.write(ask, b"e")
        found.append(float(os.read(answers, 100)))
        os.close(ask)
        os.close(answers)
        os.waitpid(child, 0)
    return found


def of_modes(call, widths, X, share, seconds):
    """The median times of the modes; `call` makes the function that is timed of a network."""
    return medians([lambda m=mode: call(network(widths, X, share, m)) for mode in MODES], seconds)


def one_row(widths):
    """Each call takes another row, so that the weights for it are not in the cache already."""
    for share in SHARES:
        X = inputs(200, widths[0], share)

        def call(net, X=X):
            rows = iter(range(10**9))
            return lambda: net.forward(X[(i := next(rows) % 200) : i + 1])

        yield share, of_modes(call, widths, X, share, 0.8)


def layer(widths, rows):
    for share in SHARES:
        X = inputs(rows, widths[0], share)
        yield share, of_modes(lambda net, X=X: lambda: net.forward(X), widths, X, share, 0.8)


def training(widths, rows):
    """The learning rate is tiny, because learning would change the share of zeros."""
    for share in SHARES:
        X = inputs(rows * 8, widths[0], share)
        y = np.random.default_rng(2).integers(widths[-1], size=len(X))

        def call(net, X=X, y=y):
            net.optimizer.lr = 1e-12
            return lambda: net.fit(X, y, batch_size=rows)

        yield share, of_modes(call, widths, X, share, 0.9)


def show(title, results):
    """Print a table; return the ratios of the better of never and always to auto."""
    print(f"{title}\n{'zeros':>6} {'never us':>9} {'auto':>6} {'always':>7} {'auto/best':>10}")
    ratios = []
    for share, (never, auto, always) in results:
        best = min(never, always) / auto
        ratios.append(best)
        print(f"{share:6.2f} {never * 1e6:9.1f} {never / auto:6.2f} {never / always:7.2f}"
              f" {best:10.2f}{'  < 0.95' if best < 0.95 else ''}", flush=True)  # fmt: skip
    return ratios


def works():
    """The title of each table, and what measures it."""
    for widths in ([1024, 1024, 1024, 10], [784, 256, 128, 10], [64, 64, 32, 10],
                   [300, 120, 84, 10]):  # fmt: skip
        yield f"one row, {'-'.join(map(str, widths))}", one_row(widths)
    for widths in ([1024, 1024], [256, 128], [512, 64], [256, 10], [300, 120], [120, 84]):
        yield f"128 rows, one layer {'x'.join(map(str, widths))}", layer(widths, 128)
    for widths in ([784, 256, 128, 10], [512, 512, 512, 10], [4, 120, 84, 10]):
        title = f"an epoch of 8 x 128 rows, {'-'.join(map(str, widths))}"
        yield title, training(widths, 128)


def main(words):
    ratios = []
    with relume.num_threads(1):
        print(f"instruction set: {relume.simd()}")
        for title, measured in works():
            if not words or any(word in title for word in words):
                ratios += show(title, measured)
    if ratios:
        print(f"auto/best: worst {min(ratios):.3f}, mean {np.exp(np.mean(np.log(ratios))):.3f}")


if __name__ == "__main__":
    main(sys.argv[1:])
