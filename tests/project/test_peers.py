"""The harness of benchmarks/peers: that it compares rightly, and that contenders do the same."""

import importlib
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "peers"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the source tree is not here")
WHAT = ("worst", "geometric mean")
TRAINED = ["relume", "relume.sklearn", "NumPy", "scikit-learn", "PyTorch", "JAX"]


@pytest.fixture
def module():
    """Imports a module of the harness, which are scripts beside each other."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    for name in set(sys.modules) - before:
        if str(FOLDER) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture
def small(module):
    problems = module("problems")
    return problems.random_problem([6, 5, 4, 3], rows=40, batch_size=8, epochs=3)


def library_of(module, name):
    """A contender's module and arguments; skips where its library is not installed."""
    file, arguments = module("libraries").CONTENDERS[name]
    if file in ("torch", "jax"):
        pytest.importorskip(file)
    return module(f"libraries.{file}"), arguments


@pytest.mark.parametrize("name", TRAINED)
def test_contenders_train_alike(module, small, name):
    """From the same weights, in the same order of rows, to the same loss; and after a reset."""
    problems = module("problems")
    library, arguments = library_of(module, name)
    reset, run, weights = library.training(small, **arguments)
    expected = module("libraries.numpy").training(small)
    expected.reset()
    expected.run(3, 40)
    loss = problems.loss_of(expected.weights(), small, 40)
    for _ in range(2):
        reset()
        run(3, 40)
        assert problems.loss_of(weights(), small, 40) == pytest.approx(loss, rel=1e-5)
    assert problems.loss_of(small.weights, small, 40) != pytest.approx(loss, rel=1e-3)


@pytest.mark.parametrize("name", [*TRAINED, "ONNX Runtime"])
def test_contenders_predict_alike(module, small, name):
    library, arguments = library_of(module, name)
    expected = np.exp(module("problems").log_probabilities(small.weights, small.X))
    found = library.prediction(small, **arguments)()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)


def test_shares_of_zeros(module):
    """Of X, and of what the hidden units give."""
    problem = module("problems").random_problem([200, 100, 100, 10], rows=1000, zeros=0.9)
    inputs, _ = module("libraries.numpy").activations(problem.weights, problem.X)
    for x in inputs:
        assert np.mean(x == 0) == pytest.approx(0.9, abs=0.01)


def measured(module, wrong=()):
    times = {
        "relume": {1: [1.0, 2.0, 4.0], 2: [9.0, 9.0, 9.0]},
        "JAX": {1: [9.0, 9.0, 9.0], 2: [3.0, 4.0, 4.0]},
    }
    return module("workers").Measured(times, {"PyTorch": "not built: no module"}, [*wrong])


def test_a_ratio_is_the_median_of_rounds_each_side_with_its_better_threads(module):
    target = module("targets").Target("JAX", 1.5)
    [row] = module("results").compared("train", "work", [target], measured(module))
    assert (row["ratio"], row["threads"], row["medians"]) == (2.0, [1, 2], [2.0, 4.0])
    report = module("report")
    assert report.verdict(row) == ""
    assert report.verdict(row | {"must": 2.1}) == "SHORT"
    assert report.verdict(row | {"aim": 2.0}) == "aim reached"


def test_of_several_peers_the_fastest_counts(module):
    """And what one number of threads is asked for leaves the other out."""
    targets, results = module("targets"), module("results")
    found = measured(module)
    found.times["PyTorch"] = {1: [3.0, 5.0, 5.0], 2: [8.0, 8.0, 8.0]}
    both = targets.Target(("PyTorch", "JAX"), 1.0)
    one = targets.Target(("PyTorch", "JAX"), 1.0, threads=1)
    first, second = results.compared("wide", "work", [both, one], found)
    assert (first["theirs"], first["ratio"], first["threads"]) == ("PyTorch or JAX", 2.0, [1, 2])
    assert (second["ratio"], second["threads"]) == (2.5, [1, 1])


def test_random_shapes_are_what_the_goal_says(module):
    """Drawn in the order in which they are named, all of them from one generator."""
    shapes = [*module("problems").random_shapes(40)]
    assert len(shapes) == 40
    rng = np.random.default_rng(40)
    assert shapes[0][0][0] == rng.integers(3, 1001)
    depth = rng.integers(1, 7)
    assert shapes[0][0][1:-1] == tuple(rng.integers(8, 601, depth))
    assert (shapes[0][1], shapes[0][0][-1]) == (rng.integers(16, 1025), rng.integers(2, 101))
    assert {len(layers) - 2 for layers, _ in shapes} == {1, 2, 3, 4, 5, 6}
    assert shapes != [*module("problems").random_shapes(41)]


def test_a_process_works_only_while_it_is_called(module):
    """Threads that spin after a call would take a CPU from the next process."""
    worker = module("workers").Worker("NumPy", 1)
    try:
        with pytest.raises(module("libraries").NotBuilt):
            worker.call("turn")
        time.sleep(0.05)
        state = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()[0]
        assert state == "T"  # stopped
    finally:
        worker.end()


def rows_of(ratios, group="shapes", theirs="JAX"):
    return [{"group": group, "work": "", "theirs": theirs, "ratio": ratio} for ratio in ratios]


