"""Sphinx's settings: `make docs`. What is not a setting makes docstrings fit for it.

Sphinx need not be there to import this; the tests do, to ask what the API reference covers.
"""

import inspect
import sys
from pathlib import Path

import numpy as np

import relume

sys.path.append(str(Path(__file__).parent.parent / "tools"))
import reference

project = "relume"
author = "the relume developers"
version = release = relume.__version__
extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc"]
exclude_patterns = ["_build"]

# Every name in single backticks of a docstring is a parameter (see tools/reference.py), a link, or
# an error: `make docs` is nitpicky. What other libraries have is not looked up.
default_role = "py:obj"
nitpick_ignore_regex = [("py:.*", r"(numpy|scipy|sklearn|torch)\..*|json")]

myst_heading_anchors = 3
numpydoc_show_class_members = False
autodoc_typehints = "none"  # the docstrings say the types
autodoc_class_signature = "mixed"
toc_object_entries_show_parents = "hide"
add_function_parentheses = False
python_display_short_literal_types = True

html_theme = "pydata_sphinx_theme"
html_title = "relume"
html_static_path = ["_static"]
html_css_files = ["relume.css"]
html_show_sourcelink = False
html_copy_source = False
html_sidebars = {"index": [], "install": [], "quickstart": [], "migrating": []}
html_theme_options = {
    "primary_sidebar_end": [],
    "navigation_with_keys": False,
    "show_prev_next": True,
    "header_links_before_dropdown": 7,
    "footer_start": ["copyright"],
    "footer_end": ["theme-version"],
    "secondary_sidebar_items": ["page-toc"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}


def named(full):
    """What stands under a full name of the API."""
    module = max((m for m in reference.MODULES if full.startswith(m)), key=len)
    value = sys.modules[module]
    for part in full.removeprefix(module).split(".")[1:]:
        value = inspect.getattr_static(value, part)
    return value


def docstring(app, what, full, value, options, lines):
    """Make links of what is one; drop the signature that NumPy puts before a docstring."""
    text, owner = "\n".join(lines), full.rpartition(".")[0]
    if text.startswith(f"{getattr(value, '__name__', '')}("):
        text = text.partition("\n\n")[2]
    parameters = set(reference.entries(text))
    if what in ("method", "property") and owner not in reference.MODULES:
        parameters.update(reference.entries(named(owner).__doc__))
    lines[:] = reference.linked(text, parameters).split("\n")


def signature(app, what, full, value, options, arguments, result):
    """The signature of a ufunc with the names of its docstring, and as short as that."""
    if not isinstance(value, np.ufunc):
        return None
    inputs = [name for name in reference.entries(value.__doc__) if name not in ("out", "kwargs")]
    return f"({', '.join(inputs)}, /, out=None, **kwargs)", ""


def setup(app):
    """Called by Sphinx."""
    app.connect("builder-inited", lambda app: reference.write(Path(app.srcdir, "api")))
    app.connect("autodoc-process-docstring", docstring, priority=400)  # numpydoc's has 500
    app.connect("autodoc-process-signature", signature, priority=400)
    return {"parallel_read_safe": True}
