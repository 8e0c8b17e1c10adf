"""Each finding is wrong where something is wrong, says what to do, and tells no password."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace

import pytest
from launched import launched

from mmsa.doctor import machine, services
from mmsa.doctor.findings import Finding, examined


def only(findings: Iterator[Finding]) -> Finding:
    (finding,) = findings
    return finding


def wrong(finding: Finding, *words: str) -> None:
    assert finding.verdict == "wrong"
    assert finding.advice
    for word in words:
        assert word in str(finding)


def test_packages_are_compared_with_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "constraints.txt"
    lock.write_text("# ours\nnumpy==1.0 ; sys_platform != 'win32'\nnowhere-to-be-found==3\npyyaml>=5\n")
    wrong(only(machine.lock(lock)), "1 of 2 packages differ", "numpy", "(locked: ==1.0)", "--constraint")
    assert only(machine.lock()).verdict == "ok"  # tests run on what is locked


def test_little_shared_memory_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=64 * 2**20, total=2**40))
    wrong(only(machine.shm(tmp_path)), "0.1 GiB", "--shm-size")
    runs, ray = machine.disk(tmp_path / "not" / "yet")
    wrong(runs, "0.1 GiB")
    wrong(ray)


def test_a_folder_whose_path_is_too_long_for_rays_sockets_is_wrong(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("RAY_TMPDIR", f"/tmp/{'x' * 34}")
    _, ray = machine.disk(tmp_path)
    assert "too long" not in str(ray)
    monkeypatch.setenv("RAY_TMPDIR", f"/tmp/{'x' * 35}")
    _, ray = machine.disk(tmp_path)
    wrong(ray, "too long", "at most 39 characters")


@pytest.mark.skipif(
    not Path("/proc/self").is_dir(), reason="needs /proc, which takes files of nobody, root included"
)
def test_a_folder_that_takes_no_files_is_told_as_such_and_not_as_a_full_disk() -> None:
    runs, _ = machine.disk(Path("/proc/self/runs"))
    wrong(runs, "/proc/self/runs cannot be written", "--runs")


def test_more_threads_than_processors_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    wrong(only(machine.threads()), "OMP_NUM_THREADS is 4096", "Unset")


def test_a_token_that_others_may_read_is_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "token"
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(file))
    wrong(only(machine.token()), "names no file", "ray get-auth-token")
    file.write_text("very secret")
    file.chmod(0o644)
    wrong(only(machine.token()), "others may read", "chmod 600")
    file.chmod(0o600)
    assert only(machine.token()).verdict == "ok"
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    wrong(only(machine.token()), "runs any code")


@pytest.fixture
def mlflow_server() -> Iterator[Callable[[int, int], str]]:
    """A function: the address of a server that answers requests with and without credentials like this."""
    servers = []

    def serve(known: int, unknown: int) -> str:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = known if "Authorization" in self.headers else unknown
                self.send_response(200 if self.path == "/health" else asked)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        servers.append(HTTPServer(("127.0.0.1", 0), Answer))
        Thread(target=servers[-1].serve_forever, daemon=True).start()
        return f"http://who:secretword@127.0.0.1:{servers[-1].server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


def test_mlflow_is_asked_as_its_client_would(tmp_path: Path, mlflow_server) -> None:
    assert only(services.mlflow(tmp_path, mlflow_server(200, 401))).verdict == "ok"
    wrong(only(services.mlflow(tmp_path, mlflow_server(403, 401))), "--allowed-hosts", "127.0.0.1,127.0.0.1:")
    wrong(only(services.mlflow(tmp_path, mlflow_server(401, 401))), "credentials")
    wrong(only(services.mlflow(tmp_path, mlflow_server(500, 401))), "answers 500")
    open_to_all = only(services.mlflow(tmp_path, mlflow_server(200, 200)))
    assert open_to_all.verdict == "note"
    assert "basic-auth" in open_to_all.advice
    nobody = only(services.mlflow(tmp_path, "http://who:secretword@127.0.0.1:9"))
    wrong(nobody, "does not answer")
    for found in (open_to_all, nobody):
        assert "secretword" not in str(found)


def test_storage_that_cannot_be_written_is_wrong(tmp_path: Path) -> None:
    assert only(services.storage(tmp_path / "new" / "runs", None)).verdict == "ok"
    assert list(tmp_path.iterdir()) == []  # nothing is left of what was tried
    (tmp_path / "runs").mkdir()
    assert only(services.storage(tmp_path / "runs", None)).verdict == "ok"
    assert list((tmp_path / "runs").iterdir()) == []
    (tmp_path / "file").write_text("")
    wrong(only(services.storage(tmp_path / "file", None)), "--runs")
    away = only(services.storage(tmp_path, "postgresql+psycopg://who:secretword@127.0.0.1:9/x"))
    wrong(away, "postgresql+psycopg://who:***@127.0.0.1:9/x")
    assert "secretword" not in str(away)
    assert only(services.storage(tmp_path, f"sqlite:///{tmp_path}/study.db")).verdict == "ok"
    assert not (tmp_path / "study.db").exists()


def test_data_that_are_not_there_are_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMSA_DATA", str(tmp_path))
    wrong(only(services.data("mosi_minilm")), str(tmp_path / "mosi_utterance.npz"), "is not there")
    monkeypatch.delenv("MMSA_DATA")
    (unset,) = examined("data", partial(services.data, "mosi_minilm"))
    assert unset.verdict == "wrong"
    assert unset.told.endswith("MMSA_DATA is not set; export MMSA_DATA=<folder>")
    (unknown,) = examined("data", partial(services.data, "mosi_minilmm"))
    assert "Did you mean 'mosi_minilm.yaml'?" in unknown.advice
    assert only(services.data("demo")).told == "demo needs no file"


def test_a_check_that_fails_is_told_and_the_rest_goes_on() -> None:
    def fails() -> Iterator[Finding]:
        yield Finding("x", "ok", "first")
        raise RuntimeError("postgresql://who:secretword@host/x is odd")

    first, second = examined("x", fails)
    assert first.verdict == "ok"
    wrong(second, "RuntimeError")
    assert "secretword" not in str(second)


def test_the_exit_code_is_that_of_what_is_wrong(tmp_path, monkeypatch, capsys) -> None:
    for name in ("shm", "disk", "lock", "gpus"):  # as this machine happens to be
        monkeypatch.setattr(machine, name, lambda *_: iter(()))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert launched(monkeypatch, "doctor.py", "--runs", str(tmp_path / "runs")) == 0
    assert "nothing here would hinder" in capsys.readouterr().out
    (tmp_path / "file").write_text("")
    assert launched(monkeypatch, "doctor.py", "--runs", str(tmp_path / "file")) == 1
    assert "wrong: 1; a search would fail or suffer" in capsys.readouterr().out


def test_an_error_of_ours_is_told_with_its_own_advice(tmp_path: Path) -> None:
    (found,) = examined("MLflow", partial(services.mlflow, tmp_path, "ftp://x"))
    assert found.verdict == "wrong"
    assert "names no MLflow store" in found.advice
    assert "unexpected" not in str(found)
