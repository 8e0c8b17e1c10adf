"""The MLflow store of a study: its address, and the only way to connect to it."""

from __future__ import annotations

import fcntl
import logging
import os
import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit
from urllib.request import url2pathname

from mmsa.errors import ConfigError, Problem, TrackingError
from mmsa.masking import masked, masked_message

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment
    from sqlalchemy.engine import Connection

DEFAULT_RUNS = Path("runs")
MACHINE_LEARNING = {"workflowType": "machine_learning"}
"""Part of every address: without it MLflow 3.17 opens on traces, token usage and judges."""
VARIABLE = "MLFLOW_TRACKING_URI"
"""Environment variable with the store's address, which MLflow's own programs read too."""
DATA_SET = "mmsa.data_set"
"""Tag of an experiment with the data set it was made for; it stays when the experiment is renamed."""

_ADDRESSES = {
    "experiments": ("artifact_location",),
    "runs": ("artifact_uri",),
    "logged_models": ("artifact_location",),
    "model_versions": ("source", "storage_location"),
}
"""Tables and columns where MLflow 3.17 keeps addresses of files; it has no call that changes one."""
_SECONDS_TO_WAIT = 60  # for another process that writes
_PAGE = 1000
_UI = "http://127.0.0.1:5000"  # where `mlflow ui` listens unless it is told otherwise
_FILE = "file:"
_SQLITE = "sqlite"
_SERVERS = ("http", "https", "databricks")
_DATABASES = (_SQLITE, "postgresql", "mysql", "mssql")
_OWN_RISK = "MLFLOW_ALLOW_FILE_STORE"
"""With this variable MLflow 3.17 still opens a folder."""
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # by default a dead server blocks each call for four minutes
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def runs_option(runs: Path) -> str:
    """The option, after a space, by which a command finds a folder of runs; empty for the default one."""
    return "" if runs == DEFAULT_RUNS else f" --runs {shlex.quote(str(runs))}"


def storage_option(storage: str | None) -> str:
    """The option, after a space, by which a command finds a database of studies, without its password."""
    return f" --storage {shlex.quote(masked(storage))}" if storage else ""


