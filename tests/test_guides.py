"""What the guides name exists: modules, classes and files."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]
GUIDES = ["README.md", "CONTRIBUTING.md", "docs/glossary.md", "docs/extending.md", "SECURITY.md"]


def exists(name: str) -> bool:
    """Whether ``mmsa.a.b`` is a module or package, or a class or function in one. Nothing is imported."""
    path = ROOT.joinpath(*name.split("."))
    if path.is_dir() or path.with_suffix(".py").is_file():
        return True
    module, _, attribute = name.rpartition(".")
    found = ROOT.joinpath(*module.split("."))
    source = found / "__init__.py" if found.is_dir() else found.with_suffix(".py")
    text = source.read_text(encoding="utf-8") if source.is_file() else ""
    return re.search(rf"^(class |def )?{attribute}\b", text, re.MULTILINE) is not None


@pytest.mark.parametrize("guide", GUIDES)
def test_modules_and_files_that_a_guide_names_exist(guide: str) -> None:
    text = (ROOT / guide).read_text(encoding="utf-8")
    names = set(re.findall(r"`(mmsa(?:\.\w+)+)`", text))
    files = set(re.findall(r"`((?:mmsa|tests|launch|docs|search_spaces)/[\w/.*]*)`", text))
    missing = [name for name in names if not exists(name)]
    missing += [file for file in files if not any(ROOT.glob(file.rstrip("/")))]
    assert names | files
    assert sorted(missing) == []


def test_studies_that_a_guide_or_a_space_names_are_those_of_its_spaces() -> None:
    spaces = [*(ROOT / "search_spaces").rglob("*.yaml")]
    known = {yaml.safe_load(space.read_text(encoding="utf-8"))["study"] for space in spaces}
    known |= {"ours"}  # which the guide to data of one's own makes
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *spaces]
    named = {
        (page.name, study)
        for page in pages
        for study in re.findall(r"--study ([\w-]+)", page.read_text(encoding="utf-8"))
    }
    assert len(named) > len(spaces)
    assert {(page, study) for page, study in named if study not in known} == set()
