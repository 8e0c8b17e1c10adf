"""Fitting what a trial asks for to the machines that are there; a cluster that does not answer."""

from __future__ import annotations

import socket

import pytest

from mmsa.config import parse
from mmsa.errors import ConfigError, StudyError
from mmsa.search.costs import Resources
from mmsa.search.execution.cluster import Slots, ray_cluster, slots_for


@pytest.fixture
def machines(monkeypatch):
    def set_nodes(*resources: dict[str, float]) -> None:
        nodes = [{"Alive": True, "Resources": node} for node in resources]
        dead = {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}}
        monkeypatch.setattr("ray.nodes", lambda: [*nodes, dead])

    return set_nodes


def test_trials_do_not_span_machines(machines):
    machines({"CPU": 6.0}, {"CPU": 3.0})
    assert slots_for(Resources(cpus_per_worker=4), needs_gpu=False) == Slots(4.0, 0.0, count=1)


def test_gpus_bound_the_number_of_trials(machines):
    machines({"CPU": 16.0, "GPU": 2.0}, {"CPU": 16.0})
    assert slots_for(Resources(cpus_per_worker=2, gpus_per_worker=0.5), needs_gpu=False).count == 4


@pytest.mark.parametrize(
    ("there", "asked", "trials"),
    [(1, 0.25, 4), (1, 0.2, 5), (2, 0.1, 20), (1, 1 / 3, 3), (2, 0.6, 2), (4, 1.0, 4), (1, 0.0001, 10_000)],
)
def test_a_gpu_is_shared_by_as_many_as_ray_places_on_it(machines, there, asked, trials):
    """Nobody is on two GPUs, and 1.0 // 0.2 is 4 in Python."""
    machines({"CPU": 10_000.0, "GPU": float(there)})
    assert slots_for(Resources(gpus_per_worker=asked), needs_gpu=True).count == trials


def test_workers_of_a_trial_share_gpus_as_trials_do(machines):
    machines({"CPU": 16.0, "GPU": 2.0})
    slots = slots_for(Resources(gpus_per_worker=0.5, workers=2), needs_gpu=True)
    assert slots.count == 2
    assert slots.bundles() == [{}, {"CPU": 1.0, "GPU": 0.5}, {"CPU": 1.0, "GPU": 0.5}]


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (0.3, "room for 3, and 0.1 of it is given to nobody; 0.3333 or 0.25 divides it"),
        (0.6, "room for 1, and 0.4 of it is given to nobody; 1 or 0.5 divides it"),
        (0.25, ""),
        (0.33, ""),
    ],
)
def test_what_is_left_of_a_gpu_is_told(machines, asked, told):
    machines({"CPU": 16.0, "GPU": 1.0})
    notes = slots_for(Resources(gpus_per_worker=asked), needs_gpu=True).notes
    assert [note.partition("has ")[2] for note in notes] == ([told] if told else [])


@pytest.mark.parametrize(
    ("asked", "told"), [(1.5, "workers: 2"), (2.0, "workers: 2"), (0.00001, r"less than 1/10000.*0\.25")]
)
def test_what_no_worker_can_use_of_gpus_is_refused(asked, told):
    with pytest.raises(ConfigError, match=rf"(?s)gpus_per_worker.*{told}"):
        parse(Resources, {"gpus_per_worker": asked}, "space.yaml")


def test_a_smaller_machine_runs_the_same_trials_and_says_so(machines):
    machines({"CPU": 2.0})
    fitted = slots_for(Resources(cpus_per_worker=4, gpus_per_worker=1.0), needs_gpu=False)
    assert (fitted.cpus, fitted.gpus, fitted.count) == (2.0, 0.0, 1)
    assert [note.split(";")[0] for note in fitted.notes] == [
        "the space asks for 4 CPUs a worker",
        "the space asks for 1 GPUs a worker",
    ]


@pytest.mark.parametrize(("asked", "there"), [(1.0, 0.0), (0.0, 1.0)])
def test_trials_that_need_a_gpu_are_refused_without_one(machines, asked, there):
    machines({"CPU": 8.0, "GPU": there})
    with pytest.raises(
        StudyError, match=rf"gpus_per_worker is {asked:g}, and the best machine has {there:g}"
    ):
        slots_for(Resources(gpus_per_worker=asked), needs_gpu=True)


def test_cpus_and_gpus_of_a_trial_are_in_one_machine(machines):
    machines({"CPU": 8.0}, {"CPU": 1.0, "GPU": 1.0})
    with pytest.raises(StudyError, match="both 4 CPUs and 1 GPUs"):
        slots_for(Resources(cpus_per_worker=4, gpus_per_worker=1.0), needs_gpu=False)


def test_idle_gpus_are_pointed_out(machines):
    machines({"CPU": 8.0, "GPU": 1.0})
    assert "the space asks for none" in slots_for(Resources(), needs_gpu=False).notes[0]


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "nowhere", "127.0.0.1:none"])
def test_a_cluster_that_does_not_answer_is_an_error_at_once(address, monkeypatch):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = address.format(port=unused.getsockname()[1])
        with (
            pytest.raises(StudyError, match=f"--ray-address {address}") as caught,
            ray_cluster(address),
        ):
            raise AssertionError("connected to nothing")
    assert "RAY_AUTH_MODE" in str(caught.value)