@dataclass(frozen=True)
class Location:
    """An MLflow store.

    Attributes:
        uri: of a database or a server. It may hold a password: print ``shown`` instead.
        artifacts: URI of the folder for files of new experiments; None leaves the choice to the server.
        named_by: option or variable that named the store; empty for the default in the folder of runs.
        options: command-line options, each after a space, with which a command finds this study and store.
    """

    uri: str = field(repr=False)
    artifacts: str | None = None
    named_by: str = ""
    options: str = ""

    @classmethod
    def of(cls, runs: Path, uri: str | None = None, storage: str | None = None) -> Location:
        """The store at ``uri``, else at ``MLFLOW_TRACKING_URI``, else the database in the folder ``runs``.

        Args:
            runs: folder of all runs.
            uri: address that the user gave, if any.
            storage: address of the study's database, if it has one; needed for ``options`` only.

        Raises:
            ConfigError: for an address that is not one of an MLflow store.
        """
        named_by = "--mlflow-uri" if uri and uri.strip() else VARIABLE
        uri = (uri or "").strip() or os.environ.get(VARIABLE, "").strip()
        if uri:
            _check(uri, named_by)
        else:
            named_by, uri = "", _database(runs.resolve() / "mlflow.db")
        options = runs_option(runs) + storage_option(storage)
        options += f" --mlflow-uri {shlex.quote(masked(uri))}" if named_by else ""
        artifacts = None if _kind(uri) in _SERVERS else (runs.resolve() / "artifacts").as_uri()
        return cls(uri, artifacts, named_by, options)

    @property
    def shown(self) -> str:
        """The address with passwords masked."""
        return masked(self.uri)

    def __str__(self) -> str:
        if not self.named_by:
            return self.shown
        other = os.environ.get(VARIABLE, "").strip()
        beside = f", not the {VARIABLE} that is set" if self.named_by != VARIABLE and other else ""
        return f"{self.shown} (of {self.named_by}{beside})"

    @property
    def origin(self) -> str:
        """The beginning of all addresses of pages; of a database, where ``mlflow ui`` shows it."""
        if _kind(self.uri) not in _SERVERS:
            return _UI
        parts = urlsplit(self.uri)
        bare = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
        return bare.geturl().rstrip("/")

    def how_to_browse(self, page: str = "") -> str:
        """What to paste and to open to see a page in a browser, a line each.

        Args:
            page: its address; by default that of all experiments.
        """
        page = page or f"{self.origin}/#/experiments?{urlencode(MACHINE_LEARNING)}"
        if _kind(self.uri) in _SERVERS:
            return page
        return f"mlflow ui --backend-store-uri {shlex.quote(self.shown)}\n{page}"

    def run_page(self, experiment: str, run_id: str) -> str:
        """The address of a run."""
        return f"{self.origin}/#/experiments/{experiment}/runs/{run_id}?{urlencode(MACHINE_LEARNING)}"

    @property
    def _file(self) -> Path | None:
        """The file of an SQLite database; None for other stores."""
        if _kind(self.uri) != _SQLITE:
            return None
        from sqlalchemy.engine import make_url  # takes a while to load, which not every command needs

        database = make_url(self.uri).database or _FILE
        return None if database.startswith(_FILE) else Path(database)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Tell of whatever goes wrong with this store, and keep its password out of it.

        Raises:
            TrackingError: for any error but one that is a TrackingError already.
        """
        try:
            yield
        except TrackingError:
            raise
        except Exception as error:
            raise TrackingError(f"{self.shown}: {masked_message(error, self.uri)}") from error

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Lock out other processes: two that find a new database would both create its tables."""
        if (database := self._file) is None:
            yield
            return
        database.parent.mkdir(parents=True, exist_ok=True)
        with database.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def connect(self) -> MlflowClient:
        """A client of this store. Loads MLflow, which takes seconds, and leaves its global state alone."""
        for name, value in _SETTINGS.items():
            os.environ.setdefault(name, value)  # before the import, which is when MLflow reads some of them
        from mlflow import MlflowClient

        for name in ("mlflow", "alembic", "urllib3.connectionpool"):
            logging.getLogger(name).setLevel(logging.ERROR)
        with self._alone():
            return MlflowClient(tracking_uri=self.uri, registry_uri=self.uri)

    def take_stock(self) -> None:
        """Let SQLite count its rows; other databases do so by themselves.

        MLflow orders runs by a metric in one query of five tables. Without statistics SQLite compares every
        trial with every other one: ten seconds of computing for 10,000 trials, and with them a tenth of one.
        """
        if self._file is not None:
            from sqlalchemy import text

            with _transaction(self.uri) as connection:
                connection.execute(text("PRAGMA analysis_limit = 1000"))  # a sample is enough
                connection.execute(text("ANALYZE"))

    def experiment(self, client: MlflowClient, name: str, holding: str = "") -> str:
        """Id of the experiment for the data set ``name``, which is created if it does not exist.

        A renamed experiment is found by its tag, or by runs that it holds. A deleted one is restored for its
        name, and its runs are deleted again, because MLflow restores an experiment with all of them.

        Args:
            client: of this store.
            name: of the data set.
            holding: filter of runs; an experiment that holds such runs is preferred.
        """
        with self._alone():
            found = self._found(client, name, holding)
            if found is None:
                tags = {DATA_SET: name}
                return str(client.create_experiment(name, artifact_location=self.artifacts, tags=tags))
            if DATA_SET not in found.tags:
                client.set_experiment_tag(found.experiment_id, DATA_SET, name)
            self._bring_along(found.artifact_location)
            return str(found.experiment_id)

    def _found(self, client: MlflowClient, name: str, holding: str) -> Experiment | None:
        named = client.get_experiment_by_name(name)
        active = named if named is not None and named.lifecycle_stage == "active" else None
        if holding and not (active and client.search_runs([active.experiment_id], holding, max_results=1)):
            others = {found.experiment_id: found for found in all_pages(client.search_experiments)}
            if runs := others and client.search_runs(list(others), holding, max_results=1):
                return others[runs[0].info.experiment_id]
        if active is None:
            every = all_pages(client.search_experiments)
            active = next((found for found in every if found.tags.get(DATA_SET) == name), None)
        if active is None and named is not None:
            _empty_again(client, named)
            return named
        return active

    def _bring_along(self, artifacts: str) -> None:
        """Update the addresses of files after the folder of runs was moved, since MLflow keeps absolute ones.

        Done in the database that lies in the folder of runs itself; in a database elsewhere only if the
        earlier folder is gone.
        """
        database, suffix = self._file, "/artifacts"
        if database is None or self.artifacts in (None, artifacts):
            return
        if not (artifacts.startswith(_FILE) and artifacts.endswith(suffix)):
            return  # somebody chose that place
        own = database.resolve().parent.as_uri() + suffix == self.artifacts
        if own or not _path(artifacts).exists():
            assert self.artifacts is not None
            _rewrite_addresses(self.uri, artifacts, self.artifacts)


