"""`volward check`, beyond what the configuration itself finds."""

import json
from pathlib import Path

import pytest

from volward.cli import main

CIRCLE = """
[vault]
address = "https://127.0.0.1:8200"
[vault.login]
method = "approle"
role_id = "x"
credential = "volward-vault"

[volumes.own]
device = "/dev/disk/by-id/virtio-OWN"
store = "directory"
mount_point = "/srv/volward/own"
keys = ["vault"]
consumers = ["vault.service"]
"""


def test_a_circle_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "volward.toml").write_text(CIRCLE)
    assert main.run(["--config", str(tmp_path), "check"]) == 0
    told = capsys.readouterr()
    assert "The configuration is right: 1 volume (own)." in told.out
    assert (
        "warning: volumes.own: own needs its key from Vault (https://127.0.0.1:8200), whose data are on own" in told.err
    )

    assert main.run(["--config", str(tmp_path), "check", "--json"]) == 0
    warnings = json.loads(capsys.readouterr().out)["warnings"]
    assert any("after a boot it never opens without a person" in one for one in warnings)
