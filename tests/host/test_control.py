"""The control socket of the running daemon: who is answered there, who is not, and whatever is said to it."""

from __future__ import annotations

import base64
import json
import random

import pytest
from tests.faults.volume import MOUNT_POINT, configure
from tests.host.test_service import said, until
from tests.lab.host import MIB, Host

pytestmark = pytest.mark.lab

SOCKET = "/run/volward/control.sock"
INTERFACE = "io.volward.Control"
MESSAGES = 300
SEED = 20261126
MONITOR, STRANGER = "monitor", "nobody"
STATE = "systemctl show --property=MainPID,NRestarts,ActiveState volward.service"
# Each line of its input is one connection: what is said there, in base64. It prints what was heard, in the same way.
TALK = f"""
import base64, contextlib, socket, sys
for line in sys.stdin:
    with socket.socket(socket.AF_UNIX) as talk:
        talk.settimeout(60)
        heard = b""
        talk.connect("{SOCKET}")
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            talk.sendall(base64.b64decode(line))
            talk.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionResetError):
            while more := talk.recv(65536):
                heard += more
    print(base64.b64encode(heard).decode(), flush=True)
"""
# Half the daemon's connections are root's alone; these hold all the others, in the middle of a message.
CROWD = f"""
import os, socket, time
held = [socket.socket(socket.AF_UNIX) for _ in range(40)]
for one in held:
    one.connect("{SOCKET}")
    try:
        one.sendall(b'{{"method": ')
    except OSError:
        pass
print("held", flush=True)
time.sleep(600)
"""


def call(method: str, **fields: object) -> bytes:
    """A message as varlink has it."""
    return json.dumps({"method": f"{INTERFACE}.{method}", **fields}).encode() + b"\0"


def talk(host: Host, user: str, messages: list[bytes]) -> list[bytes]:
    """Say each on a connection of its own, as that user, and return what was heard on each."""
    lines = "".join(f"{base64.b64encode(one).decode()}\n" for one in messages)
    words = ["runuser", "--user", user, "--", "python3", "-I", "-c", TALK]
    return [base64.b64decode(line) for line in host.run(*words, input=lines).stdout.split("\n")[:-1]]


def odd_messages() -> list[bytes]:
    """Bytes, whole calls, and calls with a wound; the same ones at each run, and none of them a `Reload`."""
    chance = random.Random(SEED)
    methods = ["Status", "Ping", "Close", "", "__class__", "Status.Status"]
    odd: list[object] = [None, True, [], {}, "x" * 200, -1, 1e308, {"more": [{}]}, "\ud800", 2**80]

    def whole() -> bytes:
        fields = {
            name: chance.choice(odd) for name in ("parameters", "oneway", "upgrade", "error") if chance.random() < 0.15
        }
        return call(chance.choice(methods), **fields)

    def wounded() -> bytes:
        data = bytearray(whole())
        for _ in range(chance.randrange(1, 5)):
            at = chance.randrange(len(data))
            data[at : at + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        return bytes(data)

    def deep() -> bytes:
        return call("Ping").replace(b"{", b'{"parameters": ' + b"[" * 5000, 1)

    def long() -> bytes:
        return b'{"method": "' + b"x" * chance.randrange(15000, 60000)

    kinds = [
        whole,
        wounded,
        lambda: chance.randbytes(chance.randrange(1, 400)),
        lambda: whole() + wounded(),
        deep,
        long,
    ]
    return [chance.choice(kinds)() for _ in range(MESSAGES)]


def test_who_is_answered_and_whatever_is_said(host: Host) -> None:
    disk = host.disk("CONTROL-1", 96 * MIB)
    configure(host, disk.link, more='credential = { seal = "host" }')
    host.volward("apply", "--yes", "data", "--no-recovery", timeout=600)
    until(host, "systemctl is-active --quiet volward.service")
    before = host.sh(STATE).stdout
    assert "NRestarts=0" in before
    ping = call("Ping")

    # Root is told, in words and as JSON.
    told = host.volward("status", "--live").stdout
    assert "1 volume: 1 open." in told, told
    (volume,) = json.loads(host.volward("status", "--live", "--json").stdout)["volumes"]
    assert (volume["name"], volume["state"], volume["mount_point"]) == ("data", "open", MOUNT_POINT)
    assert host.run("stat", "--format=%U:%G %a", SOCKET).stdout == "root:volward 660\n"

    # A member of the group may look, and have nothing done.
    host.run("useradd", "--groups", "volward", MONITOR)
    as_monitor = ("runuser", "--user", MONITOR, "--", "volward")
    assert "1 volume: 1 open." in host.run(*as_monitor, "status", "--live").stdout
    assert "Only root has the daemon do something." in host.run(*as_monitor, "reload", ok=(77,)).stderr
    heard = json.loads(talk(host, MONITOR, [call("Reload")])[0].removesuffix(b"\0"))
    assert heard == {"error": "org.varlink.service.PermissionDenied", "parameters": {}}

    # A stranger does not get as far as the daemon; and where somebody opened the socket to all, hears nothing there.
    as_stranger = ("runuser", "--user", STRANGER, "--", "volward", "status", "--live")
    assert "is not for this user" in host.run(*as_stranger, ok=(77,)).stderr
    host.run("chmod", "0666", SOCKET)
    assert talk(host, STRANGER, [ping, call("Status"), call("Status", more=True), call("Reload"), b"x"]) == [b""] * 5
    user = host.run("id", "--user", STRANGER).stdout.strip()
    said(host, f"of user {user} asked on the control socket, and got no answer")

    # Some hundred things that nobody should say.
    messages = odd_messages()
    assert talk(host, STRANGER, messages[:50]) == [b""] * 50
    for user in (MONITOR, "root"):
        for message, answers in zip(messages, talk(host, user, messages), strict=True):
            for answer in filter(None, answers.split(b"\0")):
                assert set(json.loads(answer)) <= {"parameters", "continues", "error"}, message
        assert json.loads(talk(host, "root", [ping])[0].removesuffix(b"\0"))["parameters"]["version"]

    # Whoever holds all the connections that they can get does not keep root out.
    host.run("systemd-run", "--quiet", "--unit=crowd", f"--uid={MONITOR}", "python3", "-I", "-c", CROWD)
    until(host, "journalctl --unit=crowd | grep -q held")
    assert "1 volume: 1 open." in host.volward("status", "--live").stdout
    host.run("systemctl", "stop", "crowd.service")
    assert any(talk(host, MONITOR, [ping])[0] for _ in range(30)), "they had their turn, and others have theirs again"

    assert host.sh(STATE).stdout == before, "it never ended"
    lines = host.journal("--unit=volward.service")
    assert lines.count("asked on the control socket") == 1, lines
    assert "A bug in the control socket" not in lines and "Traceback" not in lines, lines
    host.volward("reload")
    host.run("mountpoint", "-q", MOUNT_POINT)
