"""The control socket: real connections to a daemon that is a small one."""

import asyncio
import contextlib
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.service.fake_daemon import PGDATA, REDIS, STATUS, TELLTALE, Client, Running, running

from volward import __version__
from volward.service.control import Limits
from volward.service.live import LiveStatus, Reloaded
from volward.service.live_json import reloaded_from_json, status_from_json
from volward.service.peer import Access, Options, Peer

STATUS_METHOD = "io.volward.Control.Status"
RELOAD = "io.volward.Control.Reload"
PING = "io.volward.Control.Ping"
SMALL = Limits(message_bytes=1024, idle_seconds=0.2, send_seconds=0.2, connections=4)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, access=Access(frozenset({os.geteuid()}))) as found:
        yield found


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, access=Access(frozenset({os.geteuid()})), limits=SMALL) as found:
        yield found


def _as(*users: int) -> Callable[[Options], Peer]:
    """Say of each connection that it is of the next of these users; the last one stays."""
    left = list(users)
    return lambda _: Peer(4242, left.pop(0) if len(left) > 1 else left[0])


# --- what it tells --------------------------------------------------------------------------------------


def test_the_status_arrives_as_the_daemon_has_it(control: Running) -> None:
    with control.connect() as client:
        answer = client.ask(STATUS_METHOD)
    assert status_from_json(answer["parameters"]) == STATUS
    assert not answer["continues"]


def test_one_connection_asks_many_things(control: Running) -> None:
    with control.connect() as client:
        assert client.ask(PING)["parameters"] == {"version": __version__}
        assert client.ask(STATUS_METHOD)["parameters"]["revision"] == 0
        assert client.ask("org.varlink.service.GetInfo")["parameters"]["interfaces"] == [
            "org.varlink.service",
            "io.volward.Control",
        ]


def test_calls_that_arrive_together_are_answered_in_order(control: Running) -> None:
    with control.connect() as client:
        call = json.dumps({"method": PING}).encode() + b"\0"
        client.say(call + json.dumps({"method": STATUS_METHOD}).encode() + b"\0" + call)
        answers = [client.hear() for _ in range(3)]
    assert ["volumes" in str(one) for one in answers] == [False, True, False]


def test_the_interface_describes_itself(control: Running) -> None:
    with control.connect() as client:
        answer = client.ask(
            "org.varlink.service.GetInterfaceDescription", parameters={"interface": "io.volward.Control"}
        )
    assert "method Reload() -> (good: bool, problems: []string)" in answer["parameters"]["description"]


def test_every_method_reads_or_reloads() -> None:
    import varlink

    import volward.service.control as module

    interface = varlink.Interface(Path(module.__file__).with_name("io.volward.Control.varlink").read_text())
    methods = [name for name, one in interface.members.items() if hasattr(one, "in_type")]
    assert methods == ["Status", "Reload", "Ping"]


@pytest.mark.parametrize(
    ("method", "parameters", "error"),
    [
        ("io.volward.Control.Close", {}, "org.varlink.service.MethodNotFound"),
        ("io.volward.Control.Failure", {}, "org.varlink.service.MethodNotFound"),
        ("io.volward.Control.__init__", {}, "org.varlink.service.MethodNotFound"),
        ("org.example.Ping", {}, "org.varlink.service.InterfaceNotFound"),
        ("Ping", {}, "org.varlink.service.InterfaceNotFound"),
        (PING, {"loud": True}, "org.varlink.service.InvalidParameter"),
        ("org.varlink.service.GetInterfaceDescription", {"interface": 5}, "org.varlink.service.InvalidParameter"),
        ("org.varlink.service.GetInterfaceDescription", {}, "org.varlink.service.InvalidParameter"),
    ],
)
def test_what_is_not_there_is_an_error(
    control: Running, method: str, parameters: dict[str, object], error: str
) -> None:
    with control.connect() as client:
        assert client.ask(method, parameters=parameters)["error"] == error
        assert client.ask(PING)["parameters"]


