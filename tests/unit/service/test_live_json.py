"""What goes over the socket comes out as it went in; what is no such thing is refused."""

import dataclasses
import json
from typing import Any

import pytest
from tests.unit.service.fake_daemon import STATUS

from volward.service.live import LiveStatus, Pass, Reloaded
from volward.service.live_json import as_json, reloaded_from_json, status_from_json

BARE = LiveStatus(3, "0.1.0", started_at=5.0)


@pytest.mark.parametrize("status", [STATUS, BARE, dataclasses.replace(BARE, last_pass=Pass(4.0), problems=("one",))])
def test_a_status_comes_out_as_it_went_in(status: LiveStatus) -> None:
    assert status_from_json(json.loads(json.dumps(as_json(status)))) == status


def test_what_there_is_none_of_is_left_out() -> None:
    assert as_json(BARE) == {"revision": 3, "version": "0.1.0", "started_at": 5.0, "problems": [], "volumes": []}


def test_a_reload_comes_out_as_it_went_in() -> None:
    for reloaded in (Reloaded(good=True), Reloaded(good=False, problems=("one", "two"))):
        assert reloaded_from_json(as_json(reloaded)) == reloaded


def test_fields_of_a_newer_daemon_are_left_alone() -> None:
    document: Any = as_json(STATUS)
    document["weather"] = "fine"
    document["volumes"][0]["colour"] = "blue"
    assert status_from_json(document) == STATUS


@pytest.mark.parametrize(
    "changed",
    [
        {"revision": True},
        {"revision": 1.5},
        {"version": 1},
        {"started_at": "now"},
        {"started_at": False},
        {"configured_at": []},
        {"problems": "one"},
        {"problems": [1]},
        {"last_pass": 5},
        {"last_pass": {}},
        {"volumes": {}},
        {"volumes": [5]},
        {"volumes": [{}]},
        {"volumes": [{"name": "a", "state": "open", "since": 1, "failure": "no"}]},
        {"volumes": [{"name": "a", "state": "open", "since": 1, "failure": {"code": "VW0401"}}]},
    ],
)
def test_what_is_no_status_is_refused(changed: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"is (none|missing)"):
        status_from_json({**as_json(STATUS), **changed})


def test_what_is_no_reload_is_refused() -> None:
    for document in ({}, {"good": 1}, {"good": True, "problems": "x"}):
        with pytest.raises(ValueError, match=r"no yes or no|is none"):
            reloaded_from_json(document)
