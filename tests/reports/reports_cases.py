"""Studies with trials that nobody trained: what they came to is written down here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mmsa.config import parse
from mmsa.interface import Scalar
from mmsa.measurement import Measurement, not_measured
from mmsa.search.definition.study_config import StudyConfig
from mmsa.search.records import STANDARD_ERRORS, Ending
from mmsa.search.study.study import Study

TERM = "objective.terms.mimrl"
HOSTILE = '</title><script>alert("x")</script> | a_b [c](http://evil.example) `d`'


def config_of(**changes: Any) -> StudyConfig:
    """A study of MIMRL's coefficients: a weight that may be 0, shares, a choice with a condition."""
    search = {
        "parameters": {
            "optim.lr": {"type": "float", "low": 1e-4, "high": 1e-1, "log": True},
            "objective.terms.cpc.weight": {
                "type": "float",
                "low": 0.01,
                "high": 1.0,
                "log": True,
                "zero": 0.3,
            },
            "levels": {
                "type": "shares",
                "of": [
                    f"{TERM}.invariant.text_audio",
                    f"{TERM}.specific.text",
                    f"{TERM}.complementary.text_audio",
                ],
                "total": {"type": "float", "low": 0.1, "high": 2.0, "log": True},
                "zero": 0.2,
            },
            f"{TERM}.estimator.name": {"type": "categorical", "choices": ["infonce", "smile"]},
            f"{TERM}.estimator.clip": {
                "type": "float",
                "low": 1.0,
                "high": 10.0,
                "when": {f"{TERM}.estimator.name": "smile"},
            },
        },
        "objectives": [{"metric": "valid/mae", "direction": "minimize"}],
        "trials": 40,
        "references": "constant",
        "sampler": {"name": "random"},
        "scheduler": {"name": "asha", "grace": 1},
        **changes.pop("search", {}),
    }
    values = {
        "study": "told",
        "base": {
            "data": {"name": "planted", "rows_train": 80, "rows_valid": 40, "rows_test": 40},
            "model": {"name": "late_fusion"},
            "objective": {
                "terms": {
                    "cpc": {"weight": 0.1},
                    "mimrl": {
                        "invariant": {"text_audio": 0.1, "text_vision": 0.0},
                        "specific": {"text": 0.1, "audio": 0.0, "vision": 0.0},
                        "complementary": {"text_audio": 0.1, "text_vision": 0.0},
                        "fusion": {"text": 0.0, "audio": 0.0, "vision": 0.0},
                    },
                },
                "strategy": {"name": "two_stage"},
            },
            "train": {"epochs": 3, "device": "cpu"},
        },
        "search": search,
        **changes,
    }
    return parse(StudyConfig, values, "space")


def measured(value: float, status: Any = "ok") -> Measurement:
    nothing = not_measured("skipped", num_samples=200, num_groups=40, dims=(2, 2), permutations=199)
    ends = {"low": value - 0.05, "high": value + 0.05, "null_bound": 0.02, "p_value": 0.005}
    return replace(nothing, value=value, status=status, estimator="copula", **ends)


def came_to(number: int, point: Mapping[str, Scalar]) -> Ending:
    """The smaller the weight of cpc, the better, and best of all at exactly 0; nothing else matters."""
    weight = float(point["objective.terms.cpc.weight"])
    if number % 10 == 9:
        return Ending("failed", reason=f"RuntimeError: row {number} of {HOSTILE}")
    outcome = "pruned" if number % 10 == 8 else "completed"
    metrics = {"valid/mae": 0.5 + 0.4 * weight + 0.001 * (number % 7), "valid/acc7": 0.4 - 0.1 * weight}
    information = {"target/text": measured(0.5 + weight), "fusion/text": measured(1.0, "below_null")}
    notes = {STANDARD_ERRORS: {"valid/mae": 0.01}}
    return Ending(outcome, metrics, best_epoch=1, seconds=1.0, notes=notes, information=information)


@contextmanager
def searched(
    runs: Path, config: StudyConfig, trials: int, end: Callable[..., Ending] = came_to
) -> Iterator[Study]:
    """A study that has ended so many trials."""
    with Study.open(config, runs) as study:
        study.bind_corpus("d" * 64)
        for _ in range(trials):
            suggestion = study.ask()
            assert suggestion is not None
            ending = end(suggestion.number, suggestion.overrides)
            if ending.metrics:
                study.report(suggestion.number, 1, ending.metrics, ending.metrics["valid/mae"])
            study.finish(suggestion.number, ending)
        yield study