# --- following ------------------------------------------------------------------------------------------


def test_each_change_brings_an_answer(control: Running) -> None:
    opened = replace(STATUS, volumes=(PGDATA, replace(REDIS, state="open", failure=None)))
    with control.connect() as client:
        first = client.ask(STATUS_METHOD, more=True)
        control.do(lambda: control.daemon.become(opened))
        second = client.hear()
        control.do(lambda: control.daemon.become(replace(STATUS, volumes=())))
        third = client.hear()
    assert second is not None
    assert third is not None
    assert first["continues"]
    assert second["continues"]
    assert status_from_json(second["parameters"]) == replace(opened, revision=1)  # type: ignore[arg-type]
    assert status_from_json(third["parameters"]).volumes == ()  # type: ignore[arg-type]


def test_a_follower_that_leaves_is_forgotten_though_nothing_changes(small: Running) -> None:
    for _ in range(3 * SMALL.connections):
        with small.connect() as client:
            assert client.ask(STATUS_METHOD, more=True)["continues"]
    _until(lambda: small.do(lambda: len(small.server.clients)) == 0)
    assert small.answers()


def test_a_follower_that_talks_is_heard_and_one_that_talks_too_much_is_let_go(control: Running) -> None:
    with control.connect() as client:
        client.ask(STATUS_METHOD, more=True)
        client.call(PING)
        control.do(lambda: control.daemon.become(STATUS))
        assert client.hear() is not None
        client.say(b"x" * 100_000)
        assert client.rest() == b""


def test_what_is_said_during_a_reload_is_answered_after_it(control: Running) -> None:
    control.daemon.gate = gate = control.do(asyncio.Event)
    with control.connect() as client:
        client.call(RELOAD)
        client.call(PING)
        _until(lambda: control.daemon.reloads == 1)
        control.do(gate.set)
        assert client.hear() == {"parameters": {"good": True, "problems": []}}
        assert client.hear() == {"parameters": {"version": __version__}}


def test_a_follower_that_never_reads_is_let_go(small: Running) -> None:
    big = replace(STATUS, problems=("x" * 400_000,))
    with small.connect() as client:
        client.call(STATUS_METHOD, more=True)
        small.do(lambda: small.daemon.become(big))
        _until(lambda: not small.do(lambda: small.server.clients))
        small.do(lambda: small.daemon.become(STATUS))
        assert len(client.rest()) < 2 * 400_000
    assert small.answers()


# --- reload ---------------------------------------------------------------------------------------------


def test_reload_tells_what_came_of_it(control: Running) -> None:
    with control.connect() as client:
        assert reloaded_from_json(client.ask(RELOAD)["parameters"]) == Reloaded(good=True)
        control.daemon.reloaded = Reloaded(good=False, problems=("volumes.x.device is missing.",))
        assert reloaded_from_json(client.ask(RELOAD)["parameters"]) == control.daemon.reloaded
    assert control.daemon.reloads == 2


def test_a_client_that_does_not_wait_for_reload_gets_no_answer_and_the_reload_goes_on(control: Running) -> None:
    control.daemon.gate = gate = control.do(asyncio.Event)
    with control.connect() as client:
        client.call(RELOAD)
        _until(lambda: control.daemon.reloads == 1)
    _until(lambda: not control.do(lambda: control.server.clients))
    control.do(gate.set)
    with control.connect() as client:
        assert client.ask(RELOAD)["parameters"]["good"]
    assert control.daemon.reloads == 2


def test_a_reload_that_ends_in_a_bug_ends_the_connection_alone(control: Running) -> None:
    control.daemon.reloaded = RuntimeError("s3cret")
    with control.connect() as client:
        client.call(RELOAD)
        assert client.hear() is None
    assert [line.startswith("<3>A bug in the control socket: RuntimeError") for line in control.said] == [True]
    assert "s3cret" not in control.said[0]
    assert control.answers()


