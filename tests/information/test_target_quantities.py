import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmsa.data.corpus import MODALITIES
from mmsa.errors import DataError
from mmsa.information.distributions.three_sources import BEDS
from mmsa.information.target import mimrl_code, pairs_of, quantities, subsets_of
from mmsa.information.target.pid import broja, information

AXES = {"text": 0, "audio": 1, "vision": 2}


def informations(joint, names=MODALITIES):
    """Exact I(X_S; Y) of a table (T, A, V, Y) for all subsets."""
    return {
        subset: information(
            joint.sum(tuple(AXES[name] for name in MODALITIES if name not in subset)).reshape(
                -1, joint.shape[-1]
            )
        )
        for subset in subsets_of(names)
    }


def pair_table(joint, pair):
    """The table (A, B, Y) of two groups of sources."""
    order = [*sorted(pair.first), *sorted(pair.second)]
    left_out = tuple(AXES[name] for name in MODALITIES if name not in order)
    kept = [name for name in MODALITIES if name in order]
    table = joint.sum(left_out).transpose([*(kept.index(name) for name in order), len(kept)])
    rows = math.prod(table.shape[: len(pair.first)])
    return table.reshape(rows, -1, joint.shape[-1])


@given(st.integers(0, 10**6), st.floats(0.05, 2.0))
@settings(max_examples=20, deadline=None)
def test_brackets_hold_the_broja_atoms_of_any_joint_distribution(seed, concentration):
    joint = np.random.default_rng(seed).gamma(concentration, size=(2, 3, 2, 2)) + 1e-9
    joint /= joint.sum()
    found = quantities(informations(joint), MODALITIES)
    for pair in pairs_of(MODALITIES):
        a, b = ("+".join(name for name in MODALITIES if name in part) for part in (pair.first, pair.second))
        atoms = broja(pair_table(joint, pair))
        for name, atom in (
            (f"redundancy/{a},{b}", atoms.redundancy),
            (f"unique/{a}|{b}", atoms.unique_a),
            (f"unique/{b}|{a}", atoms.unique_b),
            (f"synergy/{a},{b}", atoms.synergy),
        ):
            assert max(0.0, found[f"{name}/least"]) - 1e-4 <= atom <= found[f"{name}/most"] + 1e-4, name


def bits(bed):
    known = {
        subset: np.array(BEDS[bed].information(subset) / math.log(2)) for subset in subsets_of(MODALITIES)
    }
    return {name: float(value) for name, value in quantities(known, MODALITIES).items()}


ONE = 1 - 0.286397  # what a bit with an error of 0.05 is worth


@pytest.mark.parametrize(
    ("bed", "expected"),
    [
        (
            "parity",
            {"information/text+audio": 0, "gain/text": ONE, "whole_minus_sum": ONE, "co_information": ONE},
        ),
        ("parity", {"o_information": -2 * ONE}),
        (
            "copy",
            {
                "gain/text": 0,
                "whole_minus_sum": -2 * ONE,
                "o_information": ONE,
                "redundancy/text,audio/least": ONE,
            },
        ),
        (
            "private",
            {"gain/vision": ONE, "whole_minus_sum": 0, "o_information": 0, "redundancy/text,audio/least": 0},
        ),
        ("private_and_parity", {"synergy/audio,vision/least": ONE, "unique/text|audio+vision/least": 0}),
        ("and", {"gain/vision": 0, "co_information": 0}),
    ],
)
def test_quantities_of_the_beds(bed, expected):
    found = bits(bed)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-5)


def test_fewer_modalities_and_a_fusion():
    two = ("text", "vision")
    known = {subset: np.array(len(subset) / 4) for subset in subsets_of(two, fusion=True)}
    found = quantities(known, two)
    assert found["sufficiency_gap"] == 0.25
    assert found["redundancy/fusion,text/most"] == 0.25
    assert "co_information" not in found
    alone = quantities({frozenset({"audio"}): np.array(0.3)}, ("audio",))
    assert alone == {"information/audio": 0.3}


def mimrl_estimates():
    pairwise = {frozenset(pair): 1.0 + i for i, pair in enumerate([("text", "audio"), ("text", "vision")])}
    pairwise[frozenset({"fusion", "audio"})] = 7.0
    conditional = {}
    for i, name in enumerate(("audio", "vision")):
        conditional[frozenset({"text", name}), "target"] = 0.1 + i
        conditional[frozenset({name, "target"}), "text"] = 0.5 + i
        conditional[frozenset({"text", "target"}), name] = 0.9 + i
    return pairwise, conditional


def test_mimrl_code_by_definition():
    found = mimrl_code(*mimrl_estimates(), MODALITIES)
    assert found == pytest.approx(
        {
            "fusion/audio": 7.0,
            "invariant": 3.0,
            "specific/text": (0.9 - 0.1) + (1.9 - 1.1),
            "specific/audio": 0.5 - 0.1,
            "specific/vision": 1.5 - 1.1,
            "complementary": 0.1 + 1.1,
        }
    )


def test_mimrl_code_leaves_out_what_is_absent_and_names_what_is_missing():
    pairwise, conditional = mimrl_estimates()
    assert mimrl_code(pairwise, conditional, ("text", "audio"))["invariant"] == 1.0
    del conditional[frozenset({"text", "vision"}), "target"]
    with pytest.raises(DataError, match=r"missing: I\(text; vision \| target\)"):
        mimrl_code(pairwise, conditional, MODALITIES)
    with pytest.raises(DataError, match="centre 'text'"):
        mimrl_code(pairwise, conditional, ("audio", "vision"))


def test_every_subset_once():
    names = [frozenset(s) for size in (1, 2, 3) for s in itertools.combinations(MODALITIES, size)]
    assert subsets_of(MODALITIES) == names
