"""What is loaded when: what a user does not use costs nothing."""

import os
import subprocess
import sys
import textwrap

import pytest

LATER = [
    "dask", "matplotlib", "onnx", "pandas", "safetensors", "scipy", "sklearn", "threadpoolctl",
    "torch", "tqdm",
]  # fmt: skip


def loaded(script, *, names=LATER):
    """Which of these modules a new process has loaded at the end of a script."""
    script = (
        textwrap.dedent(script) + f"\nimport sys; print(*sorted(sys.modules.keys() & {names}))"
    )
    variables = {
        key: value for key, value in os.environ.items() if key != "PYTHONPROFILEIMPORTTIME"
    }
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, env=variables
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_import_loads_the_ufuncs_and_nothing_else():
    script = """
    import numpy as np
    import relume
    relume.relu(np.ones(3)), relume.softmax(np.ones(3)), relume.simd(), relume.get_num_threads()
    """
    assert not loaded(script)
    parts = ["relume.nn", "relume.datasets", "relume.engine", "relume.onnx", "relume.sklearn"]
    assert not loaded(script, names=parts)


NETWORK = """
import numpy as np
from relume import nn
X = np.ones((8, 3), "float32")
net = nn.Network([nn.Dense(1)], loss="mse", seed=0)
"""


def test_training_loads_what_the_engine_needs():
    """BLAS is SciPy's, and threadpoolctl tells it how many threads it has."""
    needed = {"scipy", "threadpoolctl"}
    assert loaded(NETWORK) == needed
    assert loaded(NETWORK + "net.fit(X, X[:, :1]); net.predict(X)") == needed


@pytest.mark.parametrize(
    ("use", "module"),
    [
        ("net.fit(X, X[:, :1], progress=True)", "tqdm"),
        ("net.fit(X, X[:, :1]); import tempfile\n"
         "with tempfile.TemporaryDirectory() as f: net.save(f + '/net'); nn.load(f + '/net')",
         "safetensors"),
    ],
)  # fmt: skip
def test_others_load_when_they_are_used(use, module):
    assert loaded(NETWORK + use) - {"scipy", "threadpoolctl"} == {module}
