"""What volward did, as the systemd journal and, without one, syslog get it."""

import sys
import syslog
import types
from collections.abc import Callable

import pytest

from volward import audit
from volward.audit import Outcome


def _journal(monkeypatch: pytest.MonkeyPatch, send: Callable[..., None] | None) -> None:
    module = types.ModuleType("systemd")
    if send is not None:
        module.journal = types.SimpleNamespace(send=send)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "systemd", module)
    # Another test may have imported the real one, and `from systemd import journal` would find it there.
    monkeypatch.delitem(sys.modules, "systemd.journal", raising=False)


@pytest.mark.parametrize(
    ("outcome", "priority"),
    [(Outcome.INTENT, "6"), (Outcome.DONE, "6"), (Outcome.FAILED, "3"), (Outcome.ALERT, "1")],
)
def test_a_record_has_its_fields(monkeypatch: pytest.MonkeyPatch, outcome: Outcome, priority: str) -> None:
    sent: list[tuple[str, dict[str, str]]] = []
    _journal(monkeypatch, lambda message, **fields: sent.append((message, fields)))

    audit.record("format", "pgdata", outcome, "text", code="VW0202")

    assert sent == [
        (
            "text",
            {
                "PRIORITY": priority,
                "SYSLOG_IDENTIFIER": "volward",
                "VOLWARD_EVENT": "format",
                "VOLWARD_VOLUME": "pgdata",
                "VOLWARD_OUTCOME": str(outcome),
                "VOLWARD_CODE": "VW0202",
            },
        )
    ]


def _no_journal(*_: object, **__: object) -> None:
    raise ConnectionRefusedError("no journal")


@pytest.mark.parametrize("send", [None, _no_journal], ids=["no module", "no journal"])
def test_a_host_without_a_journal_gets_it_through_syslog(
    monkeypatch: pytest.MonkeyPatch, send: Callable[..., None] | None
) -> None:
    logged: list[tuple[int, str]] = []
    _journal(monkeypatch, send)
    monkeypatch.setattr(syslog, "openlog", lambda _: None)
    monkeypatch.setattr(syslog, "syslog", lambda priority, text: logged.append((priority, text)))

    audit.record("format", "pgdata", Outcome.FAILED, "text")

    assert logged == [(syslog.LOG_ERR, "pgdata: format: failed: text")]
