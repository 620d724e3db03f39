"""A socket that cannot be made leaves nothing open, and one that is closed says so."""

import errno
import socket
import struct
from pathlib import Path

import pytest

from volward.service.netlink import NetlinkSocket, vouched_user
from volward.service.pyroute import NETLINK_ROUTE


def _open() -> set[Path]:
    return set(Path("/proc/self/fd").iterdir())


def test_a_socket_that_cannot_be_made_is_closed() -> None:
    before = _open()
    with pytest.raises(OSError) as error:
        NetlinkSocket(NETLINK_ROUTE, groups=0, program=((0xFFFF, 0, 0, 0),))  # no such instruction
    assert error.value.errno == errno.EINVAL
    assert _open() == before


def test_a_closed_socket_is_not_a_quiet_one() -> None:
    with NetlinkSocket(NETLINK_ROUTE, groups=0) as quiet:
        assert list(quiet.waiting()) == []
    with pytest.raises(OSError) as error:
        next(quiet.waiting())
    assert error.value.errno == errno.EBADF


@pytest.mark.parametrize(
    ("kind", "data", "user"),
    [
        (socket.SCM_CREDENTIALS, struct.pack("3i", 4711, 1000, 100), 1000),
        (socket.SCM_CREDENTIALS, b"short", None),
        (socket.SCM_RIGHTS, struct.pack("3i", 4711, 0, 0), None),
    ],
)
def test_only_credentials_name_a_user(kind: int, data: bytes, user: int | None) -> None:
    assert vouched_user([(socket.SOL_SOCKET, kind, data)]) == user
    assert vouched_user([]) is None
