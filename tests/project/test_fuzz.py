"""The random calls of tools/fuzz.py with a fixed seed, and what tools/sanitize.py builds."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from tools import fuzz, sanitize

ROOT = Path(__file__).parents[2]
SOURCE = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="the source tree is not here")


@pytest.mark.parametrize("kind", fuzz.KINDS)
def test_random_calls(kind):
    """`make fuzz` runs other seeds, for as long as asked for."""
    for number in range(8):
        failure = fuzz.run_case(20_26, kind, number)
        assert failure is None, f"case {number}\n{failure}"


def test_a_failure_is_printed_with_the_command_that_repeats_it(monkeypatch, capsys):
    def wrong(rng, folder):
        assert rng.random() < 2
        np.testing.assert_array_equal(1, 2)

    monkeypatch.setitem(fuzz.KINDS, "ufunc", wrong)
    assert fuzz.run_batch(7, "ufunc", 3, 2) == 1
    out = capsys.readouterr().out
    assert out.startswith("case 3\nfailed 3\nTraceback")

    def done(command, **options):
        return subprocess.CompletedProcess(command, 1, out, "")

    monkeypatch.setattr(subprocess, "run", done)
    failure = fuzz.failure_of(7, "ufunc", 3)
    assert "seed 7, kind ufunc, case 3: exit status 1" in failure
    assert "--seed 7 --kind ufunc --first 3 --count 1" in failure


@pytest.mark.parametrize(("kind", "fault"), [("axis", "os.abort()"), ("state", "os._exit(0)")])
def test_a_process_that_ends_is_reported(kind, fault, tmp_path, monkeypatch):
    script = tmp_path / "fuzz.py"
    script.write_text(f"import os\nprint('case 5', flush=True)\n{fault}\n")
    monkeypatch.setattr(fuzz, "__file__", str(script))
    failure = fuzz.failure_of(1, kind, 5, 1)
    assert f"kind {kind}, case 5" in failure


@SOURCE
def test_sanitize_builds_and_runs_what_there_is(tmp_path):
    """`make sanitize` builds a copy, which takes minutes; here it is only made."""
    assert [name for name in sanitize.TESTS if not (ROOT / name).is_file()] == []
    sanitize.copy_of_the_tree(tmp_path)
    assert not list(tmp_path.rglob("*.so"))
    assert "for build in ['baseline']" in (tmp_path / "setup.py").read_text()


@SOURCE
@pytest.mark.parametrize("revert", sanitize.REVERTS, ids=lambda revert: revert[0])
def test_the_checks_that_sanitize_leaves_out_are_there(revert):
    _, file, text, _, kind = revert
    assert (ROOT / "src/relume" / file).read_text().count(text) == 1
    assert kind in fuzz.KINDS
