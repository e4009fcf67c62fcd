"""Time every activation, forward and backward, against the fastest of its peers.

By default there is one thread on one CPU. The contenders (contenders/) of a function are
interleaved, round by round, so that a drift of the machine affects all of them equally; a ratio is
the median over the rounds. Of several ways to compute a function in a library, and of relume's
backward from input and from output, the fastest counts. All results are written to filled memory,
except in JAX and where a library can only allocate them (PyTorch's prelu, mish_backward and
hardswish_backward; relume's prelu_backward). The arrays are aligned to cache lines. x is normal
with a standard deviation of 2, so that it includes the tails, where functions with branches
differ; gradients are normal.

RELUME_SIMD and ATEN_CPU_CAPABILITY select the instruction sets, as usual; set both to avx2 to
compare with PyTorch's AVX2. XLA_FLAGS is extended to keep JAX on one thread.

`short` marks a ratio (fastest peer over relume) below the target, which is 1, or 0.8 for the exact
gelu, whose tails are wrong in PyTorch. A function that takes at most 1.1 times as long as a copy
of x is never short. Requires benchmarks/peers/requirements.txt. `make peers-activations`; see
--help for shorter runs.
"""

import argparse
import inspect
import json
import math
import os
import re
import statistics
import sys
import timeit
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.special
from contenders import CASES
from contenders.arrays import operands

import relume

TITLES = {"numpy": "NumPy", "torch": "PyTorch", "jax": "JAX", "numexpr": "numexpr"}
PEERS = list(TITLES)
COLUMNS = ["copy", "relume", *PEERS]
TARGETS = {"gelu": 0.8}
OVER_TORCH = {"elu": 2.5, "selu": 2.5, "celu": 2.5, "mish": 2.5, "softplus": 2.0}
LARGE = 1_000_000  # elements, from which on a call is long enough for a third of the rounds
ROUND = 100e-6  # minimum seconds for which a contender runs in one round
TOLERANCE = {"float16": 4e-2, "float32": 1e-4, "float64": 1e-9}


# -- the libraries --


class Library(NamedTuple):
    """The names available to a library's statements, and its conversion of a NumPy array."""

    names: dict
    convert: object = lambda array: array


def load(options, stack):
    """The installed libraries, each with the requested number of threads."""
    relume.set_num_threads(options.threads)
    names = {"np": np, "special": scipy.special, "relume": relume, "rng": np.random.default_rng(1)}
    libraries = {name: Library(names) for name in ("copy", "relume", "numpy")}
    for peer in set(options.peers) - {"numpy"}:
        try:
            libraries[peer] = LOADERS[peer](options, stack)
        except ImportError as error:
            print(f"{peer} is skipped: {error}", file=sys.stderr)
    return {
        name: libraries[name] for name in ("copy", *options.peers, "relume") if name in libraries
    }


def load_torch(options, stack):
    import torch

    torch.set_num_threads(options.threads)
    stack.enter_context(torch.inference_mode())
    names = {"torch": torch, "aten": torch.ops.aten, "native": torch._C._nn}
    return Library(names, torch.from_numpy)


def load_jax(options, stack):
    if options.threads == 1:
        flags = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {flags}"
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    import jax

    jax.config.update("jax_enable_x64", options.dtype == "float64")
    jax.config.update("jax_cpu_enable_async_dispatch", False)  # it uses another thread
    names = {"jax": jax, "jnp": jax.numpy, "nn": jax.nn, "block": jax.block_until_ready}
    return Library({**names, "key": jax.random.key(0)}, jax.numpy.asarray)


def load_numexpr(options, stack):
    import numexpr

    if options.dtype == "float16":
        raise ImportError("numexpr does not support float16")
    numexpr.set_num_threads(options.threads)
    return Library({"numexpr": numexpr, "number": NUMEXPR_NUMBER[options.dtype]})


NUMEXPR_NUMBER = {"float32": float, "float64": np.float64}  # numexpr's names
LOADERS = {"torch": load_torch, "jax": load_jax, "numexpr": load_numexpr}


# -- statements --


class Contender(NamedTuple):
    """A statement ready to be timed, and the results of running it once."""

    timer: timeit.Timer
    results: list


def contender(case, name, library, way, backward, arrays):
    """A statement and its names, compiled by JAX or numexpr, or unchanged for other libraries."""
    scope = {**library.names, "axis": case.axis}
    if name == "jax":
        statement = jax_statement(way, backward, arrays, library, scope)
        targets = ["results"]
    else:
        scope |= {key: library.convert(array) for key, array in arrays.items()}
        targets = case.gradients if backward else case.outputs
        statement = numexpr_statement(way, targets, scope) if name == "numexpr" else way
    once = dict(scope)
    exec(statement, once)
    results = [once[target] for target in targets]
    if isinstance(results[0], tuple | list):
        results = results[0]
    return Contender(
        timeit.Timer(statement, globals=scope), [np.asarray(r).copy() for r in results]
    )


