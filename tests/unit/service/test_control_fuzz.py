"""The control socket against whatever can be said to it: it goes on answering, and a stranger hears nothing."""

import json
import os
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.service.fake_daemon import Running, running

from volward.service.control import Limits
from volward.service.peer import Access, Peer

_METHODS = (
    "io.volward.Control.Status",
    "io.volward.Control.Reload",
    "io.volward.Control.Ping",
    "org.varlink.service.GetInfo",
    "org.varlink.service.GetInterfaceDescription",
)
_ODD = (
    *_METHODS,
    "io.volward.Control.",
    ".",
    "",
    "io.volward.Control.Close",
    "__class__",
    "org.varlink.service.handle",
)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
_flag: st.SearchStrategy[object] = st.sampled_from([None, True, False, "true", 1, []])
_message = st.fixed_dictionaries(
    {},
    optional={
        "method": st.sampled_from(_ODD) | st.text(max_size=30) | _json,
        "parameters": st.none() | st.dictionaries(st.sampled_from(["interface", "x", ""]), _json, max_size=3) | _json,
        "more": _flag,
        "oneway": _flag,
        "upgrade": _flag,
        "error": _json,
    },
)
_whole = _message.map(lambda message: json.dumps(message).encode() + b"\0")


@st.composite
def _wounded(draw: st.DrawFn) -> bytes:
    """A message of which a byte is another, or that is cut off, or that something was put into."""
    data = bytearray(draw(_whole))
    at = draw(st.integers(0, len(data) - 1))
    match draw(st.sampled_from(["change", "cut", "put"])):
        case "change":
            data[at] = draw(st.integers(0, 255))
        case "cut":
            del data[at:]
        case _:
            data[at:at] = draw(st.binary(max_size=40))
    return bytes(data)


_anything = st.lists(st.binary(max_size=200) | _whole | _wounded(), min_size=1, max_size=5).map(b"".join)


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("good"), access=Access(frozenset({os.geteuid()}))) as found:
        yield found


@pytest.fixture(scope="module")
def closed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = Limits(connections=4)
    with running(tmp_path_factory.mktemp("closed"), limits=limits, peer_of=lambda _: Peer(1, 1000)) as found:
        yield found


@settings(max_examples=40)
@given(data=_anything)
def test_whatever_is_said_a_good_client_is_answered_after_it(control: Running, data: bytes) -> None:
    with control.connect() as client:
        client.say(data)
        client.connection.shutdown(socket.SHUT_WR)
        heard = client.rest()
    for message in filter(None, heard.split(b"\0")):
        assert set(json.loads(message)) <= {"parameters", "continues", "error"}
    assert control.answers()
    assert control.said == []


@given(data=_anything | st.sampled_from(_METHODS).map(lambda name: json.dumps({"method": name}).encode() + b"\0"))
def test_whatever_a_stranger_says_it_hears_nothing(closed: Running, data: bytes) -> None:
    with closed.connect() as client:
        client.say(data)
        assert client.rest() == b""
    assert closed.do(lambda: closed.server.clients) == ()


@settings(max_examples=40)
@given(data=_anything)
def test_whoever_goes_away_while_they_talk_is_forgotten(control: Running, data: bytes) -> None:
    with control.connect() as client:
        client.say(data)
    assert control.answers()
    assert control.said == []
