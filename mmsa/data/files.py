"""Base of the data sets that lie in files: found, read in a process of their own, checked."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from mmsa.config import Named, expand_path
from mmsa.data.cards import CARDS
from mmsa.data.corpus import Corpus, DataSet, SplitName, Strings, imputed
from mmsa.data.folds import present_splits
from mmsa.data.hazards import warn_about_features, warn_about_labels
from mmsa.data.isolation import read_apart
from mmsa.data.nonfinite import flag_notes, imputed_notes, with_flags, without_holes
from mmsa.data.published import PUBLISHED, identify
from mmsa.data.readers import LAYOUTS, FileConfig, Reader
from mmsa.data.readers.sniffing import recognise
from mmsa.data.target_spec import TargetSpec
from mmsa.data.validation import check_splits
from mmsa.errors import DataError

logger = logging.getLogger("mmsa.data")


@contextmanager
def _notes_of(path: Path) -> Iterator[None]:
    """Let what is logged of data say whose it is: a note has the name of a file, which others may have."""

    def stamp(record: logging.LogRecord) -> bool:
        record.source = str(path)
        return True

    logger.addFilter(stamp)
    try:
        yield
    finally:
        logger.removeFilter(stamp)


class NamedFileConfig(FileConfig, Named):
    """Where the file of a data set is and what of it is used."""


class FileDataSet(DataSet):
    """Base of the data sets that are published as files."""

    def __init__(self, config: NamedFileConfig):
        self.config = config
        self.name = config.name

    def open(self, splits: Sequence[SplitName]) -> Corpus:
        """Read the named splits in a process of their own, check them, and log what is unusual.

        Raises:
            DataError: for a file that is missing, damaged, or not what the configuration says.
        """
        corpus, refused = self.examine(splits)
        if refused is not None:
            raise refused
        return corpus

    def examine(self, splits: Sequence[SplitName], holes: bool = False) -> tuple[Corpus, DataError | None]:
        """As ``open``, but what it would refuse the splits for is returned: for who wants to know it all.

        Args:
            splits: to open.
            holes: whether the corpus says which values were not finite, also where 0 stands for them.

        Raises:
            DataError: for a file that cannot be read.
        """
        path = self._path()
        with _notes_of(path):
            return self._examined(path, splits, holes)

    def _examined(
        self, path: Path, splits: Sequence[SplitName], holes: bool
    ) -> tuple[Corpus, DataError | None]:
        self._identify(path)
        reader = self._reader(path)
        impute = self.config.nonfinite != "zero"
        # Means are those of the rows that are trained on, whichever split they stand in; in a search by folds
        # each fold takes its own again.
        learned: tuple[SplitName, ...] = ("train",) if impute else ()
        if self.config.folds is not None:
            (there,) = read_apart(reader, ("outlines", []))
            splits = present_splits(splits, there)
            learned = tuple(present_splits(("train", "valid"), there)) if impute else ()
        read = tuple(dict.fromkeys((*splits, *learned)))
        # One request for both calls: they share the reader, which parses a pickle once.
        opened, outlines, targets, digests = read_apart(
            reader, ("read", [read]), ("outlines", []), ("targets", []), ("digests", [read])
        )
        if impute:
            # Digests that a store knows are of zeros.
            digests = {}
            opened = imputed({name: opened[name] for name in splits}, [opened[name] for name in learned])
            for note in imputed_notes(opened, path.name):
                logger.warning("%s", note)
        targets = self._scored(targets)
        refused = None
        try:
            check_splits(opened, targets, str(path), self.config.allow_shared_groups, outlines)
        except DataError as error:
            refused = error
        for name, split in opened.items():
            warn_about_labels(split, f"{path.name} {name}")
            warn_about_features(split, f"{path.name} {name}")
        for name in outlines.keys() - opened.keys():
            for problem in outlines[name].problems:
                logger.warning("%s %s cannot be opened as it is: %s", path.name, name, str(problem).strip())
        if "valid" not in outlines and self.config.folds is None:
            logger.warning(
                "%s has no valid split: search it on folds (data.folds.k: 5), or call some rows valid",
                path.name,
            )
        if "test" not in outlines:
            logger.warning(
                "%s has no test split: what is found can be searched, but not retrained", path.name
            )
        opened = opened if impute or holes else without_holes(opened)
        if self.config.nonfinite == "flag":  # last, for what was said above is of columns of the file
            opened = with_flags(opened)
            for note in flag_notes(opened, path.name):
                logger.warning("%s", note)
        for name, split in opened.items():
            split.know_digest(digests.get(name))
        return Corpus(self.name, targets[0].scale, opened, targets[0].suite, outlines, targets), refused

    def interviewer(self, splits: Sequence[SplitName]) -> dict[SplitName, Strings]:
        """What others than the labelled person said in each row of the named splits, where the file tells."""
        found: dict[SplitName, Strings]
        (found,) = read_apart(self._reader(self._path()), ("interviewer_text", [splits]))
        return found

    def _scored(self, found: tuple[TargetSpec, ...]) -> tuple[TargetSpec, ...]:
        """The targets of the file, or the one of the data set, scored as the configuration says.

        Raises:
            DataError: for metrics that are not of the kind of the primary target.
        """
        primary, *further = found or (self._own_target(),)
        metrics = self.config.metrics
        if metrics == "auto":
            return primary, *further
        try:
            return replace(primary, suite=metrics), *further
        except ValueError as error:
            raise DataError(f"data.metrics: {error}") from None

    def _own_target(self) -> TargetSpec:
        return CARDS[self.name].target

    def _advice(self) -> str:
        """What to say to who has no such file."""
        return f"\n{CARDS[self.name].text()}"

    def _path(self) -> Path:
        try:
            path = expand_path(self.config.path)
        except DataError as error:
            raise DataError(f"{error}.{self._advice()}") from None
        if not path.exists():
            raise DataError(
                f"{path}: there is no such file or folder (data.path is {self.config.path!r})."
                f"{self._advice()}"
            )
        return path

    def _identify(self, path: Path) -> None:
        if path.is_dir():
            return
        digest, published = identify(path)
        if published or any(known.data_set == self.name for known in PUBLISHED):
            told = published or "not one of the published files"
            logger.info("%s: SHA-256 %s, %s", path, digest, told)
        if published and published.data_set != self.name:
            raise DataError(
                f"{path}: is {published}, but data.name is {self.name!r}; write name: {published.data_set}"
            )

    def _reader(self, path: Path) -> Reader:
        layout = self.config.layout
        if layout == "auto":
            layout, path = recognise(path)
        return LAYOUTS[layout](path, self.config)
