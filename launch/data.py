"""Look at data, check them, and write them in the form that opens fastest; settings of other projects."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmsa.cli import exit_code, overrides


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    converting = commands.add_parser("convert", help="write a store, which opens without being read")
    add_data_arguments(converting)
    converting.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the store")
    converting.add_argument(
        "--warning", default="", metavar="TEXT", help="told by everything that opens the store"
    )
    converting.set_defaults(command=convert)

    importing = commands.add_parser(
        "import-mmsa", help="write search spaces from the configuration files of MMSA"
    )
    importing.add_argument("run", type=Path, metavar="config_regression.json", help="what MMSA trains with")
    importing.add_argument("tune", type=Path, metavar="config_tune.json", help="what MMSA tunes with")
    importing.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the spaces")
    importing.set_defaults(command=import_mmsa)
    return parser.parse_args()


def add_data_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help="file or folder of the data, as in data.path")
    parser.add_argument(
        "--name", help="of the data set, as in data.name (default: what the file is known as)"
    )
    parser.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of the data, such as data.split=split_context; may be repeated",
    )


def convert(args: argparse.Namespace) -> int:
    from mmsa.data.conversion import convert, data_config

    config = data_config(args.path, args.name, overrides(args.assignments))
    card = convert(config, args.out, args.warning)
    for name, split in card.splits.items():
        print(f"{args.out}: {name}, {split.rows} rows, {', '.join(split.columns)}")
    return 0


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
