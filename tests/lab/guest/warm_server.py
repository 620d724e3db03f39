"""Runs in the virtual host: a Python process that has imported volward, and forks for each command that comes in.

Under emulation the imports are most of a short command's time. The program is the installed one and runs from its
entry point on (volward.cli.main.main), in a process of its own with the caller's arguments, environment, directory,
umask, standard input, output and error; only the imports were done before. It is started before the snapshot is taken,
so that a restored host has it in memory. A host that booted does not: there warm_client.py runs the program itself.

A request on the socket: one message with the three descriptors as SCM_RIGHTS and how long the rest is, then the rest,
JSON: {"argv", "environment", "directory", "umask"}. The answer is the exit status, in digits.
"""

import importlib
import json
import os
import pkgutil
import signal
import socket
import struct
import sys
from pathlib import Path
from typing import Any

SOCKET = "/run/lab-warm.sock"
# Of a coverage run; see tests/lab/coverage.py.
COVERAGE = "/etc/volward-coverage.rc"
# What volward imports inside functions, and the libraries behind it import late.
ALSO = ("coverage", "psutil", "rich.box", "rich.console", "rich.progress", "rich.table", "rich.text", "systemd.journal")


def main() -> None:
    import_all()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(SOCKET)
    listener.listen(64)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # whoever waits for a command is reaped by the kernel
    while True:
        connection, _ = listener.accept()
        if os.fork() == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            break
        connection.close()
    request, descriptors = _receive(connection)
    child = os.fork()
    if child:
        for number in descriptors:  # else a pipe would not end with the command
            os.close(number)
        _, status = os.waitpid(child, 0)
        ended = os.waitstatus_to_exitcode(status)
        connection.sendall(b"%d" % (ended if ended >= 0 else 128 - ended))
        os._exit(0)
    connection.close()
    _become(request, descriptors)
    from volward.cli.main import main as volward

    volward()


def import_all() -> None:
    """Import the program, and what it imports inside functions."""
    import volward

    for found in pkgutil.walk_packages(volward.__path__, "volward."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)
    for name in ALSO:
        importlib.import_module(name)


def _receive(connection: socket.socket) -> tuple[dict[str, Any], list[int]]:
    header, descriptors, _, _ = socket.recv_fds(connection, 4, 3)
    (left,) = struct.unpack("!I", header)
    body = b""
    while len(body) < left:
        body += connection.recv(left - len(body))
    request: dict[str, Any] = json.loads(body)
    return request, descriptors


def _become(request: dict[str, Any], descriptors: list[int]) -> None:
    """Make this process what a shell would have started."""
    os.setsid()
    for number, descriptor in enumerate(descriptors):  # they came with higher numbers: ours are taken
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(request["directory"])
    os.umask(request["umask"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["argv"]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 (they live as long as the process)
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if Path(COVERAGE).exists():
        import coverage

        os.environ["COVERAGE_PROCESS_START"] = COVERAGE
        coverage.process_startup(force=True)


if __name__ == "__main__":
    main()
