"""Debian's packages, for the tools that need other compilers and other systems.

`need` installs packages on a Debian system, if this process may; the others unpack packages into a
folder, and install nothing.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
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
    command = ["apt-get", "install", "--yes", *missing]
    if shutil.which("apt-get") is None or os.geteuid() != 0:
        raise SystemExit(f"missing: {', '.join(missing)}; on Debian: sudo {' '.join(command)}")
    run("apt-get", "update", "--quiet=2")
    run(*command, "--quiet=2", env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


@contextmanager
def apt(suite, architecture=None):
    """The command apt-get with lists of its own, of one suite of Debian; it changes no system."""
    with tempfile.TemporaryDirectory() as name:
        state = Path(name)
        (state / "lists" / "partial").mkdir(parents=True)
        (state / "archives" / "partial").mkdir(parents=True)
        (state / "status").touch()
        line = f"[signed-by={KEYRING}] {MIRROR} {suite} main\n"
        (state / "sources.list").write_text(f"deb {line}deb-src {line}")
        options = {
            "APT::Install-Recommends": "false",
            "APT::Sandbox::User": "root",
            "Debug::NoLocking": "true",
            "Dir::Cache": state,
            "Dir::Etc::SourceList": state / "sources.list",
            "Dir::Etc::SourceParts": "/dev/null",
            "Dir::State::Lists": state / "lists",
            "Dir::State::status": state / "status",
        }
        if architecture:
            options |= {"APT::Architecture": architecture, "APT::Architectures": architecture}
        command = ["apt-get", "--quiet=2", *(f"-o{key}={value}" for key, value in options.items())]
        run(*command, "update")
        yield command, state


def fetch_source(package, folder, suite="bookworm"):
    """Download a source package; return the path of its original archive."""
    with apt(suite) as (command, _):
        run(*command, "source", "--download-only", package, cwd=folder)
    (archive,) = Path(folder).glob("*.orig.tar.*z")
    return archive


def fetch_package(package, folder, architecture, suite):
    """Unpack one package, without what it depends on, into a folder."""
    with apt(suite, architecture) as (command, state):
        run(*command, "download", package, cwd=state)
        (archive,) = state.glob("*.deb")
        run("dpkg-deb", "--extract", archive, folder)


def fetch_root(packages, folder, architecture, suite="bookworm"):
    """Unpack packages, and all that they depend on, into a folder; their scripts do not run."""
    with apt(suite, architecture) as (command, state):
        run(*command, "install", "--yes", "--download-only", *packages)
        archives = sorted((state / "archives").glob("*.deb"))
        for archive in archives:
            run("dpkg-deb", "--extract", archive, folder)
    return len(archives)
