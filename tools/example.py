"""Do what docs/add_activation.md and docs/add_layer.md say, each in a copy of the project.

A block whose fence names a file goes to the end of what that file lists, or else to its end. The
copy is built, its new activation or layer is tested, and new kernels are proved to be vectorized.

    python tools/example.py [add_activation] [add_layer]
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = ["add_activation", "add_layer"]
PARTS = ["docs", "src", "tests", "tools", "LICENSE", "README.md", "pyproject.toml", "setup.py"]
BLOCK = re.compile(r"^```\w+ (\S+/\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIST = re.compile(r"^(?:ROWS|OPERATORS|TWINS|CASES|EXAMPLES)\b.*?^[}\]]", re.MULTILINE | re.DOTALL)
NAMES = re.compile(r"^__all__ = \[.*?(?=\]$)", re.MULTILINE | re.DOTALL)


def copy(folder):
    """The project as it stands here, with what is built in it."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part)
        else:
            shutil.copy2(ROOT / part, folder / part)


def insert(path, block):
    """Put a block where its file ends, or where the list or dict that it is an entry of does.

    The name of a class goes into `__all__` too.
    """
    text = path.read_text()
    if block.startswith(" "):
        end = LIST.search(text).end() - 1
        text = text[:end] + block + text[end:]
    else:
        text += f"\n\n{block}"
    for name in re.findall(r"^class (\w+)", block, re.MULTILINE):
        text = NAMES.sub(rf'\g<0>, "{name}"', text)
    path.write_text(text)


def tested(blocks):
    """What `pytest -k` takes to run the tests of a page's function or layer."""
    text = "".join(block for _, block in blocks)
    names = re.findall(r'new_(?:row\(b|kind\()"(\w+)"\)', text)
    classes = re.findall(r'^(?:row.layer = b"|class )(\w+)', text, re.MULTILINE)
    return " or ".join([*names, *classes, "reference_row", "every_layer"])


def follow(page):
    """Copy, insert, build, test; returned is the status of the first command that fails."""
    blocks = BLOCK.findall(page.read_text())
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", "src/relume"]
    commands = [["setup.py", "build_ext", "--inplace"], [*tests, "-k", tested(blocks)]]
    if any("/kernels/" in path for path, _ in blocks):
        commands.append(["tools/vec.py"])
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        for path, block in blocks:
            insert(Path(folder, path), block)
        environment = {**os.environ, "PYTHONPATH": str(Path(folder, "src"))}
        for command in commands:
            done = subprocess.run([sys.executable, *command], cwd=folder, env=environment)
            if done.returncode:
                return done.returncode
    return 0


def main(pages):
    """The exit status is that of the first page that fails."""
    return next(filter(None, (follow(DOCS / f"{page}.md") for page in pages)), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or PAGES))
