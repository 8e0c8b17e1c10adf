from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import pytest
from cluster import Cluster
from faults_table import table_of
from networks import HERE
from scenarios import SCENARIOS


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        repeats = range(metafunc.config.getoption("--repeats"))
        cases = [(scenario, seed) for scenario in SCENARIOS for seed in repeats]
        ids = [f"{scenario.name.replace(' ', '-')}-{seed}" for scenario, seed in cases]
        metafunc.parametrize(("scenario", "seed"), cases, ids=ids)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    calls = (it for it in reports if isinstance(it, pytest.TestReport) and it.when == "call")
    if lines := list(table_of(calls)):
        terminalreporter.section("faults")
        for line in lines:
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes, on the loopback address."""
    with Cluster(repeat(HERE), tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.add()
        cluster.add()
        yield cluster
