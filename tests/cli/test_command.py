"""The command: each subcommand on good and on bad input, its statuses, its colors, its JSON."""

import argparse
import dataclasses
import io
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest

import relume
from relume import nn
from relume.__main__ import main, parser
from relume.cli import demo, info, terminal
from relume.datasets.held_out import load_digits_split
from relume.experiments.registry import EXPERIMENTS

ROOT = Path(__file__).parents[2]
COMMANDS = ["demo", "experiments", "export", "info", "inspect"]


@pytest.fixture
def model(tmp_path):
    """The file of a trained network for the digits."""
    X, y, _, _ = load_digits_split()
    net = nn.Network([nn.Dense(16, "relu"), nn.Dense(10)], seed=0)
    net.fit(X, y, epochs=3)
    path = tmp_path / "net.safetensors"
    net.save(path)
    return path


@pytest.fixture
def short_experiment(monkeypatch):
    small = {"seeds": 1, "depth": 2, "width": 4}
    small = dataclasses.replace(EXPERIMENTS["variance"], quick=small)
    monkeypatch.setitem(EXPERIMENTS, "variance", small)


@pytest.fixture
def short_demo(monkeypatch):
    monkeypatch.setitem(demo.JOBS, "digits", (load_digits_split, [8], 128, 2))


class Terminal(io.StringIO):
    def isatty(self):
        return True


