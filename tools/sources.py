"""Where each public name is written: sphinx.ext.viewcode links to it as "[source]".

viewcode looks in the module that users import a name from. Most names are written elsewhere: an
activation is a block of `kernels/activations`, with its formula and its derivative, and some
functions are in .pyx files.
"""

import ast
import functools
import inspect
import itertools
import re
import sys
from pathlib import Path

import relume

sys.path.append(str(Path(__file__).parent))
import reference

PACKAGE = Path(relume.__file__).parent
BLOCK = re.compile(r"# -- (\w.*?)-*$")
KERNEL = re.compile(r"cdef inline floating (\w+)\(")
DEFINITION = re.compile(r"(?:def|class) (\w+)\b")
BACK = re.compile(
    r'(?<=class="viewcode-block" id=")([\w.]+)'
    r'(">\n<a class="viewcode-back" href="[^"#]*api/(relume[\w.]*)\.html)#[^"]*'
)


def in_python(path):
    """The definitions of a Python file, as {name: (first line, last line)}, with methods."""
    found = {}
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found[node.name] = _lines(node)
        if isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef):
                    found[f"{node.name}.{inner.name}"] = _lines(inner)
    return found


def _lines(node):
    return min(each.lineno for each in [node, *node.decorator_list]), node.end_lineno


def in_cython(path):
    """What a .pyx file defines for Python, as {name: (first line, last line)}."""
    lines, found = path.read_text(encoding="utf-8").splitlines(), {}
    for start, line in enumerate(lines, 1):
        if match := DEFINITION.match(line):
            inner = re.compile(r"\s|\)|$")
            stop = next((k for k in range(start + 1, len(lines) + 1)
                         if not inner.match(lines[k - 1])), len(lines) + 1)  # fmt: skip
            found[match[1]] = start, _last(lines, start, stop)
    return found


def _last(lines, start, stop):
    """The last line before `stop` that has text; lines count from 1."""
    return next(k for k in range(stop - 1, start - 1, -1) if lines[k - 1].strip())


def in_block(path):
    """The functions of a file of activations, as {name: (first line, last line)}.

    A function is its block. A gradient is its kernel, or the block if that has no kernel for it.
    """
    lines, found = path.read_text(encoding="utf-8").splitlines(), {}
    starts = [k for k, line in enumerate(lines, 1) if BLOCK.match(line)]
    functions = {reference.stem(name) for name in reference.public(relume)}
    for start, stop in itertools.pairwise([*starts, len(lines) + 1]):
        heading = BLOCK.match(lines[start - 1])[1]
        named = [name for name in functions if re.search(rf"(?:^|[;,] ){name}\b", heading)]
        for name in named:
            found.setdefault(name, (start, _last(lines, start, stop)))
        for k in range(start, stop):
            match = KERNEL.match(lines[k - 1])
            if match and reference.stem(match[1]) in named and match[1] not in functions:
                found[match[1]] = k, next(n for n in range(k, stop) if not lines[n].strip())
    return found


@functools.cache
def _files():
    """The definitions of each file of the package, as {path: {name: lines}}."""
    readers = {"*.py": in_python, "*.pyx": in_cython}
    return {path: read(path) for pattern, read in readers.items()
            for path in sorted(PACKAGE.rglob(pattern))}  # fmt: skip


@functools.cache
def _blocks():
    """The blocks of all activations, as {name: (path, lines)}."""
    paths = sorted((PACKAGE / "kernels" / "activations").glob("*.pxi"))
    return {name: (path, lines) for path in paths for name, lines in in_block(path).items()}


def place(module, name, value):
    """The path and the lines of a public function or class; None for a plain value."""
    if inspect.isclass(value):
        home = PACKAGE.joinpath(*module.split(".")[1:])
        found = [path for path, names in _files().items() if name in names]
        found.sort(key=lambda path: not path.is_relative_to(home))
        kernel = reference.function_of(value)
    else:
        code = getattr(inspect.unwrap(value), "__code__", None) if callable(value) else None
        found = [path for path, names in _files().items()
                 if code and name in names and str(path).endswith(code.co_filename)]  # fmt: skip
        kernel = name
    if found:
        return found[0], _files()[found[0]][name]
    return _blocks().get(kernel) or _blocks().get(reference.stem(kernel))


def _method(cls, name):
    """The place of a method or property, in the class that defines it."""
    owner = next(base for base in cls.__mro__ if name in vars(base))
    path, _ = place(owner.__module__, owner.__name__, owner)
    lines = _files().get(path, {}).get(f"{owner.__name__}.{name}")
    return lines and (path, lines)


@functools.cache
def places():
    """All public names, methods too, as {(module, name): (path, lines)}."""
    found, exported = {}, reference.exports()
    for module in reference.MODULES:
        for name, value in reference.public(sys.modules[module]).items():
            found[module, name] = place(module, name, value)
            if inspect.isclass(value):
                for method in reference.members(value, exported):
                    found[module, f"{name}.{method}"] = _method(value, method)
    return {key: value for key, value in found.items() if value}


# -- Sphinx ---------------------------------------------------------------------------------------


def _module(path):
    """The name of the module that a file is, or would be."""
    return ".".join(["relume", *path.relative_to(PACKAGE).with_suffix("").parts])


def follow(app, module, name):
    """The module where a public name is written."""
    where = places().get((module, name))
    return _module(where[0]) if where else module


def find(app, module):
    """The text of a module, and where its public names are."""
    found = {name: where for (_, name), where in places().items() if _module(where[0]) == module}
    if not found:
        return None
    path = next(iter(found.values()))[0]
    tags = {name: ("", *lines) for name, (_, lines) in found.items()}
    return path.read_text(encoding="utf-8"), tags


def unused(app):
    """Leave out modules without a public name."""
    modules = getattr(app.env, "_viewcode_modules", {})
    for name in [name for name, entry in modules.items() if not (entry and entry[2])]:
        del modules[name]
    return []


def back(app, page, template, context, doctree):
    """Let links from sources lead to the module that has the name in the API reference."""

    def link(match):
        module = max((m for m in reference.MODULES if match[3].startswith(f"{m}.")), key=len)
        return f"{match[1]}{match[2]}#{module}.{match[1]}"

    if page.startswith("_modules/"):
        context["body"] = BACK.sub(link, context["body"])


def setup(app):
    """Called by Sphinx."""
    app.connect("viewcode-follow-imported", follow)
    app.connect("viewcode-find-source", find)
    app.connect("html-collect-pages", unused, priority=400)  # viewcode's has 500
    app.connect("html-page-context", back)
    return {"parallel_read_safe": True}
