"""What every registered loss term has to do. A new term joins with one line in ``CASES``."""

from __future__ import annotations

from typing import Any

from mmsa.objectives import TERMS
from mmsa.testing import TermContract

CASES: dict[str, list[dict[str, Any]]] = {
    "cpc": [
        {},
        {"direction": "paper", "temperature": 0.1},
        {"direction": "mmim_code", "layers": 3},
    ],
    "barber_agakov": [
        {},
        {"likelihood": "mmim_code", "memory": 0},
        {"projection": "trained", "memory": 3, "vision_to_audio": True},
        {"projection": "none"},
    ],
    "mimrl": [
        {},
        {
            "pairs": "sum",
            "estimator": {"name": "nwj", "critic": {"name": "joint", "hidden": 32}},
            "conditional": {"name": "cmi_knn_mimrl_code", "k": 3},
        },
        {"fusion": {"text": 0.0, "audio": 0.0, "vision": 0.0}, "invariant": 0.0},
        {"complementary": 0.0, "estimator": {"name": "mine"}, "conditional": {"name": "cmi_knn_dv"}},
    ],
}
HEADS = {name: {"width": 8, "dropout": 0.0} for name in ("text", "audio", "vision")}
CASES |= {
    "cmd": [{}, {"moments": 2}],
    "orthogonality": [{}],
    "reconstruction": [{}],
    "similarity": [{}],
    "hsic": [{}, {"kernel": "gaussian"}],
    "coral": [
        {"text_audio": 0.5},
        {"text_audio": 1.0, "text_vision": 2.0, "projection": "trained", "width": 4},
    ],
    "infonce": [{}, {"temperature": 1.0}],
    "supervised_contrastive": [{}, {"bin_width": 3.0, "width": 8}],
    "relational": [{}],
    "dependency": [{"measure": measure} for measure in ("kl", "f", "wasserstein")],
    "unimodal": [
        HEADS,
        {**HEADS, "zeros": "positive", "vision": {"weight": 0.5, "dropout": 0.0}},
        {**HEADS, "labels": "annotated"},
        {**HEADS, "labels": "multimodal"},
    ],
}
TINY = {"hidden": 16}
CRITIC = {"name": "separable", **TINY}
FUSION_TEXT = {"between": ["fusion", "text"]}
CASES["information"] = [
    {"between": ["text", "audio"], "estimator": {"name": "infonce", "critic": {"name": "prediction"}}},
    {**FUSION_TEXT, "estimator": {"name": "barber_agakov", "entropy": {"name": "knife"}}},
    {**FUSION_TEXT, "estimator": {"name": "club"}, "sense": "minimise", "normalise": False},
    {**FUSION_TEXT, "estimator": {"name": "gan_dime", "critic": CRITIC}, "sense": "minimise"},
    {"between": ["text", "audio"], "estimator": {"name": "hsic"}, "sense": "minimise"},
    {"between": ["shared/text", "shared/audio"], "estimator": {"name": "cmd"}},
    {"between": ["text", "audio"], "given": "label", "estimator": {"name": "cmi_knn_nwj"}},
    {"between": ["audio", "label"], "given": "text", "estimator": {"name": "cmi_cross_entropy"}},
]
# The sizes of gradients are a state that outlives epochs.
NORMALISED: dict[str, list[dict[str, Any]]] = {
    "cpc": [{"fusion": {"text": 0.5, "audio": 0.1, "vision": 2.0}, "normalise": True}],
    "barber_agakov": [
        {"vision_to_audio": True, "invariant": {"text_audio": 0.0, "text_vision": 2.0}, "normalise": True},
    ],
    "mimrl": [
        {
            "fusion": {"text": 0.0},
            "invariant": {"text_audio": 0.0, "text_vision": 0.02, "audio_vision": 0.03},
            "complementary": {"text_audio": 0.04, "text_vision": 0.0},
            "estimators": {
                "fusion": {"name": "smile", "clip": 2.0, "critic": {"name": "cosine"}},
                "complementary": {"name": "cmi_knn_dv", "k": 3, "seed": 1},
            },
            "normalise": True,
        },
    ],
}


class TestTerms(TermContract):
    CASES = CASES
    READS = {"dependency": {"shuffled"}}
    REMEMBERS_AN_EPOCH = {"mimrl"}
    KEEPS_STATE = {"unimodal", "dependency", "information"}


class TestNormalisedTerms(TermContract):
    CASES = NORMALISED
    KEEPS_STATE = set(NORMALISED)


def test_every_term_has_a_case() -> None:
    assert set(CASES) == set(TERMS)
