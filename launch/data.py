"""Look at data, check them, and write them in the form that opens fastest; settings of other projects."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmsa.cli import exit_code, overrides, positive
from mmsa.errors import ConfigError, Problem, did_you_mean


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

    inspecting = commands.add_parser(
        "inspect", help="rows, labels and lengths in tables and pictures, what is odd, which spaces fit"
    )
    add_data_arguments(inspecting)
    inspecting.add_argument(
        "--space", type=Path, metavar="FILE", help="write a search space to begin with, for these data"
    )
    inspecting.set_defaults(command=inspect)

    checking = commands.add_parser(
        "check", help="splits, counts and leaks; exit code 1 if something is found"
    )
    add_data_arguments(checking)
    checking.set_defaults(command=check)

    making = commands.add_parser(
        "make", help="write invented people in the genuine layout of a data set, with what may be wrong in it"
    )
    making.add_argument("layout", help="such as mmsa, misa, mult or edaic")
    making.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    making.add_argument(
        "--rows", "--participants", type=positive, default=60, metavar="N", help="how many (default: 60)"
    )
    making.add_argument("--seed", type=int, default=0, help="of everything that is drawn (default: 0)")
    making.add_argument(
        "--hazards",
        default="none",
        metavar="NAMES",
        help="all, none, or names with commas between (default: none)",
    )
    making.set_defaults(command=make)

    cards = commands.add_parser("cards", help="what is known of each data set, and whom to ask for it")
    cards.add_argument("name", nargs="*", help="of a data set (default: all)")
    cards.set_defaults(command=show_cards)

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


def inspect(args: argparse.Namespace) -> int:
    from mmsa.data.conversion import data_config
    from mmsa.data.inspection import inspection_lines, opened_to_look
    from mmsa.search.definition.fitting import fitting_spaces, judged_splits
    from mmsa.search.definition.starter import starter_space

    if args.space is not None and args.space.exists():
        raise ConfigError(
            "command line", [Problem("--space", str(args.space), "is there already", "Name another.")]
        )
    config = data_config(args.path, args.name, overrides(args.assignments))
    found = judged_splits(opened_to_look(config), config)
    print("\n".join(inspection_lines(found)))
    if args.space is not None:
        args.space.write_text(starter_space(found.corpus, config, str(args.space)), encoding="utf-8")
        print(f"\n{args.space}: a space to begin with; look at it, then")
        print(f"  python launch/search.py --space {args.space} --dry-run")
        return 0
    fitting = list(fitting_spaces(found.corpus))
    print("\nspaces that fit, and what to --set for them:" if fitting else "\nno shipped space fits")
    for name, setting in fitting:
        print(f"  {name}: {setting}")
    print("--space FILE writes one for these data")
    return 0


def check(args: argparse.Namespace) -> int:
    from mmsa.data.checks import column_notes, findings, store_findings
    from mmsa.data.conversion import data_config
    from mmsa.data.inspection import opened_to_look
    from mmsa.data.store import is_store
    from mmsa.search.definition.fitting import judged_splits

    # Shared groups are a finding of their own, and not the reason why nothing else can be said.
    allowed = {"data.allow_shared_groups": True}
    config = data_config(args.path, args.name, overrides(args.assignments) | allowed)
    found = judged_splits(opened_to_look(config), config)
    told = findings(found.path, found.corpus, found.refused, found.interviewer)
    told += store_findings(found.path) if is_store(found.path) else []
    in_findings = "\n".join(map(str, told))
    for note in dict.fromkeys([*found.notes, *column_notes(found.corpus, found.path)]):
        if note not in in_findings:
            print(f"noted: {note}")
    for finding in told:
        print(f"found: {finding}")
    if not told:
        print(
            "nothing found: splits, counts, classes, labels known to features, lengths, presence, interviewer"
        )
    return 1 if told else 0


def make(args: argparse.Namespace) -> int:
    from mmsa.data.generated import make

    planted = make(args.layout, args.out, args.rows, args.seed, args.hazards.split(","))
    print(f"{args.out}: {args.rows} invented rows in the layout {args.layout}")
    for name, what in planted.items():
        print(f"  planted: {name}, {what}")
    return 0


def show_cards(args: argparse.Namespace) -> int:
    from mmsa.data.cards import CARDS

    for name in args.name or CARDS:
        if name not in CARDS:
            problem = Problem("NAME", name, "is not a data set with a card", did_you_mean(name, CARDS))
            raise ConfigError("command line", [problem])
        print(CARDS[name].text())
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
