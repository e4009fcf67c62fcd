"""The command: each subcommand on good and on bad input, its statuses, its colors, its JSON."""

import argparse
import dataclasses
import io
import json
import os
import re
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


def test_a_reader_that_closes_early_sees_no_traceback():
    script = f"{sys.executable} -m relume experiments --list --json | true"
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {script}"], capture_output=True, text=True, timeout=60,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


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
