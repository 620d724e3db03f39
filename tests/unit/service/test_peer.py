"""Who is at the other end, as the kernel tells it."""

import os
import socket

import pytest

from volward.service import peer
from volward.service.peer import Access, Peer


def test_the_kernel_names_this_process() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        found = peer.of(ours)
    assert (found.process, found.user) == (os.getpid(), os.geteuid())
    assert found.groups == {os.getegid(), *os.getgroups()}


def test_a_kernel_that_does_not_tell_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peer, "_SO_PEERGROUPS", 0xFFFF)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        assert peer.of(ours).groups == {os.getegid()}


def test_a_closed_socket_tells_nothing() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as closed:
        pass
    with pytest.raises(OSError, match="Bad file descriptor"):
        peer.of(closed)


@pytest.mark.parametrize(
    ("access", "who", "allowed"),
    [
        (Access(), Peer(1, 0), True),
        (Access(), Peer(1, 1000, frozenset({0})), False),
        (Access(frozenset({1000})), Peer(1, 1000), True),
        (Access(frozenset({1000})), Peer(1, 1001), False),
        (Access(group=44), Peer(1, 1001, frozenset({44})), True),
        (Access(group=44), Peer(1, 44, frozenset({45})), False),
    ],
)
def test_who_is_let_in(access: Access, who: Peer, allowed: bool) -> None:
    assert access.allows(who) is allowed
