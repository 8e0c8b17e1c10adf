"""A Slurm cluster of two nodes on this machine, in a folder of its own: Debian's slurmd may run twice."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

COMMANDS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
"""Programs that it needs."""
_CONF = """
ClusterName=mmsa
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort={ports[0]}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmdPidFile={folder}/%n.pid
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdLogFile={folder}/%n.log
SlurmctldLogFile={folder}/slurmctld.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
ReturnToService=2
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
KillWait=60
NodeName=n1 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=1
NodeName=n2 NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=1
PartitionName=main Nodes=n1,n2 Default=YES State=UP
"""


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in sockets]
    for server in sockets:
        server.close()
    return ports


class Slurm:
    """munged, slurmctld and two slurmd; a context manager."""

    def __init__(self, folder: Path):
        self._folder = folder
        self._processes: list[subprocess.Popen[bytes]] = []
        for name in ("munge", "state", "spool-n1", "spool-n2"):
            (folder / name).mkdir(mode=0o755)
        host = socket.gethostname().partition(".")[0]
        conf = folder / "slurm.conf"
        conf.write_text(_CONF.format(host=host, folder=folder, ports=_free_ports(3)), encoding="utf-8")
        self.environment = os.environ | {"SLURM_CONF": str(conf)}

    def __enter__(self) -> Slurm:
        munge = self._folder / "munge"
        key = munge / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        files = {"socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        options = [f"--{option}={munge / name}" for option, name in files.items()]
        # The folder of tests belongs to root, and munged is careful about whose folders it trusts.
        self._start("munged", "--foreground", "--force", f"--key-file={key}", *options)
        self._wait(lambda: (munge / "socket").exists(), "munged")
        self._start("slurmctld", "-D")
        for node in ("n1", "n2"):
            self._start("slurmd", "-D", "-N", node)
        self._wait(lambda: self.run("sinfo", "-h", "-N", "-o", "%t").split() == ["idle", "idle"], "the nodes")
        return self

    def __exit__(self, *error: object) -> None:
        for process in reversed(self._processes):
            process.terminate()
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def run(self, *command: str, cwd: Path | None = None, **variables: str) -> str:
        """What a command of Slurm prints."""
        done = subprocess.run(
            command, env=self.environment | variables, cwd=cwd, capture_output=True, text=True, check=False
        )
        return done.stdout.strip() or done.stderr.strip()

    def state(self, job: str) -> str:
        """Such as PENDING."""
        return self.run("squeue", "-h", "-t", "all", "-j", job, "-o", "%T")

    def _start(self, *command: str) -> None:
        with (self._folder / "daemons.log").open("ab") as log:
            found = subprocess.Popen(command, env=self.environment, stdout=log, stderr=log)
        self._processes.append(found)

    def _wait(self, true: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + 60
        while not true():
            logs = [file.read_text(errors="replace") for file in self._folder.glob("*.log")]
            assert time.monotonic() < deadline, f"{what} did not start: {' '.join(logs)[-3000:]}"
            time.sleep(0.3)
