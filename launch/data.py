"""Take over what other projects know of data sets."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmsa.cli import exit_code


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    importing = commands.add_parser(
        "import-mmsa", help="write search spaces from the configuration files of MMSA"
    )
    importing.add_argument("run", type=Path, metavar="config_regression.json", help="what MMSA trains with")
    importing.add_argument("tune", type=Path, metavar="config_tune.json", help="what MMSA tunes with")
    importing.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the spaces")
    importing.set_defaults(command=import_mmsa)
    return parser.parse_args()


def import_mmsa(args: argparse.Namespace) -> int:
    from mmsa.importing import import_mmsa

    spaces, left_out = import_mmsa(args.run, args.tune, args.out)
    for space in spaces:
        print(f"{args.out / space.name}.yaml: {len(space.config.search.parameters)} searched parameters")
        for note in space.lost:
            print(f"  does not carry over: {note}")
        for note in space.mismatches:
            print(f"  differs: {note}")
    for note in left_out:
        print(f"left out: {note}")
    return 0


def main() -> int:
    args = arguments()
    code: int = args.command(args)
    return code


if __name__ == "__main__":
    sys.exit(exit_code(main))
