"""The daemon loads little: what it must never load is counted in a process of its own."""

import importlib.util
import json
import subprocess
import sys

import pytest

from volward.service import pyroute

_LISTENING = "volward.service.uevents, volward.service.routes, volward.service.revival, systemd.journal"
_HEAVY = {
    "pydantic",
    "hvac",
    "docker",
    "cryptography",
    "requests",
    "psutil",
    "rich",
    "click",
    "multiprocessing",
}


def test_what_listens_loads_nothing_heavy() -> None:
    script = f"import asyncio, json, sys, {_LISTENING}; print(json.dumps(sorted(sys.modules)))"
    environment = {"PYTHONPATH": ":".join(path for path in sys.path if path)}
    printed = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, check=True).stdout

    loaded = set(json.loads(printed))

    assert loaded & _HEAVY == set()
    assert not {name for name in loaded if name.startswith(("volward.config", "volward.operations"))}
    assert {name for name in loaded if name.startswith("pyroute2")} == {
        "pyroute2",
        "pyroute2.common",
        "pyroute2.netlink",
        "pyroute2.netlink.exceptions",
        "pyroute2.netlink.rtnl",
        "pyroute2.netlink.rtnl.ifaddrmsg",
        "pyroute2.netlink.rtnl.rtmsg",
        *(name for name in loaded if name.startswith("pyroute2.netlink.rtnl.rt_")),
    }


def test_the_package_is_entered_once_and_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyroute2")
    pyroute.enter()
    entered = sys.modules["pyroute2"]
    assert entered.__path__
    assert not hasattr(entered, "IPRoute")
    pyroute.enter()
    assert sys.modules["pyroute2"] is entered


def test_a_host_without_pyroute2(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "pyroute2")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match="pyroute2"):
        pyroute.enter()