def test_a_reload_that_answers_nonsense_is_a_bug(control: Running) -> None:
    control.daemon.reloaded = STATUS  # type: ignore[assignment]
    with control.connect() as client:
        client.call(RELOAD)
        assert client.hear() is None
    assert "TypeError" in control.said[0]


def test_oneway_calls_are_done_and_not_answered(control: Running) -> None:
    with control.connect() as client:
        client.call(RELOAD, oneway=True)
        client.call(PING, oneway=True)
        client.call("io.volward.Control.Nothing", oneway=True)
        assert client.ask(STATUS_METHOD)["parameters"]["volumes"]
    assert control.daemon.reloads == 1


# --- who may ask ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("peer", [Peer(1, 0), Peer(1, 1000), Peer(1, 5, frozenset({7, 44}))])
def test_root_the_users_named_and_the_group_get_answers(tmp_path: Path, peer: Peer) -> None:
    with running(tmp_path, access=Access(frozenset({1000}), group=44), peer_of=lambda _: peer) as control:
        assert control.answers()


@pytest.mark.parametrize("peer", [Peer(1, 1001), Peer(1, 65534, frozenset({0, 7}))])
def test_a_stranger_gets_not_a_byte(tmp_path: Path, peer: Peer) -> None:
    with running(tmp_path, access=Access(frozenset({1000}), group=44), peer_of=lambda _: peer) as control:
        for _ in range(3):
            with control.connect() as client:
                client.call(STATUS_METHOD)
                assert client.rest() == b""
        assert control.said == [f"<4>Process 1 of user {peer.user} asked on the control socket, and got no answer."]


def test_many_strangers_do_not_fill_the_journal(tmp_path: Path) -> None:
    users = _as(*range(1, 40))
    with running(tmp_path, peer_of=users) as control:
        for _ in range(40):
            with control.connect() as client:
                assert client.rest() == b""
        assert len(control.said) == 16


def test_who_cannot_be_told_gets_nothing(tmp_path: Path) -> None:
    def unknown(_: Options) -> Peer:
        raise OSError

    with running(tmp_path, peer_of=unknown) as control, control.connect() as client:
        client.call(STATUS_METHOD)
        assert client.rest() == b""


def test_strangers_that_flood_keep_nobody_out(tmp_path: Path) -> None:
    with running(tmp_path, limits=SMALL, peer_of=_as(*[1001] * 50, 0)) as control, contextlib.ExitStack() as stack:
        for client in [stack.enter_context(control.connect()) for _ in range(50)]:
            assert client.rest() == b""
        assert control.answers()


# --- what one client may cost ---------------------------------------------------------------------------


def test_other_users_together_have_half_of_the_connections_and_root_the_rest(tmp_path: Path) -> None:
    who = _as(1000, 1000, 1000, 0, 0, 0)
    with (
        running(
            tmp_path, access=Access(frozenset({1000})), limits=replace(SMALL, idle_seconds=60), peer_of=who
        ) as control,
        contextlib.ExitStack() as stack,
    ):
        clients = [stack.enter_context(control.connect()) for _ in range(6)]
        assert [_is_served(client) for client in clients] == [True, True, False, True, True, False]
        clients[0].connection.close()
        _until(lambda: len(control.do(lambda: control.server.clients)) < SMALL.connections)
        assert control.answers()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0",
        b"\0" * 100,
        b'{"method": "io.volward.Control.Status"}',  # half a message
        b'{"method": "io.volward.Contr\0',
        b"\xff\xfe\xfd\0",
        b'{"method": "\xff"}\0',
        "\ufeff{}".encode() + b"\0",
        '{"method": "io.volward.Control.Status"}'.encode("utf-16") + b"\0",
        b"[]\0",
        b"null\0",
        b"{}\0",
        b'{"method": null}\0',
        b'{"method": 5}\0',
        b'{"method": ["io.volward.Control.Status"]}\0',
        b'{"method": "io.volward.Control.Status", "parameters": []}\0',
        b'{"method": "io.volward.Control.Status", "parameters": "x"}\0',
        b'{"method": "io.volward.Control.Status", "more": "yes"}\0',
        b'{"method": "io.volward.Control.Status", "more": true, "oneway": true}\0',
        b'{"method": "io.volward.Control.Status", "upgrade": true}\0',
        b"[" * 1000 + b"\0",
        b'{"a":' * 200 + b"\0",
        b'{"method": ' + b"9" * 900 + b"}\0",
        b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"x" * 1025,
        b"x" * 10_000_000,
        b'{"method": "' + b"x" * 2000 + b'"}\0',
    ],
)
def test_what_is_no_call_ends_its_connection_and_nothing_else(small: Running, data: bytes) -> None:
    with small.connect() as client:
        client.say(data)
        assert TELLTALE not in client.rest()
    assert small.answers()
    assert small.said == []


