"""The image: Debian made by mmdebstrap, customised in a chroot, put into a bootable root file system.

Three cache entries, each keyed by what goes into it, so that a change costs no more than it must:
`debian` (the package archive, a minute), `wheels` (Python packages, seconds) and `image` (half a minute).
Uses mmdebstrap, tar, chroot, mke2fs, ssh-keygen and pip on the outer machine, as root.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.lab import cache, recipe
from tests.lab.errors import LabUnavailableError
from tests.lab.process import run
from tests.lab.progress import step

# pip takes a wheel for an older C library only if that platform is named too.
PLATFORMS = [f"manylinux_2_{minor}_x86_64" for minor in (36, 34, 31, 28, 27, 24, 17, 12, 5)]


@dataclass(frozen=True)
class Image:
    """A root file system that boots, and the way in."""

    key: str
    directory: Path

    @property
    def disk(self) -> Path:
        return self.directory / "root.raw"

    @property
    def kernel(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.directory / "initrd"

    @property
    def ssh_key(self) -> Path:
        return self.directory / "ssh_key"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"


def ensure() -> Image:
    """The image for this checkout's recipe, built if the cache does not have it."""
    key = _key()
    return Image(key, cache.ensure("image", key, _build))


def find() -> Image:
    """The image for this checkout's recipe; raises LabUnavailableError if it has not been built."""
    key = _key()
    directory = cache.entry("image", key)
    if not directory.exists():
        raise LabUnavailableError("the lab's image is not built: run `python3 -m tests.lab build`")
    return Image(key, directory)


def _debian_key() -> str:
    guest = recipe.guest()
    return cache.key_of("debian-1", guest.suite, *guest.packages)


def _wheels_key() -> str:
    return cache.key_of(recipe.guest().python, *recipe.agent_requirements(), "|", *recipe.QDRANT_ENGINE)


def _key() -> str:
    inputs = [recipe.LAB / "rootfs", recipe.LAB / "guest" / "customise.sh", recipe.LAB / "image.py"]
    files = cache.key_of_files(inputs, relative_to=recipe.LAB)
    return cache.key_of(_debian_key(), _wheels_key(), files, recipe.ROOT_SIZE)


def _build_debian(directory: Path) -> None:
    guest = recipe.guest()
    with step(f"Debian {guest.suite} with {len(guest.packages)} packages and what they need"):
        run(
            [
                *("mmdebstrap", "--variant=minbase", f"--include={','.join(guest.packages)}"),
                # The tree is thrown away if the power fails; nothing here needs fsync or manual pages.
                "--dpkgopt=force-unsafe-io",
                "--dpkgopt=path-exclude=/usr/share/man/*",
                "--dpkgopt=path-exclude=/usr/share/locale/*",
                *(guest.suite, directory / "root.tar"),
            ]
        )


def _build_wheels(directory: Path) -> None:
    with step("Python packages for the guest"):
        download(directory, [*recipe.agent_requirements(), *recipe.QDRANT_ENGINE])


def download(directory: Path, requirements: list[str]) -> None:
    """Fetch wheels for the guest's Python into `directory`, with their dependencies."""
    platforms = [word for platform in PLATFORMS for word in ("--platform", platform)]
    run(
        [
            *(pip_python(), "-m", "pip", "download", "--quiet", "--dest", directory),
            *("--only-binary=:all:", "--python-version", recipe.guest().python, *platforms),
            *requirements,
        ]
    )


def pip_python() -> str:
    """A Python that has pip: this one, or the system's (an environment may be made without pip)."""
    try:
        run([sys.executable, "-m", "pip", "--version"])
    except Exception:  # noqa: BLE001  (whatever is wrong with it, the system's is the alternative)
        return "/usr/bin/python3"
    return sys.executable


def _build(directory: Path) -> None:
    debian = cache.ensure("debian", _debian_key(), _build_debian)
    wheels = cache.ensure("wheels", _wheels_key(), _build_wheels)
    tree = directory / "tree"
    with step("unpacking"):
        tree.mkdir()
        run(["tar", "--extract", "--numeric-owner", "--xattrs", "--file", debian / "root.tar", "-C", tree])
    with step("customising: units, network, keys, Python environments, initrd"):
        _customise(tree, wheels, directory)
    with step(f"file system image of {recipe.ROOT_SIZE}"):
        for name, link in (("vmlinuz", "vmlinuz"), ("initrd", "initrd.img")):
            # Relative links in /; followed by hand, because an absolute one would lead out of the tree.
            shutil.copyfile(tree / str((tree / link).readlink()).lstrip("/"), directory / name)
        run(
            [
                *("mke2fs", "-q", "-t", "ext4", "-L", "lab-root", "-m", "0", "-d", tree),
                # Lazily initialised tables would be finished by each restored guest in the background.
                *("-E", "lazy_itable_init=0,lazy_journal_init=0,nodiscard"),
                *(directory / "root.raw", recipe.ROOT_SIZE),
            ]
        )
        shutil.rmtree(tree)


def _customise(tree: Path, wheels: Path, directory: Path) -> None:
    # No owner and no time of the checkout gets into the image, only names, modes and contents.
    run(["cp", "--recursive", "--no-preserve=ownership", f"{recipe.LAB / 'rootfs'}/.", tree])
    lab = tree / "opt" / "lab"
    shutil.copytree(wheels, lab / "wheels")
    (lab / "agent.txt").write_text("\n".join(recipe.agent_requirements()) + "\n")
    (lab / "qdrant.txt").write_text("\n".join(recipe.QDRANT_ENGINE) + "\n")
    _make_keys(tree, directory)
    script = lab / "customise.sh"
    shutil.copyfile(recipe.LAB / "guest" / "customise.sh", script)
    in_chroot(tree, "sh", "/opt/lab/customise.sh")
    script.unlink()


def _make_keys(tree: Path, directory: Path) -> None:
    """Keys of this image alone: they open a virtual host on loopback, and never leave the cache."""
    host_key = tree / "etc" / "ssh" / "ssh_host_ed25519_key"
    for stale in host_key.parent.glob("ssh_host_*"):
        stale.unlink()
    for path, comment in ((directory / "ssh_key", "lab"), (host_key, "volward-lab")):
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    public = host_key.with_suffix(".pub").read_text()
    (directory / "known_hosts").write_text(f"volward-lab {public}")
    ssh_directory = tree / "root" / ".ssh"
    ssh_directory.mkdir(mode=0o700, exist_ok=True)
    shutil.copyfile(directory / "ssh_key.pub", ssh_directory / "authorized_keys")


def in_chroot(tree: Path, *argv: str, network: bool = True, **environment: str) -> str:
    """Run a command in the tree, with /proc and /dev of a mount namespace that ends with it; return what it printed."""
    enter = 'mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && exec chroot "$0" "$@"'
    # The builder's own variables (proxies, certificates, pip's settings) mean nothing in there.
    built = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "HOME": "/root", **environment}
    apart = [] if network else ["--net"]
    unshare = ["unshare", "--mount", "--pid", *apart, "--fork", "--kill-child", "sh", "-c", enter]
    return run([*unshare, str(tree), *argv], env=built).decode(errors="replace")
