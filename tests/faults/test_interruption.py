"""SIGINT and SIGTERM in every step: volward finishes the step, says 130, and the next run goes on from there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.faults.cuts import STEPS, Kind
from tests.lab.host import Host

PYTHON = "/opt/volward/bin/python"
SCRIPT = Path(__file__).parent / "guest" / "signalled.py"


@pytest.mark.lab
@pytest.mark.parametrize(
    ("signal", "every"),  # so many steps apart
    [
        ("SIGINT", 4),
        pytest.param("SIGINT", 1, marks=pytest.mark.full),
        pytest.param("SIGTERM", 1, marks=pytest.mark.full),
    ],
)
def test_a_signal_in_any_step_lets_the_step_finish(host: Host, signal: str, every: int) -> None:
    steps = dict(enumerate(STEPS[Kind.FILE][::-every][::-1]))  # the last one is among them
    volumes = [f"s{number}" for number in steps]
    host.put("/etc/volward/volward.toml", "".join(map(_configuration, volumes)))
    runs = [{"volume": f"s{number}", "step": step, "signal": signal} for number, step in steps.items()]

    order = json.dumps({"at_once": 3, "runs": runs})
    ended = json.loads(host.run(PYTHON, "-c", SCRIPT.read_text(), input=order, timeout=900).stdout)

    # In the last step there is nothing left that could be broken off.
    last = volumes[-1]
    assert ended == {volume: 0 if volume == last else 130 for volume in volumes}, host.sh("cat /run/signalled/*").stdout
    records = {r["volume"]: r for r in json.loads(host.volward("journal", "--all", "--json").stdout)}
    for number, step in steps.items():
        record = records[f"s{number}"]
        assert record["steps_done"][-1] == step, f"the running step was not finished: {record}"
        assert record["step_begun"] is None, f"another step was begun: {record}"
    done = host.volward("apply", "--yes", *volumes, timeout=900)
    for volume in volumes:
        assert f"{volume}: provisioned, open and mounted" in done.stdout or volume == last
    assert host.volward("plan", "--detailed-exitcode").status == 0
    assert json.loads(host.volward("journal", "--json").stdout) == []


def _configuration(name: str) -> str:
    return f"""
[volumes.{name}]
device = "file:/srv/files/{name}.img"
size = "64 MiB"
store = "directory"
mount_point = "/srv/volward/{name}"
keys = ["credential"]
"""
