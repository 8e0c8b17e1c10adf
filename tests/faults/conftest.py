from __future__ import annotations

from collections.abc import Iterator
from itertools import repeat

import pytest
from cluster import Cluster
from faults_table import Table
from networks import HERE
from scenarios import SCENARIOS

_TABLE = pytest.StashKey[Table]()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "scenario" in metafunc.fixturenames:
        repeats = range(metafunc.config.getoption("--repeats"))
        cases = [(scenario, seed) for scenario in SCENARIOS for seed in repeats]
        ids = [f"{scenario.name.replace(' ', '-')}-{seed}" for scenario, seed in cases]
        metafunc.parametrize(("scenario", "seed"), cases, ids=ids)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if table := config.stash.get(_TABLE, None):
        terminalreporter.section("faults")
        for line in table.text():
            terminalreporter.write_line(line)


@pytest.fixture(scope="session")
def table(pytestconfig: pytest.Config) -> Table:
    """Printed at the end."""
    return pytestconfig.stash.setdefault(_TABLE, Table())


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes, on the loopback address."""
    with Cluster(repeat(HERE), tmp_path_factory.mktemp("cluster")) as cluster:
        cluster.add()
        cluster.add()
        yield cluster
