"""What is said of a process that died: texts as Ray 2.60 writes them."""

from __future__ import annotations

import pytest

from mmsa.search.execution.crashes import cause_of, plain

KILLED = """Failure # 1 (occurred at 2026-11-29_14-52-27)
The actor died unexpectedly before finishing this task.
\tclass_name: T
\tpid: 18242
The actor is dead because its worker process has died. Worker exit type: SYSTEM_ERROR Worker exit detail: \
Worker unexpectedly exits with a connection error code 2. End of file. Some common causes include: (1) the \
process was killed by the OOM killer due to high memory usage
"""
IN_SETUP = """Failure # 1 (occurred at 2026-11-29_14-52-51)
The actor died because of an error raised in its creation task, \x1b[36mray::T.__init__()\x1b[39m (pid=18549)
           ^^^^^^^^^^^^^^^^^^^^^
  File "/a/trainable.py", line 151, in __init__
    self.setup(copy.deepcopy(self.config))
  File "/a/crash.py", line 8, in setup
    if config["how"] == "setup": raise ValueError("setup: went\\nwrong")
                                 ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
ValueError: setup: went
wrong
"""


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        (KILLED, "Worker unexpectedly exits with a connection error code 2. End of file."),
        (IN_SETUP, "ValueError: setup: went wrong"),
        ("Failure # 1\nThe node is gone.\n", "The node is gone."),
        ("", ""),
    ],
)
def test_the_cause_is_a_line(text, cause):
    assert cause_of(plain(text)) == cause
    assert "\x1b" not in plain(text)
