"""The package of docs/extending.md is built from that page, outside of mmsa, and does what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import pytest

import mmsa.registry
from mmsa.errors import ConfigError
from mmsa.extensions import Extension
from mmsa.registry import Registry

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
GUIDE = ROOT / "docs" / "extending.md"
NOTICED = {
    "TestFusion": "test_padding_changes_no_row[counts_padding]",
    "TestEstimator": "test_value_does_not_depend_on_the_order_of_the_batch[reads_the_order]",
    "TestTerm": "test_a_checkpoint_in_the_middle_of_an_epoch_continues_alike[forgets_in_checkpoints]",
    "TestReader": "test_what_is_read_is_what_was_written[cuts_silence]",
    "TestSampler": "test_points_are_those_of_a_conditional_space[leaves_the_space]",
    "TestScheduler": (
        "test_decisions_depend_on_what_was_reported_and_not_on_its_order[compares_with_the_first]"
    ),
}
"""The test that notices what each wrong extension does."""
WRONG = {
    "mmsa.fusions": {"counts_padding": "mmsa_wrong:CountsPadding"},
    "mmsa.estimators": {"reads_the_order": "mmsa_wrong:ReadsTheOrder"},
    "mmsa.terms": {"forgets_in_checkpoints": "mmsa_wrong:ForgetsInCheckpoints"},
    "mmsa.readers": {"cuts_silence": "mmsa_wrong:CutsSilence"},
    "mmsa.samplers": {"leaves_the_space": "mmsa_wrong:LeavesTheSpace"},
    "mmsa.schedulers": {"compares_with_the_first": "mmsa_wrong:ComparesWithTheFirst"},
}


def declare(folder: Path, name: str, groups: Mapping[str, Mapping[str, str]]) -> None:
    """What an installation would write beside the modules."""
    about = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    text = "".join(
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in of.items())
        for group, of in groups.items()
    )
    (about / "entry_points.txt").write_text(text)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that the blocks of the page are written to, by the name in their first line."""
    folder = tmp_path_factory.mktemp("packages")
    blocks = re.findall(r"```\w+\n# (\S+)\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    for name, text in blocks:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    (folder / "pyproject.toml").unlink()  # of pytest's settings it would be taken for
    declare(folder, project["name"], project["entry-points"])
    shutil.copy(HERE / "wrong.py", folder / "mmsa_wrong.py")
    shutil.copy(HERE / "wrong_suites.py", folder / "test_wrong.py")
    declare(folder, "mmsa-wrong", WRONG)
    return folder


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": f"{folder}{os.pathsep}{ROOT}", "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=280
    )


@pytest.mark.slow
def test_the_suites_pass_what_the_page_shows_and_notice_what_is_wrong(package: Path) -> None:
    wrong = [f"test_wrong.py::{suite}::{test}" for suite, test in NOTICED.items()]
    told = run(package, "-m", "pytest", "-q", "--junitxml=told.xml", "test_example.py", *wrong)
    cases = list(ElementTree.parse(package / "told.xml").iter("testcase"))
    failed = {
        (case.attrib["classname"], case.attrib["name"])
        for case in cases
        if case.find("failure") is not None or case.find("error") is not None
    }
    assert failed == {(f"test_wrong.{suite}", test) for suite, test in NOTICED.items()}, told
    suites = {case.attrib["classname"] for case in cases} - {f"test_wrong.{suite}" for suite in NOTICED}
    assert len(suites) == len(WRONG)


@pytest.mark.slow
def test_a_space_names_what_the_package_adds(package: Path) -> None:
    told = run(package, str(ROOT / "launch/search.py"), "--space", "gated.yaml", "--dry-run")
    assert (told.returncode, told.stderr) == (0, "")
    assert "gated" in told.stdout


def test_what_ran_is_told_with_the_package_its_version_and_its_files(package: Path) -> None:
    code = "from mmsa.provenance import *; print(running_code(), versions()['mmsa-example'])"
    first = run(package, "-c", code).stdout
    module = package / "mmsa_example" / "term.py"
    module.write_text(module.read_text() + "# edited\n")
    second = run(package, "-c", code).stdout
    for told in (first, second):
        assert re.search(
            r"extended by mmsa-example 1\.0 \(digest \w{12}\), mmsa-wrong 1\.0.* 1\.0$", told.strip()
        )
    assert first != second


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry[object]:
    """A registry of fusions with one entry, which finds what ``declared`` holds."""
    registry: Registry[object] = Registry("fusion", "mmsa.fusions")
    registry.register("mlp")(object)
    return registry


def declared(monkeypatch: pytest.MonkeyPatch, *extensions: tuple[str, str, str]) -> None:
    found = tuple(Extension(*extension, "somebodys", "2.1") for extension in extensions)
    monkeypatch.setattr(mmsa.registry, "_extensions", lambda: found)


@pytest.mark.parametrize(
    ("extensions", "message"),
    [
        (
            [("mmsa.fusions", "mlp", "a:B")],
            r"(?s)mmsa.fusions: 'mlp'.*registered twice.*a:B of the package somebodys",
        ),
        ([("mmsa.fusions", "x", "a:B"), ("mmsa.fusions", "x", "c:D")], r"(?s)'x'.*twice.*c:D.*a:B.*Rename"),
        ([("mmsa.fusion", "x", "a:B")], r"(?s)mmsa.fusion: 'x'.*does not know.*Did you mean 'mmsa.fusions'"),
    ],
)
def test_what_cannot_be_registered_is_refused_at_the_first_question(
    registry: Registry[object],
    monkeypatch: pytest.MonkeyPatch,
    extensions: list[tuple[str, str, str]],
    message: str,
) -> None:
    declared(monkeypatch, *extensions)
    for _ in range(2):
        with pytest.raises(ConfigError, match=message):
            registry["mlp"]


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("no_such_module:B", r"(?s)'x'.*ModuleNotFoundError.*somebodys 2.1.*Repair the package"),
        ("json:nothing", r"(?s)'x'.*AttributeError.*json:nothing"),
        ("json:dumps", r"(?s)'x'.*must be a class, and json:dumps .* is a function"),
    ],
)
def test_a_broken_extension_hurts_only_those_who_name_it(
    registry: Registry[object], monkeypatch: pytest.MonkeyPatch, target: str, message: str
) -> None:
    declared(monkeypatch, ("mmsa.fusions", "x", target))
    joined: Registry[object] = Registry.joining("part", registry)
    assert registry["mlp"] is joined["mlp"] is object
    assert list(registry) == list(joined) == ["mlp", "x"]
    for one in (registry, joined):
        with pytest.raises(ConfigError, match=message):
            one["x"]


def test_no_extension_hides_behind_another_kind_where_both_may_stand(
    registry: Registry[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(monkeypatch, ("mmsa.fusions", "hsic", "a:B"))
    surrogates: Registry[object] = Registry("surrogate")
    surrogates.register("hsic")(object)
    assert "hsic" in registry
    with pytest.raises(ConfigError, match=r"(?s)'hsic'.*registered twice.*a:B of the package somebodys"):
        Registry.joining("part", registry, surrogates)["mlp"]


def test_a_class_with_an_entry_point_is_not_registered_again(
    registry: Registry[object], monkeypatch: pytest.MonkeyPatch
) -> None:
    declared(monkeypatch, ("mmsa.fusions", "x", "json:JSONDecoder"))
    assert registry["x"].__name__ == "JSONDecoder"
    with pytest.raises(ConfigError, match="a class with an entry point has no decorator"):
        registry.register("x")(object)
