"""The arrays that are available to the table's statements."""

import numpy as np


def filled(values, index, step=1):
    """A copy that is aligned to a cache line, at another offset in its page than other arrays.

    It takes every `step`-th element of its memory, along the last axis.
    """
    *rows, n = values.shape
    shape = (*rows, step * n)
    size = step * values.nbytes
    memory = np.zeros(size + 8192, np.uint8)
    start = -memory.ctypes.data % 4096 + 576 * index % 4096
    array = memory[start : start + size].view(values.dtype).reshape(shape)[..., ::step]
    array[...] = values
    return array


def shapes(case, n):
    """The shapes of the input, and of the output and its gradient, where x has n elements.

    Of two inputs or a split one, the output has n elements.
    """
    rows = (n // 100, 100)
    return {
        "flat": (n, n),
        "rrelu": (n, n),
        "gated": (n, n),
        "prelu": (rows, rows),
        "rows": (rows, rows),
        "reduced": (rows, rows[:1] if case.axis else rows[1:]),
        "crelu": (rows, (n // 100, 200)),
        "split": ((n // 100, 200), rows),
        "maxout": ((n // 100, 25, 4), (n // 100, 25)),
    }[case.kind]


def operands(case, n, dtype, step=1, names=None):
    """The arrays available to statements: all of them, or only those large ones in `names`.

    With a step, those of data are strided.
    """
    into, of = shapes(case, n)
    shape_of = dict.fromkeys(["x", "a", "b", "t", "u", "buffer", "dx", "da", "db"], into)
    shape_of |= dict.fromkeys(["y", "g", "out"], of)
    made = {  # each has its own seed, so that it does not depend on which others are made
        name: np.random.default_rng(seed).standard_normal(shape, np.float32)
        for seed, (name, shape) in enumerate(shape_of.items())
        if names is None or name in {"x", *names}
    }
    for name in made.keys() & set("xab"):
        made[name] *= 2
    x = made["x"]
    if names is None:
        made["slope"] = np.random.default_rng(9).uniform(1 / 8, 1 / 3, x.shape)
        made["noise"] = np.where(x > 0, 1, made["slope"])
    if x.ndim == 2:
        made |= {"s": x.sum(case.axis, keepdims=True), "w": np.full(100, 0.25), "dw": np.ones(100)}
    steps = {name: 1 if name in ("s", "w", "dw") else step for name in made}
    made = {
        name: filled(array.astype(dtype), index, steps[name])
        for index, (name, array) in enumerate(made.items())
    }
    made |= {"m": np.zeros(into, bool), "which": np.zeros(of, np.intp)}
    if case.kind == "crelu":
        halves = {
            f"{name}{k}": made[name][:, 100 * k - 100 :][:, :100]
            for name in ("g", "out")
            for k in (1, 2)
        }
        made |= halves
    if case.kind == "reduced":
        made |= {f"{name}k": np.expand_dims(made[name], case.axis) for name in "yg"}
    return made
