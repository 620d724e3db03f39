"""A journal that cannot be read does not keep a volume closed; it does keep it from being changed."""

from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.builders import SPEC

from volward import journal, pins
from volward.errors import JournalError
from volward.observe import observe


def test_a_damaged_journal_does_not_keep_a_volume_closed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def damaged(volume: str) -> None:
        raise JournalError(f"The journal of {volume} is damaged.", resolution="Look at it.")

    monkeypatch.setattr(journal, "unfinished_provisioning", damaged)
    monkeypatch.setattr(pins, "read", lambda volume: None)
    spec = replace(SPEC, device=tmp_path / "gone")
    with pytest.raises(JournalError):
        observe(spec)
    assert observe(spec, to_open=True).unfinished is None
