"""The Debian package is about this very program: versions, dependencies and units agree."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from tests.lab import deb

from volward import manifest
from volward.host import shipped
from volward.manifest import Entry, Manifest

CHECKOUT = Path(__file__).parents[2]
DEBIAN = CHECKOUT / "packaging/debian"


def test_the_changelog_is_about_the_version_of_the_project() -> None:
    version = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]["version"]
    assert (DEBIAN / "changelog").read_text().startswith(f"volward ({version}-")


def test_build_dependencies_are_packages() -> None:
    control = (
        "Build-Depends: debhelper-compat (= 13),\n  dh-sequence-python3,\n  man-db (>= 2),\n  mandoc,\nX-Other: no\n"
    )
    assert deb.build_dependencies(control) == ("debhelper", "dh-python", "man-db", "mandoc")
    assert "python3-click" in deb.build_dependencies((DEBIAN / "control").read_text())


def test_another_version_is_on_top_of_the_changelog(tmp_path: Path) -> None:
    assert deb.lay_out(tmp_path, "0.1.0-1+later") == "0.1.0"
    changelog = (tmp_path / "volward-0.1.0/debian/changelog").read_text()
    assert re.findall(r"^volward \((.+?)\)", changelog, re.MULTILINE)[:2] == ["0.1.0-1+later", "0.1.0-1"]
    assert len(re.findall(r"^ -- ", changelog, re.MULTILINE)) == 2
    assert (tmp_path / "volward-0.1.0/debian/rules").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "volward-0.1.0/agent/volward/errors.py").stat().st_mode & 0o777 == 0o644


def test_no_script_stops_what_holds_a_volume() -> None:
    scripts = {path.name: path.read_text() for path in DEBIAN.glob("volward.p*")}
    waiting = {one.name for one in shipped.ALL if one.wanted_by}
    assert sorted(scripts) == ["volward.postinst", "volward.postrm", "volward.preinst", "volward.prerm"]
    for name, text in scripts.items():
        code = "\n".join(line for line in text.splitlines() if not line.lstrip().startswith("#"))
        assert not re.search(r"\b(cryptsetup|umount|dmsetup|wipefs|rm -r)", code), name
        stopped = set(re.findall(r"volward[\w@-]*\.(?:service|socket|timer|mount)", code))
        assert stopped <= waiting, name
    assert all(name in scripts["volward.prerm"] for name in waiting), "what runs by itself ends with the program"


def test_the_package_has_each_unit_that_volward_looks_for() -> None:
    patterns = re.findall(r"units/\*(\.\w+)", (DEBIAN / "rules").read_text())
    packed = {path.name for path in (CHECKOUT / "units").iterdir() if path.suffix in patterns}
    assert packed == {one.name for one in shipped.ALL if one.is_unit}
    installed = re.findall(r"install -D --mode=644 units/(\S+) debian/volward(\S+)", (DEBIAN / "rules").read_text())
    others = [one for one in shipped.ALL if not one.is_unit]
    assert installed == [(one.source, str(one.place.packaged / one.name)) for one in others]


@pytest.mark.parametrize(("files", "stays"), [((), False), (("/etc/systemd/system/volward.service",), True)])
def test_a_purge_forgets_what_was_enabled(tmp_path: Path, files: tuple[str, ...], *, stays: bool) -> None:
    """The condition of postrm, on the manifest as it is written."""
    entries = {Path(name): Entry(sha256="0", mode=0o644, version="1") for name in files}
    manifest.write(Manifest(entries, {"volward.service": True}), root=tmp_path)
    written = tmp_path / "var/lib/volward/system.json"
    line = next(line for line in (DEBIAN / "volward.postrm").read_text().splitlines() if "system.json" in line)
    subprocess.run(["sh", "-e", "-c", line], env={"STATE": str(written.parent), "PATH": "/usr/bin:/bin"}, check=True)
    assert written.exists() is stays
