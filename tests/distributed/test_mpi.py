"""`relume.distributed.mpi`: the bits of one process on any number of ranks, and no hangs."""

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.distributed.cases import CASES, UNEVEN, case, digest, local

ROOT = Path(__file__).resolve().parents[2]
MPIEXEC = shutil.which("mpiexec", path=os.pathsep.join([str(Path(sys.executable).parent),
                                                        os.environ.get("PATH", "")]))  # fmt: skip
LIMIT = 50  # seconds: a job that takes longer hangs

needs_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None,
    reason="needs mpi4py and mpiexec: pip install mpi4py mpich",
)
pytestmark = [needs_mpi, pytest.mark.filterwarnings("ignore")]


def job(ranks, *arguments, fails=False, limit=LIMIT):
    """Run the tests' script on so many ranks; what rank 0 printed."""
    here = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)]), "OMP_WAIT_POLICY": "passive"
    }  # fmt: skip
    script = str(Path(__file__).with_name("mpi_script.py"))
    command = [MPIEXEC, "-n", str(ranks), sys.executable, "-m", "relume.distributed.mpi", script,
               json.dumps(arguments)]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=here,
        start_new_session=True, cwd=ROOT,
    )  # fmt: skip
    try:
        output, _ = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        output, _ = process.communicate()
        pytest.fail(f"the job did not end within {limit} s; it printed {output[-2000:]}")
    found = re.search(r"^.*RESULT (.*)$", output, re.MULTILINE)
    if fails:
        assert process.returncode != 0, output
        return None
    assert process.returncode == 0, output[-4000:]
    assert found, output[-4000:]
    return json.loads(found[1])


SOME = [
    *((name, 7, "float32") for name in CASES),
    ("dropout", 1, "float64"),
    ("penalties", 8, "float64"),
    ("clipped", 8, "float64"),
    ("weights", 12, "float64"),
    ("batch norm", UNEVEN, "float64"),
    ("dropout", UNEVEN, "float32"),
    ("lbfgs", 12, "float64"),
]


@pytest.fixture(scope="module")
def expected():
    return [local(*each) for each in SOME]


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_any_number_of_ranks_has_the_bits_of_one_process(ranks, expected):
    found = job(ranks, "digests", SOME)
    for each, here, there in zip(SOME, expected, found, strict=True):
        assert here == there, each


def test_threads_of_ranks_change_no_bit(expected):
    assert job(2, "digests", SOME[:4], 2) == expected[:4]


def test_a_fit_whose_rank_was_killed_goes_on_with_another_number(tmp_path):
    """The job ends at once, and the checkpoint is whole."""
    from relume import nn

    net, X, y, arguments = case("dropout", 12, "float32")
    arguments |= {"epochs": 4, "callbacks": [nn.EarlyStopping(patience=3)]}
    expected = digest(net, net.fit(X, y, **arguments))
    path = str(tmp_path / "fit.safetensors")
    job(3, "killed", path, 8, 1, fails=True)
    job(2, "killed", path, 7, 0, fails=True)
    assert job(1, "killed", path, -1, 0) == expected
    assert job(2, "killed", path, -1, 0) == expected  # nothing is left to train


FAILURES = {
    "nan": "ValueError.*X",
    "nan norm": "ValueError.*X",
    "width": "ValueError.*(number of features of X|X must have)",
    "dtype": "ValueError: dtype must be the same.*nn.Network",
    "label": "ValueError.*y",
    "groups": "ValueError: groups must be the same",
    "seed": "ValueError: seed must be the same",
    "layers": "ValueError: layers must be the same",
    "empty": "ValueError.*at least one row",
    "rows": r"ValueError: X must have the rows.*mpi\.rows",
    "callback": "KeyError.*of a callback",
    "step callback": "ZeroDivisionError.*of a callback",
    "disk": "Error",
    "full disk": r"^OSError.*\['fit\.safetensors'\] have epoch 1$",
    "version": "ValueError: version of relume must be the same.*install one version",
    "diverges": "FloatingPointError",
    "stops": "epochs 1",
}


@pytest.fixture(scope="module")
def errors():
    """The errors of all ranks for each failure, which come one after the other in one job."""
    return dict(zip(FAILURES, job(2, "failing", list(FAILURES)), strict=True))


@pytest.mark.parametrize("kind", FAILURES)
def test_what_is_wrong_on_one_rank_raises_on_all(kind, errors):
    for each in errors[kind]:
        assert re.search(FAILURES[kind], each), errors[kind]


def test_all_rows_on_each_rank_are_warned_of():
    """Each row then counted as often as there are ranks, and nobody said so."""
    assert job(2, "warned", True) == []
    (text,) = job(2, "warned", False)
    assert re.search(r"2 ranks have the same \d+ rows.* X\[mpi\.rows\(len\(X\), groups\)\]", text)


def test_without_an_mpi_library_the_remedy_is_named():
    code = (
        "import sys; sys.modules['mpi4py'] = None\n"
        "from relume.distributed.mpi.channel import mpi4py_or_error\n"
        "try:\n    mpi4py_or_error()\nexcept ImportError as error:\n    print(error)"
    )
    here = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=here,
                           timeout=LIMIT)  # fmt: skip
    assert "pip install" in found.stdout, found


def test_an_mpi_that_does_not_start_is_an_error_with_a_remedy(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("from relume.distributed import mpi; print(mpi.rows(8, 2))")
    here = os.environ | {"PYTHONPATH": str(ROOT / "src"), "MPI4PY_LIBMPI": "/no/libmpi.so"}
    found = subprocess.run([sys.executable, "-m", "relume.distributed.mpi", script], check=False,
                           capture_output=True, text=True, env=here, timeout=LIMIT)  # fmt: skip
    assert found.returncode != 0
    assert re.search("(?s)ImportError: .*MPI library.*pip install", found.stderr), found


def test_import_relume_loads_nothing_of_it():
    here = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    code = "import sys, relume, relume.nn; print([m for m in sys.modules if 'distributed' in m])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=here,
                           timeout=LIMIT)  # fmt: skip
    assert found.stdout.strip() == "[]", found