def jax_statement(way, backward, arrays, library, scope):
    """A call of the compiled function, or of its vjp or its own backward formula."""
    function = eval(way if way.startswith("lambda") else f"lambda x: {way}", scope)
    arguments = list(inspect.signature(function).parameters)
    if backward and "g" not in arguments:
        arguments.insert(0, "g")
        forward, vjp = function, scope["jax"].vjp

        def function(g, *inputs):
            return vjp(forward, *inputs)[1](g)

    scope |= {key: library.convert(arrays[key]) for key in arguments if key in arrays}
    scope["call"] = scope["jax"].jit(function)
    return f"results = block(call({', '.join(arguments)}))"


def numexpr_statement(way, targets, scope):
    """Calls of the compiled expressions. Literals become names, as they would promote float32."""
    calls = []
    for expression, target in zip(way.split("; "), targets, strict=True):
        for literal in sorted(set(re.findall(r"\d+\.\d+", expression)), key=len, reverse=True):
            name = f"c{literal.replace('.', '_')}"
            scope[name] = np.asarray(float(literal), scope[target].dtype)
            expression = expression.replace(literal, name)
        names = sorted({n for n in re.findall(r"[a-z]\w*", expression) if n in scope})
        signature = [(name, scope["number"]) for name in names]
        scope[f"call_{target}"] = scope["numexpr"].NumExpr(expression, signature)
        calls.append(f"call_{target}({', '.join(names)}, out={target}, ex_uses_vml=False)")
    return "; ".join(calls)


def contenders(name, case, libraries, backward, arrays, notes):
    """The fastest statement of each library; results are compared with the first library's."""
    direction = "backward" if backward else "forward"
    fastest, expected = {}, None
    for library_name, library in libraries.items():
        copy = library_name == "copy"
        ways = ["np.copyto(u, x)"] if copy else case.ways(library_name, name.split()[0], backward)
        found = []
        for way in ways:
            try:
                one = contender(case, library_name, library, way, backward, arrays)
            except Exception as error:
                if library_name != "relume" or not isinstance(error, AttributeError):
                    why = f"{type(error).__name__}: {error}"
                    notes.append(f"{name} {direction}, {library_name}: {why}"[:200])
                continue
            found.append(one)
            if not copy and expected is None:
                expected = one.results
            elif not copy and not case.random and not agree(one.results, expected):
                notes.append(f"{name} {direction}, {library_name} differs: {way}")
        if found:
            fastest[library_name] = min(found, key=lambda one: min(one.timer.repeat(5, 1)))
        elif library_name == "relume":
            notes.append(f"{name} {direction} is not in relume")
    return fastest, expected


def agree(results, expected):
    for one, other in zip(results, expected, strict=True):
        tolerance = TOLERANCE.get(other.dtype.name, 0)
        one, other = one.astype(np.float64), other.astype(np.float64)
        if not np.allclose(one, other, rtol=tolerance, atol=tolerance):
            return False
    return True


class Row(NamedTuple):
    """The times per element of one function and direction, in seconds for each round."""

    name: str
    backward: bool
    times: dict

    def over(self, peer):
        """The time of a peer over that of relume."""
        pairs = zip(self.times[peer], self.times["relume"], strict=True)
        return statistics.median(theirs / ours for theirs, ours in pairs)

    def ratio(self):
        """The time of the fastest peer over relume's; None without relume or without a peer."""
        peers = [peer for peer in PEERS if peer in self.times]
        return min(map(self.over, peers)) if peers and "relume" in self.times else None

    def short(self):
        ratio = self.ratio()
        return (
            ratio is not None and ratio < TARGETS.get(self.name, 1) and self.over("copy") < 1 / 1.1
        )


def measure(name, libraries, arrays, n, rounds, notes):
    """The rows of a function: forward and backward."""
    case = CASES[name]
    for backward in (False, True):
        fastest, expected = contenders(name, case, libraries, backward, arrays, notes)
        if not backward and expected is not None:
            arrays["y"][...] = expected[0]
        number = {}
        for library, one in fastest.items():
            number[library] = max(1, math.ceil(ROUND / min(one.timer.repeat(3, 1))))
        times = {library: [] for library in fastest}
        for _ in range(rounds):
            for library, one in fastest.items():
                one.timer.timeit(1)  # brings its arrays back into the cache
                times[library].append(one.timer.timeit(number[library]) / number[library] / n)
        if len(times) > 1:
            yield Row(name, backward, times)


# -- the table --


def mean(ratios):
    return math.exp(statistics.fmean(map(math.log, ratios)))


def line(cells):
    widths = [18, 8, *[7] * len(COLUMNS), 5, 5, 5]
    return "| " + " | ".join(f"{c:<{w}}" for c, w in zip(cells, widths, strict=True)) + " |"


def show(row, statistic):
    of = statistics.median if statistic == "median" else min
    cells = [f"{of(row.times[c]) * 1e9:.3f}" if c in row.times else "" for c in COLUMNS]
    cells += [f"{1 / row.over('copy'):.2f}" if "relume" in row.times else ""]
    cells += ["" if row.ratio() is None else f"{row.ratio():.2f}", "short" if row.short() else ""]
    print(line([row.name, "backward" if row.backward else "forward", *cells]), flush=True)


