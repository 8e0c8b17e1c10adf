"""Everything that is registered in a run of two processes, against the same run in one.

The sums over the rows of a batch are taken in another order, so float32 results differ in their last bits,
and steps of Adam enlarge that where a gradient is next to 0. Tolerated: 5e-5 of the norm of the gradient of
the first step. By the end of the first epoch that has grown, by how much depends on the processor (for
MIMRL to 1e-4 of the gradient's norm), so its metrics may differ by a thousandth: a share that is lost or
counted twice is worth a fifteenth.
"""

from __future__ import annotations

from typing import Any

import pytest
import test_models
import test_terms
import torch
import torch.distributed as dist
from two_processes import in_two_processes

from mmsa.config import parse
from mmsa.data import open_corpus
from mmsa.experiment import RunConfig
from mmsa.objectives import STRATEGIES, TASKS, TERMS
from mmsa.objectives.weightings import WEIGHTINGS
from mmsa.training.parallel import ALONE, Team
from mmsa.training.trainer import Trainer

pytestmark = pytest.mark.slow

MISA = {**test_models.CASES["misa"], "text": {"name": "mlp"}}
DRAWS = {"dependency"}  # which rows are put together is drawn in each process, among its own rows
ALL_AT_ONCE = {name: variants[0] for name, variants in test_terms.CASES.items() if name not in DRAWS}
NEVER_NEGATIVE = {name: settings for name, settings in ALL_AT_ONCE.items() if TERMS[name].never_negative}
OBJECTIVES: dict[str, dict[str, Any]] = {
    f"{name}-{index}": {"terms": {name: settings}}
    for name, variants in test_terms.CASES.items()
    for index, settings in enumerate(variants)
    if settings.get("labels") != "annotated"  # which planted data do not have
}
OBJECTIVES |= {
    name: {"terms": ALL_AT_ONCE, "strategy": {"name": name}}
    for name in STRATEGIES
    if STRATEGIES[name].takes_terms
}
OBJECTIVES |= {
    f"weighting-{name}": {"terms": NEVER_NEGATIVE, "weighting": {"name": name}} for name in WEIGHTINGS
}
NAMED = {
    f"term_{index}": {"term": "information", **s} for index, s in enumerate(test_terms.CASES["information"])
}
OBJECTIVES["own-names"] = {"terms": NAMED, "strategy": {"name": "two_stage"}}
LEVELS = {name: variants[0] for name, variants in test_terms.NORMALISED.items()}
OBJECTIVES["levels"] = {"terms": LEVELS, "strategy": {"name": "two_stage"}}
CASES: dict[str, dict[str, Any]] = {
    name: {"model": MISA, "objective": objective} for name, objective in OBJECTIVES.items()
}
BY_F1 = {"metric": "valid/f1_macro", "direction": "maximize"}
CASES |= {
    f"task-{name}-{kind}": {
        "model": MISA,
        "objective": {"task": {"name": name}},
        "data": {"kind": kind},
        "train": {} if kind in ("regression", "ordinal") else BY_F1,
    }
    for name in TASKS
    for kind in sorted(TASKS[name].kinds)
    if name != "default" or kind == "multilabel"
}
AVERAGE = test_models.CASES["average"]
CASES["alternating"] = {"model": AVERAGE, "objective": {"strategy": {"name": "alternating"}}}
WEIGHED = {"terms": {"coral": {}, "unimodal": {}}, "weighting": {"name": "uncertainty"}}
CASES["uncertainty"] = {"model": MISA, "objective": WEIGHED, "train": {"epochs": 3}}
CASES |= {f"model-{name}": {"model": model} for name, model in test_models.CASES.items()}
CASES["average"] = {"model": MISA, "train": {"average": 0.9}}


def without_dropout(values: Any) -> Any:
    """Each process draws masks of its own."""
    if not isinstance(values, dict):
        return values
    return {key: 0.0 if key.endswith("dropout") else without_dropout(value) for key, value in values.items()}


def configuration(case: str) -> RunConfig:
    """45 rows in batches of 15: shares of 8 and 7 rows."""
    values = dict(CASES[case])
    values["data"] = {"name": "planted", "rows_train": 45, "rows_valid": 21, **values.get("data", {})}
    train = {"epochs": 2, "batch_size": 15, "eval_batch_size": 4, "threads": 1, "device": "cpu"}
    values["train"] = {**train, **values.get("train", {})}
    complete = parse(RunConfig, values, case).model_dump(mode="json")
    return parse(RunConfig, without_dropout(complete), case)


def trace(case: str, team: Team, num_epochs: int | None = None) -> dict[str, Any]:
    """The gradient of the first step, and the metrics of so many epochs, or all."""
    config = configuration(case)
    trainer = Trainer(config, open_corpus(config.data, ("train", "valid")), team=team)
    parameters = [*trainer.model.parameters(), *trainer.objective.parameters()]
    next(trainer.steps())
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    while not trainer.finished and len(trainer.history) != num_epochs:
        trainer.train_epoch()
    return {"gradient": flat, "history": trainer.history}


def changes_from_epoch_to_epoch(case: str) -> bool:
    """Whether a later epoch does what the first one did not, such as a strategy that alternates."""
    values = CASES[case]
    return bool({"strategy", "weighting"} & set(values.get("objective", {}))) or "average" in values.get(
        "train", {}
    )


def work(rank: int, folder: str) -> dict[str, Any]:
    team = Team(dist.group.WORLD)
    return {case: trace(case, team, None if changes_from_epoch_to_epoch(case) else 1) for case in CASES}


@pytest.fixture(scope="module")
def two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return in_two_processes(work, tmp_path_factory.mktemp("two"))


@pytest.mark.parametrize("case", CASES)
def test_a_run_in_two_processes_is_the_run_in_one(case: str, two_processes: list[dict[str, Any]]) -> None:
    first, second = (traces[case] for traces in two_processes)
    assert first["history"] == second["history"]
    torch.testing.assert_close(first["gradient"], second["gradient"], rtol=0.0, atol=0.0)
    if case.partition("-")[0] in DRAWS:
        return
    one = trace(case, ALONE, num_epochs=1)
    difference = torch.linalg.vector_norm(first["gradient"] - one["gradient"])
    assert difference <= 5e-5 * torch.linalg.vector_norm(one["gradient"])
    assert first["history"][0] == pytest.approx(one["history"][0], rel=1e-3, abs=1e-3)
