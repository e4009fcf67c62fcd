"""The command `relume`."""

import argparse
import contextlib
import io
import os
import sys
from typing import TextIO

import relume
from relume.cli import terminal

EXAMPLES = """\
examples:
  relume demo                           train four small networks and compare them
  relume inspect net.safetensors        look for dead units and other problems
  relume export net.safetensors --to onnx
  relume experiments --list             claims about ReLU that can be put to the test
  relume info --json                    versions, CPU, threads, extras

exit status:
  0    done; of inspect: no advice
  1    of inspect only: advice was given
  2    an error, said in one line on standard error, or a wrong argument
  130  interrupted by Ctrl-C

Results go to standard output, progress and errors to standard error. Colors are used in a terminal
unless the variable NO_COLOR is set. `relume COMMAND --help` has the options of a command.
"""
INSPECT = """\
examples:
  relume inspect net.safetensors --data rows.npz
  relume inspect net.safetensors --json | jq '.advice[].kind'

exit status: 0 no advice, 1 advice was given, 2 an error
"""
DEMO = """\
examples:
  relume demo
  relume demo --data fashion-mnist --json
"""
EXPERIMENTS = """\
examples:
  relume experiments --list
  relume experiments cures dropout --quick --out results
"""
EXPORT = """\
examples:
  relume export net.safetensors --to onnx         writes net.onnx
  relume export net.safetensors --to torch        net_torch.py and net_torch.safetensors
  relume export net.safetensors --to sklearn      net_sklearn.py and net_sklearn.safetensors

Of the two files, the .py file is code to read and to import, whose function load() returns the
model; the other one holds its numbers. Nothing is pickled.
"""
INFO = """\
examples:
  relume info
  relume info --json | jq .extras
"""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    root = argparse.ArgumentParser(
        prog="relume", description=(relume.__doc__ or "").split("\n")[0], epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    root.add_argument("--version", action="version", version=f"relume {relume.__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, examples: str) -> argparse.ArgumentParser:
        added = commands.add_parser(
            name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=examples,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        added.add_argument("--json", action="store_true", help="print the result as JSON")
        return added

    demo = command(
        "demo", "train the same network with four activations on real data and compare them", DEMO
    )
    demo.add_argument(
        "--data", choices=["digits", "fashion-mnist"], default="digits",
        help="data set (default: %(default)s)",
    )  # fmt: skip
    experiments = command(
        "experiments", "test claims about ReLU by experiment and write a page of the results",
        EXPERIMENTS,
    )  # fmt: skip
    experiments.add_argument(
        "names", nargs="*", metavar="NAME", help="experiment to run (default: all)"
    )
    experiments.add_argument(
        "--list", action="store_true", help="list the experiments and the question each answers"
    )
    experiments.add_argument(
        "--quick", action="store_true", help="use fewer seeds and fewer epochs"
    )
    experiments.add_argument(
        "--out", default="experiments", metavar="DIR",
        help="output directory (default: %(default)s)",
    )  # fmt: skip
    inspect = command(
        "inspect", "report how the layers of a saved network respond to data, with advice", INSPECT
    )
    inspect.add_argument("model", help="model file written by Network.save")
    inspect.add_argument(
        "--data", default="digits", metavar="DATA",
        help="digits or fashion-mnist (the held-out rows, with pixels from 0 to 1), a .npz file "
        "with X and optionally y, or a .npy file with X (default: %(default)s)",
    )  # fmt: skip
    export = command("export", "write a saved network for another library", EXPORT)
    export.add_argument("model", help="model file written by Network.save")
    export.add_argument(
        "--to", required=True, choices=["onnx", "torch", "sklearn"],
        help="ONNX; a torch.nn.Sequential; or scikit-learn's MLPClassifier or MLPRegressor",
    )  # fmt: skip
    export.add_argument(
        "--out", metavar="FILE",
        help="the .onnx or .py file to write (default: beside the model, see the examples)",
    )  # fmt: skip
    command("info", "print versions, CPU, instruction sets, threads and extras", INFO)
    return root


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit status."""
    if sys.stderr is None:  # it is closed
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    if sys.stdout is None:
        return _failed("relume", "standard output is closed")
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")  # a name may not be in its encoding
    command = "relume"
    try:
        try:
            options = parser().parse_args(arguments)
        finally:
            sys.stdout.flush()  # after --help and --version
        command = f"relume {options.command}"
        status = _run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return terminal.INTERRUPTED
    except BrokenPipeError:  # whoever read the output has seen enough, such as `head`
        _drop(sys.stdout)
        return terminal.DONE
    except Exception as error:
        text = terminal.one_line(error)
        if isinstance(error, OSError) and error.strerror and error.filename is None:
            text = f"standard output: {text}"  # errors of files are named where these are read
            _drop(sys.stdout)
        return _failed(command, text)
    return status


def _drop(stream: TextIO) -> None:
    """Let what a stream still has to write go nowhere: Python would try again when it ends."""
    with contextlib.suppress(OSError, ValueError):  # it may have no descriptor
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _failed(command: str, text: str) -> int:
    """Say what is wrong on standard error, if it takes that; return the exit status."""
    try:
        line = terminal.styled(f"{command}: {text}", "red", sys.stderr)
        print(line, file=sys.stderr, flush=True)
    except OSError:
        _drop(sys.stderr)
    return terminal.ERROR


def _run(options: argparse.Namespace) -> int:
    """Import and run the subcommand."""
    if options.command == "info":
        from relume.cli import info

        return info.run(options)
    if options.command == "experiments":
        from relume.cli import run_experiments

        return run_experiments.execute(options)
    if options.command == "inspect":
        from relume.cli import inspect_model

        return inspect_model.run(options)
    if options.command == "export":
        from relume.cli import export_model

        return export_model.run(options)
    from relume.cli import demo

    return demo.run(options)


if __name__ == "__main__":
    sys.exit(main())
