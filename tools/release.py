"""Print what a release needs, each point checked where a command can check it.

python tools/release.py         1 if something is missing
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

BY_HAND = [
    "the Test and Wheels workflows have passed for this commit",
    "`make bench-compare` against the last tag shows nothing slower, or the changelog says what",
    "README's figures are of this version's kernels",
    "then: push the tag, publish the release on GitHub; the Wheels workflow uploads to PyPI",
]


def git(*arguments):
    done = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def text_of(name):
    return (ROOT / name).read_text(encoding="utf-8")


def version():
    return re.search(r'^__version__ = "(.*)"', text_of("src/relume/__init__.py"), re.MULTILINE)[1]


def section(changelog, name):
    """What a changelog says under a heading; None if it has no such heading."""
    found = re.search(rf"^## \[{re.escape(name)}\](.*?)(?=^## |\Z)", changelog, re.M | re.S)
    return found[1].strip() if found else None


def built(number):
    """Whether dist holds sdist and wheel of a version, made after the last commit."""
    files = [*ROOT.glob(f"dist/relume-{number}.tar.gz"), *ROOT.glob(f"dist/relume-{number}-*.whl")]
    committed = int(git("log", "-1", "--format=%ct"))
    return len(files) >= 2 and min(file.stat().st_mtime for file in files) > committed


def points(number):
    """What is checked: (what must be, whether it is)."""
    changelog = text_of("CHANGELOG.md")
    dated = re.match(r" ?- \d{4}-\d\d-\d\d\n\n### ", section(changelog, number) or "")
    return [
        (f"the version, {number}, is a final one", re.fullmatch(r"\d+\.\d+\.\d+", number)),
        (f"no tag v{number} exists", not git("tag", "--list", f"v{number}")),
        (f"CITATION.cff says {number}", f"\nversion: {number}\n" in text_of("CITATION.cff")),
        (f"CHANGELOG.md has '## [{number}] - DATE' and what changed", dated),
        ("nothing is left under its '## [Unreleased]'", not section(changelog, "Unreleased")),
        ("the branch is main", git("branch", "--show-current") == "main"),
        ("the tree is clean", not git("status", "--porcelain")),
        ("`make wheel` has made dist/ from the last commit", built(number)),
    ]


def main():
    checked = points(version())
    for point, is_so in checked:
        print("[x]" if is_so else "[ ]", point)
    for point in BY_HAND:
        print(" - ", point)
    return 0 if all(is_so for _, is_so in checked) else 1


if __name__ == "__main__":
    sys.exit(main())
