"""Kubernetes' manifests: by its schemas, by KubeRay's fields, and beside compose, whose services they are."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from compose_file import DOCKER, ROOT, services

FOLDER = ROOT / "launch" / "kubernetes"
FILES = ["storage.yaml", "postgres.yaml", "mlflow.yaml", "network.yaml", "search.yaml"]

# The fields of KubeRay 1.7 that are used here; others are refused. A pod template is checked as a pod.
POD, TEXT, NUMBER, FLAG = "pod", str, int, bool
WORKER_GROUP = {
    "groupName": TEXT, "replicas": NUMBER, "minReplicas": NUMBER, "maxReplicas": NUMBER,
    "rayStartParams": dict, "template": POD,
}  # fmt: skip
RAY_JOB = {
    "submissionMode": {"K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"},
    "backoffLimit": NUMBER,
    "shutdownAfterJobFinishes": FLAG,
    "ttlSecondsAfterFinished": NUMBER,
    "submitterConfig": {"backoffLimit": NUMBER},
    "entrypoint": TEXT,
    "submitterPodTemplate": POD,
    "rayClusterSpec": {
        "rayVersion": TEXT,
        "authOptions": {"mode": {"token", "disabled"}},
        "gcsFaultToleranceOptions": {"backend": {"redis", "rocksdb"}, "storage": {"size": TEXT}},
        "headGroupSpec": {"rayStartParams": dict, "template": POD},
        "workerGroupSpecs": [WORKER_GROUP],
    },
}


def documents(file: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / file).read_text(encoding="utf-8")))


def everything() -> list[dict[str, Any]]:
    return [document for file in FILES for document in documents(file)]


def pods(value: Any, path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Pod templates below a value, by path."""
    if isinstance(value, Mapping):
        for name, below in value.items():
            if name in ("template", "submitterPodTemplate") and "spec" in below:
                yield f"{path}/{name}", below
            yield from pods(below, f"{path}/{name}")
    elif isinstance(value, list):
        for position, below in enumerate(value):
            yield from pods(below, f"{path}/{position}")


def misfits(value: Any, rule: Any, path: str = "spec") -> Iterator[str]:
    """What of a value the fields of a custom resource do not allow."""
    if rule == POD:
        yield from ()
    elif isinstance(rule, set):
        yield from () if value in rule else [f"{path}: {value}"]
    elif isinstance(rule, list):
        for position, below in enumerate(value):
            yield from misfits(below, rule[0], f"{path}[{position}]")
    elif isinstance(rule, dict):
        for name, below in value.items():
            if name in rule:
                yield from misfits(below, rule[name], f"{path}.{name}")
            else:
                yield f"{path}.{name} is no field"
    elif not isinstance(value, rule) or (rule is int and isinstance(value, bool)):
        yield f"{path}: {value!r}"
    elif rule is dict and not all(isinstance(below, str) for below in value.values()):
        yield f"{path}: values must be texts"


def test_kubernetes_accepts_every_object() -> None:
    kubernetes = pytest.importorskip(
        "kubernetes_validate", reason="needs kubernetes-validate, of the extra dev"
    )
    checked = 0
    for document in everything():
        if not document["apiVersion"].startswith("ray.io/"):
            kubernetes.validate(document, "1.33", strict=True)
            checked += 1
        for path, template in pods(document):
            metadata = {"name": "x", **template.get("metadata", {})}
            pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": metadata}
            kubernetes.validate(pod, "1.33", strict=True)
            checked += 1
            pod["spec"]["nodeSelektor"] = {}  # and the check would tell
            with pytest.raises(kubernetes.ValidationError):
                kubernetes.validate(pod, "1.33", strict=True)
            assert path
    assert checked == 15


def test_kuberay_knows_every_field() -> None:
    (job,) = documents("search.yaml")
    component = yaml.safe_load((FOLDER / "components/gcs-on-disk/kustomization.yaml").read_text())
    (change,) = yaml.safe_load(component["patches"][0]["patch"])
    job["spec"]["rayClusterSpec"][change["path"].rpartition("/")[2]] = change["value"]
    assert list(misfits(job["spec"], RAY_JOB)) == []
    job["spec"]["rayClusterSpec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] = 0
    job["spec"]["backofLimit"] = 1
    assert len(list(misfits(job["spec"], RAY_JOB))) == 2


def test_its_services_are_those_of_compose() -> None:
    given = services({})
    (mlflow,) = [pod["spec"]["containers"][0] for _, pod in pods(documents("mlflow.yaml"))]
    assert mlflow["args"] == given["mlflow"].raw["command"]
    assert {entry["name"]: entry["value"] for entry in mlflow["env"]} == given["mlflow"].raw["environment"]
    (postgres,) = [pod["spec"]["containers"][0] for _, pod in pods(documents("postgres.yaml"))]
    assert postgres["args"] == given["postgres"].raw["command"]
    environment = {entry["name"]: entry["value"] for entry in postgres["env"]}
    assert environment.pop("PGDATA")
    assert environment == given["postgres"].raw["environment"]
    assert postgres["image"] == given["postgres"].raw["image"]
    assert postgres["readinessProbe"]["exec"]["command"] == list(given["postgres"].health)
    generated = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())["configMapGenerator"][0][
        "literals"
    ][0]
    sql = (DOCKER / "postgres" / "databases.sql").read_text().splitlines()
    assert generated == "databases.sql=" + " ".join(line for line in sql if not line.startswith("--"))
    (job,) = documents("search.yaml")
    for words in (f"--storage {given['search'].environment['MMSA_STORAGE']}", "docker/entrypoint.sh"):
        assert words in job["spec"]["entrypoint"]


def test_pods_run_without_rights_and_secrets_come_as_files() -> None:
    for document in everything():
        for path, template in pods(document):
            spec = template["spec"]
            assert spec["automountServiceAccountToken"] is False, path
            for container in spec["containers"]:
                assert container["resources"]["requests"]
                assert container["resources"]["limits"]
                for entry in container.get("env", []):
                    assert "value" in entry  # from no secret: a process inherits it, a file it does not
                # What Kubernetes' "restricted" level of pod security asks for.
                assert container["securityContext"]["allowPrivilegeEscalation"] is False
                assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
                assert spec["securityContext"]["runAsNonRoot"] is True
                assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
                mounts = {mount["mountPath"]: mount for mount in container.get("volumeMounts", [])}
                if "/data" in mounts:
                    assert mounts["/data"]["readOnly"] is True
    (first, *_) = documents("network.yaml")
    assert first["spec"] == {"podSelector": {}, "policyTypes": ["Ingress"]}


def test_kustomize_builds_them() -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("needs kubectl")
    done = subprocess.run([kubectl, "kustomize", str(FOLDER)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert {document["metadata"]["namespace"] for document in built} == {"mmsa"}
    assert len(built) == len(everything()) + 1
    assert "image: mmsa:search" in done.stdout


def test_rays_launcher_accepts_its_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = yaml.safe_load((ROOT / "launch" / "ray-cluster.yaml").read_text(encoding="utf-8"))
    validate_config(prepare_config(config))
    assert config["docker"]["image"] == services({})["search"].raw["image"]
    config["worker_nodez"] = 1
    with pytest.raises(Exception, match="worker_nodez"):
        validate_config(config)
