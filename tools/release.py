"""Print the checklist of a release, with the points that can be checked automatically checked.

    python tools/release.py

The exit status is 1 if an automatically checked point fails.
"""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

BY_HAND = [
    "the Test and Wheels workflows have passed for this commit",
    "`make bench-compare` against the last tag shows no slowdown, or the changelog explains it",
    "README's measurements were made with this version's kernels",
    "then push the tag and publish the release on GitHub; the Wheels workflow uploads to PyPI",
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
    """The text of a changelog's section, or None if it has no such section."""
    found = re.search(rf"^## \[{re.escape(name)}\](.*?)(?=^## |\Z)", changelog, re.M | re.S)
    return found[1].strip() if found else None


def built(number):
    """Whether dist has an sdist and a wheel of a version that are newer than the last commit."""
    files = [*ROOT.glob(f"dist/relume-{number}.tar.gz"), *ROOT.glob(f"dist/relume-{number}-*.whl")]
    committed = int(git("log", "-1", "--format=%ct"))
    return len(files) >= 2 and min(file.stat().st_mtime for file in files) > committed


def points(number):
    """The checked points as (requirement, whether it is met)."""
    changelog = text_of("CHANGELOG.md")
    dated = re.match(r" ?- \d{4}-\d\d-\d\d\n\n### ", section(changelog, number) or "")
    return [
        (f"the version, {number}, is a final release", re.fullmatch(r"\d+\.\d+\.\d+", number)),
        (f"no tag v{number} exists", not git("tag", "--list", f"v{number}")),
        (f"CITATION.cff gives {number}", f"\nversion: {number}\n" in text_of("CITATION.cff")),
        (f"CHANGELOG.md has a section '## [{number}] - DATE' with changes", dated),
        ("its section '## [Unreleased]' is empty", not section(changelog, "Unreleased")),
        ("the branch is main", git("branch", "--show-current") == "main"),
        ("the working tree is clean", not git("status", "--porcelain")),
        ("`make wheel` has made dist/ from the last commit", built(number)),
    ]


def main():
    checked = points(version())
    for point, met in checked:
        print("[x]" if met else "[ ]", point)
    for point in BY_HAND:
        print(" - ", point)
    return 0 if all(met for _, met in checked) else 1


if __name__ == "__main__":
    sys.exit(main())
