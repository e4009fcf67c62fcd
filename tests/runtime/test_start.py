"""Modules load only when they are used, and subinterpreters refuse to load relume."""

import os
import subprocess
import sys
import textwrap

import pytest

LAZY = [
    "dask", "matplotlib", "onnx", "pandas", "safetensors", "scipy", "sklearn", "tensorboardX",
    "threadpoolctl", "torch", "tqdm",
]  # fmt: skip


def loaded(script, *, names=LAZY):
    """The modules among `names` that a new process has loaded at the end of a script."""
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
    assert loaded(NETWORK) == {"threadpoolctl"}
    assert loaded(NETWORK + "net.fit(X, X[:, :1]); net.predict(X)") == {"threadpoolctl"}


@pytest.mark.parametrize(
    ("use", "module"),
    [
        ("import io, sys; Terminal = type('', (io.StringIO,), {'isatty': lambda self: True})\n"
         "sys.stderr = Terminal(); net.fit(X, X[:, :1], progress=True)", "tqdm"),
        ("nn.Network([nn.Dense(1)], loss='mse', optimizer=nn.LBFGS(2)).fit(X, X[:, :1])", "scipy"),
    ],
)  # fmt: skip
def test_others_load_when_they_are_used(use, module):
    assert loaded(NETWORK + use) == {"threadpoolctl", module}


def test_saving_and_loading_load_nothing():
    use = "net.fit(X, X[:, :1]); import tempfile\n"
    use += "with tempfile.TemporaryDirectory() as f: net.save(f + '/net'); nn.load(f + '/net')"
    assert loaded(NETWORK + use) == {"threadpoolctl"}


# NumPy does not support isolated subinterpreters, and neither do relume's compiled modules, whose
# tables belong to the process.
ISOLATED = """
import _interpreters
import relume.runtime.threads as own
alone = f'''
from importlib.machinery import ExtensionFileLoader, ModuleSpec
from importlib.util import module_from_spec
loader = ExtensionFileLoader({own.__name__!r}, {own.__file__!r})
module_from_spec(ModuleSpec(loader.name, loader, origin=loader.path))
'''
for code in ("import relume", alone):
    failure = _interpreters.run_string(_interpreters.create("isolated"), code)
    print(failure.type.__name__, repr(failure.msg))
"""


@pytest.mark.skipif(sys.version_info < (3, 13), reason="_interpreters came with Python 3.13")
def test_isolated_subinterpreters_get_an_import_error():
    done = subprocess.run([sys.executable, "-c", ISOLATED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(" ")[0] for line in lines] == ["ImportError"] * 2, lines
    assert "relume.runtime.threads does not support loading in subinterpreters" in lines[1]
