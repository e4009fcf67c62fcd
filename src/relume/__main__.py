"""The command `relume`."""

import argparse
import sys

import relume


def parser():
    """The command line."""
    root = argparse.ArgumentParser(prog="relume", description=relume.__doc__.split("\n")[0])
    root.add_argument("--version", action="version", version=f"relume {relume.__version__}")
    commands = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    demo = commands.add_parser(
        "demo", help="train one network with four activations on real data, and compare them"
    )
    demo.add_argument("--data", choices=["digits", "fashion-mnist"], default="digits")
    experiments = commands.add_parser(
        "experiments", help="put claims about ReLU to the test, and write a page of the results"
    )
    experiments.add_argument("names", nargs="*", metavar="NAME", help="which (default: all)")
    experiments.add_argument("--list", action="store_true", help="list their names and questions")
    experiments.add_argument("--quick", action="store_true", help="fewer seeds and epochs")
    experiments.add_argument(
        "--out", default="experiments", metavar="DIR", help="the folder to write to (%(default)s)"
    )
    look = commands.add_parser(
        "inspect", help="what the layers of a saved network do to data, with advice; exit status "
        "0: nothing found, 1: advice given, 2: an error"
    )  # fmt: skip
    look.add_argument("model", help="a file that Network.save has written")
    look.add_argument(
        "--data", default="digits", metavar="DATA",
        help="digits or fashion-mnist (their held-out rows, pixels from 0 to 1), a .npz file with "
        "X and y, or a .npy file with X; default: digits",
    )  # fmt: skip
    commands.add_parser("info", help="versions, instruction set, threads")
    return root


def main(arguments=None):
    """Run the command; return its exit status."""
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
