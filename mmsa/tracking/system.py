"""The load of the machine in the run of a study: CPU, memory, disk, network and GPUs, by MLflow's monitor."""

from __future__ import annotations

import platform
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mmsa.tracking.location import Location

if TYPE_CHECKING:
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

_INTERVAL = 15  # seconds between samples
_NEEDED = "psutil"


def monitor_node(location: Location, run_id: str) -> SystemMetricsMonitor | None:
    """Log the load of this node into a run until the monitor is finished, or the run ends.

    It is the node of the driver only: trials on other nodes of a cluster have their load in Ray's dashboard.

    Returns:
        The monitor; None where psutil is not installed, which MLflow needs for it.
    """
    if find_spec(_NEEDED) is None:
        return None
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    monitor = SystemMetricsMonitor(
        run_id,
        sampling_interval=_INTERVAL,
        resume_logging=True,  # of an earlier launch
        node_id=platform.node(),
        tracking_uri=location.uri,
    )
    monitor.start()
    return monitor
