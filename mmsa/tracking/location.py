"""Where the mirror is kept, and the one way to connect to it."""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow import MlflowClient

_SQLITE = "sqlite:///"
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default a dead server blocks each call for four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


@dataclass(frozen=True)
class Location:
    """An MLflow store.

    uri: a database or a server.
    artifacts: URI of the folder for the files of new experiments; None leaves it to the server.
    """

    uri: str
    artifacts: str | None = None

    @classmethod
    def of(cls, runs: Path, uri: str | None = None) -> Location:
        """The store at ``uri``, or the database ``mlflow.db`` in the folder ``runs``."""
        uri = uri or f"{_SQLITE}{runs.resolve() / 'mlflow.db'}"
        return cls(uri, None if uri.startswith("http") else (runs.resolve() / "artifacts").as_uri())

    def how_to_browse(self) -> str:
        """A command to paste, or the address to open."""
        return self.uri if self.uri.startswith("http") else f"mlflow ui --backend-store-uri {self.uri}"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold off other processes: two that meet a new database would both create its tables."""
        if not self.uri.startswith(_SQLITE):
            yield
            return
        database = Path(self.uri.removeprefix(_SQLITE))
        database.parent.mkdir(parents=True, exist_ok=True)
        with database.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def connect(self) -> MlflowClient:
        """A client of this store; loads MLflow, which takes seconds. Touches no global state of MLflow."""
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.ERROR)
        with self._alone():
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def experiment(self, client: MlflowClient, name: str) -> str:
        """The id of the experiment called ``name``, made or restored from the bin where needed."""
        with self._alone():
            found = client.get_experiment_by_name(name)
            if found is None:
                return str(client.create_experiment(name, artifact_location=self.artifacts))
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
