from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import networks
import pytest
import slurm_cluster


def _no_services() -> str:
    """What this machine lacks for the services, in words; empty where there is nothing."""
    if os.geteuid():
        return "root, to make network namespaces"
    if why := networks.no_networks():
        return why
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return "the server binaries of PostgreSQL; apt-get install postgresql"
    lacks = [
        name for name in ("flask_wtf", "aiohttp_cors", "psycopg") if importlib.util.find_spec(name) is None
    ]
    return f"packages of the extra cluster: {', '.join(lacks)}" if lacks else ""


def _no_slurm() -> str:
    if os.geteuid():
        return "root, to start slurmd"
    lacks = [name for name in slurm_cluster.COMMANDS if shutil.which(name) is None]
    return f"{', '.join(lacks)}; apt-get install slurm-wlm munge" if lacks else ""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what this machine lacks, and say so. CI must have it."""
    if os.environ.get("CI") == "true":
        return
    for marker, missing in (("services", _no_services), ("slurm", _no_slurm)):
        marked = [item for item in items if marker in item.keywords]
        if marked and (why := missing()):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=f"needs {why}"))
