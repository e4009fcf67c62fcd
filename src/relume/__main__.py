"""The command `relume`."""

import argparse
import sys

import relume


def parser():
    """The parser of the command line."""
    root = argparse.ArgumentParser(prog="relume", description=relume.__doc__.split("\n")[0])
    root.add_argument("--version", action="version", version=f"relume {relume.__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="train the same network with four activations on real data and compare them"
    )
    demo.add_argument("--data", choices=["digits", "fashion-mnist"], default="digits")
    experiments = commands.add_parser(
        "experiments", help="test claims about ReLU by experiment and write a page of the results"
    )
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
    inspect = commands.add_parser(
        "inspect", help="report how the layers of a saved network respond to data, with advice; "
        "exit status 0: no advice, 1: advice given, 2: error"
    )  # fmt: skip
    inspect.add_argument("model", help="model file written by Network.save")
    inspect.add_argument(
        "--data", default="digits", metavar="DATA",
        help="digits or fashion-mnist (the held-out rows, with pixels from 0 to 1), a .npz file "
        "with X and optionally y, or a .npy file with X (default: %(default)s)",
    )  # fmt: skip
    commands.add_parser("info", help="print versions, instruction set and number of threads")
    return root


def main(arguments=None):
    """Run the command and return its exit status."""
    options = parser().parse_args(arguments)
    if options.command == "info":
        relume.show_config()
        return 0
    if options.command == "experiments":
        from relume.cli import run_experiments

        return run_experiments.execute(options)
    if options.command == "inspect":
        from relume.cli import inspect_model

        return inspect_model.run(options.model, options.data)
    from relume.cli import demo

    try:
        demo.run(options.data)
    except FileNotFoundError as error:
        print(f"relume demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
