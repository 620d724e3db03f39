"""Install what the lab needs on this machine: `python3 -m tests.lab tools`, as root; `vault`: Go for its server; `deb`.

Debian 12 and 13. Says what it installs, and does nothing when all is there. On Debian 12 QEMU and Go come from
bookworm-backports (older emulators are several times slower at AES, an older Go cannot fetch a newer one); if apt
does not know that suite, a source for it is written that uses the same server and keyring as the machine's own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.lab import availability
from tests.lab.errors import LabError
from tests.lab.process import run
from tests.lab.progress import say, step
from tests.lab.vault import binary, go

# A command that shows that a package is there, and the package.
TOOLS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "swtpm": "swtpm",
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "setpriv": "util-linux",
    # mmdebstrap looks into the keyring with it.
    "gpg": "gpg",
    "xz": "xz-utils",
    "tar": "tar",
    "make": "make",
}
QEMU = ("qemu-system-x86", "qemu-utils")
# Too old for the Vault server in either release, but recent enough to fetch the Go that it wants.
GO = "golang-go"
FROM_BACKPORTS = (*QEMU, GO)
FOR_DEB = ("mmdebstrap", "gpg", "tar", "xz-utils", "debian-archive-keyring")
# Modules of Debian's own Python that are packages of their own.
PYTHON_MODULES = {"pip": "python3-pip", "ensurepip": "python3-venv"}
BACKPORTS_LIST = Path("/etc/apt/sources.list.d/volward-lab-backports.sources")


@dataclass(frozen=True)
class Source:
    """An apt source: where a suite comes from, and which keyring vouches for it ("" for apt's default)."""

    uri: str
    signed_by: str


def missing_packages() -> list[str]:
    """The packages to install, in order, each once."""
    wanted = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if shutil.which("qemu-system-x86_64") and availability.qemu_major() < availability.OLDEST_QEMU:
        wanted += QEMU
    for module, package in PYTHON_MODULES.items():
        probe = ["/usr/bin/python3", "-c", f"import {module}"]
        if not Path(probe[0]).exists() or subprocess.run(probe, capture_output=True, check=False).returncode != 0:
            wanted.append(package)
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        wanted.append("debian-archive-keyring")
    return list(dict.fromkeys(wanted))


def missing_for_vault() -> list[str]:
    """The packages to install for building the Vault server of the tests."""
    return [] if binary.installed() is not None or go.is_usable() else [GO]


def missing_for_deb() -> list[str]:
    """The packages to install for building the Debian package: a part of what the lab needs."""
    return [package for package in missing_packages() if package in FOR_DEB]


def codename() -> str:
    """This machine's release of Debian, such as `bookworm`; empty if it is not Debian."""
    release = Path("/etc/os-release")
    text = release.read_text() if release.exists() else ""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return values.get("VERSION_CODENAME", "").strip('"') if values.get("ID", "").strip('"') == "debian" else ""


def source_of(suite: str, texts: list[str]) -> Source | None:
    """The source of `suite` among the contents of apt's source files, in either of apt's two formats."""
    for text in texts:
        for stanza in re.split(r"\n\s*\n", text):
            fields = dict(re.findall(r"^([A-Za-z-]+):[ \t]*(.+)$", stanza, re.MULTILINE))
            if suite in fields.get("Suites", "").split() and "deb" in fields.get("Types", "").split():
                return Source(fields.get("URIs", "").split()[0], fields.get("Signed-By", ""))
        for options, uri, named in re.findall(r"^deb\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)", text, re.MULTILINE):
            if named == suite:
                keyring = re.search(r"signed-by=(\S+)", options, re.IGNORECASE)
                return Source(uri, keyring.group(1) if keyring else "")
    return None


def _apt_sources() -> list[str]:
    main = Path("/etc/apt/sources.list")
    parts = sorted(Path("/etc/apt/sources.list.d").glob("*.*"))
    return [path.read_text() for path in (main, *parts) if path.suffix in (".list", ".sources") and path.exists()]


def _ensure_backports(release: str) -> None:
    suite = f"{release}-backports"
    texts = _apt_sources()
    if source_of(suite, texts) is not None:
        return
    own = source_of(release, texts)
    if own is None:
        raise LabError(f"apt has no source for {release}: add {suite} to apt's sources yourself, then run this again")
    lines = ["Types: deb", f"URIs: {own.uri}", f"Suites: {suite}", "Components: main"]
    if own.signed_by:
        lines.append(f"Signed-By: {own.signed_by}")
    BACKPORTS_LIST.write_text("\n".join(lines) + "\n")
    say(f"  wrote {BACKPORTS_LIST} ({suite} from the server of the machine's own sources)")


def install(missing: list[str]) -> None:
    """Install what is missing; raises LabError where that cannot be done."""
    if not missing:
        return
    release = codename()
    if not release or shutil.which("apt-get") is None:
        raise LabError(f"this is not Debian: install what provides {', '.join(missing)} yourself")
    if os.geteuid() != 0:
        raise LabError(f"installing {', '.join(missing)} needs root")
    say(f"The lab needs these Debian packages: {' '.join(missing)}")
    from_backports = [package for package in missing if package in FROM_BACKPORTS and release == "bookworm"]
    if from_backports:
        _ensure_backports(release)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "--quiet", "--yes", "--no-install-recommends"]
    with step("apt-get update"):
        run([*apt, "update"], env=environment)
    with step(f"apt-get install {' '.join(missing)}"):
        if from_backports:
            run([*apt, "--target-release", "bookworm-backports", "install", *from_backports], env=environment)
        others = [package for package in missing if package not in from_backports]
        if others:
            run([*apt, "install", *others], env=environment)


def main() -> int:
    try:
        install(missing_packages())
        availability.check()
    except LabError as error:
        say(f"install_tools: {error}")
        return 1
    return 0
