"""A conversation with a program on a real terminal of the virtual host.

The driver runs in the host (a pty of its own, pty(7)), so that volward finds its terminal as /dev/tty there.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from tests.lab.host import Host

KEY = re.compile(r"(?:[0-9A-Z]{5}-){7}[0-9A-Z]{5}")
CTRL_C = "\x03"

_DRIVER = r"""
import json, os, pty, re, select, signal, sys, time
task = json.load(sys.stdin)
end = time.monotonic() + task["seconds"]
child, terminal = pty.fork()
if child == 0:
    os.execvp(task["argv"][0], task["argv"])
seen, at, missing = b"", 0, ""

def more():
    global seen
    ready, _, _ = select.select([terminal], [], [], max(0, end - time.monotonic()))
    if not ready:
        return False
    try:
        chunk = os.read(terminal, 65536)
    except OSError:
        return False
    seen += chunk
    return bool(chunk)

for question, answer in task["talk"]:
    while True:
        asked = re.search(question.encode(), seen[at:])
        if asked or not more():
            break
    if asked is None:
        missing = question
        break
    at += asked.end()
    if "{group}" in answer:
        key = re.findall(rb"(?:[0-9A-Z]{5}-){7}[0-9A-Z]{5}", seen)[-1].decode()
        answer = answer.replace("{group}", key.split("-")[int(asked[1]) - 1])
    time.sleep(0.1)
    os.write(terminal, answer.encode())
while more():
    pass
late = time.monotonic() >= end
if late:
    os.kill(child, signal.SIGKILL)
status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
json.dump({"output": seen.decode(errors="replace"), "status": status, "missing": missing, "late": late}, sys.stdout)
"""


@dataclass(frozen=True)
class Talk:
    """What was seen on the terminal, and how the program ended."""

    output: str
    status: int

    @property
    def key(self) -> str:
        """The recovery key that was shown."""
        return str(KEY.findall(self.output)[-1])


def talk(host: Host, argv: Sequence[str], *answers: tuple[str, str], seconds: float = 240) -> Talk:
    """Run a program on a terminal and answer its questions, in order.

    A question is a regular expression; "{group}" in an answer stands for the group of the recovery key shown
    whose number the expression's group 1 is. Fails when a question does not come or the program does not end.
    """
    task = {"argv": list(argv), "talk": answers, "seconds": seconds}
    # The driver and what is typed arrive by standard input: neither is on a command line.
    host.put("/root/terminal.py", _DRIVER)
    done = json.loads(host.run("python3", "/root/terminal.py", input=json.dumps(task), timeout=seconds + 30).stdout)
    output = done["output"].replace("\r\n", "\n")
    assert not done["missing"], f"it never asked {done['missing']!r}:\n{output}"
    assert not done["late"], f"it did not end:\n{output}"
    return Talk(output, done["status"])
