"""Ray for one search: what is left on the disk, whose code runs, and what is said when it dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

import mmsa
from mmsa.errors import StudyError
from mmsa.provenance import Code, running_code
from mmsa.search.execution import executor, local_ray
from mmsa.search.execution.local_ray import refuse_dead_ray, remove_dead_sessions
from mmsa.search.execution.nodes import refuse_other_code
from mmsa.search.execution.trial import WorkerContext, prepare_worker
from mmsa.search.locks import ProcessLock
from mmsa.search.study.study import read_study

pytestmark = pytest.mark.slow

LIVES = """
import sys, time
from pathlib import Path
from mmsa.search.locks import ProcessLock
lock = ProcessLock(Path(sys.argv[1]))
print("locked", flush=True)
time.sleep(600)
"""


def test_sessions_of_dead_drivers_are_removed_and_no_others(tmp_path):
    marks = {name: tmp_path / f"session_{name}" / "mmsa.lock" for name in ("dead", "alive", "theirs", "mine")}
    for mark in marks.values():
        (mark.parent / "logs").mkdir(parents=True)
    marks["dead"].write_text("process 1 on some machine")
    (tmp_path / "session_latest").symlink_to(marks["dead"].parent)
    mine = ProcessLock(marks["mine"])
    with subprocess.Popen(
        [sys.executable, "-c", LIVES, str(marks["alive"])], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        remove_dead_sessions(tmp_path)
        left = {path.name for path in tmp_path.iterdir()}
        assert left == {"session_alive", "session_theirs", "session_mine"}
        process.kill()
    mine.release()
    remove_dead_sessions(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["session_theirs"]


@pytest.mark.parametrize(
    ("end", "said"), [("os._exit(1)", True), ("os.kill(os.getpid(), 9)", True), ("", False)]
)
def test_a_driver_that_ends_without_a_word_has_one(end, said):
    start = "import os\nfrom mmsa.search.execution.local_ray import last_word\n"
    code = f"{start}with last_word():\n    {end or 'pass'}\n"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ("run the same command again" in ended.stderr) == said
    assert ended.returncode == {"os._exit(1)": 1, "": 0}.get(end, -signal.SIGKILL)


def test_a_raylet_that_died_is_told_at_the_next_step(monkeypatch):
    node = SimpleNamespace(dead_processes=lambda: [("log_monitor", None)])
    monkeypatch.setattr(local_ray.ray._private.worker, "_global_node", node)
    refuse_dead_ray()
    node.dead_processes = lambda: [("raylet", None)]
    with pytest.raises(StudyError, match=r"Ray's raylet died.*run the same command again"):
        refuse_dead_ray()


def test_a_process_with_other_code_is_refused(tmp_path):
    refuse_other_code(running_code(), Code("/elsewhere/mmsa", running_code().digest), "node a")
    with pytest.raises(StudyError, match=r"node a runs other code than the driver: /b/mmsa \(digest 00\)"):
        refuse_other_code(running_code(), Code("/b/mmsa", "00"), "node a")
    extended = replace(running_code(), extensions="somebodys 2.1 (digest ab)")
    with pytest.raises(StudyError, match=r"node a runs other code.*extended by somebodys 2\.1 \(digest ab\)"):
        refuse_other_code(running_code(), extended, "node a")
    with pytest.raises(StudyError, match="node a runs other code than the driver: none at all"):
        refuse_other_code(running_code(), Code("", ""), "node a")
    work = WorkerContext(None, "valid/mae", tmp_path, 0.0, tmp_path, code=Code("/driver/mmsa", "00"))
    with pytest.raises(StudyError, match="runs other code than the driver"):
        prepare_worker(work)


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_a_worker_with_other_code_ends_the_search(launch, make_study_config, monkeypatch, tmp_path):
    monkeypatch.setattr(executor, "running_code", lambda: Code("/driver/mmsa", "00"))
    with pytest.raises(
        StudyError, match=r"^process \d+ on .* runs other code than the driver: .*/driver/mmsa"
    ):
        launch(make_study_config())
    study = read_study("tried", tmp_path / "runs")
    assert set(study.counts()) == {"running"}  # it costs no trial


@pytest.mark.parametrize(
    ("message", "starts"), [("The current node timed out during startup.", 3), ("no", 1)]
)
def test_a_slow_machine_is_given_more_time(monkeypatch, message, starts):
    begun = []

    def init(**settings):
        begun.append(settings["address"])
        raise RuntimeError(message)

    monkeypatch.setattr("ray.init", init)
    for name in ("PYTHONPATH", "RAY_AUTH_TOKEN"):  # which it sets
        monkeypatch.setenv(name, os.environ.get(name, ""))
    with pytest.raises(StudyError, match=message), local_ray.local_ray(1):
        raise AssertionError("started")
    assert begun == ["local"] * starts


DRIVER = """
import ray
from mmsa.search.execution.cluster import ray_cluster

