"""Few names in few sections, the wanted ones first."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from mmsa.measurement import Measurement
from mmsa.tracking.names import MOST_CURVES, best_name, chosen_curves, of_best, of_epoch, of_information

MANY = {
    **{f"valid/m{place}": 0.1 for place in range(9)},
    **{f"loss/term{place}/part": 0.1 for place in range(4)},
    **{f"bound/{place}/text": 0.1 for place in range(4)},
    **{f"information/{kind}/{place}": 0.1 for kind in ("target", "fusion") for place in range(9)},
    "entropy/skipped": 0.0,
    "train/loss": 1.0,
    "train/gradient": 1.0,
}


def test_a_trial_of_many_numbers_has_25_names_in_7_sections(information: dict[str, Measurement]) -> None:
    intervals = {f"{name}/low": 0.0 for name in MANY if name.startswith("information/")}
    measured = {f"target/{place}": information["target/text"] for place in range(20)}
    names = {
        *of_epoch(MANY | intervals, chosen_curves({1: MANY}, ["valid/m7"])),
        *of_best({name: value for name, value in MANY.items() if name.startswith("valid/")}),
        *of_information(measured),
    }
    assert {"valid/m7", "train/loss", "loss/term0.part", "best/valid/m0"} <= names
    assert len(names) <= 25 + 10  # the information of epochs above has other names than that of the end
    sections = {name.rpartition("/")[0] for name in names}
    assert sections <= {"valid", "train", "loss", "bound", "information", "best/valid"}


def test_the_objectives_come_first_and_information_is_no_copy_of_itself() -> None:
    assert chosen_curves({1: MANY}, ["valid/m8", "valid/m3"])[:3] == ["valid/m8", "valid/m3", "train/loss"]
    assert best_name("information/target/fusion") == "information/target.fusion"
    assert best_name("cost/seconds") == "best/cost/seconds"


@given(st.lists(st.sets(st.sampled_from(sorted(MANY)), min_size=1), min_size=1, max_size=4))
def test_an_epoch_more_takes_no_curve_away(epochs: list[set[str]]) -> None:
    known = {number: dict.fromkeys(names, 0.0) for number, names in enumerate(epochs, 1)}
    before = {number: metrics for number, metrics in known.items() if number < len(epochs)}
    chosen = chosen_curves(known, ["valid/m0"])
    assert set(chosen_curves(before, ["valid/m0"])) <= set(chosen)
    assert len(chosen) <= MOST_CURVES


def test_a_ceiling_and_a_contradiction_are_no_numbers(information: dict[str, Measurement]) -> None:
    text = information["target/text"]
    measured = {
        "target/text": text,
        "target/audio": replace(text, status="saturated"),
        "target/vision": replace(text, status="disagree"),
        "decomposition/subset/text": text,
    }
    assert list(of_information(measured, "test/")) == ["information/test.target.text"]
