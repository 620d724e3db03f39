"""Runs in the virtual host: begins a header restore of many volumes; each stops at its point until the power goes.

Standard input: {"stop": bool, "cuts": [{"volume", "confirm", "step", "point"}]}; without "stop" each is ended by
SIGKILL at its point. Points are `begun`, `acted` and `done` of a step of the journal, and `torn`: the first copy was
written and a part of the second. Prints {volume: "cut", or how it ended}. The functions of volward are wrapped here.
"""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from volward import journal
from volward.cli import main as cli
from volward.header_backup import scratch
from volward.host import cryptsetup

LOGS = Path("/run/cuts")
TORN_BYTES = 20000  # the primary copy and a part of the secondary: no keyslot yet


def main() -> None:
    LOGS.mkdir(exist_ok=True)
    ended = {}
    order = json.load(sys.stdin)
    for cut in order["cuts"]:
        child = os.fork()
        if child == 0:
            _in_child(cut, signal.SIGSTOP if order["stop"] else signal.SIGKILL)
        _, status = os.waitpid(child, os.WUNTRACED)
        if order["stop"]:  # in memory, which goes with the power: there is little
            for place in scratch.DIRECTORY.glob(f"{child}.*"):
                shutil.rmtree(place)
        said = (LOGS / cut["volume"]).read_text(errors="replace")[-2000:]
        was_cut = os.WIFSTOPPED(status) or (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL)
        ended[cut["volume"]] = "cut" if was_cut else f"status {status}: {said}"
    print(json.dumps(ended))


def _in_child(cut: dict[str, Any], number: signal.Signals) -> None:
    os.setsid()
    log = os.open(LOGS / cut["volume"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    begin, end = journal.Operation.begin_step, journal.Operation.end_step
    step, point = cut["step"], cut["point"]

    def stop() -> None:
        os.kill(os.getpid(), number)

    def begun(self: journal.Operation, name: str) -> None:
        begin(self, name)
        if (name, point) == (step, "begun"):
            stop()

    def ended(self: journal.Operation, name: str) -> None:
        if (name, point) == (step, "acted"):
            stop()
        end(self, name)
        if (name, point) == (step, "done"):
            stop()

    whole = cryptsetup.restore_header

    def torn(node: Path, image: Path) -> None:
        if node.is_relative_to(scratch.DIRECTORY):  # the proof, before anything is written
            whole(node, image)
            return
        content = image.read_bytes()
        with node.open("r+b") as device:
            device.write(content[:TORN_BYTES])
            device.flush()
            os.fsync(device.fileno())
        stop()

    journal.Operation.begin_step = begun  # type: ignore[method-assign]
    journal.Operation.end_step = ended  # type: ignore[method-assign]
    if point == "torn":
        cryptsetup.restore_header = torn
    status = cli.run(["header", "restore", cut["volume"], "--confirm", cut["confirm"]])
    sys.stdout.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
