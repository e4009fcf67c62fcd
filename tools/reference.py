"""Write the pages of the API reference, one for each public name, as each `__all__` has them.

A function and its gradients share a page. docs/conf.py calls `write`; no list of names is kept
anywhere, and a name that no group takes goes to the last one of its module.
"""

import functools
import importlib
import inspect
import re
from collections import defaultdict

import relume

MODULES = ["relume", *(f"relume.{name}" for name in sorted(relume._SUBMODULES + relume._OPTIONAL))]


def _from(*modules):
    """A group of the names that modules of relume.functional export."""
    names = [
        name
        for module in modules
        for name in importlib.import_module(f"relume.functional.{module}").__all__
    ]
    return lambda name, value: name in names


def _subclass_of(*bases):
    """A group of the classes that derive from one of these of relume.nn, and of these."""

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
        ("Joined or chosen along an axis", _from("crelu", "maxout")),
        ("Along an axis", _from("softmax")),
        ("Threads, and what this build is", _rest),
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
    """What a module exports, modules left out: {name: value}, in alphabetical order."""
    values = {name: getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
    return {name: value for name, value in values.items() if not inspect.ismodule(value)}


def stem(name):
    """The name of the function whose gradient this is, or the name itself."""
    return name.removesuffix("_from_output").removesuffix("_backward")


def pages_of(module):
    """The names on each page: {the first of them: all of them}; an alias is on its own's page."""
    values, pages = public(module), defaultdict(list)
    for name in values:
        first = next(other for other in values if values[other] is values[stem(name)])
        pages[first].append(name)
    return {first: sorted(names, key=lambda name: (stem(name), name)) for first, names in
            pages.items()}  # fmt: skip


def groups_of(module):
    """The pages of each group that has any: {title: first names}."""
    groups, values = defaultdict(list), public(module)
    choices = GROUPS.get(module.__name__, [("", _rest)])
    for name in pages_of(module):
        title = next(title for title, belongs in choices if belongs(name, values[name]))
        groups[title].append(name)
    return {title: groups[title] for title, _ in choices if title in groups}


def summary(value):
    """The first paragraph of a docstring, behind the signature that NumPy and Cython put there."""
    if not callable(value) and not inspect.ismodule(value):
        return ""  # its docstring is that of its type
    name, doc = getattr(value, "__name__", ""), inspect.cleandoc(value.__doc__ or "")
    if doc.startswith(f"{name}("):
        doc = doc.partition("\n")[2].lstrip()
    return linked(" ".join(doc.partition("\n\n")[0].split()), entries(doc))


# -- what single backticks in a docstring mean ----------------------------------------------------

ENTRY = re.compile(r"^(\*{0,2}\w+(?:, \*{0,2}\w+)*) :", re.MULTILINE)
QUOTED = re.compile(r"(?<![`:\w])`([\w.]+)`(?![`_])")


def entries(doc):
    """The names that numpydoc sections list: parameters, attributes, results."""
    lists = ENTRY.findall(inspect.cleandoc(doc or ""))
    return [name.strip("* ") for names in lists for name in names.split(",")]


def linked(text, parameters):
    """The text with names of parameters literal, so that all that is left is to be a link."""

    def link(match):
        name = match[1]
        if name in parameters:
            return f"``{name}``"
        return f"`{name} <relume.{name}>`" if name.startswith("nn.") else match[0]

    return QUOTED.sub(link, text)


# -- the pages ------------------------------------------------------------------------------------


PROPERTIES = property, functools.cached_property


def members(cls, exported):
    """The documented methods and properties of a class, but those of its public bases."""
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
    """Two columns, names and summaries."""
    lines = [".. list-table::", "   :widths: 25 75", ""]
    for name, text in rows:
        lines += [f"   * - {name}", f"     - {text}"]
    return "\n".join(lines) + "\n"


def _entry(module, name, value, exported):
    """The directive for one name."""
    full = f"{module.__name__}.{name}"
    own = next(other for other in public(module) if getattr(module, other) is value)
    if own != name:
        return f".. py:function:: {full}\n\n   Another name of `{module.__name__}.{own}`.\n"
    if not callable(value):
        return f".. autodata:: {full}\n   :no-value:\n"
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        names = members(value, exported)
        options = f"   :members: {', '.join(names)}\n" if names else ""
        return f".. {kind}:: {full}\n{options}"
    return f".. autofunction:: {full}\n"


def module_page(module):
    """The page of a module: its docstring, and tables of what it exports."""
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
    text = "Every public name, from its docstring. A function and its gradients share a page.\n"
    names = [module.__name__ for module in modules]
    return "\n".join([_heading("API reference"), text, _table(rows), _toctree(names, "hidden")])


def pages():
    """All pages: {file name: text}."""
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
    """Write the pages that are not as they should be; remove those that are no more."""
    folder.mkdir(exist_ok=True)
    made = pages()
    for path in folder.glob("*.rst"):
        if path.name not in made:
            path.unlink()
    for name, text in made.items():
        path = folder / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
