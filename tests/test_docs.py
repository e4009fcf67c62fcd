"""The other libraries' code in docs/coming_from.md, where they are installed."""

import importlib.util
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BLOCKS = ROOT / "tools" / "blocks.py"
if not BLOCKS.exists():
    pytest.skip("the source tree is not here", allow_module_level=True)
MODULES = runpy.run_path(str(BLOCKS))["MODULES"]


@pytest.mark.parametrize("library", MODULES)
def test_code_of_other_libraries(library):
    """In a process of its own, so that no other test meets their threads."""
    if importlib.util.find_spec(MODULES[library]) is None:
        pytest.skip(f"{library} is not installed; its code in docs/coming_from.md is not run")
    result = subprocess.run(
        [sys.executable, BLOCKS, library], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "blocks ran" in result.stdout
    assert ": 0 blocks" not in result.stdout
