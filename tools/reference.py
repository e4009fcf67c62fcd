"""Write the pages of the API reference, for all public names in each module's `__all__`.

A function and its gradients share a page. A topic of a large module has a page too, and the
sidebar shows its names below it. docs/conf.py calls `write`. There is no separate list of names; a
name that matches no other group belongs to the last group of its module.
"""

import functools
import importlib
import inspect
import re
import sys
from collections import defaultdict
from pathlib import Path

import relume

sys.path.append(str(Path(__file__).parent))
import pictures
from page_files import renew
from related import related

DISTRIBUTED = ["relume.distributed.dask", "relume.distributed.mpi"]
MODULES = [
    "relume",
    *sorted([f"relume.{name}" for name in relume._SUBMODULES + relume._OPTIONAL] + DISTRIBUTED),
]


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


def _named(names):
    """A predicate for some names."""
    return lambda name, value: name in names.split()


# Where the user guide explains what a module or a topic has.
GUIDE = {
    "relume": "ufuncs",
    "relume-threads-and-configuration": "performance",
    "relume.nn": "training",
    "relume.datasets": "quickstart",
    "relume.diagnostics": "diagnostics",
    "relume.distributed.dask": "dask",
    "relume.distributed.mpi": "scaling",
    "relume.experiments": "experiments",
    "relume.onnx": "training",
    "relume.plots": "plots",
    "relume.sklearn": "scikit_learn_estimators",
}
GROUPS = {
    "relume": [
        ("Activations and their gradients", _from("activations", "prelu", "rrelu")),
        ("Gated linear units", _from("gated")),
        ("Concatenated ReLU and maxout", _from("crelu", "maxout")),
        ("Softmax and logsumexp", _from("softmax")),
        ("Threads and configuration", _rest),
    ],
    "relume.nn": [
        ("Networks", _named("Network History load from_sklearn Shards check_loss")),
        ("Layers", _subclass_of("Layer")),
        ("Activations", _subclass_of("Activation")),
        ("Initial weights", _subclass_of("Initializer")),
        ("Losses", _subclass_of("Loss")),
        ("Optimizers", _subclass_of("Optimizer", "LBFGS")),
        ("Schedules", _subclass_of("Schedule")),
        ("Callbacks", _subclass_of("Callback")),
        ("Reports and errors", _rest),
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


def not_enumerated(text):
    """The text of a docstring without lists that begin with the initial of an author."""
    return re.sub(r"^([A-Z]\. )", r"\\\1", text, flags=re.MULTILINE)


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
    found = [
        name
        for base in cls.__mro__
        if base.__module__.startswith("relume")
        for name, value in vars(base).items()
        if (inspect.isfunction(inspect.unwrap(value)) or isinstance(value, PROPERTIES))
        and value.__doc__
        and name not in shown
        and not name.startswith("_")
    ]
    return list(dict.fromkeys(found))


def methods(cls, exported):
    """A table of a class's methods and properties, and the names of those of its public bases."""

    def link(owner, *name):
        full = ".".join([owner.__module__, owner.__name__, *name])
        return f":py:obj:`{(name or (owner.__name__,))[0]} <{full}>`"

    def told(name):
        return _unlinked(summary(inspect.unwrap(_plain(inspect.getattr_static(cls, name)))))

    rows = [(link(cls, name), told(name)) for name in members(cls, exported)]
    text = _table(rows) if rows else ""
    for base in cls.__mro__[1:]:
        if base in exported and (names := members(base, exported)):
            links = ", ".join(link(base, name) for name in names)
            text += f"\nFrom {link(base)}: {links}.\n"
    return f".. rubric:: Methods and properties\n\n{text}" if text else ""


def _unlinked(text):
    """A summary with names as literals: a link would be looked up where the summary stands."""
    return QUOTED.sub(r"``\1``", re.sub(r"`[^`<]+ <relume\.([\w.]+)>`(?!_)", r"``\1``", text))


def _plain(value):
    """The function in a property or a class method."""
    for name in ("fget", "func", "__func__"):
        value = getattr(value, name, None) or value
    return value


def _heading(text, line="="):
    return f"{text}\n{line * len(text)}\n"


def _toctree(names, *options):
    """A toctree; a name without its module is how the sidebar shows it."""
    entries = "".join(
        f"   {name if ' <' in name else f'{_short(name)} <{name}>'}\n" for name in names
    )
    return ".. toctree::\n" + "".join(f"   :{option}:\n" for option in options) + f"\n{entries}"


def _short(name):
    """A name without its module."""
    return name if name in MODULES else name.rpartition(".")[2]


def _table(rows):
    """A table with two columns, for names and summaries."""
    lines = [".. list-table::", "   :widths: 25 75", "   :class: names", ""]
    for name, text in rows:
        lines += [f"   * - {name}", f"     - {text}"]
    return "\n".join(lines) + "\n"


def _names(module, firsts):
    """A table of names of a module."""
    values = public(module)
    return _table(
        (f"`{first} <{module.__name__}.{first}>`", summary(values[first])) for first in firsts
    )


def _curves(module, firsts):
    """Cards with the curves of those names that are functions or classes of an activation."""
    drawn = {first: function_of(public(module)[first]) for first in firsts}
    lines = [".. grid:: 2 3 4 4", "   :gutter: 2", ""]
    for first, function in drawn.items():
        if function in pictures.CURVES:
            lines += [
                f"   .. grid-item-card:: {first}", f"      :link: {module.__name__}.{first}",
                "      :link-type: doc", "", f"      .. picture:: thumbnail {function}", "",
            ]  # fmt: skip
    return "\n".join(lines) + "\n" if len(lines) > 3 else ""


def function_of(value):
    """The name of the activation that a function or class of relume is."""
    row = getattr(value, "row", None)
    return row["name"] if isinstance(row, dict) else getattr(value, "__name__", "")


SEE_ALSO = "See Also\n--------\n"
AFTER = re.compile(r"^(?=(Notes|References|Examples)\n---)", re.MULTILINE)


def with_see_also(text, full):
    """A docstring whose section "See Also" also has the names that are shown together with its."""
    lines = ""
    for other in related(full):
        module, _, name = other.rpartition(".")
        if not re.search(rf"^({re.escape(other)}|{name}) :", text, re.MULTILINE):
            lines += f"{other} : {_unlinked(summary(public(sys.modules[module])[name]))}\n"
    if not lines:
        return text
    if SEE_ALSO in text:
        return text.replace(SEE_ALSO, SEE_ALSO + lines)
    later = AFTER.search(text)
    at = later.start() if later else len(text)
    return f"{text[:at].rstrip()}\n\n{SEE_ALSO}{lines}\n{text[at:]}"


def _entry(module, name, value, exported):
    """The directive for one name."""
    full = f"{module.__name__}.{name}"
    own = next(other for other in public(module) if getattr(module, other) is value)
    if own != name:
        return f".. py:function:: {full}\n\n   Alias of `{module.__name__}.{own}`.\n"
    if not callable(value):
        keys = ", ".join(f"``{key!r}``" for key in value)
        return f".. autodata:: {full}\n   :no-value:\n\n   A dict with the keys {keys}.\n"
    if inspect.isclass(value):
        kind = "autoexception" if issubclass(value, Exception) else "autoclass"
        names = members(value, exported)
        options = f"   :members: {', '.join(names)}\n" if names else ""
        return f".. {kind}:: {full}\n{options}"
    return f".. autofunction:: {full}\n"


def slug(module, title):
    """The name of the page of a topic."""
    return f"{module.__name__}-{re.sub(r'[^a-z]+', '-', title.lower())}"


def guide(module, title=""):
    """A line with the page of the user guide."""
    return f"User guide: :doc:`/{GUIDE.get(slug(module, title), GUIDE[module.__name__])}`.\n"


def module_page(module):
    """The page of a module, with its docstring and tables of its exports."""
    name = module.__name__
    parts = [_heading(name), f".. automodule:: {name}\n   :no-members:\n", guide(module)]
    for title, firsts in groups_of(module).items():
        if title:
            parts.append(_heading(title, "-"))
        parts.append(_names(module, firsts))
        if not title:
            parts.append(_toctree([f"{name}.{first}" for first in firsts], "hidden"))
    return "\n".join(parts)


def topic_page(module, title, firsts):
    """The page of a topic of a module: curves if it has some, a table, and its names' pages."""
    names = [f"{module.__name__}.{first}" for first in firsts]
    parts = [
        _heading(title),
        f".. currentmodule:: {module.__name__}\n",
        guide(module, title),
        _curves(module, firsts),
        _names(module, firsts),
        _toctree(names, "hidden"),
    ]
    return "\n".join(parts)


def index_page(modules):
    """The page of all modules. The sidebar shows the topics of the large ones."""
    rows = [(f":doc:`{module.__name__}`", summary(module)) for module in modules]
    text = (
        "All public names, by module. A function and its gradients share a page. A name that was "
        "added after version 0.1.0, the first one, says so.\n"
    )
    parts = [_heading("API reference"), text, _table(rows)]
    others = []
    for module in modules:
        name, topics = module.__name__, groups_of(module)
        if list(topics) == [""]:
            others.append(name)
            continue
        entries = [f"All of {name} <{name}>"]
        entries += [f"{title} <{slug(module, title)}>" for title in topics]
        parts.append(_toctree(entries, "hidden", f"caption: {name}"))
    parts.append(_toctree(others, "hidden", "caption: Other modules"))
    return "\n".join(parts)


def name_page(module, title, first, names, exported):
    """The page of a function with its gradients, or of a class."""
    values, full = public(module), f"{module.__name__}.{first}"
    function = function_of(values[first])
    drawn = module.__name__ in ("relume", "relume.nn") and function in pictures.CURVES
    gallery = [f".. minigallery:: {' '.join(f'{module.__name__}.{name}' for name in names)}",
               f"   :add-heading: Examples using {first}", "   :heading-level: -", ""]  # fmt: skip
    return "\n".join([
        _heading(full),
        f".. picture:: activation {function}\n" if drawn else "",
        *(_entry(module, name, values[name], exported) for name in names),
        guide(module, title),
        "\n".join(["", *gallery]),
    ])  # fmt: skip


def pages():
    """All pages as {file name: text}."""
    modules = [importlib.import_module(name) for name in MODULES]
    exported = exports()
    result = {"index.rst": index_page(modules)}
    for module in modules:
        result[f"{module.__name__}.rst"] = module_page(module)
        names = pages_of(module)
        for title, firsts in groups_of(module).items():
            if title:
                result[f"{slug(module, title)}.rst"] = topic_page(module, title, firsts)
            for first in firsts:
                page = name_page(module, title, first, names[first], exported)
                result[f"{module.__name__}.{first}.rst"] = page
    return result


def exports():
    """All public classes."""
    modules = [importlib.import_module(name) for name in MODULES]
    return {value for module in modules for value in public(module).values()
            if inspect.isclass(value)}  # fmt: skip


def write(folder):
    """Write the pages that have changed, and remove obsolete ones."""
    renew(folder, pages(), "*.rst")
