"""Files that are replaced as a whole: errors, full disks, kills, permissions."""

import errno
import importlib
import io
import json
import os
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest

from relume import nn
from relume.runtime import files

posix = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux")
OLD, NEW = b"old" * 1000, b"new" * 5000
X, Y = np.random.default_rng(0).normal(size=(30, 4)), np.arange(30) % 3


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(OLD)
    return path


def no_space(*arguments, **options):
    raise OSError(errno.ENOSPC, "No space left on device")


def run(script, *arguments):
    code = textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)],
                          capture_output=True, text=True, check=False)  # fmt: skip


class FullDisk(io.FileIO):
    """A file that takes some bytes and then no more."""

    def __init__(self, path, mode):
        super().__init__(path, mode.replace("b", ""))

    def write(self, data):
        super().write(data[: len(data) // 2])
        no_space()


@pytest.fixture(params=["open", "write", "fsync", "chmod", "replace"])
def failing(request, monkeypatch):
    """Let one step of writing a file fail."""
    if request.param == "open":
        monkeypatch.setattr(files, "open", no_space, raising=False)
    elif request.param == "write":
        monkeypatch.setattr(files, "open", FullDisk, raising=False)
    else:
        monkeypatch.setattr(os, request.param, no_space)


def network(seed=0):
    return nn.Network([nn.Dense(3)], seed=seed).build(4)


def checkpoint(path):
    network(1).fit(X, Y, callbacks=[nn.ModelCheckpoint(path)])


def write_onnx(path):
    pytest.importorskip("onnx")
    network(1).to_onnx(path)


WRITERS = {
    "replace": lambda path: files.replace(str(path), NEW),
    "save": lambda path: network(1).save(path),
    "ModelCheckpoint": checkpoint,
    "to_onnx": write_onnx,
}


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("name", WRITERS)
def test_a_failure_leaves_the_old_file(name, path):
    with pytest.raises(OSError, match="No space left"):
        WRITERS[name](path)
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name], "a temporary file is left"


def _refuse(old, new):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), old, None, new)


@pytest.mark.parametrize("replace", [os.replace, _refuse], ids=["no folder", "not replaced"])
def test_an_error_names_the_file_that_was_given(replace, tmp_path, monkeypatch):
    """It named a temporary file, of which the caller knows nothing."""
    path = tmp_path / "model" if replace is _refuse else tmp_path / "missing" / "model"
    monkeypatch.setattr(files.os, "replace", replace)
    with pytest.raises(OSError, match=r"^\[Errno ") as caught:
        files.replace(str(path), b"new")
    assert str(caught.value).endswith(f": {os.path.realpath(path)!r}")
    assert not list(tmp_path.iterdir())


class HeldOpen:
    """`os.replace` of a system on which the file is held open during the first attempts."""

    def __init__(self, attempts, winerror):
        self.left = attempts
        self.winerror = winerror
        self.replace = os.replace
        self.waited = []

    def __call__(self, old, new):
        if self.left == 0:
            return self.replace(old, new)
        self.left -= 1
        error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), old, None, new)
        error.winerror = self.winerror  # as Windows reports it
        raise error


@pytest.fixture
def held(request, monkeypatch):
    held = HeldOpen(*request.param)
    monkeypatch.setattr(os, "replace", held)
    monkeypatch.setattr(files.time, "sleep", held.waited.append)
    return held


@pytest.mark.parametrize("name", WRITERS)
@pytest.mark.parametrize("held", [(1, 5), (3, 32), (3, 33), (7, 32)], indirect=True, ids=str)
def test_a_file_that_is_held_open_for_a_moment_is_replaced(name, held, path):
    """Windows replaces no file that another process, such as a virus scanner, holds open."""
    attempts = held.left
    WRITERS[name](path)
    assert path.read_bytes() != OLD
    assert held.left == 0
    assert os.listdir(path.parent) == [path.name]
    assert len(held.waited) == attempts
    assert 0 < sum(held.waited) < 2


@pytest.mark.parametrize("held", [(8, 5), (8, 32)], indirect=True, ids=str)
def test_a_file_that_stays_open_is_an_error_that_names_it(held, path):
    with pytest.raises(PermissionError) as caught:
        files.replace(str(path), NEW)
    assert str(caught.value).endswith(f": {os.path.realpath(path)!r}")
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.parametrize("held", [(1, None), (1, 19)], indirect=True, ids=str)
def test_other_refusals_are_reported_at_once(held, path):
    """A folder without permission, or a disk that is write-protected: waiting helps neither."""
    with pytest.raises(PermissionError):
        files.replace(str(path), NEW)
    assert held.waited == []
    assert path.read_bytes() == OLD


