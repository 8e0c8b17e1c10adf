"""What a search would use beyond this machine: MLflow, the study's storage, data, the hub, a cluster."""

from __future__ import annotations

import configparser
import os
import secrets
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from mmsa.config import expand_path
from mmsa.doctor.findings import Finding
from mmsa.masking import masked, masked_message
from mmsa.tracking.location import Location

_SECONDS = 10.0
_HUB = "https://huggingface.co"
_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def mlflow(runs: Path, uri: str | None) -> Iterator[Finding]:
    """Whether MLflow's server is there, accepts its name, and knows who asks."""
    address = Location.of(runs, uri).uri
    if not address.startswith(("http://", "https://")):
        yield Finding("MLflow", "ok", f"a database, {masked(address)}; its server is not asked")
        return
    shown, parts = masked(address), urlsplit(address)
    host = parts.netloc.rpartition("@")[2]
    server = f"{parts.scheme}://{host}{parts.path.rstrip('/')}"
    if _status(f"{server}/health", {}) is None:
        advice = "Start it, or look at the address; a search goes on without it, and --rebuild fills the gap."
        yield Finding("MLflow", "wrong", f"{shown} does not answer", advice)
        return
    search = f"{server}/api/2.0/mlflow/experiments/search?max_results=1"
    answer = _status(search, _credentials(address))
    if answer == 403:
        bare = host.partition(":")[0]
        yield Finding(
            "MLflow",
            "wrong",
            f"{shown} refuses the name {host}, or the user may not read (403)",
            f"Start the server with --allowed-hosts naming it with and without its port: {bare},{host}.",
        )
    elif answer == 401:
        yield Finding(
            "MLflow",
            "wrong",
            f"{shown} asks who is there (401)",
            "Write user and password into ~/.mlflow/credentials, or export MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD.",
        )
    elif answer != 200:
        yield Finding("MLflow", "wrong", f"{shown} answers {answer}", "Look at the server's log.")
    elif _status(search, {}) == 200:
        yield Finding(
            "MLflow",
            "note",
            f"{shown} accepts {host}, and everybody without a password",
            "Let it listen on loopback only, or start it with --app-name basic-auth (docker/compose.yaml).",
        )
    else:
        yield Finding("MLflow", "ok", f"{shown} accepts {host} and these credentials")


def _status(url: str, headers: dict[str, str]) -> int | None:
    """Status of an answer; None without one."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_SECONDS) as reply:  # noqa: S310 - http(s), checked
            return int(reply.status)
    except urllib.error.HTTPError as error:
        return error.code
    except (OSError, ValueError):
        return None


def _credentials(address: str) -> dict[str, str]:
    """The header that MLflow's client would send: from the address, the environment, or its file."""
    parts = urlsplit(address)
    read = configparser.ConfigParser()
    read.read(Path("~/.mlflow/credentials").expanduser())
    file = read["mlflow"] if read.has_section("mlflow") else {}
    names = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD")
    user, word = (os.environ.get(name) or file.get(name.lower()) for name in names)
    user, word = parts.username or user, parts.password or word
    if not user:
        return {}
    return {"Authorization": "Basic " + b64encode(f"{user}:{word}".encode()).decode()}


