"""Runs in the virtual host: runs `volward apply` for many volumes, and sends each run a signal in a step of its own.

Standard input: {"at_once": int, "runs": [{"volume", "step", "signal"}]}. The signal comes once the journal says that
the step begins. Prints {volume: exit status}.
"""

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from volward import journal
from volward.cli import main as cli

LOGS = Path("/run/signalled")


def main() -> None:
    order = json.load(sys.stdin)
    LOGS.mkdir(exist_ok=True)
    waiting = list(order["runs"])
    running: dict[int, str] = {}
    ended: dict[str, int] = {}
    while waiting or running:
        while waiting and len(running) < order["at_once"]:
            one = waiting.pop(0)
            child = os.fork()
            if child == 0:
                _in_child(one)
            running[child] = one["volume"]
        child, status = os.wait()
        ended[running.pop(child)] = os.waitstatus_to_exitcode(status)
    print(json.dumps(ended))


def _in_child(one: dict[str, Any]) -> None:
    log = os.open(LOGS / one["volume"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    begin_step = journal.Operation.begin_step

    def begin(self: journal.Operation, name: str) -> None:
        begin_step(self, name)
        if name == one["step"]:
            os.kill(os.getpid(), signal.Signals[one["signal"]])

    journal.Operation.begin_step = begin  # type: ignore[method-assign]
    status = cli.run(["apply", "--yes", one["volume"], "--no-recovery"])
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
