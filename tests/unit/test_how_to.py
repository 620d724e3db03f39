"""The how-to pages give the commands that the tests on a real host run."""

from pathlib import Path

import pytest
from tests.lab.databases import ALL, POSTGRES_MOVED, Database

PAGES = Path(__file__).parents[2] / "docs" / "how-to"


@pytest.mark.parametrize("database", [*ALL, POSTGRES_MOVED], ids=lambda one: one.name)
def test_each_page_has_the_commands_that_were_tested(database: Database) -> None:
    page = (PAGES / f"{database.store}.md").read_text()
    assert [command for command in database.setup if command not in page] == []
