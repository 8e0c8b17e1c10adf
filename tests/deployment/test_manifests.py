"""What engines and clusters read: by their own rules, and by ours."""

from __future__ import annotations

import subprocess
import sys

import pytest
import yaml
from compose_file import DOCKER, ROOT, compose, dockerfile, image_files, services

SECRET_WORDS = ("password", "secret", "token", "credential")


@pytest.mark.parametrize("file", ["compose.yaml", "compose.gpu.yaml"])
def test_compose_files_keep_to_the_specification(file: str) -> None:
    compose_spec = pytest.importorskip("compose_spec", reason="needs compose-spec, of the extra dev")
    block = compose({}, file)
    worker = block["services"]["worker"]
    if "cpus" in worker:
        worker["cpus"] = float(worker["cpus"])  # this reader of the specification knows no whole number here
    compose_spec.PyOptions(apply_merge=True).from_yaml(yaml.safe_dump(block))
    worker["red_only"] = True  # and the check would tell
    with pytest.raises(ValueError, match="red_only"):
        compose_spec.PyOptions(apply_merge=True).from_yaml(yaml.safe_dump(block))


def test_every_service_is_locked_up() -> None:
    for name, service in services({}).items():
        assert service.raw["cap_drop"] == ["ALL"]
        assert service.raw["security_opt"] == ["no-new-privileges:true"]
        assert not service.raw.get("privileged")
        for mount in service.mounts:
            assert mount.read_only == (mount.target in ("/data", "/docker-entrypoint-initdb.d")), (
                name,
                mount,
            )
        if name != "postgres":  # its image starts as root, and needs its own writable root
            assert service.user == "1000:1000"
            assert service.raw["read_only"] is True
        if name != "search":
            assert service.raw["healthcheck"]["test"]
            assert service.raw["restart"] == "unless-stopped"


def test_only_mlflow_is_published_and_on_loopback_unless_told() -> None:
    assert {name: list(service.ports) for name, service in services({}).items() if service.ports} == {
        "mlflow": ["127.0.0.1:5000:5000"]
    }
    assert services({"MMSA_BIND": "10.0.0.7"})["mlflow"].ports == ["10.0.0.7:5000:5000"]
    assert compose({})["networks"]["cluster"]["internal"] is True


def test_mlflow_is_asked_for_with_and_without_its_port() -> None:
    variables = {"MMSA_MLFLOW_PORT": "5050", "MMSA_MLFLOW_HOSTS": "lab.example,lab.example:443"}
    (hosts,) = [word for word in services(variables)["mlflow"].command if word.startswith("--allowed-hosts=")]
    assert {"mlflow", "mlflow:5000", "localhost", "localhost:5050", "lab.example", "lab.example:443"} <= set(
        hosts.partition("=")[2].split(",")
    )


def test_secrets_come_from_files_alone() -> None:
    for file in compose({})["secrets"].values():
        assert file["file"].startswith("./secrets/")
    ignored = (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    left_out = (DOCKER / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    assert {"docker/secrets/", "docker/.env"} <= set(ignored)
    assert {"*", "docker/secrets", "docker/.env"} <= set(left_out)
    for service in services({}).values():
        for name, value in service.environment.items():
            if any(word in name.lower() for word in SECRET_WORDS) and name != "TOKENIZERS_PARALLELISM":
                assert value.startswith("/run/secrets/"), f"{service.name}: {name}"
        assert not any(
            "://" in word and "@" in word and ":" in word.split("://")[1].split("@")[0]
            for word in service.command
        )


def test_images_are_of_nobody_in_particular_and_locked() -> None:
    instructions = dockerfile()
    stages = [rest.split()[-1] for word, rest in instructions if word == "FROM"]
    assert {"run", "search"} <= set(stages)
    stage = ""
    users = {}
    for word, rest in instructions:
        stage = rest.split()[-1] if word == "FROM" else stage
        if word == "USER":
            users[stage] = rest
        if word == "RUN" and "pip install" in rest:
            for command in rest.split("&&"):
                known = ("--constraint constraints.txt", "==", "--no-deps")
                assert "pip install" not in command or any(part in command for part in known), command
    assert users == {"run": "1000:1000", "search": "1000:1000"}
    assert all((ROOT / path).exists() for path in image_files())


def test_the_run_image_has_neither_ray_nor_optuna() -> None:
    (line,) = [rest for word, rest in dockerfile() if word == "RUN" and "--without" in rest]
    arguments = line.split("dependencies.py")[1].split(">")[0].split()
    script = [sys.executable, str(DOCKER / "dependencies.py")]
    needed = subprocess.run(
        [*script, *arguments], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "torch" in needed
    assert "ray" not in needed
    assert "optuna" not in needed
    everything = subprocess.run(
        [*script, "--extra", "cluster"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "ray[default]" in everything
    assert "psycopg[binary]" in everything
