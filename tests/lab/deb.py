"""The Debian package, built in a chroot of the guest's release and checked by lintian there.

Two cache entries: `deb-root`, a Debian with what packaging/debian/control needs for the build (minutes), and `deb`, the
package of this checkout (a minute). The build has no network, and the same sources give the same bytes: times, owners
and modes of the checkout do not get in. Uses mmdebstrap, tar, chroot on the outer machine, as root.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache, image, recipe
from tests.lab.errors import LabUnavailableError
from tests.lab.process import run
from tests.lab.progress import step

DEBIAN = recipe.CHECKOUT / "packaging" / "debian"
# What the package is made from; packaging/debian becomes debian/ beside it.
SOURCES = ("agent", "docs", "units", "pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")
CHECKERS = ("lintian",)
# For the guest, which has no network: what the package depends on, with what that depends on.
DEPENDENCIES = "/var/cache/volward-dependencies"
LINTIAN = ("lintian", "--allow-root", "--display-info", "--pedantic", "--fail-on", "error,warning,info,pedantic")


@dataclass(frozen=True)
class Package:
    """A built package, with the packages of its dependencies in Python, and what lintian said."""

    directory: Path

    @property
    def path(self) -> Path:
        return next(self.directory.glob("*.deb"))

    @property
    def lintian(self) -> str:
        return (self.directory / "lintian").read_text().strip() or "lintian has nothing to say."

    @property
    def dependencies(self) -> list[Path]:
        return sorted((cache.entry("deb-root", _root_key()) / "dependencies").glob("*.deb"))


def ensure(version: str = "") -> Package:
    """This checkout's package, built if it is missing; `version` stands for that of the changelog."""
    key = _key(version)
    return Package(cache.ensure("deb", key, lambda directory: _build(directory, version)))


def find(version: str = "") -> Package:
    """The same; raises LabUnavailableError if the chroot to build it in is missing."""
    if not cache.entry("deb-root", _root_key()).exists():
        raise LabUnavailableError("the Debian package cannot be built yet: run `python3 -m tests.lab deb`")
    return ensure(version)


def again(directory: Path) -> Path:
    """Build the package once more into an empty directory, elsewhere, in another time zone and with another umask."""
    _build(directory, "", place="a/rather/longer/place", umask=0o077, TZ="Pacific/Kiritimati")
    return next(directory.glob("*.deb"))


def build_dependencies(control: str) -> tuple[str, ...]:
    """The packages that a control file's Build-Depends names, without versions; virtual ones by what provides them."""
    match = re.search(r"^Build-Depends:((?:.*\n)(?:[ \t].*\n)*)", control, re.MULTILINE)
    words = re.findall(r"([a-z0-9][a-z0-9.+-]+)\s*(?:\([^)]*\))?\s*(?:,|$)", match[1] if match else "", re.MULTILINE)
    provided = {"debhelper-compat": "debhelper", "dh-sequence-python3": "dh-python"}
    return tuple(sorted({provided.get(word, word) for word in words}))


def _runtime() -> tuple[str, ...]:
    """Debian's packages for what pyproject.toml declares."""
    renamed = {"systemd-python": "systemd"}
    names = (re.split(r"[^A-Za-z0-9._-]", line)[0].lower() for line in recipe.declared())
    return tuple(sorted(f"python3-{renamed.get(name, name)}" for name in names))


def _root_key() -> str:
    packages = build_dependencies((DEBIAN / "control").read_text())
    return cache.key_of("deb-root-1", recipe.guest().suite, *packages, "|", *_runtime(), "|", *CHECKERS)


def _key(version: str) -> str:
    files = cache.key_of_files([*(recipe.CHECKOUT / name for name in SOURCES), DEBIAN], relative_to=recipe.CHECKOUT)
    shaper = cache.key_of_files([Path(__file__)], relative_to=recipe.LAB)
    return cache.key_of(_root_key(), files, shaper, version)