def test_deep_json_within_the_bounds_ends_its_connection(control: Running) -> None:
    with control.connect() as client:
        client.say(b'{"method": "io.volward.Control.Status", "parameters": {"a": ' + b"[" * 15_000 + b"\0")
        assert client.rest() == b""
    assert control.answers()


def test_a_slow_client_is_let_go_however_it_trickles(small: Running) -> None:
    with small.connect() as client:
        for byte in b'{"method"' * 100:
            client.say(bytes([byte]))
            if not _is_open(client):
                break
        else:
            assert client.rest() == b""
    assert small.answers()


def test_a_client_that_asks_and_never_reads_is_let_go(small: Running) -> None:
    call = json.dumps({"method": STATUS_METHOD}).encode() + b"\0"
    with small.connect() as client:
        client.say(call * 20_000)
        assert TELLTALE in client.rest()
    assert small.answers()


def test_connections_beyond_the_bound_are_closed_and_room_comes_back(small: Running) -> None:
    with contextlib.ExitStack() as stack:
        for _ in range(20 * SMALL.connections):
            stack.enter_context(small.connect())
        _until(lambda: not small.do(lambda: small.server.clients))
        assert small.answers()
    assert small.answers()


def test_closing_lets_everybody_go(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        with running(tmp_path, access=Access(frozenset({os.geteuid()}))) as control:
            silent, follower, waiting = (stack.enter_context(control.connect()) for _ in range(3))
            control.daemon.gate = control.do(asyncio.Event)
            follower.ask(STATUS_METHOD, more=True)
            waiting.call(RELOAD)
            _until(lambda: control.daemon.reloads == 1)
        assert (silent.rest(), follower.rest(), waiting.rest()) == (b"", b"", b"")
        assert not control.path.exists()


def test_a_server_that_was_never_started_can_be_closed() -> None:
    from tests.unit.service.fake_daemon import FakeDaemon

    from volward.service.control import ControlServer

    async def close() -> int:
        server = ControlServer(FakeDaemon())
        await server.close()
        return len(server.clients)

    assert asyncio.run(close()) == 0


def test_a_snapshot_that_fails_is_a_bug_that_the_daemon_outlives(control: Running) -> None:
    def broken() -> LiveStatus:
        raise KeyError("pgdata")

    working, control.daemon.snapshot = control.daemon.snapshot, broken  # type: ignore[method-assign]
    with control.connect() as client:
        client.call(STATUS_METHOD)
        assert client.hear() is None
    control.daemon.snapshot = working  # type: ignore[method-assign]
    assert len(control.said) == 1
    assert control.answers()


def _is_served(client: Client) -> bool:
    client.call(PING)
    return client.hear() is not None


def _is_open(client: Client) -> bool:
    client.connection.settimeout(0.01)
    try:
        return client.connection.recv(1) != b""
    except TimeoutError:
        return True
    except ConnectionError:
        return False
    finally:
        client.connection.settimeout(20)


def _until(true: Callable[[], bool]) -> None:
    """Wait for what another thread does; the loop's time-outs in these tests are far shorter than this waits."""
    for _ in range(2000):
        if true():
            return
        time.sleep(0.01)
    raise AssertionError("it never came to be")
