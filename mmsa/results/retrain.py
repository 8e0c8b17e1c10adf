"""Retraining of a frozen configuration with several seeds, and the one opening of the test split.

Needs neither Ray nor Optuna.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmsa.config import with_overrides
from mmsa.data.catalogue import open_corpus
from mmsa.data.corpus import Corpus, Features, Split, Strings
from mmsa.data.ledger import LEDGER, Ledger, Opening
from mmsa.data.rows import Rows
from mmsa.data.target_spec import TargetKind, TargetSpec
from mmsa.data.validation import raise_data_error
from mmsa.errors import ConfigError, DataError
from mmsa.experiment import RunConfig
from mmsa.information.across_parts import across_parts
from mmsa.interface import SplitCard
from mmsa.objectives.objective import refusal_of_mae
from mmsa.provenance import versions
from mmsa.results.by_label import by_label
from mmsa.results.exported import Exported
from mmsa.results.retrained import RetrainReport, SeedResult
from mmsa.results.robustness import measure_robustness
from mmsa.results.sealed import (
    WHERE_DATA_LIES,
    Say,
    check_same_data,
    check_test,
    digest,
    earlier_openings,
    open_test,
    study_of,
)
from mmsa.results.seeds import Watcher, train_seed
from mmsa.results.statistics import cluster_bootstrap
from mmsa.results.subgroups import by_subgroup, columns_to_tell_by
from mmsa.results.test_information import INFORMATION, decomposed, measure_test, save_information
from mmsa.seeding import derive_seed
from mmsa.training.bundle import load_bundle
from mmsa.training.constants import constant_metrics
from mmsa.training.metrics import evaluate, lopsided, target_metric
from mmsa.training.presence import by_presence
from mmsa.training.runtime import Runtime
from mmsa.training.selection import undecidable

_TASK = "objective.task.name"


def retrain(
    exported: Exported,
    *,
    num_seeds: int,
    overrides: Mapping[str, Any],
    runs: Path,
    say: Say,
    watch: Watcher | None = None,
    by: Collection[str] | None = None,
) -> RetrainReport:
    """Train a configuration with several seeds, then open test once for all of them.

    Every seed is trained on train, and its epoch selected on valid; with folds see ``train_seed``. An
    exported trial is first trained again with its own seed, to show that it is reproduced. That seed was
    selected because it did well, so the result is the mean over fresh seeds, and the selected one stands
    beside it.

    Models and measurements go to ``runs``/retrained, and the opening of test into the ledger.

    Args:
        exported: what ``load_export`` read.
        num_seeds: number of fresh seeds, at least 1; the first is the configuration's own if no search
            selected it.
        overrides: changes of the configuration by dotted path.
        runs: folder of all runs.
        say: is given lines of progress.
        watch: is told of every epoch.
        by: columns whose values results on test are also told for; None for those about people, as gender.

    Raises:
        ConfigError: for overrides that do not fit the configuration, and columns that the data lack.
        DataError: when the data are missing or not those that the search saw, when valid cannot select an
            epoch, or when test is incomplete or holds rows that the search saw.
        TrainingDiverged: when training of a seed diverges; test stays closed then.
    """
    config = with_overrides(exported.config, overrides, "--set")
    corpus = open_corpus(config.data)
    check_same_data(exported, overrides, corpus)
    columns = columns_to_tell_by(corpus, by)
    _refuse_mae(overrides, corpus)
    raise_data_error(corpus.name, undecidable(corpus, [config.train.metric]))
    check_test(exported, config, overrides, corpus, say)
    Ledger(runs / LEDGER).openings()  # one that cannot be written to is told before the first epoch
    folder = runs / "retrained" / f"{study_of(exported) or corpus.name}-{digest(config)[:12]}"
    selected = exported.provenance is not None
    # Derived, not counted on from the configuration's seed: configurations with neighbouring seeds would
    # share most of their fresh ones.
    derived = [derive_seed("retrain", config.seed, number) for number in range(1, num_seeds + selected)]
    seeds, trained = [config.seed, *derived], []
    if watch is not None:
        watch.begin(config, corpus, seeds, config.seed if selected else None, study_of(exported))
    for number, seed in enumerate(seeds, 1):
        seeded = with_overrides(config, {"seed": seed})
        prefix = f"seed {number}/{len(seeds)} ({seed})"
        bundle = folder / f"seed-{seed}"
        result = train_seed(seeded, corpus, bundle, runs / "cache", prefix, say, watch)
        first = selected and number == 1
        history = tuple(result.history)
        trained.append(SeedResult(seed, result.best_epoch, result.metrics, history, bundle, selected=first))
        if number == 1:
            reproduced = _compare(exported, overrides, trained[0], say)
    report, test = _measure_on_test(exported, config, corpus, overrides, trained, reproduced, runs, columns)
    return _with_information(report, test, corpus.target.kind, runs, folder / INFORMATION, say)


def _refuse_mae(overrides: Mapping[str, Any], corpus: Corpus) -> None:
    asked = overrides.get(_TASK) == "mae"
    if asked and (problem := refusal_of_mae(f"--set {_TASK}", corpus.target)):
        raise ConfigError("retrain", [problem])


def _compare(exported: Exported, overrides: Mapping[str, Any], first: SeedResult, say: Say) -> bool | None:
    """Whether the first seed reproduces the exported trial to the last bit; None if that cannot be asked."""
    known = exported.provenance
    if known is None or overrides.keys() - WHERE_DATA_LIES:
        return None
    value = first.metrics.get(known.metric)
    if value == known.value:
        say(f"trial {known.trial} of {known.study} is reproduced exactly: {known.metric} {value!r}")
        return True
    here = versions()
    changed = [
        f"{name} {then}, here {here.get(name)}"
        for name, then in known.versions.items()
        if here.get(name) != then
    ]
    say(
        f"trial {known.trial} of {known.study} gave {known.metric} {known.value!r}, here it is {value!r}: "
        f"{'; '.join(changed) or 'the same versions, so another processor or accelerator'}"
    )
    return False


def _measure_on_test(
    exported: Exported,
    config: RunConfig,
    corpus: Corpus,
    overrides: Mapping[str, Any],
    trained: Sequence[SeedResult],
    reproduced: bool | None,
    runs: Path,
    columns: Sequence[TargetSpec],
) -> tuple[RetrainReport, Split]:
    rows = Rows.of(corpus, "test").rows
    opening = Opening(
        data_set=corpus.name,
        config_digest=digest(config),
        corpus_digest=corpus.digest,
        study=study_of(exported),
        trial=exported.provenance.trial if exported.provenance else None,
        seeds=[result.seed for result in trained],
        overrides=dict(overrides),
        selected=next((result.seed for result in trained if result.selected), None),
        test_rows=rows.text(),
        config=config.model_dump(mode="json"),
    )
    ledger = Ledger(runs / LEDGER)
    earlier, elsewhere = earlier_openings(ledger, opening, rows)
    test = open_test(ledger, opening, config)
    models = [load_bundle(result.bundle, runs / "cache") for result in trained]
    told = [model.predict_all(test) for model in models]
    values = {
        target: test.labels if target == corpus.target else test.further_targets[target.name]
        for target in corpus.targets
        if target.name in told[0]
    }
    seeds = tuple(
        replace(
            result,
            test={
                target_metric(corpus, target, name): value
                for target, truth in values.items()
                for name, value in evaluate(truth, own[target.name], target).items()
            },
        )
        for result, own in zip(trained, told, strict=True)
    )
    ledger.measure(opening, test.digest, [result.test for result in seeds])
    chosen = [position for position, result in enumerate(seeds) if not result.selected]
    fresh = [models[position] for position in chosen]
    told_fresh = [told[position] for position in chosen]
    primary_SN = np.stack([own[corpus.target.name] for own in told_fresh])
    report = RetrainReport(
        exported=exported,
        config=config,
        opening=opening,
        earlier=earlier,
        elsewhere=elsewhere,
        seeds=seeds,
        reproduced=reproduced,
        intervals={
            target_metric(corpus, target, name): interval
            for target, truth in values.items()
            for name, interval in cluster_bootstrap(
                truth, np.stack([own[target.name] for own in told_fresh]), test.groups, target
            ).items()
        },
        constants=_constants(corpus, values),
        kinds=_kinds(test),
        widths={name: width for name, width in test.outline().widths.items() if width is not None},
        test_split=SplitCard("test", test.digest, len(test), len(np.unique(test.groups))),
        targets=tuple(values),
        num_rows=len(test),
        num_groups=len(np.unique(test.groups)),
        labels=tuple(by_label(values, told_fresh, corpus.target)),
        presence=tuple(by_presence(corpus, test, list(primary_SN))),
        subgroups=tuple(by_subgroup(corpus.target, test, primary_SN, column) for column in columns),
        robustness=measure_robustness(fresh, corpus, test),
        notes=tuple(lopsided(test.labels, corpus.target, "test")),
    )
    return report, test


def _constants(
    corpus: Corpus, values: Mapping[TargetSpec, NDArray[np.float32]]
) -> dict[str, dict[str, float]]:
    """Metrics of constant predictors on test, of every target, by predictor."""
    found: dict[str, dict[str, float]] = {}
    for target, truth in values.items():
        of_target = constant_metrics(corpus.values("train", target.name), truth, target)
        for predictor, metrics in of_target.items():
            named = {target_metric(corpus, target, name): value for name, value in metrics.items()}
            found.setdefault(predictor, {}).update(named)
    return found


def _with_information(
    report: RetrainReport, test: Split, kind: TargetKind, runs: Path, path: Path, say: Say
) -> RetrainReport:
    """The report with measurements of information on test.

    They are made after all metrics are in the ledger, so that an error here costs no opening.
    """
    config = report.config.information.model_copy(update={"quantities": report.config.measured})
    if not config.quantities:
        return report
    try:
        vectors = {
            result.seed: [part.represent(test) for part in load_bundle(result.bundle, runs / "cache").parts()]
            for result in report.seeds
        }
        with Runtime.of(report.config.train).active():
            seeds = tuple(
                replace(
                    result,
                    information=across_parts(
                        [measure_test(part, test, config, kind) for part in vectors[result.seed]],
                        same_rows=True,
                    ),
                )
                for result in report.seeds
            )
            decomposition = decomposed(vectors[report.best_on_valid.seed][0], test, kind)
    except DataError as error:
        say(f"information on test was not measured: {error}")
        return report
    save_information(path, {result.seed: result.information for result in seeds}, decomposition)
    return replace(report, seeds=seeds, decomposition=decomposition)


def _kinds(split: Split) -> dict[str, str]:
    def kind(modality: object) -> str:
        if isinstance(modality, Strings):
            return "strings"
        return "features" if isinstance(modality, Features) else "tokens"

    return {name: kind(modality) for name, modality in split.modalities().items()}
