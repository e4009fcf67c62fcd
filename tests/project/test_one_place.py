"""A layer is defined in one place: few files name it, and a new one is asked for its tests."""

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

import relume
from relume.nn.layers import LAYERS
from tests.engine.test_ops import CASES
from tests.support.layer_twin import TWINS
from tests.support.networks import EXAMPLES

SOURCE = Path(relume.__file__).parent
of_the_source_tree = pytest.mark.skipif(
    not (SOURCE / "engine" / "ops.pyx").exists(), reason="the source tree is not here"
)
USERS = {"cli", "datasets", "experiments", "sklearn"}  # they use layers as everybody may
# The class and the op, and where it has a kernel of its own the kernel and its C type.
LIMIT = 4
# What the structure of a network and its training depends on: the units of a Dense, the inside of
# a Residual, what a Standardize learns from the first data, the minibatches of a BatchNorm.
STRUCTURE = {"Dense": 16, "Residual": 7, "Standardize": 10, "BatchNorm": 8}


def code_of(path):
    """A file's text without comments and docstrings.

    Nor does an error depend on a layer that it advises to use, such as ``nn.Dense(3)``.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        return re.sub(r'"""(.*?)"""|#[^\n]*', "", text, flags=re.DOTALL)
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(
            node
        ):
            node.body[0].value = ast.Constant("")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = re.sub(r"\bnn\.\w+", "", node.value)
    return ast.unparse(tree)


@pytest.fixture(scope="module")
def sources():
    """The code of each file, but of those that only use layers."""
    return {
        str(path.relative_to(SOURCE)): code_of(path)
        for path in SOURCE.rglob("*")
        if path.suffix in {".py", ".pyx", ".pxd", ".pxi"}
        and path.relative_to(SOURCE).parts[0] not in USERS
    }


def files_that_name(layer, sources):
    """Those with the class's name, or its op's, which may be the beginning of another name.

    An op of one word, such as "scale", must stand as a string beside the word "kind".
    """
    op = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", layer).lower()
    words = rf"\b{layer}\b|" + (rf"\b{op}" if "_" in op else rf"kind\w*\W{{1,5}}{op}[\"']")
    return sorted(name for name, code in sources.items() if re.search(words, code))


def assert_few(files, limit):
    assert len(files) <= limit, f"{len(files)} files, at most {limit}: {', '.join(files)}"


@pytest.mark.parametrize("layer", LAYERS)
def test_few_files_name_a_layer(layer, sources):
    assert_few(files_that_name(layer, sources), STRUCTURE.get(layer, LIMIT))


@pytest.mark.parametrize("layer", LAYERS)
def test_every_layer_is_found_where_it_is_defined(layer, sources):
    files = files_that_name(layer, sources)
    assert any(re.search(rf"^class {layer}\(", sources[name], re.MULTILINE) for name in files)


@of_the_source_tree
def test_all_files_of_a_layer_are_found(sources):
    assert files_that_name("GroupNorm", sources) == [
        "engine/ops.pyx",
        "kernels/layers/normalization.pxi",
        "kernels/table.pxd",
        "nn/layers/normalization.py",
    ]


@of_the_source_tree
def test_a_layer_that_is_named_in_many_files_is_found(sources):
    """As LayerNorm was, in a list of kinds here and a table of classes there."""
    scattered = defaultdict(str, sources)
    scattered["nn/summary.py"] += '\nNORMS = {"batch_norm", "layer_norm"}'
    scattered["nn/saving/serialize.py"] += "\nLAYERS = (Dense, LayerNorm)"
    with pytest.raises(AssertionError, match=r"nn/saving/serialize\.py, nn/summary\.py"):
        assert_few(files_that_name("LayerNorm", scattered), LIMIT)


def assert_all_there(layers, have, where):
    missing = sorted(cls.__name__ for cls in layers if cls not in have)
    assert not missing, f"{where} of {missing}"


def _classes_in(value):
    """The classes of all layers in a structure, those within others too."""
    if isinstance(value, list | tuple):
        return {cls for each in value for cls in _classes_in(each)}
    inner = [getattr(value, "layers", []), getattr(value, "activation", None)]
    return {type(value)} | (_classes_in(inner) if any(inner) else set())


TESTED = {
    "tests/support/layer_twin.py has no twin": lambda: TWINS,
    "tests/engine/test_ops.py has no case": lambda: _classes_in(
        [make() for make in CASES.values()]
    ),
    "tests/support/networks.py has no example": lambda: {type(each) for each in EXAMPLES},
}


@pytest.mark.parametrize("where", TESTED)
def test_every_layer_has_its_tests(where):
    assert_all_there(LAYERS.values(), TESTED[where](), where)


@pytest.mark.parametrize("where", TESTED)
def test_every_layer_that_has_none_is_named(where):
    have = set(TESTED[where]()) - {LAYERS["Scale"]}
    with pytest.raises(AssertionError, match=r"has no \w+ of \['Scale'\]"):
        assert_all_there(LAYERS.values(), have, where)
