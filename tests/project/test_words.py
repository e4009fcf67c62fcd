"""One word, one meaning: names and public text use the field's words.

Names are those of Python, by its own parser, and of Cython and C; public text is the docstrings of
public modules, classes and functions, and the messages of errors.
"""

import ast
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "relume"
pytestmark = pytest.mark.skipif(
    not (ROOT / "setup.py").exists(), reason="the source tree is not here"
)

# A word in a name, and what to write instead.
IN_NAMES = {
    "place": "node (of the plan), offset (on the tape) or index",
    "places": "nodes, offsets or indices",
    "figure": "statistic, log or metric",
    "figures": "statistics (of units), logs (of an epoch) or metrics",
    "least": "min",
    "most": "max",
    "deviation": "std",
    "deviations": "stds",
    "subject": "inspected model",
    "described": "to_config, or what is described",
    "rebuilt": "from_config",
    "looks": "page style, or line styles",
    "watched": "monitored metric, or observed",
    "pieces": "maxout, crelu, split_axis, or parts",
    "Fitting": "FitLoop",
    "Unused": "NoOptimizer",
    "Step": "Op, in the engine",
}
# A phrase in public text.
IN_TEXT = {
    r"(?<!in )(?<!decimal )(?<!take )(?<!takes )(?<!took )(?<!last )\bplaces?\b": IN_NAMES[
        "place"
    ],
    r"\b[Ff]igures?\b": IN_NAMES["figures"],
    r"(?<!standard )\bdeviations?\b": IN_NAMES["deviation"],
    r"\bthe subject\b": IN_NAMES["subject"],
    r"\b(rebuilt|watched)\b": "see the words of names",
}
# Files in which a word is the right one, or plain English.
ALLOWED = {
    ("plots/*", "figure"): "matplotlib's",
    ("plots/*", "Figure"): "matplotlib's",
    ("plots/style.py", "figures"): "in the title of a paper",
    ("experiments/*", "figure"): "matplotlib's",
    ("experiments/*", "Figure"): "matplotlib's",
    ("diagnostics/*", "Figure"): "matplotlib's, which a report's plot returns",
    ("diagnostics/report.py", "figure"): "matplotlib's",
    ("nn/*", "Step"): "the schedule of that name",
    ("functional/maxout.py*", "pieces"): "a public parameter of maxout_backward",
}
# Phrases in which a word of a name has its plain sense.
PLAIN = re.compile("at_?least|at_?most|in_?place", re.IGNORECASE)
FILES = {"figures.pxi", "roots.h", "product.h", "pieces.py", "blocks.py"}
COMPILED = (".pyx", ".pxd", ".pxi", ".h")


def words_of(name):
    """A name's words: of capitals, of lower case with one capital at most, and the name itself."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", PLAIN.sub("_", name))
    return {name, *(word.lower() for word in words)}


def names_in_python(text):
    """Every name that a file gives or uses, by the line of its first use."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Name):
            yield node.id, node.lineno
        elif isinstance(node, ast.Attribute):
            yield node.attr, node.lineno
        elif isinstance(node, ast.arg | ast.keyword) and node.arg:
            yield node.arg, node.lineno
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name, node.lineno
        elif isinstance(node, ast.alias):
            yield from ((name, node.lineno) for name in (node.name, node.asname) if name)


def names_in_cython(text):
    """Every identifier outside comments and texts."""
    for pattern in (r'""".*?"""', r"/\*.*?\*/", r'"(?:\\.|[^"\\\n])*"', r"(?:#(?!define)|//).*"):
        flags = re.DOTALL if "*?" in pattern else 0
        text = re.sub(pattern, lambda match: "\n" * match[0].count("\n"), text, flags=flags)
    for i, line in enumerate(text.splitlines(), 1):
        yield from ((name, i) for name in re.findall(r"[A-Za-z_]\w*", line))


def public_text(text):
    """Docstrings of what is public, and the texts in raise statements, by their lines."""
    tree = ast.parse(text)
    defined = (ast.Module, ast.ClassDef, ast.FunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, defined) and not getattr(node, "name", "").startswith("_"):
            yield ast.get_docstring(node) or "", getattr(node, "lineno", 1)
        elif isinstance(node, ast.Raise):
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    yield part.value, part.lineno


def allowed(file, word):
    return any(word == each and fnmatch(file, pattern) for pattern, each in ALLOWED)


def wrong_words(file, text):
    """Each wrong word of a file with its line, the name or phrase it is in, and the right one."""
    python = file.endswith((".py", ".pyi"))
    found = {}
    for name, line in names_in_python(text) if python else names_in_cython(text):
        for word in words_of(name.rpartition(".")[2]) & IN_NAMES.keys():
            if not allowed(file, word):
                found.setdefault(name, f"{line}: {name} -> {IN_NAMES[word]}")
    for phrase, line in public_text(text) if python else ():
        for pattern, better in IN_TEXT.items():
            for match in re.finditer(pattern, phrase):
                if not allowed(file, match[0]):
                    around = " ".join(
                        phrase[max(0, match.start() - 25) : match.end() + 15].split()
                    )
                    found.setdefault(around, f"{line}: {around!r} -> {better}")
    return list(found.values())


SOURCES = [
    path.relative_to(PACKAGE).as_posix()
    for path in sorted(PACKAGE.rglob("*"))
    if path.suffix in (".py", ".pyi", *COMPILED)
]


@pytest.mark.parametrize("file", SOURCES)
def test_names_and_public_text_use_the_right_words(file):
    assert Path(file).name not in FILES, f"{file}: its name does not tell what is in it"
    assert not wrong_words(file, (PACKAGE / file).read_text())


@pytest.mark.parametrize(
    ("file", "text", "found"),
    [
        ("nn/a.py", "def f(figures): return 1", ["figures"]),
        ("nn/a.py", "class WatchedFigure: pass", ["WatchedFigure"]),
        ("nn/a.py", "x.n_places = 1", ["n_places"]),
        ("nn/a.py", "report.least", ["least"]),
        ("nn/a.py", 'def f():\n    """A figure of an epoch."""', ["A figure of an epoch."]),
        ("nn/a.py", 'raise ValueError("figures must be numbers")', ["figures must be"]),
        ("nn/a.py", 'def f():\n    """Works in place, at most two decimal places."""', []),
        ("nn/a.py", 'def _f():\n    """The figures inside."""', []),
        ("nn/a.py", "x = at_most(replace(x), displaced)", []),
        ("nn/a.py", "schedule = Step(2)", []),
        ("plots/a.py", "figure = Figure()", []),
        ("engine/a.pyx", "cdef int place  # the figures", ["place"]),
        ("engine/a.pyx", 'cdef Step* s = "figures"', ["Step"]),
        ("kernels/a.h", "/* place */ float low; // figures", []),
        ("engine/a.h", "/* place */ float least; // most", ["least"]),
        ("kernels/a.pxi", '"""Places of\nfigures."""\nx = at_most[floating](y, LEAST)', ["LEAST"]),
    ],
)
def test_a_wrong_word_is_found(file, text, found):
    lines = wrong_words(file, text)
    assert len(lines) == len(found), lines
    assert all(name in line for name, line in zip(found, lines, strict=True)), lines
