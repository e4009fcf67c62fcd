"""Make asv's pages work without a network: `make bench-publish`.

    python tools/asv_pages.py FOLDER

asv's index.html loads jQuery, Flot, Bootstrap and three small libraries from public servers. Their
files are copied from npm packages into FOLDER/vendor, and the page loads those. npm is asked once;
the packages stay in build/npm.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import NamedTuple

CACHE = Path(__file__).resolve().parents[1] / "build" / "npm"


class Package(NamedTuple):
    """A version of a package, and its files by the names that asv's page loads."""

    name: str
    version: str
    sha256: str  # of the archive
    files: dict[str, str]


# The versions that asv 0.6.5 loads; of Flot's plugins npm has no minified files.
PACKAGES = [
    Package(
        "jquery",
        "3.3.1",
        "2c7c70a1e796c1568ff05d45a8cb2da2a0fc6e37426c65e4eef6ee55e217933e",
        {"jquery-3.3.1.min.js": "dist/jquery.min.js"},
    ),
    Package(
        "flot",
        "0.8.3",
        "5e4cea78a9efa2d3dbba363ac76c688951e6c638ee916883c36e23516208b1ed",
        {
            f"jquery.flot{part}.min.js": f"jquery.flot{part}.js"
            for part in ("", ".time", ".selection", ".categories")
        },
    ),
    Package(
        "flot-orderbars",
        "1.0.0",
        "e5523ee7cca778f194b34fc31afb6dda40bf1557e6669fda4730c29f53e87101",
        {"jquery.flot.orderBars.js": "js/jquery.flot.orderBars.js"},
    ),
    Package(
        "stupid-table-plugin",
        "1.1.3",
        "1186089584b7c2f7fec9ad4232e9aa1adbfea273eaa233b713beb8c2c916b4ac",
        {"stupidtable.min.js": "stupidtable.min.js"},
    ),
    Package(
        "blueimp-md5",
        "2.19.0",
        "0fff5798c7733b21f3e4c0de69ccba12af266e0f01c3e3a41051c0e49a655512",
        {"md5.min.js": "js/md5.min.js"},
    ),
    Package(
        "bootstrap",
        "3.1.1",
        "23b27da4dd80b8fbe8972ac4be87037627e007ad5dd1edb27435844f0a4646a0",
        {
            "bootstrap.min.js": "dist/js/bootstrap.min.js",
            "bootstrap.min.css": "dist/css/bootstrap.min.css",
        },
    ),
]

LOADED = re.compile(r'(src|href)="https://[^"]*/([^"/]+\.(?:js|css))"([^>]*)>')
CHECKS = re.compile(r' (?:integrity|crossorigin|referrerpolicy)="[^"]*"')


def archive(package):
    """The package's archive, from the cache or from npm."""
    path = CACHE / f"{package.name}-{package.version}.tgz"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        wanted = f"{package.name}@{package.version}"
        subprocess.run(["npm", "pack", "--silent", wanted], cwd=CACHE, check=True)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != package.sha256:
        path.unlink()
        raise SystemExit(f"{path.name} has the SHA-256 {found}, not {package.sha256}")
    return path


def copy(folder):
    """Copy all files of the packages, and return their names."""
    vendor = folder / "vendor"
    vendor.mkdir(exist_ok=True)
    names = set()
    for package in PACKAGES:
        with tarfile.open(archive(package)) as files:
            for name, inside in package.files.items():
                inner = files.extractfile(f"package/{inside}")
                (vendor / name).write_bytes(inner.read())
                names.add(name)
    return names


def local(text, names):
    """The page with its loads replaced; an error names a file that no package has."""

    def replaced(match):
        attribute, name, rest = match.groups()
        if name not in names:
            raise SystemExit(f"asv's page loads {name}, which tools/asv_pages.py does not name")
        return f'{attribute}="vendor/{name}"{CHECKS.sub("", rest)}>'

    return LOADED.sub(replaced, text)


def main(folder):
    """Copy the files, and change the page."""
    names = copy(folder)
    page = folder / "index.html"
    page.write_text(local(page.read_text(encoding="utf-8"), names), encoding="utf-8")
    print(f"copied {len(names)} files; {page} loads nothing from the network")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
