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
    commands.add_parser("info", help="versions, instruction set, threads")
    return root


def main(arguments=None):
    """Run the command; return its exit status."""
    options = parser().parse_args(arguments)
    if options.command == "info":
        relume.show_config()
        return 0
    if options.command == "experiments":
        from relume.experiments import command

        return command.execute(options)
    from relume import demo

    try:
        demo.run(options.data)
    except FileNotFoundError as error:
        print(f"relume demo: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
