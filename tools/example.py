"""Do what docs/add_activation.md says, in a copy of the project, with the blocks of that page.

A block whose fence names a file goes to the end of what that file lists. The copy is built, its
new activation is tested, and its loops are proved to be vectorized.

    python tools/example.py
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "add_activation.md"
PARTS = ["docs", "src", "tests", "tools", "LICENSE", "README.md", "pyproject.toml", "setup.py"]
BLOCK = re.compile(r"^```\w+ (\S+/\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LIST = re.compile(r"^(?:ROWS|OPERATORS)\b.*?^}$", re.MULTILINE | re.DOTALL)


def copy(folder):
    """The project as it stands here, with what is built in it."""
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, folder / part)
        else:
            shutil.copy2(ROOT / part, folder / part)


def insert(path, block):
    """Put a block where its file ends, or where the dict that it lists things in does."""
    text = path.read_text()
    if path.suffix == ".py":
        end = LIST.search(text).end() - 1
        text = text[:end] + block + text[end:]
    else:
        text += f"\n\n{block}"
    path.write_text(text)


def main():
    """Copy, insert, build, test; the exit status is that of the first command that fails."""
    blocks = BLOCK.findall(PAGE.read_text())
    (name,) = re.findall(r'new_row\(b"(\w+)"\)', blocks[0][1])
    (layer,) = re.findall(r'row.layer = b"(\w+)"', blocks[0][1])
    chosen = f"{name} or {layer} or reference_row"
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", "src/relume", "-k", chosen]
    with tempfile.TemporaryDirectory() as folder:
        copy(Path(folder))
        for path, block in blocks:
            insert(Path(folder, path), block)
        environment = {**os.environ, "PYTHONPATH": str(Path(folder, "src"))}
        for command in (["setup.py", "build_ext", "--inplace"], tests, ["tools/vec.py"]):
            done = subprocess.run([sys.executable, *command], cwd=folder, env=environment)
            if done.returncode:
                return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
