"""A search over the services of ``docker/compose.yaml``: each locked, each lost once, no secret told."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from compose_file import DOCKER, services
from containers import Container, name_hosts, wait_until
from networks import networks
from planted_space import planted_space

pytestmark = [pytest.mark.services, pytest.mark.timeout(1200)]

# Nobody's: neither who runs the tests nor an account of this machine, as a container's user may be
USER = 54321
SPACE = planted_space("services", 4, epochs=25, batch_size=10)
STARTED = 300.0  # seconds; a busy machine needs most of them
EXPERIMENTS = "http://mlflow:5000/api/2.0/mlflow/experiments/search?max_results=9"
_ASK = """
import base64, sys, urllib.error, urllib.request
url, host, password = sys.argv[1:]
request = urllib.request.Request(url)
if host: request.add_header("Host", host)
if password: request.add_header("Authorization", "Basic " + base64.b64encode(password.encode()).decode())
try: print(urllib.request.urlopen(request, timeout=30).status)
except urllib.error.HTTPError as error: print(error.code)
"""


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Container]]:
    folder = tmp_path_factory.mktemp("services")
    secrets = _set_up(folder)
    variables = {
        **dict(line.split("=", 1) for line in (folder / "docker" / ".env").read_text().splitlines()),
        "MMSA_UID": str(USER),
        "MMSA_GID": str(USER),
    }
    of_file = services(variables)
    names = ["postgres", "mlflow", "head", "worker", "worker-2", "search"]
    made: list[Path] = []
    running: dict[str, Container] = {}
    with networks(len(names)) as found:
        places = dict(zip(names, found, strict=True))
        made += name_hosts(places)
        for name, place in places.items():
            running[name] = Container(of_file[name.partition("-")[0]], name, place, folder, secrets)
        try:
            running["postgres"].start()
            running["head"].start()
            _wait_for(running, "postgres", "head")
            for name in ("mlflow", "worker", "worker-2"):
                running[name].start()
            _wait_for(running, "mlflow", "worker", "worker-2")
            yield running
        finally:
            for container in running.values():
                container.kill()
            for hosts in made:
                shutil.rmtree(hosts)


def _set_up(folder: Path) -> Path:
    """What ``docker/setup.sh`` makes, from a copy, for somebody else."""
    shutil.copytree(DOCKER, folder / "docker", ignore=shutil.ignore_patterns("secrets", ".env"))
    variables = {"MMSA_RUNS": str(folder / "runs"), "MMSA_DATA": str(folder / "data")}
    given = os.environ | variables | {"SUDO_UID": str(USER), "SUDO_GID": str(USER)}
    subprocess.run(["sh", str(folder / "docker" / "setup.sh")], env=given, check=True, capture_output=True)
    space = folder / "data" / "space.yaml"
    space.write_text(yaml.safe_dump(SPACE), encoding="utf-8")
    for path in (folder / "data", space):
        path.chmod(0o755)
    assert all(file.stat().st_mode & 0o077 == 0 for file in (folder / "docker" / "secrets").iterdir())
    return folder / "docker" / "secrets"


def _wait_for(running: dict[str, Container], *names: str) -> None:
    for name in names:
        container = running[name]

        def told(container: Container = container) -> str:
            return f"{container.name}: {container.health}{container.log.read_text()[-4000:]}"

        wait_until(container.healthy_or_restarted, STARTED, told)


def _status(container: Container, host: str = "", password: str = "") -> str:
    done = container.run(["python", "-c", _ASK, EXPERIMENTS, host, password])
    return done.stdout.strip() or done.stderr


def _secrets(deployed: dict[str, Container]) -> dict[str, str]:
    folder = deployed["mlflow"]._folder.parent / "docker" / "secrets"
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_nobody_gets_in_without_a_secret(deployed: dict[str, Container]) -> None:
    inside, password = deployed["worker"], _secrets(deployed)["mlflow_admin_password"]
    assert _status(inside, password=f"admin:{password}") == "200"
    assert _status(inside, host="localhost", password=f"admin:{password}") == "200"
    assert _status(inside) == "401"
    assert _status(inside, password="admin:password1234") == "401"
    assert _status(inside, host="evil.example", password=f"admin:{password}") == "403"
    database = deployed["postgres"].run(
        ["psql", "--no-password", "-h", "postgres", "-U", "mmsa", "-d", "study", "-c", "select 1"]
    )
    assert database.returncode != 0
    assert "no password supplied" in database.stderr
    joined = inside.run(["ray", "health-check", "--address=head:6379"])
    refused = inside.run(["ray", "health-check", "--address=head:6379"], RAY_AUTH_TOKEN="0" * 64)
    assert joined.returncode == 0, joined.stderr
    assert refused.returncode != 0


def test_nothing_is_opened_that_need_not_be(deployed: dict[str, Container]) -> None:
    assert deployed["mlflow"].listening() == {"0.0.0.0:5000"}
    assert deployed["postgres"].listening() <= {"0.0.0.0:5432", "[::]:5432"}
    here = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True).stdout
    ours = [line for line in here.splitlines() if re.search(r":(5432|5000|6379)\s", line.split()[3] + " ")]
    assert not [line for line in ours if "127.0.0.1" not in line]


def test_nothing_is_written_where_only_reading_is_meant(deployed: dict[str, Container]) -> None:
    worker = deployed["worker"]
    for target in ("/data/new", "/mmsa/new", "/etc/new", "/run/secrets/ray_token"):
        assert worker.run(["sh", "-c", f"echo x >> {target}"]).returncode != 0, target
    assert worker.run(["id", "-u"]).stdout.strip() == str(USER)


def test_a_search_outlives_every_service(deployed: dict[str, Container]) -> None:
    search, command = deployed["search"], ["--space", "/data/space.yaml"]

    def epochs() -> int:
        asked = "select count(*) from trial_user_attributes where key like 'epoch%'"
        done = deployed["postgres"].run(["psql", "-U", "mmsa", "-d", "study", "-Atc", asked])
        return int(done.stdout.strip() or 0) if done.returncode == 0 else 0

    def reached(count: int) -> None:
        wait_until(
            lambda: epochs() >= count or search.process.poll() is not None,
            STARTED,
            lambda: f"{epochs()} epochs: {search.log.read_text()[-3000:]}",
        )
        assert search.process.poll() is None, search.log.read_text()[-3000:]

    search.start(command)
    reached(4)
    for count, name in ((8, "mlflow"), (12, "postgres"), (24, "worker")):
        deployed[name].kill()
        deployed[name].start()
        reached(count)
    deployed["head"].kill()
    wait_until(lambda: search.process.poll() is not None, STARTED, lambda: search.log.read_text()[-3000:])
    assert search.process.returncode != 0
    for name in ("worker", "worker-2"):  # as their restart policy does, since `ray start` ends with the head
        deployed[name].kill()
    deployed["head"].start()
    _wait_for(deployed, "head")
    for name in ("worker", "worker-2"):
        deployed[name].start()
    _wait_for(deployed, "worker", "worker-2", "mlflow")
    search.start(command)
    assert search.process.wait(timeout=300) == 0, search.log.read_text()[-3000:]

    state = "select state, count(*) from trials group by state order by state"
    done = deployed["postgres"].run(["psql", "-U", "mmsa", "-d", "study", "-Atc", state])
    assert done.stdout.split() == ["COMPLETE|4"]
    password = _secrets(deployed)["mlflow_admin_password"]
    assert _status(deployed["worker"], password=f"admin:{password}") == "200"


def test_no_secret_is_told(deployed: dict[str, Container]) -> None:
    """After all that: not in what was printed, in files of runs, in the databases, or on a command line."""
    told = subprocess.run(["ps", "-eww", "-o", "args"], capture_output=True, text=True, check=True).stdout
    for database in ("study", "mlflow", "mlflow_auth"):
        dump = deployed["postgres"].run(["pg_dump", "-U", "mmsa", database])
        assert "CREATE TABLE" in dump.stdout
        told += dump.stdout
    folder = deployed["search"]._folder.parent
    for container in deployed.values():
        told += container.log.read_text(errors="replace")
        for file in (container._folder / "volumes").rglob("*"):
            if (
                file.is_file()
                and container.name != "postgres"
                and file.name not in (".pgpass", "credentials")
            ):
                told += file.read_text(errors="replace")
    for file in (folder / "runs").rglob("*"):
        told += file.read_text(errors="replace") if file.is_file() else ""
    assert len(told) > 100_000
    for name, secret in _secrets(deployed).items():
        assert len(secret) == 64
        assert secret not in told, f"{name}: ...{told[told.index(secret) - 200 : told.index(secret) + 80]}"
