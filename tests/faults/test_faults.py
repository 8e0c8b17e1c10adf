"""Every scenario, at random moments: the study is whole afterwards."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
from cluster import Cluster
from faults_table import PROPERTY
from scenarios import Scenario
from searches import NUM_TRIALS, Search, check_whole

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


def test_a_study_is_whole_after(
    scenario: Scenario,
    seed: int,
    cluster: Cluster,
    record_property: Callable[[str, object], None],
    tmp_path: Path,
) -> None:
    if (lacks := scenario.lacks()) and os.environ.get("CI") != "true":
        pytest.skip(f"needs {lacks}")
    chance = Random(f"{scenario.name} {seed}")
    started, happened = time.monotonic(), dict[str, Any](asked=NUM_TRIALS)
    record_property(PROPERTY, (scenario.name, happened))
    with scenario.around(tmp_path) as around:
        search = Search(
            tmp_path, cluster, scenario.space | {"base.seed": seed}, around.options, around.storage
        )
        try:
            for moment in scenario.moments(chance):
                search.wait_for_epochs(moment)
                time.sleep(chance.uniform(0.0, 0.2))
                scenario.strike(search, around, chance)
            search.finish(most_launches=search.launches + 2)
            scenario.check(search, around)
        finally:
            search.kill()
            happened |= {"seconds": time.monotonic() - started, "launches": search.launches}
        study = search.study()
        happened["finished"] = study.finished
        assert list(check_whole(study, search)) == []
        assert scenario.ends <= set(study.counts()), search.said()