def _rewrite_addresses(database: str, earlier: str, now: str) -> None:
    """Replace the folder ``earlier`` by ``now`` in every address of files that MLflow keeps.

    Args:
        database: address of an SQLite file.
        earlier, now: URIs of a folder, without a slash at the end.

    Raises:
        SQLAlchemyError: when the database cannot be written; nothing is changed then.
    """
    from sqlalchemy import inspect, text

    known = {"earlier": earlier, "below": f"{earlier}/", "now": now, "length": len(earlier)}
    with _transaction(database) as connection:
        tables = set(inspect(connection).get_table_names())
        for table, columns in _ADDRESSES.items():
            for column in columns if table in tables else ():
                change = (
                    f"UPDATE {table} SET {column} = :now || substr({column}, :length + 1) "  # noqa: S608 - our own words
                    f"WHERE {column} = :earlier OR substr({column}, 1, :length + 1) = :below"
                )
                connection.execute(text(change), known)


@contextmanager
def _transaction(database: str) -> Iterator[Connection]:
    """A transaction in an SQLite file that MLflow may be writing at the same time."""
    from sqlalchemy import create_engine

    engine = create_engine(database, connect_args={"timeout": _SECONDS_TO_WAIT})
    try:
        with engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def _empty_again(client: MlflowClient, experiment: Experiment) -> None:
    client.restore_experiment(experiment.experiment_id)
    for run in all_pages(client.search_runs, [experiment.experiment_id]):
        client.delete_run(run.info.run_id)


def all_pages(search: Callable[..., Any], *arguments: Any, **named: Any) -> list[Any]:
    """All results of a search method of MLflow's client, which returns them in pages."""
    found: list[Any] = []
    token: str | None = None
    while token != "":
        page = search(*arguments, max_results=_PAGE, page_token=token, **named)
        found += page
        token = page.token or ""
    return found


def _kind(uri: str) -> str:
    """Scheme of an address without its driver: ``sqlite`` of ``sqlite+pysqlite:///x``, ``file`` of a path."""
    scheme, colon, _ = uri.partition(":")
    return scheme.lower().partition("+")[0] if colon or scheme == "databricks" else "file"


def _check(uri: str, named_by: str) -> None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import SQLAlchemyError

    kind, rule = _kind(uri), ""
    if kind not in (*_SERVERS, *_DATABASES, "file"):
        rule = f"names no MLflow store; the address of one begins with {', '.join((*_SERVERS, *_DATABASES))}"
    elif kind == "file" and os.environ.get(_OWN_RISK, "").strip().lower() not in ("true", "1"):
        rule = (
            "is a folder or file, and MLflow keeps nothing in folders any more; `mlflow migrate-filestore` "
            "brings what one holds into a database"
        )
    elif kind in _DATABASES:
        try:
            if make_url(uri).database in (None, "", ":memory:") and kind == _SQLITE:
                rule = "is a database in memory, of which nothing would be left"
        except (SQLAlchemyError, ValueError) as error:
            rule = f"cannot be read as the address of a database: {masked_message(error, uri)}"
    if rule:
        advice = "Write http://HOST:PORT for a server, sqlite:////FOLDER/mlflow.db for a file."
        raise ConfigError("command line", [Problem(named_by, masked(uri), rule, advice)])


def _database(path: Path) -> str:
    """Address of an SQLite file whose path may hold characters with a meaning in addresses.

    The plain form is preferred: MLflow splits it by itself, without decoding, and fails on an encoded path.
    """
    from sqlalchemy.engine import URL, make_url

    plain = f"{_SQLITE}:///{path}"
    if make_url(plain).database == str(path):
        return plain
    return URL.create(f"{_SQLITE}+pysqlite", database=str(path)).render_as_string()


def _path(uri: str) -> Path:
    """The path of a ``file:`` URI."""
    return Path(url2pathname(urlsplit(uri).path))
