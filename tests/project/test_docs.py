"""The pages of docs: what runs in them, what the API reference covers, what checks them built.

`make docs` builds them, which needs Sphinx; nothing here does. relume's own blocks are doctests.
"""

import importlib
import importlib.util
import inspect
import re
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import relume

ROOT = Path(__file__).parents[2]
SOURCE = pytest.mark.skipif(not (ROOT / "setup.py").exists(), reason="the source tree is not here")
BLOCKS = ROOT / "tools" / "blocks.py"
if not BLOCKS.exists():
    pytest.skip("the source tree is not here", allow_module_level=True)
MODULES = runpy.run_path(str(BLOCKS))["MODULES"]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```(\S+) ?(\S*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("library", MODULES)
def test_code_of_other_libraries(library):
    """In a process of its own, so that no other test meets their threads."""
    if importlib.util.find_spec(MODULES[library]) is None:
        pytest.skip(f"{library} is not installed; its code in docs is not run")
    result = subprocess.run(
        [sys.executable, BLOCKS, library], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert "blocks ran" in result.stdout
    assert ": 0 blocks" not in result.stdout


@SOURCE
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_python_block_is_run(page):
    """As a doctest, as another library's, or, where it names a file, by tools/example.py."""
    for language, word, code in FENCE.findall(page.read_text()):
        if language in ("python", "pycon"):
            ran = code.startswith(">>> ") or word in MODULES or (ROOT / word).is_file()
            assert ran, f"{page.name} has a block that nothing runs:\n{code}"


@SOURCE
def test_excerpts_are_what_the_kernels_say():
    kernels = "".join(
        path.read_text() for path in (ROOT / "src/relume/kernels").rglob("*") if path.suffix in
        {".pxi", ".pyx", ".pxd"}
    )  # fmt: skip
    excerpts = [
        code
        for page in PAGES
        for language, word, code in FENCE.findall(page.read_text())
        if language == "cython" and not word
    ]
    assert excerpts
    for code in excerpts:
        assert code in kernels, f"no longer in src/relume/kernels:\n{code}"


@pytest.fixture(scope="module")
def reference():
    """tools/reference.py, as docs/conf.py imports it."""
    before = sys.path.copy()
    names = runpy.run_path(str(ROOT / "docs" / "conf.py"))
    sys.path[:] = before
    return names["reference"]


def test_api_reference_has_every_module(reference):
    packages = [f"relume.{name}" for name in [*relume._SUBMODULES, *relume._OPTIONAL]]
    distributed = [f"relume.distributed.{name}" for name in ("dask", "mpi")]
    assert sorted(["relume", *packages, *distributed]) == sorted(reference.MODULES)


def test_api_reference_has_every_name_once(reference):
    text = "\n".join(reference.pages().values())
    described = Counter(
        re.findall(r"^\.\. (?:py:|auto)(?!module)\w+:: (\S+)$", text, re.MULTILINE)
    )
    names = [
        f"{module}.{name}"
        for module in reference.MODULES
        for name in sys.modules[module].__all__
        if not inspect.ismodule(getattr(sys.modules[module], name))
    ]
    assert described == Counter(names)


def test_api_reference_shows_what_a_class_gets_from_private_bases(reference):
    pages = reference.pages()
    (members,) = re.findall(r":members: (.*)", pages["relume.nn.Network.rst"])
    assert {"fit", "predict", "save", "to_onnx"} <= set(members.split(", "))
    assert ":members:" not in pages["relume.nn.Adam.rst"]  # Optimizer's page has them


def test_every_name_is_reached_through_one_topic(reference):
    pages = reference.pages()
    listed = Counter(re.findall(r"^   \S.* <(\S+)>$", "\n".join(pages.values()), re.MULTILINE))
    names = {name.removesuffix(".rst") for name in pages} - {"index", *reference.MODULES}
    assert {name: listed[name] for name in names} == dict.fromkeys(names, 1)


def test_names_shown_together_are_public():
    """A renamed function would leave "See also" with a link to nothing."""
    related = runpy.run_path(str(ROOT / "tools" / "related.py"))
    for names in related["sets"]():
        for name in names:
            module, _, own = f"relume.{name}".rpartition(".")
            assert own in importlib.import_module(module).__all__, name
    assert "relume.nn.LeakyReLU" in related["related"]("relume.leaky_relu")
    assert "relume.nn.PReLU" in related["related"]("relume.nn.LeakyReLU")


def test_table_of_methods_has_those_of_public_bases(reference):
    table = reference.methods(relume.nn.Adam, reference.exports())
    assert "relume.nn.Optimizer." in table
    assert reference.methods(relume.nn.Network, reference.exports()).count("Network.fit>") == 1


def test_names_of_parameters_are_no_links(reference):
    text = "`x` and `nn.Adam`, `relu`, ``x``"
    assert reference.linked(text, {"x"}) == "``x`` and `nn.Adam <relume.nn.Adam>`, `relu`, ``x``"


def test_an_author_s_initial_is_no_number_of_a_list(reference):
    """Of "N. Shazeer, ..." at the beginning of a line, Sphinx made item 14 of a list."""
    text = "References\n----------\nN. Shazeer, on gates. A. B"
    assert reference.not_enumerated(text) == text.replace("N. S", r"\N. S")


@SOURCE
def test_source_of_every_public_name(reference):
    """Where viewcode looks by itself, 182 of 227 names had no link to their source."""
    before = sys.path.copy()
    sys.path.append(str(ROOT / "tools"))
    try:
        sources = importlib.import_module("sources")
    finally:
        sys.path[:] = before
    places = sources.places()
    public = {(module, name): value for module in reference.MODULES
              for name, value in reference.public(sys.modules[module]).items()}  # fmt: skip
    without = {name for _, name in public.keys() - places.keys()}
    assert without == {"swish", "swish_backward", "EXPERIMENTS"}  # aliases and a plain value
    for key, (path, (start, end)) in places.items():
        text = "\n".join(path.read_text().splitlines()[start - 1 : end])
        own = key[1].rpartition(".")[2]
        if path.suffix == ".pxi":  # of a gradient, its kernel or the block of the function
            own = reference.function_of(public[key]) if inspect.isclass(public[key]) else own
            own = f"({own}|{reference.stem(own)})"
            assert re.match(rf"# -- .*\b{own}\b|cdef inline floating {own}\(", text), key
        else:
            assert re.search(rf"^ *(def|class) {own}\b", text, re.MULTILINE), key
    assert places["relume.nn", "ReLU"] == places["relume", "relu"]
    assert places["relume", "relu_backward"][1][0] > places["relume", "relu"][1][0]


SITE = {
    "good.html": '<a href="other.html#here">x</a><a href="https://relume.example">y</a>',
    "other.html": '<p id="here"></p><script src="own.js"></script>',
    "own.js": "",
    "own.css": "body { background: url('own.png') }",
}
FAULTS = {
    "loads https://": {"bad.html": '<script src="https://cdn.example/x.js"></script>'},
    "loads //": {"bad.html": '<link rel="stylesheet" href="//fonts.example/x.css">'},
    "which does not exist": {"bad.html": '<img src="none.png">'},
    "links to a file that does not exist": {"bad.html": '<a href="none.html">x</a>'},
    "links to an anchor": {"bad.html": '<a href="other.html#there">x</a>'},
    "by url() or @import": {"bad.css": "p { background: url(https://cdn.example/x.png) }"},
}


@pytest.mark.parametrize("fault", FAULTS)
def test_checker_of_built_pages(fault, tmp_path):
    checker = ROOT / "tools" / "pages.py"
    for status, files in enumerate((SITE, FAULTS[fault])):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        done = subprocess.run(
            [sys.executable, checker, tmp_path], capture_output=True, text=True, check=False
        )
        assert done.returncode == status, done.stdout + done.stderr
    assert fault in done.stdout


ASV_PAGE = """<script src="https://code.example/jquery-3.3.1.min.js" integrity="sha256-x"
 crossorigin="anonymous" onerror="f()"></script><link href="asv.css">
<link rel="stylesheet" href="https://cdn.example/css/bootstrap.min.css" crossorigin="anonymous">
"""


@SOURCE
def test_asv_page_loads_its_libraries_from_its_folder():
    """asv's pages named public servers, so they drew no graph without a network."""
    tool = runpy.run_path(str(ROOT / "tools" / "asv_pages.py"))
    names = {name for package in tool["PACKAGES"] for name in package.files}
    page = tool["local"](ASV_PAGE, names)
    assert "https://" not in page
    assert 'src="vendor/jquery-3.3.1.min.js"' in page
    assert 'href="vendor/bootstrap.min.css">' in page
    assert "integrity" not in page.splitlines()[0]
    assert 'onerror="f()"' in page
    with pytest.raises(SystemExit, match=r"new\.js"):
        tool["local"]('<script src="https://code.example/new.js"></script>', names)


@SOURCE
def test_words_that_people_search_for_name_pages_that_exist(reference):
    """A renamed page would leave a word without one, and the index would not say so."""
    words = runpy.run_path(str(ROOT / "tools" / "search.py"))["WORDS"]
    claims = runpy.run_path(str(ROOT / "tools" / "claims.py"))
    known = {path.stem for path in (ROOT / "docs").glob("*.md")}
    tasks = (ROOT / "examples" / "tasks").glob("*/*.py")
    known |= {f"tasks/{path.parent.name}/{path.stem}" for path in tasks}
    known |= {f"api/{name.removesuffix('.rst')}" for name in reference.pages()}
    known |= {f"experiments/{name}" for name in claims["kept"]()}
    assert len(words) >= 30
    assert not {page for pages in words.values() for page in pages.split()} - known


def test_kept_experiments_are_judged_by_the_present_rule():
    """Their pages show every part of the claim; a part that was renamed needs no new run."""
    claims = runpy.run_path(str(ROOT / "tools" / "claims.py"))
    pages = claims["pages"]()
    for name in claims["kept"]():
        experiment = relume.experiments.EXPERIMENTS[name]
        parts = experiment.judge(claims["data_of"](name))
        assert f"of {len(parts)} parts" in pages[f"{name}.rst"]
        assert pages[f"{name}.rst"].count(".. picture::") == len(experiment.quantities)


@pytest.mark.parametrize("name", ["relu", "prelu", "swiglu", "threshold"])
def test_curves_are_those_of_the_function(name):
    """The text alternative of a picture says values that NumPy's formulas give."""
    before = sys.path.copy()
    sys.path.append(str(ROOT / "tools"))
    try:
        pictures = importlib.import_module("pictures")
    finally:
        sys.path[:] = before
    figure = pictures.activation("dark", name)
    silu = 4 / (1 + 2.718281828459045**-4)
    at_4 = {"relu": 4, "prelu": 4, "swiglu": silu, "threshold": 4}[name]
    at_minus_4 = {"relu": 0, "prelu": -1, "swiglu": silu - 4, "threshold": 0}[name]
    words = figure.get_label()
    assert f"It is {at_minus_4:.3g} at -4, " in words
    assert f"{at_4:.3g} at 4; its derivative" in words
