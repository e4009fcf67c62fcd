"""The public face of each module: what `dir` and tab completion show."""

import importlib
import rlcompleter

import pytest

MODULES = [
    "relume", "relume.nn", "relume.sklearn", "relume.diagnostics", "relume.datasets",
    "relume.plots", "relume.onnx", "relume.experiments", "relume.functional",
]  # fmt: skip
LAZY = {"relume": {"sklearn", "onnx", "plots", "experiments"}}


@pytest.mark.parametrize("name", MODULES)
def test_dir_shows_public_names_only(name):
    module = importlib.import_module(name)
    assert dir(module) == sorted({*module.__all__, *LAZY.get(name, ())})
    assert all(hasattr(module, each) for each in dir(module))


@pytest.mark.parametrize("name", MODULES)
def test_tab_completion(name):
    module = importlib.import_module(name)
    completer = rlcompleter.Completer({"module": module})
    found = []
    while (text := completer.complete("module.", len(found))) is not None:
        found.append(text.removeprefix("module.").rstrip("()").strip())
    public = [each for each in found if not each.startswith("_")]
    assert public == dir(module)
