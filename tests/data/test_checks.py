from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from launched import launched

from mmsa.data import Corpus, Features, Split, Strings
from mmsa.data.cards import CARDS
from mmsa.data.catalogue import DATA_SETS
from mmsa.data.checks import findings, store_findings
from mmsa.data.conversion import convert, data_config
from mmsa.data.generated import CARD as INVENTED
from mmsa.data.generated import LAYOUTS, make
from mmsa.data.inspection import histogram, inspection_lines, opened_to_look
from mmsa.data.leaks import _text_kernel, leak_findings
from mmsa.data.target_spec import TargetSpec
from mmsa.errors import DataError

SEEDS = int(os.environ.get("MMSA_SEEDS", "3"))
WORDS = ["the", "movie", "was", "i", "story", "and", "they"]


def corpus(leak: str, kind: str, seed: int = 0, groups: int = 60) -> tuple[Corpus, dict[Any, Strings]]:
    """Groups of three rows; their label follows from audio and vision in part. And what was asked."""
    random = np.random.default_rng(seed)
    splits, asked = {}, {}
    loadings = random.standard_normal((2, 10))
    for name, count in (("train", 3 * groups // 4), ("valid", groups // 4)):
        rows = 3 * count
        hidden = random.standard_normal((rows, 2))
        label = hidden.sum(1) + random.standard_normal(rows)
        lengths = random.integers(3, 15, rows)
        if leak == "length":
            lengths = np.clip(np.rint(9 + 3 * label + random.standard_normal(rows)), 1, 30).astype(int)
        audio = [
            (random.standard_normal((length, 10)) + hidden[row, 0] * loadings[0]).astype(np.float32)
            for row, length in enumerate(lengths)
        ]
        if leak == "presence":
            audio = [frames[:0] if label[row] > 1 else frames for row, frames in enumerate(audio)]
        vision = (random.standard_normal((rows, 10)) + hidden[:, 1:] * loadings[1]).astype(np.float32)
        if leak == "learnt" and name == "train":
            vision[:, 0] = label + 0.2 * random.standard_normal(rows)
        if leak == "held":
            vision[:, 3] = 5 - 2 * label
        said = ["therapy" if leak == "interviewer" and y > 1 else "okay" for y in label]
        asked[name] = Strings(np.array([" ".join([word, *random.choice(WORDS, 5)]) for word in said]))
        group = np.array([f"{name}{row // 3}" for row in range(rows)])
        values = label if kind == "regression" else (label > 0).astype(float)
        splits[name] = Split(
            np.array([f"{name}-{row}" for row in range(rows)]),
            group,
            values.astype(np.float32),
            Strings(np.array([" ".join(random.choice(WORDS, random.integers(2, 12))) for _ in range(rows)])),
            Features.from_rows(audio, 10),
            Features.from_vectors(vision),
        )
    return Corpus("x", (-9, 9), splits, targets=(TargetSpec("label", kind),)), asked  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("leak", "kind", "what"),
    [
        ("", "regression", []),
        ("", "binary", []),
        ("length", "regression", ["length of audio predicts the labels"]),
        ("presence", "binary", ["presence of audio predicts the labels"]),
        ("learnt", "regression", ["vision knows labels of train"]),
        ("held", "regression", ["vision holds the labels"]),
        ("interviewer", "binary", ["the interviewer's words predict the labels"]),
    ],
)
def test_a_leak_is_found_and_nothing_else(leak: str, kind: str, what: list[str]) -> None:
    assert [finding.what for finding in leak_findings(*corpus(leak, kind))] == what


def test_a_class_that_a_further_target_lacks_is_found() -> None:
    known, _ = corpus("", "regression")
    none = {name: {"ill": np.zeros(len(split), np.float32)} for name, split in known.splits.items()}
    splits = {name: replace(split, further_targets=none[name]) for name, split in known.splits.items()}
    both = Corpus("x", (-9, 9), splits, targets=(*known.targets, TargetSpec("ill", "binary")))
    told = [finding.what for finding in findings(Path("x"), both, None, {})]
    assert told == ["train lacks classes of ill", "valid lacks classes of ill"]


def test_clean_trees_are_silent(tmp_path: Path) -> None:
    told = 0
    for seed in range(SEEDS):
        make("mmsa", tmp_path / str(seed), 150, seed)
        found = opened_to_look(data_config(str(tmp_path / str(seed)), None, {}))
        told += bool(findings(found.path, found.corpus, found.refused, found.interviewer))
    assert told <= 0.05 * SEEDS


@pytest.mark.parametrize("layout", ["mmsa", "mult"])
def test_planted_hazards_are_named(layout: str, tmp_path: Path) -> None:
    make(layout, tmp_path / "t", 150, 0, list(LAYOUTS[layout].hazards))
    found = opened_to_look(data_config(str(tmp_path / "t"), None, {}))
    text = "\n".join(inspection_lines(found))
    assert [hazard.what for hazard in LAYOUTS[layout].hazards.values() if hazard.sign not in text] == []
    told = findings(found.path, found.corpus, found.refused, found.interviewer)
    assert "train and valid share groups" in [finding.what for finding in told]
    assert "test   30    " in text
    assert str(found.corpus.outlines["test"].ids[0]) not in text


@pytest.mark.parametrize(
    ("scale", "first"),
    [(2e-6, "0.0000000 to 0.0000020"), (2e6, "0 to 2000000"), (2e30, "0 to 2e+30")],
)
def test_bars_of_any_scale_are_told_apart(scale: float, first: str) -> None:
    bars = histogram(np.linspace(0, 12 * scale, 100, dtype=np.float32), TargetSpec("score"))
    assert bars[0].split("#")[0].strip() == first


def test_the_commands_and_their_exit_codes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = str(tmp_path / "t")
    assert launched(monkeypatch, "data.py", "make", "mmsa", "--rows", "150", "--out", tree) == 0
    assert launched(monkeypatch, "data.py", "inspect", tree) == 0
    assert "mosi.yaml: data.path" in capsys.readouterr().out
    assert launched(monkeypatch, "data.py", "check", tree) == 0
    own = {"id": np.arange(9).astype(str), "audio": np.arange(18.0).reshape(9, 2), "label": np.arange(9.0)}
    for path, split, told in (
        (tmp_path / "few.npz", ["train"] * 7 + ["valid"] * 2, "chance chooses on fewer than 5 rows"),
        (tmp_path / "none.npz", ["train"] * 9, "none.npz has no valid split: search it on folds"),
    ):
        np.savez(path, **own, split=np.array(split))
        capsys.readouterr()
        for command in ("inspect", "check"):
            launched(monkeypatch, "data.py", command, str(path), "--set", "data.modalities=[audio]")
            assert told in capsys.readouterr().out
    assert launched(monkeypatch, "data.py", "check", tree, "--name", "sims") == 1
    assert "labels must lie within [-1, 1]" in capsys.readouterr().out
    assert launched(monkeypatch, "data.py", "cards", "eatd") == 0
    assert "eatd: EATD" in capsys.readouterr().out
    assert launched(monkeypatch, "data.py", "check", str(tmp_path / "none"), "--name", "meld") == 2
    told = capsys.readouterr().err
    assert "weighted F1" in told
    assert "train 9989, valid 1109, test 2610" in told


def test_every_data_set_with_a_file_has_a_card_whose_target_it_is() -> None:
    named = {name for name in DATA_SETS if name not in ("planted", "custom")}
    assert named == set(CARDS)
    for name, card in CARDS.items():
        assert card.name == name
        assert (DATA_SETS[name].label_range, DATA_SETS[name].suite) == (card.target.scale, card.target.suite)
        assert all(card.text().count(part) for part in (card.title, card.ask, card.licence, *card.expected))


def test_all_files_of_a_store_are_checked(tmp_path: Path) -> None:
    make("mmsa", tmp_path / "t", 100, 0)
    store = tmp_path / "store"
    convert(data_config(str(tmp_path / "t"), None, {}), store)
    assert store_findings(store) == []
    content = bytearray((store / "test.vision.npy").read_bytes())
    content[-3] ^= 4
    (store / "test.vision.npy").write_bytes(content)
    (store / "valid.labels.npy").unlink()
    assert [finding.what for finding in store_findings(store)] == ["valid.labels.npy", "test.vision.npy"]


@pytest.mark.parametrize("layout", ["dvlog", "eatd", "lmvd", "meld", "mintrec"])
def test_a_folder_of_a_layout_is_known_without_its_name(layout: str, tmp_path: Path) -> None:
    """Real trees have no card of an invented one; some have a table as data of one's own do."""
    make(layout, tmp_path / "archive" / "tree", 20, 0)
    (tmp_path / "archive" / "tree" / INVENTED).unlink()
    assert data_config(str(tmp_path / "archive" / "tree"), None, {}).name == layout
    with pytest.raises(DataError, match=rf"tree in it is one of the layout {layout}: name that in data.path"):
        data_config(str(tmp_path / "archive"), None, {})


def test_a_store_is_checked_for_zeros_as_its_file_is(tmp_path: Path) -> None:
    audio = np.random.default_rng(0).uniform(-0.5, -0.1, (40, 3))
    audio[::4, 1] = -np.inf
    label = audio[:, 0] * 9
    np.savez(tmp_path / "f.npz", audio=audio, label=label, split=np.array(["train"] * 30 + ["valid"] * 10))
    config = data_config(str(tmp_path / "f.npz"), "custom", {"data.modalities": ["audio"]})
    convert(config, tmp_path / "store")
    for path in (tmp_path / "f.npz", tmp_path / "store"):
        found = opened_to_look(data_config(str(path), "custom", {"data.modalities": ["audio"]}))
        told = findings(found.path, found.corpus, found.refused, found.interviewer)
        assert "zeros outside of a column" in [finding.what for finding in told]


def test_texts_without_spaces_are_probed_without_a_warning() -> None:
    texts = [f"我{'很不'[row % 2]}开心" for row in range(20)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kernel = _text_kernel(texts)
    assert kernel is not None
    assert kernel[0, 2] > kernel[0, 1]


def _gcnet(path: Path) -> None:
    make("gcnet", path, 60, 0)
    (path / INVENTED).unlink()  # it names the features


def _meld(path: Path) -> None:
    make("meld", path, 60, 0)
    (path / "train_sent_emo.csv").unlink()


def _rated(path: Path) -> None:
    np.savez(path, id=np.arange(4).astype(str), labels=np.zeros((4, 2)), label_names=["joy", "anger"])


@pytest.mark.parametrize(
    ("write", "name", "told"),
    [
        (_gcnet, "mosi", r"\[text\]\. Or name its features in data\.audio_features; here are \w+"),
        (_meld, "meld", r"has no split train; it has valid, test\. Its rows stand in train_sent_emo\.csv"),
        (_rated, "mosei", r"Name one of `label_names` in data\.target: joy, anger\."),
    ],
)
def test_what_is_lacking_is_told_with_what_is_there(
    write: Callable[[Path], None], name: str, told: str, tmp_path: Path
) -> None:
    write(tmp_path / "d.npz")
    with pytest.raises(DataError, match=told):
        opened_to_look(data_config(str(tmp_path / "d.npz"), name, {}))


def test_folds_that_a_search_would_refuse_are_found(tmp_path: Path) -> None:
    """A person in two folds of a file: opening such data to look does not deal them."""
    arrays = {
        "audio": np.arange(24.0).reshape(12, 2),
        "label": np.arange(12.0),
        "video_id": np.arange(12) // 2,
    }
    np.savez(
        tmp_path / "f.npz", **{**arrays, "video_id": arrays["video_id"].astype(str)}, fold=np.arange(12) % 3
    )
    changes = {"data.modalities": ["audio"], "data.folds": {"array": "fold"}}
    found = opened_to_look(data_config(str(tmp_path / "f.npz"), "custom", changes))
    assert "fold 0 trains on rows of videos or speakers that it holds out" in "\n".join(
        inspection_lines(found)
    )
    assert findings(found.path, found.corpus, found.refused, {})[0].what == "refused"


def test_a_file_that_nothing_tells_is_of_the_kind_that_a_model_learned_on(tmp_path: Path) -> None:
    _rated(tmp_path / "f.npz")
    learned_on = data_config("elsewhere.npz", "mosei", {"data.target": "joy"})
    found = data_config(str(tmp_path / "f.npz"), None, {}, like=learned_on)
    assert (found.name, found.target) == ("mosei", "joy")  # type: ignore[attr-defined]
    assert data_config(str(tmp_path / "f.npz"), None, {}).name == "custom"