@pytest.mark.usefixtures("failing")
@pytest.mark.parametrize("failing", ["open", "write", "fsync", "replace"], indirect=True)
def test_a_failure_leaves_no_new_file(tmp_path):
    (tmp_path / "other").touch()
    with pytest.raises(OSError, match="No space left"):
        files.replace(str(tmp_path / "new"), NEW)
    assert os.listdir(tmp_path) == ["other"]


@posix
@pytest.mark.parametrize("name", ["open", "fsync", "close"])
def test_a_folder_that_cannot_be_synchronized_is_no_error(name, path, monkeypatch):
    """The file has been replaced by then; an error would say that it was not."""
    real = getattr(os, name)
    folders = set()

    def broken(first, *arguments):
        if name == "open" or first in folders:
            no_space()
        return real(first, *arguments)

    if name != "open":
        real_open = os.open
        monkeypatch.setattr(os, "open", lambda *a: (d := real_open(*a), folders.add(d))[0])
    monkeypatch.setattr(os, name, broken)
    files.replace(str(path), NEW)
    assert path.read_bytes() == NEW
    assert os.listdir(path.parent) == [path.name]


@posix
def test_a_folder_that_can_be_written_but_not_read(tmp_path):
    if os.getuid() != 0:
        pytest.skip("needs root, to become another user")
    script = """
    import os, sys
    from relume.runtime import files
    folder = sys.argv[1]
    os.chown(folder, 65534, 65534), os.chmod(folder, 0o333)
    os.setgid(65534), os.setuid(65534)
    for data in (b"first", b"second"):
        files.replace(folder + "/file", data)
    """
    for each in (tmp_path, *tmp_path.parents[:3]):
        each.chmod(0o755)
    folder = tmp_path / "folder"
    folder.mkdir()
    done = run(script, folder)
    assert done.returncode == 0, done.stderr
    assert (folder / "file").read_bytes() == b"second"


@linux
def test_a_disk_without_space(path):
    """A limit of the file's size stands for it: the system takes a part, and then no more."""
    script = """
    import resource, sys
    from relume import nn
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
    nn.Network([nn.Dense(300)], seed=0).build(300).save(sys.argv[1])
    """
    done = run(script, path)
    assert "OSError" in done.stderr
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]


@posix
@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_a_kill_between_writing_and_replacing(name, tmp_path):
    """A checkpoint over an existing file: the file is the old one, or the new one."""
    script = """
    import os, signal, sys
    from relume import nn
    X, y = [[0.0, 1.0]] * 6, [0, 1, 2] * 2
    net = nn.Network([nn.Dense(3)], seed=0)
    def kill(*arguments):
        if net.epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    real = getattr(os, sys.argv[2])
    setattr(os, sys.argv[2], kill)
    net.fit(X, y, epochs=3, callbacks=[nn.ModelCheckpoint(sys.argv[1])])
    """
    path = tmp_path / "net"
    assert run(script, path, name).returncode == -signal.SIGKILL
    assert nn.load(path).epoch == 1
    nn.load(path).save(path)
    assert nn.load(path).epoch == 1


def test_an_interrupt_while_writing(path, monkeypatch):
    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.replace(str(path), NEW)
    assert path.read_bytes() == OLD
    assert os.listdir(path.parent) == [path.name]


def test_results_of_experiments_are_replaced_as_a_whole(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    experiments = importlib.import_module("relume.experiments.run")
    result = SimpleNamespace(verdict="holds", seconds=0.0, to_dict=dict)
    monkeypatch.setattr(experiments, "run_one", lambda experiment, quick: result)
    monkeypatch.setattr("relume.experiments.page.page", lambda *arguments: "page")
    name = next(iter(experiments.EXPERIMENTS))
    experiments.run([name], out=tmp_path, report=lambda line: None)
    before = (tmp_path / "results.json").read_bytes()
    assert json.loads(before)["experiments"] == [{}]
    monkeypatch.setattr(files, "open", FullDisk, raising=False)
    with pytest.raises(OSError, match="No space left"):
        experiments.run([name], out=tmp_path, report=lambda line: None)
    assert (tmp_path / "results.json").read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["index.html", "results.json"]
