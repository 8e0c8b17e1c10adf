"""Every block of commands in ``docs/guides`` says what stands behind it; what can run here is run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
_BLOCK = re.compile(r"(?:<!-- commands: (.+?) -->\n)?```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks(guide: Path) -> list[tuple[str, str]]:
    """What stands behind each block, and its commands."""
    return _BLOCK.findall(guide.read_text(encoding="utf-8"))


def ids(guide: Path) -> str:
    return guide.stem


@pytest.mark.parametrize("guide", GUIDES, ids=ids)
def test_every_block_says_what_stands_behind_it(guide: Path) -> None:
    found = blocks(guide)
    assert (
        len(found) == guide.read_text(encoding="utf-8").count("```") // 2
    )  # there are no blocks of other kinds
    for behind, commands in found:
        assert behind in ("run", "refused") or behind.startswith("needs "), commands
        for file in re.findall(r"tests/[\w/]+\.py", behind):
            assert (ROOT / file).is_file(), file


@pytest.mark.parametrize("guide", GUIDES, ids=ids)
def test_pages_that_a_guide_links_exist(guide: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+\.md)(?:#[\w-]+)?\)", guide.read_text(encoding="utf-8"))
    assert not [link for link in links if not (guide.parent / link).resolve().is_file()]


@pytest.mark.shipped
@pytest.mark.ray
@pytest.mark.timeout(900)
@pytest.mark.parametrize("guide", [guide for guide in GUIDES if "run" in dict(blocks(guide))], ids=ids)
def test_commands_of_a_guide_do_what_it_says(guide: Path, tmp_path: Path) -> None:
    """In one folder, one after the other, as a reader would."""
    (tmp_path / "launch").symlink_to(ROOT / "launch")
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "MMSA_RUNS": str(tmp_path / "runs"),
    }
    for behind, commands in blocks(guide):
        if behind in ("run", "refused"):
            done = subprocess.run(
                ["bash", "-euo", "pipefail", "-c", commands],
                cwd=tmp_path,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == (0 if behind == "run" else 2), (
                f"{commands}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
            )
            assert "Traceback" not in done.stderr