def test_goals_sum_rows_up(module):
    goals = {goal.name: goal for goal in module("goals").GOALS}
    worst, mean = (goals[f"a step of 40 random shapes, {what}"] for what in WHAT)
    rows = [*rows_of([1.0, 4.0, None]), *rows_of([0.1], theirs="PyTorch")]
    assert (worst.value(rows), mean.value(rows)) == (1.0, 2.0)
    assert [worst.verdict(value) for value in (None, 0.9, 1.0, 1.1)] == [
        "not measured", "SHORT", "must", "aim",
    ]  # fmt: skip


def test_every_goal_has_works(module):
    """Those of the groups in targets.py; programs name their works themselves."""
    works = module("targets").WORKS
    rows = [
        {"group": group, "work": str(work), "theirs": target.label, "ratio": 1.0}
        for group in works
        for work, targets in works[group]
        for target in targets
    ]
    for goal in module("goals").GOALS:
        assert (goal.value(rows) == 1) == (goal.group in works), goal.name


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("direction", ["forward", "backward"])
def test_calls_of_ufuncs_are_right(module, direction, in_place):
    work = module("works").Ufunc("tanh", direction, 100, in_place)
    library, calls = module("libraries.relume"), []

    def ufunc(name, direction):
        call = library.ufunc(name, direction)
        return lambda g, x, out: calls.append((call(g, x, out), out))

    problem = work.problem()
    work.prepare(SimpleNamespace(ufunc=ufunc), problem, {})
    y = np.tanh(problem.X.astype(np.float64))
    expected = y if direction == "forward" else problem.y * (1 - y * y)
    for _, out in calls:
        np.testing.assert_allclose(out, expected, rtol=1e-5, atol=1e-6)


def test_readme_has_the_table_of_the_kept_runs(module):
    """`make peers-readme` writes it."""
    readme = module("readme")
    text = readme.README.read_text()
    assert readme.written(text) == text


def test_a_run_is_kept_by_cpu(module, monkeypatch, tmp_path):
    """A goal that a later run does not measure keeps its value."""
    readme = module("readme")
    monkeypatch.setattr(readme, "KEPT", tmp_path / "kept")
    about = {"name": "amd-x", "simd": "avx2", "cpu": "AMD X", "cpus": 2, "commit": "1234abcd"}
    run = tmp_path / "peers.json"
    for rows in (rows_of([1.0, 4.0]), rows_of([2.0], "wide", "JAX or PyTorch")):
        run.write_text(json.dumps({"machine": about | {"versions": {}}, "rows": rows}))
        readme.keep(run)
    lines = [*readme.table()]
    assert lines[0].endswith("| AMD X, 2 CPUs, avx2, at 1234abcd |")
    cells = {line.split(" | ")[0][2:]: line.split(" | ")[-1] for line in lines[2:]}
    assert cells["a step of 40 random shapes, geometric mean"] == "2.00 |"
    assert cells["a step of layers of 1,024 and 2,048, worst"] == "2.00 |"


def test_who_computes_something_else_or_is_missing_is_named(module):
    targets, results, report = module("targets"), module("results"), module("report")
    each = [targets.Target("JAX"), targets.Target("PyTorch")]
    wrong, missing = results.compared("train", "work", each, measured(module, ["JAX"]))
    assert report.verdict(wrong) == "JAX computes something else"
    assert report.verdict(missing) == "PyTorch: not built: no module"


def test_a_wrong_loss_is_told(module):
    """A contender that trains on fewer rows is found out."""
    work = module("works").Training("digits", (64, 8, 10), 32, 2)
    problem, library = work.problem(), module("libraries.numpy")
    part = problem._replace(X=problem.X[:-320], y=problem.y[:-320])
    right, fewer = (work.answer(work.prepare(library, p, {})) for p in (problem, part))
    answers = {("NumPy", 1): right, ("relume", 1): right, ("JAX", 1): fewer}
    fine = {name: fine for (name, _), _, fine in work.differences(answers, problem)}
    assert fine == {"NumPy": True, "relume": True, "JAX": False}


def test_cliffs_are_found(module):
    """A straight line on a log-log plot has none, whatever its slope and the sizes."""
    above = module("scaling").above
    sizes = [1, 2, 3, 8, 64]
    assert above(sizes, [5e-6 * n**1.7 for n in sizes])[1:-1] == pytest.approx([1, 1, 1])
    assert above([1, 2, 4], [1.0, 3.0, 4.0]) == [None, pytest.approx(1.5), None]


def test_interval_of_median(module):
    """Ranks 4 and 12 of 15: the binomial distribution leaves 1.8 % on either side of them."""
    commits = module("commits")
    assert commits.interval_of_median(list(range(15, 0, -1))) == (4, 12)
    assert commits.interval_of_median([3.0]) == (3.0, 3.0)


@pytest.mark.parametrize(("factor", "slower"), [(1.0, False), (1.02, False), (1.1, True)])
def test_a_commit_that_is_slower_is_said_to_be(module, capsys, factor, slower):
    """Times of a revision, of the present tree and of the revision again, with some noise."""
    noise = np.random.default_rng(0).normal(1, 0.01, (3, 15))
    times = noise * np.array([[1e-5], [factor * 1e-5], [1e-5]])
    assert module("commits").show("a work", times.tolist()) == slower
    assert ("SLOWER" in capsys.readouterr().out) == slower
