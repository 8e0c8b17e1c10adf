"""Services of ``docker/compose.yaml`` without a container engine, each as if on a host of its own.

A service runs the command of the file with the environment of the file and of the image, as its user, in a
root that holds the system, this Python, what the image copies, and the mounts and secrets of the service. Its
network is a namespace that knows the other services by name and leads nowhere else. What an engine would add
and this does not: limits of memory and CPUs, and the images themselves.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from compose_file import DOCKER, ROOT, Service, image_files
from networks import Place

_HERE = Path(__file__).parent
_NETNS = Path("/etc/netns")


class Container:
    """A service in a place of its own.

    Args:
        folder: for what it prints, and volumes without a name, which a restart keeps.
        secrets: folder of the secret files.
    """

    def __init__(self, service: Service, name: str, place: Place, folder: Path, secrets: Path):
        self.service, self.name, self.place = service, name, place
        self._folder = folder / name
        self._folder.mkdir()
        self._mounts = self._folder / "mounts"
        self._mounts.write_text("".join(self._lines(secrets)), encoding="utf-8")
        self.log = self._folder / "log"
        self.health = ""  # what the last health check printed
        self._process: subprocess.Popen[bytes] | None = None

    def _lines(self, secrets: Path) -> list[str]:
        python = [sys.prefix, sys.base_prefix]
        read = {path: path for path in ("/usr", "/etc", *python)} | {"/opt/mmsa": sys.prefix}
        read |= {f"/mmsa/{name}": str(ROOT / name) for name in image_files()}
        extra = [
            entry for entry in os.environ.get("PYTHONPATH", "").split(":") if entry and Path(entry) != ROOT
        ]
        read |= {entry: entry for entry in extra}
        read |= {f"/run/secrets/{name}": str(secrets / name) for name in self.service.secrets}
        write = {"/tmp": str(self._volume("tmp"))}
        for mount in self.service.mounts:
            if mount.source.startswith((".", "/")):
                source = str((DOCKER / mount.source).resolve())
            else:
                source = str(self._volume(mount.target.strip("/").replace("/", "-")))
            (read if mount.read_only else write)[mount.target] = source
        self._python_path = ":".join(["/mmsa", *extra])  # where the image installs mmsa
        if not self.is_ours:
            write["/var/run/postgresql"] = str(self._volume("socket"))
        rows = [(source, target, "ro") for target, source in read.items()]
        rows += [(source, target, "rw") for target, source in write.items()]
        rows.sort(key=lambda row: row[1])
        return ["\t".join(row) + "\n" for row in rows]

    @property
    def is_ours(self) -> bool:
        """Whether it runs an image of this repository."""
        return "build" in self.service.raw

    def _volume(self, name: str) -> Path:
        folder = self._folder / "volumes" / name
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o1777)
        return folder

    def _environment(self) -> dict[str, str]:
        if self.is_ours:
            return {**self.service.environment, "PYTHONPATH": self._python_path}
        server = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        return {**self.service.environment, "PATH": f"{server}:/usr/bin:/bin"}

    def start(self, arguments: Sequence[str] | None = None) -> subprocess.Popen[bytes]:
        """Start it; ``arguments`` replace the service's command behind its entry point."""
        assert self._process is None or self._process.poll() is not None
        command = list(self.service.command)
        if arguments is not None:
            command = [*command[: -len(self.service.raw["command"])], *arguments]
        if not self.is_ours:
            command = ["/bin/sh", "/tmp/entrypoint.sh", *command]
            text = (_HERE / "postgres_image.sh").read_text(encoding="utf-8")
            (self._volume("tmp") / "entrypoint.sh").write_text(text, encoding="utf-8")
        root = self._folder / "root"
        root.mkdir(exist_ok=True)
        isolated = ["unshare", "--uts", "--pid", "--fork", "--kill-child", "--mount", "sh"]
        script = [
            str(_HERE / "container.sh"),
            self.name,
            self.service.user or "0:0",
            str(root),
            str(self._mounts),
        ]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [*self.place.prefix, *isolated, *script, *command],
                env=self._environment(),
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        return self._process

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """Of the latest start."""
        assert self._process is not None
        return self._process

    def kill(self) -> None:
        """End it at once with all of its processes, as if its machine had lost power."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def run(self, command: Sequence[str], **variables: str) -> subprocess.CompletedProcess[str]:
        """A command in the container: its root, user, environment, network."""
        first = self._first()
        if first is None:
            return subprocess.CompletedProcess(command, 1, "", f"{self.name} has ended")
        inside = ["nsenter", f"--target={first}", "--mount", "--uts", "--net", "--pid", "--wd"]
        # nsenter keeps the root of the host; the container's is that of its first process
        inside += [
            f"--root=/proc/{first}/root",
            "setpriv",
            *self._as(),
            "sh",
            "-c",
            'cd /mmsa; exec "$@"',
            "sh",
        ]
        return subprocess.run(
            [*inside, *command],
            env={**self._environment(), "HOME": "/tmp", **variables},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _as(self) -> list[str]:
        user, _, group = (self.service.user or "0:0").partition(":")
        return [f"--reuid={user}", f"--regid={group}", "--clear-groups"]

    def _first(self) -> int | None:
        """The first process of the container, once it has its root; None if it ended."""
        tasks = f"/proc/{self.process.pid}/task/{self.process.pid}/children"

        def has_root() -> bool:
            if self.process.poll() is not None:
                return True
            children = Path(tasks).read_text(encoding="utf-8").split()
            return bool(children) and "cd /mmsa" in Path(f"/proc/{children[0]}/cmdline").read_text(
                encoding="utf-8"
            )

        wait_until(has_root, 20, lambda: self.log.read_text(encoding="utf-8"))
        if self.process.poll() is not None:
            return None
        return int(Path(tasks).read_text(encoding="utf-8").split()[0])

    def healthy(self) -> bool:
        """Whether the health check of the file passes."""
        checked = self.run(self.service.health)
        self.health = checked.stdout + checked.stderr
        return checked.returncode == 0

    def healthy_or_restarted(self) -> bool:
        """``healthy``; a container that ended is started again first, as its restart policy has it."""
        if self.process.poll() is not None and self.service.raw["restart"] == "unless-stopped":
            self.start()
        return self.healthy()

    def listening(self) -> set[str]:
        """Addresses and ports that its processes listen on, as ``ss`` prints them."""
        done = subprocess.run(
            [*self.place.prefix, "ss", "-Hltn"], capture_output=True, text=True, check=True
        ).stdout
        return {line.split()[3] for line in done.splitlines()}


def wait_until(true: Callable[[], bool], seconds: float, what: Callable[[], str]) -> None:
    """Wait for ``true``; ``what`` says what went wrong.

    Raises:
        AssertionError: after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, what()
        time.sleep(0.5)


def name_hosts(places: dict[str, Place]) -> list[Path]:
    """Let every place know every other by name, as Docker's own resolver would; the folders that say so."""
    lines = ["127.0.0.1 localhost", *(f"{place.address} {name}" for name, place in places.items())]
    made = []
    for place in places.values():
        folder = _NETNS / place.prefix[-1]
        folder.mkdir(parents=True)
        (folder / "hosts").write_text("\n".join(lines) + "\n", encoding="utf-8")
        made.append(folder)
    return made