@ray.remote
def found():
    import json, random, mmsa
    return mmsa.__file__, random.__file__, json.__file__

with ray_cluster(cpus=1):
    print(*ray.get(found.remote()), ray._private.worker._global_node.get_session_dir_path())
"""


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_workers_run_the_drivers_code_whatever_lies_in_the_working_folder(tmp_path):
    (tmp_path / "mmsa").mkdir()
    for file in ("mmsa/__init__.py", "random.py", "json.py"):
        (tmp_path / file).write_text("raise ImportError('taken from the working folder')")
    (tmp_path / "driver").mkdir()
    script = tmp_path / "driver" / "driver.py"
    script.write_text(DRIVER)
    ended = subprocess.run([sys.executable, script], cwd=tmp_path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    *files, session = ended.stdout.split()
    assert files == [mmsa.__file__, *(sys.modules[name].__file__ for name in ("random", "json"))]
    assert not Path(session).exists()  # nor is it left behind


SHARED_GPU = """
import os
import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy
from mmsa.search.costs import Resources
from mmsa.search.execution.cluster import ray_cluster, slots_for

@ray.remote
def sees():
    return os.environ["CUDA_VISIBLE_DEVICES"]

with ray_cluster(cpus=16):
    slots = slots_for(Resources(gpus_per_worker=0.25), needs_gpu=True)
    groups = [ray.util.placement_group(slots.bundles()) for _ in range(slots.count + 1)]
    ready, waiting = ray.wait([group.ready() for group in groups], num_returns=slots.count, timeout=120)
    ready += ray.wait(waiting, timeout=1)[0]
    print(slots.count, len(ready), ray.get(sees.remote()) or "nothing")
    group = PlacementGroupSchedulingStrategy(groups[0], 0)
    print(ray.get(sees.options(num_gpus=slots.gpus, scheduling_strategy=group).remote()))
"""


@pytest.mark.ray
@pytest.mark.timeout(600)
def test_trials_share_the_parts_of_cards_that_the_user_names():
    """Ray counts cards, would offer one of two parts, and would show all to a worker that asked for none."""
    names = ["MIG-0d2c1a54-0000-5000-8000-000000000001", "MIG-0d2c1a54-0000-5000-8000-000000000002"]
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": ",".join(names)}
    command = [sys.executable, "-c", SHARED_GPU]
    ended = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    counts, seen = ended.stdout.splitlines()
    assert counts == "8 8 nothing"
    assert seen in names


@pytest.mark.ray
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "folder", ["/dev/null/x", "/proc/x", "x" * 120], ids=["under a file", "proc", "too long"]
)
def test_a_folder_that_ray_cannot_use_is_named(tmp_path, folder):
    code = """
from mmsa.cli import exit_code
from mmsa.search.execution.cluster import ray_cluster
def main():
    with ray_cluster(cpus=1):
        return 0
raise SystemExit(exit_code(main))
"""
    environment = os.environ | {"RAY_TMPDIR": str(tmp_path / folder)}
    ended = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert ended.returncode == 2
    assert "error: Ray cannot start" in ended.stderr
    assert "RAY_TMPDIR" in ended.stderr
    assert "Traceback" not in ended.stderr
