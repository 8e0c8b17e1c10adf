"""A search on four nodes, of which one is lost and one is added midway."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from random import Random

import pytest
from cluster import CPUS, Cluster
from networks import HERE, Place, networks, no_networks
from searches import FEWEST_EPOCHS, NUM_TRIALS, Search, check_whole

pytestmark = [pytest.mark.faults, pytest.mark.timeout(1200)]
NUM_NODES = 4


@contextmanager
def places() -> Iterator[Iterator[Place]]:
    """With addresses of their own, where this machine makes networks; else all on one address."""
    if no_networks():
        yield repeat(HERE)
    else:
        with networks(NUM_NODES + 2) as made:
            yield iter(made)


def test_a_search_goes_on_when_a_node_is_lost_and_one_is_added(tmp_path: Path) -> None:
    """Trials have two workers that fill a node each."""
    with places() as where, Cluster(where, tmp_path) as cluster:
        for _ in range(NUM_NODES):
            cluster.add()
        resources = {"workers": 2, "cpus_per_worker": CPUS}
        search = Search(tmp_path, cluster, {"resources": resources}, ["--no-mlflow"])
        try:
            search.wait_for_epochs(FEWEST_EPOCHS // 4)
            cluster.kill(Random(0).choice(cluster.nodes))
            search.wait_for_epochs(FEWEST_EPOCHS // 2)
            cluster.add()
            search.finish(most_launches=1)
        finally:
            search.kill()
    study = search.study()
    assert list(check_whole(study, search)) == []
    assert study.finished == NUM_TRIALS
    assert all(len(set(trial.notes["processes"])) == 2 for trial in study.trials())
