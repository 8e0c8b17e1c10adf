"""What all scripts in ``launch/`` share: arguments, and errors as a message with an exit code."""

from __future__ import annotations

import argparse
import logging
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from typing_extensions import override

from mmsa.errors import ConfigError, MmsaError, Problem, shortened
from mmsa.masking import masked_in, refusal_of_url
from mmsa.yaml_text import read_yaml

USER_ERROR = 2
"""Exit code for errors that the user can put right: a file, a setting, a study."""
OUTPUT_LOST = 1
"""Exit code of a command whose result is its output, if that could not be written."""
INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells have it (128 + SIGINT)."""

_MOST_CHARACTERS = 200  # of a path in an error

_NUMBER = r"\d+(?:\.\d+)?"
_DURATION = re.compile(f"({_NUMBER})([smhd])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def _folder(path: str) -> Path:
    if refusal := refusal_of_url(path):  # or a folder of that name would be made in the working folder
        raise argparse.ArgumentTypeError(refusal)
    return Path(path)


def add_runs_argument(parser: argparse.ArgumentParser) -> None:
    """Add ``--runs``."""
    parser.add_argument(
        "--runs",
        type=_folder,
        default=os.environ.get("MMSA_RUNS", "runs"),
        metavar="DIR",
        help="folder of studies, tracking database and caches (default: $MMSA_RUNS, or runs)",
    )


def add_common_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--runs`` and ``--set``, which mean the same in every script."""
    add_runs_argument(parser)
    parser.add_argument(
        "--set",
        dest="assignments",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="replace the setting at a dotted path, such as data.path=/data/mosei.pkl; may be repeated",
    )


def add_mlflow_uri_argument(parser: argparse._ActionsContainer) -> None:
    """Add ``--mlflow-uri``."""
    parser.add_argument(
        "--mlflow-uri",
        metavar="URI",
        help="MLflow server or database (default: $MLFLOW_TRACKING_URI, or mlflow.db in --runs)",
    )


def add_tracking_arguments(parser: argparse.ArgumentParser) -> None:
    """Add ``--mlflow-uri`` and ``--no-mlflow``, of which one may be given."""
    group = parser.add_mutually_exclusive_group()
    add_mlflow_uri_argument(group)
    group.add_argument("--no-mlflow", action="store_true", help="write nothing to MLflow")


def positive(text: str) -> int:
    """Argument type: a whole number from 1 on."""
    number = int(text)
    if number < 1:
        raise ValueError(text)
    return number


def duration(text: str) -> float:
    """Argument type: a duration such as ``90s``, ``30m``, ``2h``, ``1d`` or ``1h30m``, in seconds."""
    parts = _DURATION.findall(text)
    seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    if "".join(map("".join, parts)) != text or not seconds:
        advice = f"; {text} of what? write {text}m or {text}h" if re.fullmatch(_NUMBER, text) else ""
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90s, 30m, 2h, 1d or 1h30m{advice}")
    return seconds


def hours(text: str) -> float:
    """Argument type: a positive number of hours."""
    if not re.fullmatch(_NUMBER, text) or not float(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no number of hours above 0: write 12 or 0.5, without a unit"
        )
    return float(text)


def overrides(assignments: Sequence[str]) -> dict[str, Any]:
    """Parse ``key=value`` texts to ``{dotted path: value}``; values are YAML, as in a space file.

    Raises:
        ConfigError: listing all texts without ``=``, values that are not YAML, and repeated keys.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key:
            problems.append(Problem("--set", assignment, "must be key=value", "Write --set optim.lr=0.001."))
        elif key in values:
            problems.append(Problem(f"--set {key}", text, "is given twice", "Keep one of the two."))
        else:
            try:
                values[key] = read_yaml(text, "command line")
            except ConfigError as error:
                problems += [
                    Problem(f"--set {key}", text, p.rule, p.next_step or "Quote the value.")
                    for p in error.problems
                ]
    if problems:
        raise ConfigError("command line", problems)
    return values


class LastingStream:
    """A text stream that drops what cannot be written, because the reader left or the disk is full.

    A search of many hours must not end because its terminal was closed.

    Attributes:
        error: the last error of writing; None without one.
    """

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.error: OSError | None = None

    def write(self, text: str) -> int:
        """Write ``text``, or drop it."""
        try:
            return self._stream.write(text)
        except OSError as error:
            self.error = error
            return len(text)

    def flush(self) -> None:
        """Write what is buffered."""
        try:
            self._stream.flush()
        except OSError as error:
            self.error = error

    def close(self) -> None:
        """Write what is buffered, and let Python not try again at exit what could not be written."""
        self.flush()
        if self.error is not None:
            nothing = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nothing, self._stream.fileno())
            os.close(nothing)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def lasting_output() -> Iterator[LastingStream | None]:
    """Make standard output and error ``LastingStream``; yields the former, None where it is closed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:  # closed: the next file to be opened would be written to by whoever prints
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    before = sys.stdout, sys.stderr
    streams = [None if stream is None else LastingStream(stream) for stream in before]
    sys.stdout, sys.stderr = (cast(TextIO, stream) for stream in streams)
    try:
        yield streams[0]
    finally:
        sys.stdout, sys.stderr = before
        for stream in filter(None, streams):
            stream.close()


def exit_code(command: Callable[[], int], *, prints_its_result: bool = False) -> int:
    """Run the command of a script and return its exit code; errors of mmsa are printed without a traceback.

    The command goes on when its output can no longer be written. At the end this is noted on standard error,
    unless the reader simply left, as ``head`` does.

    Args:
        command: what to run.
        prints_its_result: output that was lost makes the command fail.
    """
    with lasting_output() as output:
        code = _exit_code(command)
        if output is not None:
            output.flush()
            if output.error is not None and not isinstance(output.error, BrokenPipeError):
                sys.stderr.write(f"note: some of the output is lost ({output.error.strerror})\n")
                code = code or OUTPUT_LOST * prints_its_result
        return code


class _Once(logging.Filter):
    """Lets a note on data through once, however often a command opens a file.

    What is told of one file word for word as of another before is told with its path.
    """

    def __init__(self) -> None:
        super().__init__()
        self._told: dict[str, set[str]] = {}

    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if not f"{record.name}.".startswith("mmsa.data."):
            return True
        message = record.getMessage()
        source = getattr(record, "source", "")
        sources = self._told.setdefault(message, set())
        if sources and source not in sources:
            record.msg, record.args = f"{message} ({source})" if source else message, ()
        is_new = source not in sources
        sources.add(source)
        return is_new


def _exit_code(command: Callable[[], int]) -> int:
    # Read when torch is loaded, which commands do inside. Threads that wait would spin: on a machine with
    # other work, several threads are then slower than one by orders of magnitude.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    notes = logging.StreamHandler()
    notes.addFilter(_Once())
    logging.basicConfig(format="note: %(message)s", handlers=[notes])
    logging.getLogger("mmsa").setLevel(logging.INFO)
    try:
        return command()
    except MmsaError as error:
        sys.stderr.write(f"error: {masked_in(str(error))}\n")
        return USER_ERROR
    except OSError as error:  # of a file or folder that was named
        where = "" if error.filename is None else f"{shortened(str(error.filename), _MOST_CHARACTERS)}: "
        sys.stderr.write(f"error: {where}{error.strerror or error}\n")
        return USER_ERROR
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return INTERRUPTED
