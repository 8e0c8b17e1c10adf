"""Every scenario, at random moments: the study is whole afterwards."""

from __future__ import annotations

import os
import time
from pathlib import Path
from random import Random

import pytest
from cluster import Cluster
from faults_table import Table
from scenarios import Scenario
from searches import NUM_TRIALS, Search, check_whole

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]


def test_a_study_is_whole_after(
    scenario: Scenario, seed: int, cluster: Cluster, table: Table, tmp_path: Path
) -> None:
    if (lacks := scenario.lacks()) and os.environ.get("CI") != "true":
        pytest.skip(f"needs {lacks}")
    chance = Random(f"{scenario.name} {seed}")
    line, started = table[scenario.name], time.monotonic()
    line.repeats += 1
    line.asked += NUM_TRIALS
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
            line.seconds += time.monotonic() - started
            line.launches += search.launches
        study = search.study()
        line.finished += study.finished
        assert list(check_whole(study, search)) == []
        assert scenario.ends <= set(study.counts()), search.said()
    line.passed += 1
