"""Run the code for other libraries in the pages of docs, in blocks fenced as ```python <library>.

    python tools/blocks.py [library ...]

The blocks of a page for one library run in order, in one namespace, and contain asserts. A
library that is not installed is reported and skipped. The blocks for relume itself are doctests
of the test suite. Keras uses JAX unless KERAS_BACKEND is set.
"""

import importlib.util
import os
import re
import sys
from pathlib import Path

PAGES = sorted((Path(__file__).parent.parent / "docs").glob("*.md"))
MODULES = {"scikit-learn": "sklearn", "keras": "keras", "pytorch": "torch"}


def blocks(page, library):
    """The code of a library's blocks, padded with empty lines so that line numbers are correct."""
    text = page.read_text()
    for found in re.finditer(rf"^```python {library}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE):
        yield "\n" * text.count("\n", 0, found.start(1)) + found[1]


def main(libraries):
    """Run the blocks for the given libraries."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    for library in libraries:
        codes = {page: list(blocks(page, library)) for page in PAGES}
        count = sum(map(len, codes.values()))
        if importlib.util.find_spec(MODULES[library]) is None:
            print(f"{library}: not installed, {count} blocks not run")
            continue
        for page in PAGES:
            namespace = {"__name__": "__main__"}
            for code in codes[page]:
                exec(compile(code, page.name, "exec"), namespace)
        print(f"{library}: {count} blocks ran")


if __name__ == "__main__":
    main(sys.argv[1:] or MODULES)
