"""Every instruction set, selected by RELUME_SIMD, passes all tests of the ufuncs."""

import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest

import relume
from relume.kernels import dispatch

BUILDS = dispatch.builds()
LACKS = {name: dispatch.missing_features(needs) for name, needs in BUILDS.items()}
SUPPORTED = [name for name in BUILDS if not LACKS[name]]


def run(*arguments, simd=None, limit=60):
    """Run Python with this value of RELUME_SIMD, which is unset if None."""
    environment = {k: v for k, v in os.environ.items() if k != "RELUME_SIMD"}
    if simd is not None:
        environment["RELUME_SIMD"] = simd
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        timeout=limit,
        check=False,
    )


def skip_where_unsupported(name):
    if name not in BUILDS:
        pytest.skip(f"this machine has no build {name}; it has {', '.join(BUILDS)}")
    if LACKS[name]:
        pytest.skip(f"this CPU lacks {', '.join(LACKS[name])}")


@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_contract_of_the_ufuncs(name):
    skip_where_unsupported(name)
    if name == relume.simd():
        pytest.skip(f"{name} is tested by this process itself")
    options = ["-m", "op", "-q", "-x", "-p", "no:cacheprovider", "-n", "2"]
    done = run("-m", "pytest", *options, "tests", simd=name, limit=1800)
    assert done.returncode == 0, f"RELUME_SIMD={name}\n{done.stdout[-5000:]}{done.stderr[-2000:]}"


@pytest.mark.parametrize("name", ["baseline", "avx2", "avx512"])
def test_simd_names_the_one_in_use_and_config_prints_it(name):
    skip_where_unsupported(name)
    script = "import relume; print(relume.simd()); relume.show_config()"
    done = run("-c", script, simd=name)
    assert done.returncode == 0, done.stderr
    first, *config = done.stdout.splitlines()
    assert first == name
    assert ["instruction", "set", name] in [line.split() for line in config]


def test_the_tests_of_this_process_use_what_was_asked_for():
    assert relume.simd() == (os.environ.get("RELUME_SIMD") or SUPPORTED[-1])


@pytest.mark.parametrize("unset", [None, ""])
def test_the_best_supported_is_the_default(unset):
    done = run("-c", "import relume; print(relume.simd())", simd=unset)
    assert done.stdout.split() == SUPPORTED[-1:], done.stderr


@pytest.mark.parametrize("name", ["sse9", "AVX2", "avx2 ", "avx2,baseline", "../avx2"])
def test_unknown_name_is_an_import_error(name):
    done = run("-c", "import relume", simd=name)
    error = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert error.startswith("ImportError: RELUME_SIMD"), done.stderr
    assert repr(name) in error
    assert all(build in error for build in BUILDS), error


@pytest.mark.parametrize("name", [name for name in BUILDS if LACKS[name]])
def test_unsupported_name_is_an_import_error(name):
    done = run("-c", "import relume", simd=name)
    error = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1
    assert error.startswith("ImportError: RELUME_SIMD"), done.stderr
    assert repr(name) in error
    assert all(feature in error for feature in LACKS[name]), error
    assert all(supported in error.rpartition("supported")[2] for supported in SUPPORTED), error


def test_what_a_build_needs_is_checked_feature_by_feature():
    """No CPU has the feature, so this tests an unsupported build even if all are supported."""
    assert dispatch.missing_features(["no such feature"]) == ["no such feature"]
    assert dispatch.missing_features([]) == []
    needs = list(BUILDS.values())
    assert all(set(less) <= set(more) for less, more in itertools.pairwise(needs))
