"""Write the pages of the API reference, for all public names in each module's `__all__`.

A function and its gradients share a page. docs/conf.py calls `write`. There is no separate list of
names; a name that matches no other group belongs to the last group of its module.
"""

import functools
import importlib
import inspect
import re
from collections import defaultdict

import relume

MODULES = ["relume", *(f"relume.{name}" for name in sorted(relume._SUBMODULES + relume._OPTIONAL))]


def _from(*modules):
    """A predicate for the names that modules of relume.functional export."""
    names = [
        name
        for module in modules
        for name in importlib.import_module(f"relume.functional.{module}").__all__
    ]
    return lambda name, value: name in names


def _subclass_of(*bases):
    """A predicate for classes of relume.nn that are, or derive from, one of these bases."""

    def belongs(name, value):
        classes = tuple(getattr(relume.nn, base) for base in bases)
        return inspect.isclass(value) and issubclass(value, classes)

    return belongs


def _rest(name, value):
    return True


GROUPS = {
    "relume": [
        ("Activations and their gradients", _from("activations", "prelu", "rrelu")),
        ("Gated linear units", _from("gated")),
        ("Concatenated ReLU and maxout", _from("crelu", "maxout")),
        ("Softmax and logsumexp", _from("softmax")),
        ("Threads and configuration", _rest),
    ],
    "relume.nn": [
        ("Layers", _subclass_of("Layer")),
        ("Activations", _subclass_of("Activation")),
        ("Initial weights", _subclass_of("Initializer")),
        ("Losses", _subclass_of("Loss")),
        ("Optimizers", _subclass_of("Optimizer", "LBFGS")),
        ("Schedules", _subclass_of("Schedule")),
        ("Callbacks", _subclass_of("Callback")),
        ("Networks", _rest),
    ],
}


def public(module):
    """A module's exports except modules, as {name: value} in alphabetical order."""
    values = {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
    return {name: value for name, value in values.items() if not inspect.ismodule(value)}


def stem(name):
    """The name of a gradient's function, or the name itself if it is not a gradient."""
    return name.removesuffix("_from_output").removesuffix("_backward")


def pages_of(module):
    """The names on each page as {first name: all names}; an alias is on its function's page."""
    values, pages = public(module), defaultdict(list)
    for name in values:
        first = next(other for other in values if values[other] is values[stem(name)])
        pages[first].append(name)
    return {first: sorted(names, key=lambda name: (stem(name), name)) for first, names in
            pages.items()}  # fmt: skip


def groups_of(module):
    """The pages of each nonempty group as {title: first names}."""
    groups, values = defaultdict(list), public(module)
    choices = GROUPS.get(module.__name__, [("", _rest)])
    for name in pages_of(module):
        title = next(title for title, belongs in choices if belongs(name, values[name]))
        groups[title].append(name)
    return {title: groups[title] for title, _ in choices if title in groups}


def summary(value):
    """The first paragraph of a docstring, after the signature that NumPy and Cython prepend."""
    if not callable(value) and not inspect.ismodule(value):
        return ""  # the docstring of a plain value is that of its type
    name, doc = getattr(value, "__name__", ""), inspect.cleandoc(value.__doc__ or "")
    if doc.startswith(f"{name}("):
        doc = doc.partition("\n")[2].lstrip()
    return linked(" ".join(doc.partition("\n\n")[0].split()), entries(doc))


# -- single backticks in docstrings ---------------------------------------------------------------

ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*) :", re.MULTILINE)
QUOTED = re.compile(r"(?<![`:\w])`([\w.]+)`(?![`_])")


def entries(doc):
    """The names in a docstring's numpydoc sections: parameters, attributes and results."""
    lists = ENTRY.findall(inspect.cleandoc(doc or ""))
    return [name.strip("* ") for names in lists for name in names.split(",")]


def linked(text, parameters):
    """The text with parameter names as literals; all other names in backticks become links."""

    def link(match):
        name = match[1]
        if name in parameters:
            return f"``{name}``"
        return f"`{name} <relume.{name}>`" if name.startswith("nn.") else match[0]

    return QUOTED.sub(link, text)


# -- the pages ------------------------------------------------------------------------------------


PROPERTIES = property, functools.cached_property


def members(cls, exported):
    """The documented methods and properties of a class, except those of its public bases."""
    bases = [base for base in cls.__mro__[1:] if base in exported]
    shown = {name for base in bases for each in base.__mro__ for name in vars(each)}
    return [
        name
        for base in cls.__mro__
        if base.__module__.startswith("relume")
        for name, value in vars(base).items()
        if (inspect.isfunction(inspect.unwrap(value)) or isinstance(value, PROPERTIES))
        and value.__doc__
        and name not in shown
        and not name.startswith("_")
    ]


def _heading(text, line="="):
    return f"{text}\n{line * len(text)}\n"


def _toctree(names, *options):
    entries = "".join(f"   {name}\n" for name in names)
    return ".. toctree::\n" + "".join(f"   :{option}:\n" for option in options) + f"\n{entries}"


def _table(rows):
    """A table with two columns, for names and summaries."""
    lines = [".. list-table::", "   :widths: 25 75", ""]
    for name, text in rows:
        lines += [f"   * - {name}", f"     - {text}"]
    return "\n".join(lines) + "\n"


def _entry(module, name, value, exported):
    """The directive for one name."""
    full = f"{module.__name__}.{name}"
    own = next(other for other in public(module) if getattr(module, other) is value)
    if own != name:
        return f".. py:function:: {full}\n\n   Alias of `{module.__name__}.{own}`.\n"
    if not callable(value):
        return f".. autodata:: {full}\n   :no-value:\n"
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        names = members(value, exported)
        options = f"   :members: {', '.join(names)}\n" if names else ""
        return f".. {kind}:: {full}\n{options}"
    return f".. autofunction:: {full}\n"


def module_page(module):
    """The page of a module, with its docstring and tables of its exports."""
    name, values = module.__name__, public(module)
    parts = [_heading(name), f".. automodule:: {name}\n   :no-members:\n"]
    for title, firsts in groups_of(module).items():
        if title:
            parts.append(_heading(title, "-"))
        parts.append(_table((f"`{name}.{first}`", summary(values[first])) for first in firsts))
    parts.append(_toctree([f"{name}.{first}" for first in pages_of(module)], "hidden"))
    return "\n".join(parts)


def index_page(modules):
    """The page of all modules."""
    rows = [(f":doc:`{module.__name__}`", summary(module)) for module in modules]
    text = "All public names, by module. A function and its gradients share a page.\n"
    names = [module.__name__ for module in modules]
    return "\n".join([_heading("API reference"), text, _table(rows), _toctree(names, "hidden")])


def pages():
    """All pages as {file name: text}."""
    modules = [importlib.import_module(name) for name in MODULES]
    exported = {value for module in modules for value in public(module).values()
                if inspect.isclass(value)}  # fmt: skip
    result = {"index.rst": index_page(modules)}
    for module in modules:
        values = public(module)
        result[f"{module.__name__}.rst"] = module_page(module)
        for first, names in pages_of(module).items():
            title = f"{module.__name__}.{first}"
            entries = [_entry(module, name, values[name], exported) for name in names]
            result[f"{title}.rst"] = "\n".join([_heading(title), *entries])
    return result


def write(folder):
    """Write the pages that have changed, and remove obsolete ones."""
    folder.mkdir(exist_ok=True)
    made = pages()
    for path in folder.glob("*.rst"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
