"""Sphinx's settings: `make docs`. What is not a setting makes docstrings fit for it.

Sphinx need not be there to import this; the tests do, to ask what the API reference covers.
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import numpy as np

import relume

sys.path.append(str(Path(__file__).parent.parent / "tools"))
import claims
import reference


def repository():
    """A link to the repository that this tree was cloned from; to PyPI if it was not."""
    command = ["git", "-C", str(Path(__file__).parent), "remote", "get-url", "origin"]
    try:
        url = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        url = ""
    if not url.startswith("https://"):
        return "[PyPI](https://pypi.org/project/relume/)"
    return f"[Repository]({url.removesuffix('.git')})"


project = "relume"
author = "the relume developers"
version = release = relume.__version__
extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "pictures",
    "search",
    "sources",
]
exclude_patterns = ["_build", "tasks/**/GALLERY_HEADER.rst"]

# Every name in single backticks of a docstring is a parameter (see tools/reference.py), a link, or
# an error: `make docs` is nitpicky. What other libraries have is not looked up.
default_role = "py:obj"
nitpick_ignore_regex = [("py:.*", r"(numpy|scipy|sklearn|torch)\..*|json")]

myst_enable_extensions = ["attrs_inline", "colon_fence", "substitution"]
myst_heading_anchors = 3
myst_substitutions = {"release": release, "repository": repository()}
numpydoc_show_class_members = False
autodoc_typehints = "none"  # the docstrings say the types
autodoc_class_signature = "mixed"
toc_object_entries_show_parents = "hide"
add_function_parentheses = False
python_display_short_literal_types = True

# A copied block is what to type: without prompts, and without what was printed.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_only_copy_prompt_lines = True
copybutton_exclude = ".linenos, .gp, .go"

# The gallery: examples/tasks/*/plot_*.py run while the pages are built, one after the other and
# without a network; one that fails, fails the build. The functions are in tools/gallery.py.
sphinx_gallery_conf = {
    "examples_dirs": ["../examples/tasks"],
    "gallery_dirs": ["tasks"],
    "backreferences_dir": "tasks/using",
    "doc_module": ("relume",),
    "filename_pattern": r"/plot_",
    "subsection_order": [
        f"../examples/tasks/{name}"
        for name in ("activations", "data", "training", "speed", "tools")
    ],
    "within_subsection_order": "FileNameSortKey",
    "image_scrapers": ("gallery.figures",),
    "reset_modules": ("gallery.reset",),
    "abort_on_example_error": False,
    "capture_repr": ("_repr_html_", "__repr__"),
    "download_all_examples": False,
    "show_signature": False,
    "write_computation_times": False,
    "min_reported_time": 10_000,
    "thumbnail_size": (560, 400),
    "log_level": {"backreference_missing": "info"},
}

html_theme = "pydata_sphinx_theme"
html_title = "relume"
html_static_path = ["_static"]
html_css_files = ["relume.css"]
html_show_sourcelink = False
html_copy_source = False
html_favicon = "_static/logo-light.svg"
html_sidebars = {
    name: []
    for name in (
        "index",
        "install",
        "quickstart",
        "migrating",
        "changes",
        "_modules/**",
    )
}
html_theme_options = {
    "logo": {
        "image_light": "_static/logo-light.svg",
        "image_dark": "_static/logo-dark.svg",
        "text": "relume",
        "alt_text": "",  # the word beside it says it
    },
    "primary_sidebar_end": [],
    "navigation_with_keys": False,
    "show_prev_next": True,
    "header_links_before_dropdown": 6,
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
    if what in ("function", "class", "exception"):
        text = reference.with_see_also(text, full)
    if what in ("method", "property") and owner not in reference.MODULES:
        parameters.update(reference.entries(named(owner).__doc__))
    lines[:] = reference.not_enumerated(reference.linked(text, parameters)).split("\n")


def methods(app, what, full, value, options, lines):
    """Below the docstring of a class, a table of its methods."""
    if what == "class":
        lines += ["", *reference.methods(value, reference.exports()).split("\n")]


def signature(app, what, full, value, options, arguments, result):
    """The signature of a ufunc with the names of its docstring, and as short as that."""
    if not isinstance(value, np.ufunc):
        return None
    inputs = [name for name in reference.entries(value.__doc__) if name not in ("out", "kwargs")]
    return f"({', '.join(inputs)}, /, out=None, **kwargs)", ""


def trimmed(app, doctree):
    """A doctest in Markdown ends with a blank line, which its block need not show."""
    from docutils import nodes

    for block in doctree.findall(nodes.literal_block):
        if block.rawsource == block.astext():
            text = block.astext().rstrip()
            block.rawsource, block.children = text, [nodes.Text(text)]
            block.children[0].parent = block


THUMBNAIL = re.compile(
    r'(<img alt=")(" src="[^"]*_thumb\.png".*?<span class="doc">)(.*?)</span>', re.DOTALL
)
NAME = re.compile(r"(<h1>|<span class=\"pre\">)([^<\s]+)")
BREAK = re.compile(r"(?<=[\w)\]])([_(=,/\[]|\.(?=[A-Za-z_]))(?=[\w&'(\[-])")
PARENTHESIS = '<span class="sig-paren">(</span>'


def breakable(app, page, template, context, doctree):
    """Let long names break between their words only; name what thumbnails link to."""
    for part in ("body", "toc"):
        if part in context:
            context[part] = NAME.sub(lambda match: match[1] + _broken(match[2]), context[part])
    for part in ("prev", "next"):
        if context.get(part):
            title = re.sub(r"[\w.]+", lambda match: _broken(match[0]), context[part]["title"])
            context[part] = {**context[part], "title": title}
    if "body" in context:
        context["body"] = THUMBNAIL.sub(r"\1\3, a thumbnail\2\3</span>", context["body"])
        context["body"] = context["body"].replace(PARENTHESIS, f"{PARENTHESIS}<wbr>")


def _broken(text):
    return BREAK.sub(r"\1<wbr>", text)


def setup(app):
    """Called by Sphinx."""
    app.connect("builder-inited", lambda app: reference.write(Path(app.srcdir, "api")))
    app.connect("builder-inited", lambda app: claims.write(Path(app.srcdir, "experiments")))
    app.connect("doctree-read", trimmed)
    app.connect("html-page-context", breakable)
    app.connect("autodoc-process-docstring", docstring, priority=400)  # numpydoc's has 500
    app.connect("autodoc-process-docstring", methods, priority=600)
    app.connect("autodoc-process-signature", signature, priority=400)
    return {"parallel_read_safe": True}
