"""`volward status` on a real kernel: whole, closed, read-only, damaged, gone and foreign, each told as what it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from tests.lab.host import Host

MIB = 1024 * 1024
SCHEMA = json.loads((Path(__file__).parents[2] / "docs/reference/status.schema.json").read_text())
DISKS = ("whole", "torn", "pulled", "lost")


def _configure(host: Host) -> None:
    tables = [
        f'[volumes.{name}]\ndevice = "/dev/disk/by-id/virtio-{name}"\nstore = "directory"\n'
        f'mount_point = "/srv/volward/{name}"\n'
        for name in DISKS
    ]
    tables.append(
        '[volumes.image]\ndevice = "file:/var/lib/volward/images/image.img"\nsize = "64 MiB"\nstore = "directory"\n'
        'mount_point = "/srv/volward/image"\nconsumers = ["cron.service"]\n'
    )
    host.put("/etc/volward/volward.toml", "[defaults.credential]\nseal = 'host'\n" + "\n".join(tables))


def _status(host: Host) -> dict[str, Any]:
    document = json.loads(host.volward("status", "--json").stdout)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)
    return {one["name"]: one for one in document["volumes"]}


def _states(volumes: dict[str, Any]) -> dict[str, str]:
    return {name: one["state"] for name, one in volumes.items()}


def _said(volume: dict[str, Any]) -> str:
    return " ".join(problem["what"] for problem in volume["problems"])


@pytest.mark.lab
def test_status_tells_each_volume_as_what_it_is(host: Host) -> None:
    disks = {name: host.disk(name, 64 * MIB) for name in DISKS}
    _configure(host)
    assert set(_states(_status(host)).values()) == {"new"}

    names = (*DISKS, "image")
    host.volward("apply", "--yes", *names, timeout=900)
    volumes = _status(host)
    assert set(_states(volumes).values()) == {"ok"}
    assert host.volward("status", "--check").status == 0
    _whole(volumes["whole"])
    assert volumes["image"]["device"]["found"]["class"] == "file"
    assert volumes["image"]["consumers"] == [{"name": "cron.service", "running": False}]

    # Read-only, half a header, and one whose device and name are taken away while it is closed.
    host.run("mount", "-o", "remount,ro", "/srv/volward/whole")
    host.sh('dd if=/dev/zero of="$1" bs=4096 seek=5 count=1 conv=fsync status=none', disks["torn"].link)
    host.volward("close", "lost")
    disks["lost"].unplug()
    host.volward("close", "image")
    host.sh('dmsetup create volward-image --table "0 2048 zero"')
    volumes = _status(host)
    assert _states(volumes) == {
        "whole": "degraded",
        "torn": "degraded",
        "pulled": "ok",
        "lost": "absent",
        "image": "foreign",
    }
    assert "is read-only" in _said(volumes["whole"])
    assert volumes["torn"]["header"]["luks2"]["secondary"] == "damaged"
    assert "secondary damaged" in _said(volumes["torn"])
    assert volumes["lost"]["device"]["presence"] == "absent"
    assert volumes["lost"]["pin"]["presence"] == "present"
    assert host.volward("status", "--check", ok=(76,)).stdout
    text = host.volward("status").stdout
    assert "torn is degraded:" in text
    assert text.rstrip().endswith("5 volumes: 1 ok, 2 degraded, 1 absent, 1 foreign.")

    # What failed last is told of a closed volume; a disk that is pulled out while it is open is no closed one.
    host.volward("open", "lost", ok=(66,))
    host.sh("dmsetup remove volward-image")
    host.volward("close", "torn")
    host.sh('dd if=/dev/zero of="$1" bs=1M count=1 conv=fsync status=none', disks["torn"].link)
    disks["pulled"].unplug()
    volumes = _status(host)
    assert _states(volumes) == {
        "whole": "degraded",
        "torn": "damaged",
        "pulled": "zombie",
        "lost": "absent",
        "image": "closed",
    }
    assert "The last opening failed (VW0301)" in _said(volumes["lost"])
    long = host.volward("status", "pulled").stdout
    assert long.startswith("pulled: zombie")
    assert "not compared: the device could not be looked at" in long


def _whole(volume: dict[str, Any]) -> None:
    """Every layer of an open volume was read."""
    assert volume["problems"] == []
    assert volume["device"]["found"]["serial"] == "whole"
    assert volume["device"]["found"]["size_bytes"] == 64 * MIB
    assert volume["pin"]["discrepancies"] == []
    luks2 = volume["header"]["luks2"]
    assert (luks2["label"], luks2["subsystem"], luks2["cipher"]) == ("whole", "volward", "aes-xts-plain64")
    assert [slot["opened_by"] for slot in luks2["keyslots"]] == [["credential"]]
    assert luks2["recovery_confirmed"] is False
    mapping = volume["mapping"]
    assert (mapping["state"], mapping["content"]) == ("active", "ext4")
    assert mapping["table"]["cipher"] == "aes-xts-plain64"
    assert mapping["table"]["key_in_keyring"] is True
    assert mapping["io"]["writes"] > 0
    mount = volume["mount"]
    assert mount["is_this_volume"] and mount["file_system"] == "ext4" and not mount["read_only"]
    assert mount["space"]["total_bytes"] > 0 and mount["space"]["inodes_total"] > 0
    assert volume["opening"]["by"] == "credential"
    assert volume["operations"] == {"error": None, "unfinished": []}
