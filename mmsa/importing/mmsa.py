"""From MMSA's configuration to spaces: choices become categorical parameters, the shipped point is trial 0.

What does not carry over is listed with the reason in the space file that lacks it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from mmsa.data.catalogue import DATA_SETS
from mmsa.errors import ConfigError, Problem
from mmsa.importing.counterparts import COUNTERPARTS
from mmsa.importing.files import RunFile, TuneFile, read_run_file, read_tune_file
from mmsa.importing.translation import Imported, Translation, quoted


def import_mmsa(run_path: Path, tune_path: Path, folder: Path) -> tuple[list[Imported], list[str]]:
    """Write a space into ``folder`` for every model that has a counterpart, on every data set with a reader.

    Returns:
        The spaces, and what was left out altogether, with reasons.

    Raises:
        ConfigError: with everything wrong in the two files, or for files that exist already. Nothing is
            written then.
    """
    run, tune = read_run_file(run_path), read_tune_file(tune_path)
    spaces: list[Imported] = []
    problems: list[Problem] = []
    left_out = list(_left_out(run, tune))
    for model, data_set in _wanted(run):
        try:
            space, reasons = Translation(model, data_set, run, tune).space()
        except ConfigError as error:
            problems += [
                Problem(f"{model}.{data_set}.{p.path}", p.value, p.rule, p.next_step) for p in error.problems
            ]
            continue
        spaces += [space] if space else []
        left_out += [] if space else [f"{model} on {data_set}: {reason}" for reason in reasons]
    files = {folder / f"{space.name}.yaml": space.text() for space in spaces}
    advice = "Remove it, or give another folder."
    problems += [Problem("(file)", str(path), "exists already", advice) for path in files if path.exists()]
    if problems:
        raise ConfigError(f"{run_path} and {tune_path}", problems)
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return spaces, left_out


def _wanted(run: RunFile) -> Iterator[tuple[str, str]]:
    for model, (_, by_data_set) in run.models.items():
        if model in COUNTERPARTS:
            yield from ((model, name) for name in by_data_set if name in DATA_SETS and name in run.data)


def _left_out(run: RunFile, tune: TuneFile) -> Iterator[str]:
    for model in dict.fromkeys([*run.models, *tune.models]):
        if model not in COUNTERPARTS:
            yield f"{quoted(model)}: has no counterpart here"
        elif model not in run.models:
            yield f"{model}: is tuned by MMSA but never trained, so that there is no shipped point"
        else:
            if model not in tune.models:
                yield f"{model}: is trained by MMSA but never tuned; its space has nothing to search"
            for data_set in run.models[model][1]:
                if data_set not in DATA_SETS or data_set not in run.data:
                    yield f"{model} on {quoted(data_set)}: is no data set both here and in the file"
