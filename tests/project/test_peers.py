"""The harness of benchmarks/peers: that it compares rightly, and that contenders do the same."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "peers"
pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="the source tree is not here")
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
