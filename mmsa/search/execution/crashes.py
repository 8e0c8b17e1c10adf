"""What Ray writes of a process that died, and what of it people want to know."""

from __future__ import annotations

import re

from rich.text import Text

_OF_A_DEATH = re.compile(r"Worker exit detail: (.*?)(?: Some common causes include|$)", re.DOTALL)
_PLACE = '  File "'  # what a traceback says of each call


def plain(text: str) -> str:
    """Without the colours that Ray gives names."""
    return Text.from_ansi(text).plain.strip()


def cause_of(crash: str) -> str:
    """The cause in a line: the error that a traceback ends with, or how the process ended."""
    lines = crash.splitlines()
    places = [number for number, line in enumerate(lines) if line.startswith(_PLACE)]
    error = lines[places[-1] + 1 :] if places else []
    while error and (not error[0] or error[0][0].isspace()):  # the code, and marks below it
        error.pop(0)
    death = _OF_A_DEATH.search(crash)
    cause = "\n".join(error) or (death[1] if death else lines[-1] if lines else "")
    return " ".join(cause.split())
