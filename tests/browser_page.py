"""A page in headless Chromium, driven over its own pipe by the DevTools protocol.

No client library: those for browsers bring drivers of 100 MB, and what is needed here is five commands. The
profile is fresh, and every host but loopback is unreachable, so that what a page shows needs no network.
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SECONDS = 60.0  # that a command of the protocol may take
_FLAGS = [
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-first-run",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def chromium() -> str | None:
    """The browser of this machine; None without one."""
    return next(filter(None, map(shutil.which, _NAMES)), None)


class Page:
    """One page of a browser of its own; a context manager."""

    def __init__(self, width: int = 1400, height: int = 1000):
        browser = chromium()
        assert browser is not None
        self._profile = tempfile.TemporaryDirectory()
        theirs_in, self._out = os.pipe()
        self._in, theirs_out = os.pipe()
        command = [browser, *_FLAGS, f"--user-data-dir={self._profile.name}"]
        command += [f"--window-size={width},{height}"]
        if os.geteuid() == 0:
            command.append("--no-sandbox")  # which it refuses to be without a user of its own
        # The protocol is spoken over the descriptors 3 and 4.
        entry = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
        self._browser = subprocess.Popen(
            ["/bin/bash", "-c", entry, "browser", *command],
            pass_fds=[theirs_in, theirs_out],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._received = b""
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.errors: list[str] = []
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self._ask(f"{domain}.enable")

    @property
    def session(self) -> int:
        """Of its processes."""
        return self._browser.pid

    def open(self, address: str) -> None:
        """Go to an address; also within the same document."""
        self._ask("Page.navigate", url="about:blank")
        self.errors.clear()
        self._ask("Page.navigate", url=address)

    def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def text(self) -> str:
        """What a reader sees."""
        return str(self.run("document.body ? document.body.innerText : ''"))

    def wait_for(self, script: str, seconds: float = 60.0) -> Any:
        """The value of an expression as soon as it is true."""
        deadline = time.monotonic() + seconds
        while not (value := self.run(script)):
            assert time.monotonic() < deadline, f"{script} is not true after {seconds} s of\n{self.text()}"
            time.sleep(0.1)
        return value

    def wait_for_text(self, text: str, seconds: float = 60.0) -> str:
        """The text of the page as soon as it holds ``text``."""
        self.wait_for(f"document.body && document.body.innerText.includes({json.dumps(text)})", seconds)
        return self.text()

    def screenshot(self, path: Path) -> None:
        """Write what is seen as PNG."""
        found = self._ask("Page.captureScreenshot", format="png")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(base64.b64decode(found["data"]))

    def wait_until_drawn(self, selector: str, num_bytes: int, seconds: float = 60.0) -> None:
        """Wait until the part of the page that holds an element is more than an even surface.

        What a sandboxed frame shows cannot be read, only seen; an even surface takes few bytes as PNG.
        """
        box = f"document.querySelector('{selector}').getBoundingClientRect()"
        script = f"(box => [box.x, box.y, box.width, box.height])({box})"
        deadline = time.monotonic() + seconds
        while True:
            x, y, width, height = self.run(script)
            clip = {"x": x, "y": y, "width": width, "height": height, "scale": 1}
            found = len(
                base64.b64decode(self._ask("Page.captureScreenshot", format="png", clip=clip)["data"])
            )
            if found >= num_bytes:
                return
            assert time.monotonic() < deadline, f"{selector} is an even surface ({found} bytes)"
            time.sleep(0.2)

    def _ask(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._numbers)
        message: dict[str, Any] = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + _SECONDS
        while True:
            answer = self._receive(deadline)
            if answer.get("id") == number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                found: dict[str, Any] = answer["result"]
                return found
            self._note(answer)

    def _note(self, event: dict[str, Any]) -> None:
        """Keep what the page complains about."""
        params = event.get("params", {})
        if event.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:500])
        elif event.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.errors.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")

    def _receive(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._in], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, "the browser does not answer"
            part = os.read(self._in, 1 << 16)
            assert part, "the browser ended"
            self._received += part
        message, _, self._received = self._received.partition(b"\0")
        received: dict[str, Any] = json.loads(message)
        return received

    def __enter__(self) -> Page:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.killpg(self._browser.pid, signal.SIGKILL)
        self._browser.wait()
        os.close(self._in)
        os.close(self._out)
        shutil.rmtree(self._profile.name, ignore_errors=True)
        self._profile._finalizer.detach()  # type: ignore[attr-defined]
