"""An error of the kernel says what was being done, what stood in the way, and what to do."""

import errno
import os

import pytest

from volward.errors import NoSpaceError, OperatingSystemError, VolwardError
from volward.os_errors import explained


def failing(number: int, path: str | None = "/etc/x") -> VolwardError:
    with pytest.raises(VolwardError) as refused, explained("Pinning pgdata"):
        raise OSError(number, os.strerror(number), path)
    assert isinstance(refused.value.__cause__, OSError)
    return refused.value


@pytest.mark.parametrize(
    ("number", "advice"),
    [
        (errno.EROFS, "read-only"),
        (errno.EACCES, "owner and mode"),
        (errno.EPERM, "immutable"),
        (errno.EIO, "dmesg"),
        (errno.ENOENT, "removed"),
        (errno.EBUSY, "uses it"),
        (errno.ELOOP, "Look at the path"),
    ],
)
def test_what_to_do(number: int, advice: str) -> None:
    error = failing(number)
    assert type(error) is OperatingSystemError
    assert error.what == f"Pinning pgdata stopped: /etc/x: {os.strerror(number)}."
    assert advice in error.resolution
    assert error.exit_status == 71


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_full(number: int) -> None:
    assert type(failing(number, None)) is NoSpaceError


def test_an_error_without_number_or_words_is_still_a_sentence() -> None:
    with (
        pytest.raises(OperatingSystemError, match=r"^Pinning pgdata stopped: TimeoutError\."),
        explained("Pinning pgdata"),
    ):
        raise TimeoutError


def test_everything_else_passes() -> None:
    with pytest.raises(KeyError), explained("Pinning pgdata"):
        raise KeyError
