"""From the file of a data set to the canonical store; which data set a file is taken for."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mmsa.config import Named, expand_path, parse, with_overrides
from mmsa.data.catalogue import DATA_SETS
from mmsa.data.corpus import SPLITS, Corpus, Features, Modality, SplitName
from mmsa.data.custom import is_custom
from mmsa.data.files import FileDataSet
from mmsa.data.generated import CARD as INVENTED
from mmsa.data.generated import LAYOUTS, GeneratedLayout
from mmsa.data.inputs import FeatureInput
from mmsa.data.published import identify
from mmsa.data.readers.sniffing import deeper_layout, layout_of_folder
from mmsa.data.store import (
    TEXT_COLUMNS,
    StoreCard,
    StoredStatistics,
    form_of,
    is_store,
    read_card,
    write_store,
)
from mmsa.data.validation import first_few
from mmsa.errors import ConfigError, DataError, Problem

logger = logging.getLogger("mmsa.data")


def data_config(path: str, name: str | None, changes: Mapping[str, Any], like: Named | None = None) -> Named:
    """The block ``data`` for a file or folder that is named on a command line.

    Args:
        path: as in ``data.path``.
        name: of the data set; None is what the file is known as, or else that of ``like``.
        changes: values by dotted paths that begin with ``data.``.
        like: its other settings are taken, if it is of the same data set.

    Raises:
        ConfigError: for settings that the data set does not have.
        DataError: for a file that is known as no data set, if none is named.
    """
    wrong = [
        Problem(f"--set {key}", value, "is no setting of data", "Write --set data.<setting>=<value>.")
        for key, value in changes.items()
        if not key.startswith("data.")
    ]
    if wrong:
        raise ConfigError("command line", wrong)
    name = name or _known_as(expand_path(path), None if like is None else like.name)
    values: dict[str, Any] = {"name": name, "path": path}
    if (invented := invented_layout(expand_path(path))) is not None and invented.data_set == name:
        values |= invented.settings
    if like is not None and like.name == name:
        base = with_overrides(like, values, "command line")
    else:
        base = parse(DATA_SETS[name].Config, values, "command line")  # type: ignore[attr-defined]
    found: Named = with_overrides(
        base, {key.removeprefix("data."): value for key, value in changes.items()}, "command line"
    )
    return found


def invented_layout(path: Path) -> GeneratedLayout | None:
    """The layout of a tree that ``launch/data.py make`` wrote; None for all other data."""
    try:
        card = json.loads((path / INVENTED).read_text(encoding="utf-8"))
        return LAYOUTS.get(card["layout"]) if card["invented"] is True else None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        return None


def _known_as(path: Path, otherwise: str | None) -> str:
    if not path.exists():
        raise DataError(f"{path}: there is no such file or folder")
    if is_store(path):
        return read_card(path).data_set
    if (invented := invented_layout(path)) is not None:
        return invented.data_set
    published = identify(path)[1] if path.is_file() else None
    if published:
        return published.data_set
    if path.is_dir() and (layout := layout_of_folder(path)) in DATA_SETS:
        return layout
    if otherwise is not None and otherwise in DATA_SETS and otherwise != "planted":
        return otherwise
    if is_custom(path):
        return "custom"
    if not path.is_dir():
        raise DataError(f"{path}: is not known by its digest; say with --name which data set it is")
    inside = first_few(sorted(entry.name for entry in path.iterdir())) or "nothing"
    advice = deeper_layout(path) or "say with --name which it is"
    raise DataError(f"{path}: the names in it do not tell its data set ({inside}); {advice}")


def convert(config: Named, folder: Path, warning: str = "") -> StoreCard:
    """Write all splits of a data set to a store.

    Text is written in every form that the file has; nothing is left out but what ``config`` leaves out. This
    opens test: it is copied, and neither looked at nor told of.

    Args:
        config: of the data set, as a search has it.
        folder: of the store, which must not be there yet.
        warning: what everybody who opens the store is to be told.

    Raises:
        DataError: for a file that cannot be read, and for a folder that is there.
    """
    if folder.exists():
        raise DataError(f"{folder}: is there already; name a folder that is not, or remove it")
    with noted() as notes:
        # With zeros and a note of where they stand: whoever opens the store chooses anew.
        data_set = DATA_SETS[config.name](with_overrides(config, {"nonfinite": "zero"}))
        if not isinstance(data_set, FileDataSet):
            raise DataError(f"{config.name} does not lie in a file")
        known = data_set.examine(("train",))[0].outlines
        # Not by open_corpus, which deals folds: a store has the rows as the file has them.
        corpus, refused = data_set.examine(tuple(name for name in SPLITS if name in known), holes=True)
        if refused is not None:
            raise refused
    path = expand_path(config.path)  # type: ignore[attr-defined]
    source = path.name if path.is_dir() else f"{path.name}, SHA-256 {identify(path)[0]}"
    texts = {} if corpus["train"].text is None else _other_texts(config, corpus)
    folds = getattr(config, "folds", None)
    return write_store(
        folder,
        corpus,
        source,
        texts,
        _statistics(corpus, texts),
        tuple(dict.fromkeys(notes)),
        warning,
        None if folds is None else folds.array,
    )


def _other_texts(config: Named, corpus: Corpus) -> dict[SplitName, dict[str, Modality]]:
    """The forms of text that ``corpus`` was not opened with, by split."""
    texts: dict[SplitName, dict[str, Modality]] = {name: {} for name in corpus.splits}
    opened = form_of(corpus["train"].text)  # type: ignore[arg-type]
    for form in TEXT_COLUMNS:
        if form == opened:
            continue
        try:
            wanted = with_overrides(config, {"text": form, "modalities": ["text"]})
            other = DATA_SETS[config.name](wanted).open(tuple(corpus.splits))
        except DataError as error:
            logger.debug("no text as %s: %s", form, error)
            continue
        for name, split in other.splits.items():
            if split.text is not None and form_of(split.text) == form:
                texts[name][form] = split.text
    return texts


def _statistics(corpus: Corpus, texts: dict[SplitName, dict[str, Modality]]) -> dict[str, StoredStatistics]:
    train = corpus["train"]
    found: dict[str, Any] = {"audio": train.audio, "vision": train.vision}
    for text in (train.text, *texts.get("train", {}).values()):
        if isinstance(text, Features):
            found[TEXT_COLUMNS["features"]] = text
    return {
        column: StoredStatistics(mean=tuple(known.mean.tolist()), scale=tuple(known.scale.tolist()))
        for column, features in found.items()
        if features is not None and len(features.values)
        for known in [FeatureInput.of(features)]
    }


@contextmanager
def noted(held_back: bool = False) -> Iterator[list[str]]:
    """Collect what is logged of data at the level of a warning.

    Args:
        held_back: it is not logged besides, for whoever collects it tells it, unless an error ends the
            reading: then nobody would.
    """
    records: list[logging.LogRecord] = []
    messages: list[str] = []

    def collect(record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return True
        records.append(record)
        messages.append(record.getMessage())
        return not held_back

    logger.addFilter(collect)
    try:
        yield messages
    except BaseException:
        logger.removeFilter(collect)
        for record in records if held_back else ():
            logger.handle(record)
        raise
    finally:
        logger.removeFilter(collect)
