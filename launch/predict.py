"""Predict new rows with retrained models: the mean over their seeds, and how far the seeds disagree."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmsa.cli import add_common_arguments, exit_code, overrides


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    models = parser.add_mutually_exclusive_group(required=True)
    models.add_argument("--study", help="its latest retraining predicts")
    models.add_argument(
        "--models", type=Path, metavar="DIR", help="folder of a retraining, or of one of its models"
    )
    parser.add_argument(
        "--data", required=True, metavar="PATH", help="table (csv, json, jsonl, parquet), or a data set"
    )
    parser.add_argument(
        "--name",
        help="of the data set, as in data.name (default: what the file is known as, or the one learned on)",
    )
    parser.add_argument("--out", required=True, type=Path, metavar="FILE", help=".csv, .json or .parquet")
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    changes = overrides(args.assignments)
    from mmsa.results.predict import (
        check_form,
        find_models,
        models_of,
        predict_rows,
        rows_to_predict,
        write_predictions,
    )

    check_form(args.out)
    folder = args.models or find_models(args.study, args.runs)
    models = models_of(folder, args.runs / "cache")
    table = predict_rows(models, rows_to_predict(args.data, next(iter(models.values())), args.name, changes))
    write_predictions(table, args.out)
    num_rows = len(next(iter(table.values())))
    print(f"{args.out}: {num_rows} rows, predicted by {len(models)} models of {folder}")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code(main))
