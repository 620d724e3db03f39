"""`volward journal`: what is unfinished, and how far it came."""

import json
from collections.abc import Callable

import pytest
from tests.unit.cli.driver import Cli

from volward.journal import Record


def record(operation: str, **fields: object) -> Record:
    known: dict[str, object] = {
        "verb": "provision",
        "volume": "cache",
        "facts": {"luks_uuid": "x"},
        "begun_at": 1.7e9,
        "steps_begun": ("pin",),
        "steps_done": ("pin",),
        "step_begun": None,
        "outcome": None,
    }
    return Record(operation, **(known | fields))  # type: ignore[arg-type]


CUT = record("provision-cache-1", step_begun="format")
BETWEEN = record("provision-cache-2")
NEW = record("provision-cache-3", steps_begun=(), steps_done=())
DONE = record("provision-queue-4", outcome="done")


@pytest.fixture
def recorded(cli: Cli) -> Callable[..., None]:
    def these(*found: Record) -> None:
        cli.replace("volward.journal.unfinished", lambda: tuple(one for one in found if one.outcome is None))
        cli.replace("volward.journal.every", lambda: found)

    return these


def test_nothing(cli: Cli, recorded: Callable[..., None]) -> None:
    recorded()
    assert cli("journal").out == "No operation is unfinished.\n"
    assert cli("journal", "--all").out == "No operation was recorded.\n"
    assert json.loads(cli("journal", "--json").out) == []


def test_unfinished_ones(cli: Cli, recorded: Callable[..., None]) -> None:
    recorded(CUT, BETWEEN, NEW, DONE)
    heading, cut, between, new = cli("journal").out.splitlines()
    assert heading.split() == ["OPERATION", "BEGUN", "LAST", "STEP", "STATE"]
    assert cut.startswith("provision-cache-1")
    assert cut.endswith("format     cut in this step")
    assert between.endswith("pin        cut after this step")
    assert new.endswith("none       cut before its first step")


def test_all(cli: Cli, recorded: Callable[..., None]) -> None:
    recorded(CUT, DONE)
    assert cli("journal", "--all").out.splitlines()[2].endswith("pin        done")


def test_json(cli: Cli, recorded: Callable[..., None]) -> None:
    recorded(CUT)
    assert json.loads(cli("journal", "--json").out) == [
        {
            "operation": "provision-cache-1",
            "verb": "provision",
            "volume": "cache",
            "begun_at": 1.7e9,
            "steps_done": ["pin"],
            "step_begun": "format",
            "outcome": None,
        }
    ]
