"""Names and numbers of owners."""

import pytest

from volward.errors import ToolMissingError
from volward.host import account
from volward.model import Directory


@pytest.mark.parametrize(
    ("owner", "group", "ids"), [("root", "root", (0, 0)), ("999", "1000", (999, 1000)), ("root", "70", (0, 70))]
)
def test_ids(owner: str, group: str, ids: tuple[int, int]) -> None:
    assert account.ids(Directory("data", owner, group, 0o700)) == ids


@pytest.mark.parametrize(("owner", "group"), [("no-such-user", "root"), ("root", "no-such-group"), ("-1", "0")])
def test_an_unknown_name_comes_with_what_to_do(owner: str, group: str) -> None:
    with pytest.raises(ToolMissingError, match=f"belong to {owner}:{group}") as refused:
        account.ids(Directory("data", owner, group, 0o700))
    assert "Install the service's package first" in refused.value.resolution
