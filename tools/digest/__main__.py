"""Print what digests.py compares, of the relume that is imported.

    python -m tools.digest --names       its public names, as JSON
    python -m tools.digest --list        the networks that are drawn from them
    python -m tools.digest < names       digests of what these names stand for, as JSON

Only public names are used, since the trees that are compared may differ in all others.
"""

import argparse
import json
import sys
import warnings

import relume
from tools.digest.digests import descriptions, digests, public_names


def main(arguments):
    parser = argparse.ArgumentParser(description="Print digests of what relume computes.")
    parser.add_argument("--names", action="store_true", help="print the public names instead")
    parser.add_argument("--list", action="store_true", help="print the networks instead")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")  # two epochs are few: scikit-learn warns of it
    if options.list:
        for number, description in enumerate(descriptions(public_names()["classes"])):
            print(f"{number:3}  {description}")
    elif options.names:
        json.dump(public_names() | {"file": relume.__file__}, sys.stdout)
    else:
        json.dump(digests(json.load(sys.stdin)), sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