# -- help -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=str)
def test_help_has_examples_that_can_be_parsed(arguments, capsys):
    with pytest.raises(SystemExit) as done:
        main([*arguments, "--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) < 100
    examples = re.findall(r"^  relume ([a-z].*?)(?:  .*|\| .*)?$", text, re.MULTILINE)
    assert examples
    for example in examples:
        parser().parse_args(example.split())


def test_help_documents_the_statuses(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    for status in (terminal.DONE, terminal.ADVICE, terminal.ERROR, terminal.INTERRUPTED):
        assert re.search(rf"^  {status} +\w", text, re.MULTILINE)
    (subcommands,) = [
        each for each in parser()._actions if isinstance(each, argparse._SubParsersAction)
    ]
    assert sorted(subcommands.choices) == COMMANDS


# -- good input -----------------------------------------------------------------------------------


def test_info(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for part in (relume.__version__, relume.simd(), np.__version__, info.cpu_name(), "extras"):
        assert part in text
    assert main(["info", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["relume"] == relume.__version__
    assert found["threads"] == relume.get_num_threads()
    assert found["instruction_sets"][relume.simd()] == "supported"
    assert found["extras"]["plots"].keys() == {"matplotlib"}


def test_info_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(info, "version_of", lambda name: None)
    assert main(["info"]) == 0
    assert "not installed: pip install 'relume[onnx]'" in capsys.readouterr().out


@pytest.mark.skipif(not (ROOT / "pyproject.toml").exists(), reason="the source tree is not here")
def test_info_knows_the_extras_and_the_dependencies():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    def names(requirements):
        return tuple(re.match(r"[\w-]+", each)[0] for each in requirements)

    extras = project["optional-dependencies"]
    assert {name: names(extras[name]) for name in extras.keys() - {"bench", "docs", "test"}} == (
        info.EXTRAS
    )
    assert sorted(names(project["dependencies"])) == sorted(info.DEPENDENCIES)


def test_demo(short_demo, capsys):
    assert main(["demo"]) == 0
    out, err = capsys.readouterr()
    assert "64-8-10, Adam, batch size 128, 2 epochs" in out
    table = out.splitlines()[-5:]
    assert [line.split()[0] for line in table[1:]] == demo.HIDDEN_ACTIVATIONS
    assert err.count("training with") == 4
    assert main(["demo", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["network"] == "64-8-10"
    for row, line in zip(found["results"], table[1:], strict=True):
        assert f"{row['accuracy']:.2%}" in line.split()
        assert line.split()[-1] == str(row["hidden_units"]) == "8"


def test_inspect_as_json(model, capsys, tmp_path):
    assert main(["inspect", str(model), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["rows"], found["advice"]) == (450, [])
    X, y = load_digits_split()[2:]
    np.savez(tmp_path / "rows.npz", X=X * 255, y=y)
    assert main(["inspect", str(model), "--json", "--data", str(tmp_path / "rows.npz")]) == 1
    found = json.loads(capsys.readouterr().out)
    assert "unscaled_input" in [each["kind"] for each in found["advice"]]


def test_experiments_as_json(capsys, tmp_path, short_experiment):
    assert main(["experiments", "--list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in listed] == list(EXPERIMENTS)
    assert main(["experiments", "variance", "--quick", "--json", "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    (found,) = json.loads(out)["experiments"]
    assert found["verdict"] in ("holds", "holds in part", "does not hold here")
    assert err.startswith("variance")


# -- bad input ------------------------------------------------------------------------------------


def fails(capsys, *arguments):
    """The one line of an error, with status 2."""
    assert main(list(map(str, arguments))) == 2
    out, err = capsys.readouterr()
    assert not out
    lines = [line for line in err.splitlines() if line.startswith("relume ")]
    assert len(lines) == 1
    assert err.endswith(f"{lines[0]}\n")
    assert lines[0].startswith(f"relume {arguments[0]}: ")
    return lines[0]


def test_inspect_names_the_file_that_is_bad(model, capsys, tmp_path):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(model.read_bytes()[:-1])
    assert str(bad) in fails(capsys, "inspect", bad)
    rows = tmp_path / "rows.npy"
    rows.write_bytes(b"no array")
    assert f"{rows} cannot be read" in fails(capsys, "inspect", model, "--data", rows)
    np.save(rows, np.ones((5, 3)))
    assert f"{model} with {rows}: X must have" in fails(capsys, "inspect", model, "--data", rows)
    assert str(tmp_path / "no.npz") in fails(
        capsys, "inspect", model, "--data", tmp_path / "no.npz"
    )


def test_inspect_of_other_data_than_the_network_s(capsys, tmp_path):
    """The default data are the digits, and the error did not say how to give others."""
    path = tmp_path / "net.safetensors"
    nn.Network([nn.Dense(2)]).build(3).save(path)
    assert "give rows of the network's own data by --data" in fails(capsys, "inspect", path)


def test_experiments_name_what_is_bad(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert "got 'nope'" in fails(capsys, "experiments", "nope")
    error = fails(capsys, "experiments", "variance", "--quick", "--out", tmp_path / "file")
    assert str(tmp_path / "file") in error


def test_demo_says_what_data_is_missing(capsys, monkeypatch, tmp_path):
    def missing():
        raise FileNotFoundError(f"no Fashion-MNIST in {tmp_path}")

    monkeypatch.setitem(demo.JOBS, "fashion-mnist", (missing, [8], 128, 2))
    assert str(tmp_path) in fails(capsys, "demo", "--data", "fashion-mnist")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("it is\nwrong"), "it is wrong"),
        (KeyError("a"), "KeyError: 'a'"),
        (FileNotFoundError(2, "No such file", "x.npz"), "x.npz: No such file"),
        (MemoryError(), "MemoryError"),
        (terminal.CommandError("x: y"), "x: y"),
    ],
)
def test_every_error_is_one_line(error, text, capsys, monkeypatch):
    def raising():
        raise error

    monkeypatch.setattr(info, "info", raising)
    assert main(["info"]) == 2
    assert capsys.readouterr().err == f"relume info: {text}\n"


def test_wrong_arguments_have_status_2(capsys):
    for arguments in ([], ["nope"], ["export", "net"], ["export", "net", "--to", "keras"]):
        with pytest.raises(SystemExit) as done:
            main(arguments)
        assert done.value.code == 2
    assert "invalid choice: 'keras'" in capsys.readouterr().err


def test_an_interrupt_shows_no_traceback(capsys, monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(info, "info", interrupted)
    assert main(["info"]) == 130
    assert capsys.readouterr().err == ""


POSIX = pytest.mark.skipif(os.name != "posix", reason="no /dev/full, no shell")
SHELL = ["/bin/sh", "-c"]  # by its path, since PATH may have no commands but the environment's


@POSIX
def test_a_reader_that_closes_early_sees_no_traceback():
    script = '("$0" -m relume experiments --list --json; echo status $? >&2) | true'
    done = subprocess.run(
        [*SHELL, script, sys.executable], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "status 0\n")


# -- colors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stream", "variables", "colored"),
    [
        (Terminal(), {}, True),
        (Terminal(), {"NO_COLOR": ""}, True),  # as no-color.org says: where it is not empty
        (Terminal(), {"NO_COLOR": "1"}, False),
        (Terminal(), {"TERM": "dumb"}, False),
        (io.StringIO(), {}, False),
    ],
)
def test_colors_are_for_terminals(stream, variables, colored, monkeypatch):
    for name in ("NO_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    text = terminal.styled("text", "red", stream)
    assert text == ("\x1b[31mtext\x1b[0m" if colored else "text")


@pytest.mark.parametrize("arguments", [["info"], ["experiments", "--list"], ["demo"]], ids=str)
def test_colors_leave_the_text_as_it_is(arguments, capsys, monkeypatch, short_demo):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert main(arguments) == 0
    plain = capsys.readouterr().out
    shown = Terminal()
    monkeypatch.setattr(sys, "stdout", shown)
    assert main(arguments) == 0
    assert "\x1b[" in shown.getvalue()
    without = re.sub(r"\x1b\[\d+m", "", shown.getvalue())
    seconds = re.compile(r"\d+\.\d\d(?= )")
    assert seconds.sub("", without) == seconds.sub("", plain)


def test_progress_is_a_bar_in_a_terminal(monkeypatch):
    shown = Terminal()
    monkeypatch.setattr(sys, "stderr", shown)
    with terminal.progress(2, "experiment") as report:
        report("one")
        report("two")
    assert "one\n" in shown.getvalue()
    assert "0/2" in shown.getvalue()


# -- names of files, and streams that are closed, full or of another encoding ---------------------


ODD = ["new\nline", "red\x1b[31m", "tab\there", "a b", "näme→✓"]


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_an_error_shows_a_name_in_one_line(name, capsys, tmp_path):
    """A newline in a name broke the line; an escape sequence reached the terminal."""
    shown = name.replace("\n", r"\n").replace("\x1b", r"\x1b").replace("\t", r"\t")
    path = tmp_path / f"{name}.safetensors"
    for wrong in (None, b"text"):
        if wrong:
            path.write_bytes(wrong)
        for command in (["inspect", path], ["export", path, "--to", "torch"]):
            line = fails(capsys, *command)
            assert line.count(f"{tmp_path}/{shown}.safetensors: ") == 1
            assert line.isprintable()


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_name_of_a_result_is_in_one_line(name, model, capsys):
    path = model.with_name(f"{name}.safetensors")
    path.write_bytes(model.read_bytes())
    assert main(["export", str(path), "--to", "torch"]) == 0
    line = capsys.readouterr().out
    assert line[:-1].isprintable()
    assert line.endswith("\n")
    assert main(["export", str(path), "--to", "torch", "--json"]) == 0
    files = json.loads(capsys.readouterr().out)["files"]
    names = [Path(each["path"]).name for each in files]
    assert names == [f"{name}_torch.py", f"{name}_torch.safetensors"]
    assert all(Path(each["path"]).exists() for each in files)


def test_an_empty_name_is_shown(model, capsys):
    """As the variable of a shell gives that is not set; an empty --out was taken for none."""
    assert "'': No such file" in fails(capsys, "inspect", "")
    assert "--out must be a file ending in .py, got ''" in fails(
        capsys, "export", model, "--to", "torch", "--out", ""
    )
    assert "--out must be a directory, got ''" in fails(capsys, "experiments", "--out", "")


@pytest.mark.parametrize("suffix", [".npz", ".npy"])
@pytest.mark.parametrize("content", [b"", b"PK", b"\x93NUMPY", b"some text", b"\x80\x04}."])
def test_data_that_are_none_are_said_to_be_none(content, suffix, model, capsys):
    """Of text, NumPy says to allow pickles, for which the command has no option."""
    path = model.with_name(f"rows{suffix}")
    path.write_bytes(content)
    assert "pickle" not in fails(capsys, "inspect", model, "--data", path)


def run(arguments, redirection="", **variables):
    """The command in a process of its own: its status, standard output and standard error."""
    line = f'"$0" -m relume {shlex.join(map(str, arguments))} {redirection}'
    done = subprocess.run(
        [*SHELL, line, sys.executable], capture_output=True, timeout=120,
        env={**os.environ, **variables}, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@POSIX
@pytest.mark.parametrize("arguments", ["info", "info --json", "--help", "--version"])
def test_a_closed_output_is_an_error(arguments):
    """It was an AttributeError of None, or the text went to standard error."""
    status, _, err = run(arguments.split(), ">&-")
    assert (status, err) == (2, b"relume: standard output is closed\n")


@POSIX
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
@pytest.mark.parametrize(
    "arguments", ["info", "experiments --list", "--help", "info --help", "--version"]
)
def test_a_full_output_is_named(arguments):
    status, _, err = run(arguments.split(), "> /dev/full", PYTHONUNBUFFERED="")
    assert status == 2
    assert err.decode().count("\n") == 1
    assert err.endswith(b": standard output: No space left on device\n")


@POSIX
def test_an_error_without_a_place_for_its_text_has_its_status(tmp_path):
    """Without standard error, the text went to standard output; with a full one, status 1."""
    for redirection in ("2>&-", "2> /dev/full") if os.path.exists("/dev/full") else ("2>&-",):
        assert run(["inspect", tmp_path / "none"], redirection) == (2, b"", b"")


@POSIX
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_output_of_any_encoding(encoding, model):
    """A name that the encoding lacks was an error, after the files were written."""
    for name in ("näme→✓", os.fsdecode(b"n\xff")):
        path = model.with_name(f"{name}.safetensors")
        path.write_bytes(model.read_bytes())
        status, out, err = run(["export", path, "--to", "torch"], PYTHONIOENCODING=encoding)
        assert (status, err) == (0, b"")
        assert out.startswith(b"wrote ")


@POSIX
def test_a_file_that_cannot_grow_is_named(model, tmp_path):
    """As on a full disk, of which the error gives no name."""
    script = "ulimit -f 1; trap '' XFSZ"
    for to, name in (("torch", "net_torch.safetensors"), ("onnx", "net.onnx")):
        line = f'{script}; "$0" -m relume export {model} --to {to}'
        done = subprocess.run(
            [*SHELL, line, sys.executable], capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip
        assert done.returncode == 2
        assert done.stderr == f"relume export: {tmp_path / name}: File too large\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["net.safetensors"]
    assert nn.load(model).n_outputs == 10