def _build_root(directory: Path) -> None:
    suite = recipe.guest().suite
    wanted = sorted({*build_dependencies((DEBIAN / "control").read_text()), *_runtime(), *CHECKERS})
    # As it knows apt's sources now: the chroot is never given a network.
    fetch = f"""
        set -eu
        export APT_CONFIG="$MMDEBSTRAP_APT_CONFIG"
        mkdir -p "$1{DEPENDENCIES}"
        cd "$1{DEPENDENCIES}"
        apt-cache depends --recurse --no-recommends --no-suggests --no-conflicts --no-breaks --no-replaces \\
            --no-enhances {" ".join(_runtime())} | grep '^python3-' | sort -u >list
        apt-get --quiet=2 -o APT::Sandbox::User=root download $(cat list)
    """
    with step(f"Debian {suite} to build the package in (minutes, the first time)"):
        run(
            [
                *("mmdebstrap", "--variant=minbase", f"--include={','.join(wanted)}"),
                *("--dpkgopt=force-unsafe-io", "--dpkgopt=path-exclude=/usr/share/locale/*"),
                f"--customize-hook={fetch}",
                *(suite, directory / "root.tar"),
            ]
        )
        archive = directory / "dependencies"
        archive.mkdir()
        run(
            [
                *("tar", "--extract", "--file", directory / "root.tar", "-C", archive),
                *(f"--strip-components={DEPENDENCIES.count('/') + 1}", "--wildcards", f".{DEPENDENCIES}/*.deb"),
            ]
        )


def _build(directory: Path, version: str, *, place: str = "build", umask: int = 0o022, **environment: str) -> None:
    root = cache.ensure("deb-root", _root_key(), _build_root)
    with tempfile.TemporaryDirectory(dir=directory) as scratch, step("the Debian package, built and checked"):
        tree = Path(scratch)
        run(["tar", "--extract", "--numeric-owner", "--file", root / "root.tar", "-C", tree])
        upstream = lay_out(tree / place, version)
        source = f"volward-{upstream}"
        script = f"""
            set -eu
            umask {umask:03o}
            cd /{place}
            epoch=$(dpkg-parsechangelog -l {source}/debian/changelog -S Timestamp)
            find . -exec touch --no-dereference --date="@$epoch" {{}} +
            tar --create --xz --file volward_{upstream}.orig.tar.xz --sort=name --owner=0 --group=0 --numeric-owner \\
                --mode=u=rwX,go=rX --mtime="@$epoch" --exclude={source}/debian {source}
            cd {source}
            # The chroot has what Build-Depends names, and no compiler: there is nothing to compile.
            dpkg-buildpackage --no-sign --no-check-builddeps 2>&1
        """
        log = image.in_chroot(tree, "sh", "-c", script, network=False, **environment)
        (directory / "log").write_text(log)
        (directory / "lintian").touch()
        if not version:  # another version differs in its changelog alone
            changes = f"cd /{place} && " + " ".join(LINTIAN) + " *.changes"
            said = image.in_chroot(tree, "sh", "-c", changes, network=False)
            (directory / "lintian").write_text(said)
        for path in (tree / place).iterdir():
            if path.is_file():
                shutil.copyfile(path, directory / path.name)


def lay_out(parent: Path, version: str) -> str:
    """Put the sources below `parent` as a source package has them, and return the version of volward."""
    changelog = (DEBIAN / "changelog").read_text()
    if version:
        first = re.sub(r"\(.+?\)", f"({version})", changelog, count=1)
        changelog = first.split("\n -- ")[0] + "\n -- " + first.split("\n -- ")[1].split("\n")[0] + "\n\n" + changelog
    match = re.match(r"volward \((.+)-[^-]+\)", changelog)
    if match is None:
        raise ValueError(f"{DEBIAN / 'changelog'} does not begin with a version such as (0.1.0-1)")
    target = parent / f"volward-{match[1]}"
    target.mkdir(parents=True)
    unwanted = shutil.ignore_patterns("__pycache__", "*.egg-info", "*.py[co]")
    for name in SOURCES:
        path = recipe.CHECKOUT / name
        if path.is_dir():
            shutil.copytree(path, target / name, ignore=unwanted)
        else:
            shutil.copyfile(path, target / name)
    shutil.copytree(DEBIAN, target / "debian")
    (target / "debian" / "changelog").write_text(changelog)
    for path in target.rglob("*"):
        path.chmod(0o755 if path.is_dir() or (os.access(path, os.X_OK) and path.stat().st_mode & 0o100) else 0o644)
    return match[1]