def summary(rows):
    rows = [row for row in rows if row.ratio() is not None]
    if not rows:
        return
    short = sum(map(Row.short, rows))
    print(
        f"\nfastest peer over relume, geometric mean of {len(rows)}: "
        f"{mean(row.ratio() for row in rows):.2f} (at least 1.8, aim 2.5); {short} short"
    )
    for row in rows:
        if row.name in OVER_TORCH and "torch" in row.times:
            ratio, target = row.over("torch"), OVER_TORCH[row.name]
            what = f"PyTorch over relume, {row.name} {'backward' if row.backward else 'forward'}"
            print(f"{what}: {ratio:.2f} (at least {target}){', short' * (ratio < target)}")


def means(rows, work):
    """The rows for run.py: geometric means over the functions that a peer has."""
    rows = [row for row in rows if row.ratio() is not None]
    for peer, name in {"": "the fastest", **TITLES}.items():
        ratios = [
            row.over(peer) if peer else row.ratio()
            for row in rows
            if not peer or peer in row.times
        ]
        if ratios:
            yield {
                "work": work, "ours": "relume", "theirs": name, "must": 1.0 if peer else 1.8,
                "aim": None if peer else 2.5, "ratio": mean(ratios),
                "note": f"geometric mean of {len(ratios)}",
            }  # fmt: skip


def over_all_sizes(rows, dtype):
    """The rows for run.py over all functions, directions and sizes; `rows` has pairs (n, row)."""
    rows = [(n, row) for n, row in rows if row.ratio() is not None]
    if not rows:
        return
    sizes = sorted({n for n, _ in rows})
    work = f"activations, {sizes[0]:,} to {sizes[-1]:,} {dtype}, 1 thread"
    n, worst = min(rows, key=lambda pair: pair[1].ratio())
    direction = "backward" if worst.backward else "forward"
    shared = {"ours": "relume", "theirs": "the fastest"}
    yield shared | {
        "work": f"{work}, geometric mean", "must": 1.8, "aim": 2.5,
        "ratio": mean(row.ratio() for _, row in rows), "note": f"of {len(rows)}",
    }  # fmt: skip
    yield shared | {
        "work": f"{work}, worst", "must": 0.9, "aim": 1.0, "ratio": worst.ratio(),
        "note": f"{worst.name} {direction}, {n:,} elements",
    }  # fmt: skip


def parse():
    parser = argparse.ArgumentParser(description="Time every activation against its peers.")
    many = {"type": lambda text: text.split(",")}
    parser.add_argument("--functions", **many, default=[], help="functions to time (default: all)")
    parser.add_argument(
        "--sizes", **many, default=["100000"], help="multiples of 100 (default: 100000)"
    )
    parser.add_argument("--dtype", choices=TOLERANCE, default="float32")
    parser.add_argument("--peers", **many, default=PEERS, help=f"default: {','.join(PEERS)}")
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument(
        "--threads", type=int, default=1, help="threads and CPUs; the copy always uses one"
    )
    parser.add_argument("--out", type=Path, help="JSON file to write for run.py")
    parser.add_argument(
        "--statistic", choices=["median", "min"], default="median", help="statistic to print"
    )
    options = parser.parse_args()
    asked = set(options.functions)
    if unknown := asked - {part for name in CASES for part in (name, name.split()[0])}:
        parser.error(f"--functions: unknown {unknown}; allowed are {', '.join(CASES)}")
    options.functions = [name for name in CASES if not asked or {name, name.split()[0]} & asked]
    return options


def main():
    options = parse()
    reported, every = [], []
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-options.threads :])
    notes = []
    for name in set(relume.functional.activations.ROWS) - set(CASES):
        notes.append(f"{name} has no contenders")
    with ExitStack() as stack:
        libraries = load(options, stack)
        for n in map(int, options.sizes):
            print(
                f"\n{options.dtype}, {n:,} elements, {options.threads} thread(s), ns an element "
                f"({options.statistic} of {options.rounds}); relume.simd() is {relume.simd()}\n"
            )
            print(line(["function", "", *COLUMNS, "/copy", "ratio", ""]))
            print("|---" * (len(COLUMNS) + 5) + "|")
            rows = []
            for name in options.functions:
                arrays = operands(CASES[name], n, options.dtype)
                rounds = options.rounds if n < LARGE else max(5, options.rounds // 3)
                for row in measure(name, libraries, arrays, n, rounds, notes):
                    rows.append(row)
                    show(row, options.statistic)
            summary(rows)
            reported += means(rows, f"activations, {n:,} {options.dtype}, 1 thread")
            every += [(n, row) for row in rows]
    reported += over_all_sizes(every, options.dtype)
    for row in reported[-2:]:
        print(f"{row['work']}: {row['ratio']:.2f} ({row['note']})")
    if options.out:
        options.out.write_text(json.dumps(reported))
    if notes:
        print("\nnotes:", *dict.fromkeys(notes), sep="\n- ")


if __name__ == "__main__":
    main()
