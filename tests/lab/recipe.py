"""What is in the virtual host: Debian packages, Python packages, sizes. The one file to edit for more."""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]
LAB = Path(__file__).resolve().parent

PACKAGES = {
    "base": "systemd systemd-sysv systemd-cryptsetup udev dbus libpam-systemd linux-image-cloud-amd64 "
    "initramfs-tools zstd openssh-server iproute2 kmod psmisc procps less ca-certificates",
    "disks": "cryptsetup-bin dmsetup e2fsprogs xfsprogs btrfs-progs lvm2 mdadm fdisk gdisk parted attr",
    "tpm": "tpm2-tools tpm-udev libtss2-esys-3.0.2-0t64 libtss2-tcti-device0t64 libtss2-rc0t64 libtss2-mu-4.0.1-0t64",
    "python": "python3 python3-venv python3-systemd",
    "stores": "postgresql postgresql-client redis-server",
    "containers": "docker.io docker-cli busybox-static",
}

# What the agent needs comes from pyproject.toml, with these of its extras; the tools are what the lab adds.
AGENT_EXTRAS = ("vault",)
AGENT_TOOLS = ("coverage",)
QDRANT_ENGINE = ("qdrant-edge-py",)
# Debian's python3-systemd is the same thing, and there is no binary wheel of this one.
FROM_DEBIAN = ("systemd-python",)

ROOT_SIZE = "6G"
MEMORY_MIB = 2048
CPUS = 1  # two hosts at once share the two processors, and one is emulated with less work than two


@dataclass(frozen=True)
class Guest:
    """One release of Debian as a guest."""

    suite: str
    python: str
    packages: tuple[str, ...]


def _packages() -> tuple[str, ...]:
    words = " ".join(PACKAGES.values()).split()
    return tuple(sorted(word for word in words if not word.endswith("-")))


GUESTS = {"trixie": Guest(suite="trixie", python="3.13", packages=_packages())}


def guest() -> Guest:
    """The guest that this run is about: $VOLWARD_LAB_SUITE, else Debian 13."""
    return GUESTS[os.environ.get("VOLWARD_LAB_SUITE", "trixie")]


def declared() -> tuple[str, ...]:
    """What pyproject.toml declares for running, extras included (none while there is no such file)."""
    project = CHECKOUT / "pyproject.toml"
    if not project.exists():
        return ()
    table = tomllib.loads(project.read_text()).get("project", {})
    extras = table.get("optional-dependencies", {})
    return (*table.get("dependencies", ()), *(line for name in AGENT_EXTRAS for line in extras.get(name, ())))


def agent_requirements() -> tuple[str, ...]:
    """What the agent needs for running, as far as it does not come from Debian, and ours."""
    wanted = [line for line in declared() if _name(line) not in FROM_DEBIAN]
    return tuple(sorted({*wanted, *AGENT_TOOLS}))


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    return match.group().lower().replace("_", "-") if match else ""
