"""Debian's packages, for the tools that need other compilers and other systems.

`need` installs packages on a Debian system, if this process may; `fetch_source` and `fetch_root`
unpack packages into a folder, and install nothing.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


def run(*command, **options):
    return subprocess.run([*map(str, command)], check=True, **options)


def need(packages):
    """Install the packages whose commands are not there, from {command: package}."""
    missing = sorted({packages[name] for name in packages if shutil.which(name) is None})
    if not missing:
        return
    command = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SystemExit(f"missing: {', '.join(missing)}; on Debian: sudo {' '.join(command)}")
    run("apt-get", "update", "--quiet=2")
    run(*command, "--quiet=2", env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def fetch_source(package, folder, suite="bookworm"):
    """Download a source package; return the path of its original archive."""
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        (state / "lists" / "partial").mkdir(parents=True)
        (state / "sources.list").write_text(
            f"deb-src [signed-by={KEYRING}] {MIRROR} {suite} main\n"
        )
        options = {
            "APT::Sandbox::User": "root",
            "Dir::Cache": state / "cache",
            "Dir::Etc::SourceList": state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": state / "lists",
        }
        apt = ["apt-get", "--quiet=2", *(f"-o{key}={value}" for key, value in options.items())]
        run(*apt, "update")
        run(*apt, "source", "--download-only", package, cwd=folder)
    (archive,) = folder.glob("*.orig.tar.*z")
    return archive