def storage(runs: Path, url: str | None) -> Iterator[Finding]:
    """Whether a study can be written, where it would be."""
    if url is None:
        file = runs / f".doctor-{secrets.token_hex(4)}"
        made = [folder for folder in (runs, *runs.parents) if not folder.exists()]  # the lowest first
        try:
            runs.mkdir(parents=True, exist_ok=True)
            file.write_text("written", encoding="utf-8")
            file.unlink()
        except OSError as error:
            told = f"a study cannot be written to {runs}: {error.strerror or error}"
            yield Finding("storage", "wrong", told, "Name a folder that can be written with --runs.")
            return
        finally:  # whoever only looked is left no folder
            with suppress(OSError):  # one that was not made, or that somebody else uses by now
                for folder in made:
                    folder.rmdir()
        yield Finding("storage", "ok", f"files in {runs} can be written, read and removed")
        return
    from sqlalchemy import create_engine, text
    from sqlalchemy.exc import SQLAlchemyError

    try:
        engine = create_engine(url)
        database = engine.url.database if engine.dialect.name == "sqlite" else None
        new = database is not None and not Path(database).exists()
        with engine.begin() as connection:
            connection.execute(text("CREATE TEMPORARY TABLE doctor (written INTEGER)"))
            connection.execute(text("INSERT INTO doctor VALUES (1)"))
            connection.execute(text("DROP TABLE doctor"))
        engine.dispose()
        if database is not None and new and not Path(database).stat().st_size:
            Path(database).unlink()
    except (SQLAlchemyError, ImportError) as error:
        yield Finding(
            "storage",
            "wrong",
            f"{masked(url)}: {masked_message(error, url)}".splitlines()[0],
            "Look at address, user and password (PGPASSFILE, or ~/.pgpass with mode 600); for PostgreSQL: "
            "pip install 'mmsa[postgres]'.",
        )
        return
    yield Finding("storage", "ok", f"{masked(url)} can be written")


def data(space: str | None) -> Iterator[Finding]:
    """Whether the file that a space names is there.

    Raises:
        MmsaError: for a space that cannot be read, or a variable in the path that is not set.
    """
    if space is None:
        folder = os.environ.get("MMSA_DATA", "")
        if folder and not Path(folder).is_dir():
            yield Finding("data", "wrong", f"MMSA_DATA names no folder: {folder}", "Mount it, or correct it.")
        else:
            told = f"MMSA_DATA is {folder}" if folder else "MMSA_DATA is not set; demo.yaml needs none"
            yield Finding("data", "ok", f"{told} (name a space with --space to look for its file)")
        return
    from mmsa.search.definition.load import load_space

    given = getattr(load_space(space, {}).base.data, "path", "")
    path = expand_path(given) if given else None
    if path is None:
        yield Finding("data", "ok", f"{space} needs no file")
    elif path.exists() and os.access(path, os.R_OK):
        yield Finding("data", "ok", f"{path} is there")
    else:
        rule = "may not be read" if path.exists() else "is not there"
        yield Finding(
            "data", "wrong", f"{path} {rule} ({space} names it)", "docs/data.md says where it comes from."
        )


def hub() -> Iterator[Finding]:
    """Whether text encoders could be downloaded."""
    if any(os.environ.get(name, "").lower() in ("1", "true", "on", "yes") for name in _OFFLINE):
        yield Finding(
            "hub", "ok", "not asked: HF_HUB_OFFLINE is set, so encoders come from folders or packages"
        )
    elif _status(_HUB, {}) is None:
        yield Finding(
            "hub",
            "note",
            f"{_HUB} cannot be reached",
            "Set HF_HUB_OFFLINE=1, so that nothing waits for it, and give encoders as folders.",
        )
    else:
        yield Finding("hub", "ok", f"{_HUB} answers")


def nodes(runs: Path, address: str | None) -> Iterator[Finding]:
    """Whether the nodes of a cluster have this code, these packages, this folder of runs and this time."""
    if address is None:
        yield Finding("nodes", "ok", "not asked: no --ray-address, so a search runs on this machine alone")
        return
    from mmsa.search.execution.cluster import ray_cluster
    from mmsa.search.execution.nodes import ask_nodes, check_nodes

    notes: list[str] = []
    with ray_cluster(address):
        count = len(ask_nodes())
        check_nodes(notes.append, runs)
    for note in notes:
        yield Finding("nodes", "note", note.removeprefix("note: "))
    if not count:
        yield Finding(
            "nodes", "wrong", f"{address} has no node with CPUs", "Start one: ray start --address ..."
        )
    else:
        yield Finding("nodes", "ok", f"{count} at {address} have this code, these packages and {runs}")
