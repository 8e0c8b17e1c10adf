"""Every layout that can be made, with a file of it changed: it is read or refused, and left as it is."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import hostile
import pytest

from mmsa.data.generated import CARD, LAYOUTS, make
from mmsa.data.readers import LAYOUTS as READERS
from mmsa.data.readers.sniffing import recognise
from mmsa.errors import DataError

MUTANTS = int(os.environ.get("MMSA_MUTANTS", "0"))  # of each layout; by default few, and fewer of folders


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.timeout(60 + MUTANTS)
def test_a_changed_tree_is_read_or_refused_and_not_changed(layout: str, tmp_path: Path) -> None:
    if needs := LAYOUTS[layout].needs:
        pytest.importorskip(needs)
    make(layout, tmp_path, LAYOUTS[layout].fewest, seed=0)
    name, path = recognise(tmp_path)
    files = [file for file in sorted(tmp_path.rglob("*")) if file.is_file() and file.name != CARD]
    settings: dict[str, Any] = {"path": str(path), **LAYOUTS[layout].settings}
    config = READERS[name].Config.model_validate(settings)
    refused, count = 0, MUTANTS or (20 if len(files) < 5 else 5)
    for number in range(count):
        file = files[number % len(files)]
        whole = file.read_bytes()
        changed = next(hostile.mutants(whole or b"\0", 1, seed=number))
        file.unlink()
        file.write_bytes(changed)
        message = ""
        try:
            reader = READERS[name](path, config)
            reader.read(tuple(reader.outlines()))
        except DataError as error:
            message = str(error)
        refused += bool(message)
        assert len(message.encode()) < 3000, number
        assert file.read_bytes() == changed
        file.write_bytes(whole)
    assert refused or count < 100
