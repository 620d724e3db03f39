"""The layers on top of the image: a booted host, and that host with this checkout's volward installed.

`booted` costs one cold boot and is made again when image or hardware change; `agent` costs a restore
and the installation of one wheel, and is made again when the program changes. Both are snapshots.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.lab import cache, image, qemu, recipe
from tests.lab.errors import LabUnavailableError
from tests.lab.image import Image
from tests.lab.machine import Machine, Snapshot
from tests.lab.process import run
from tests.lab.progress import step
from tests.lab.ssh import Ssh

# What a wheel of volward is made from; README and LICENSE are in its metadata.
SOURCES = ("agent", "units", "pyproject.toml", "README.md", "LICENSE")
# A lab file that shapes a snapshot; the others may change without a new one.
SHAPERS = ("qemu.py", "layer.py")
KEPT_AGENT_LAYERS = 6
# See warm_server.py: the program's imports, done before the snapshot is taken.
WARM = {name: recipe.LAB / "guest" / name for name in ("warm_server.py", "warm_client.py")}

# Loaded here and not at each boot: btrfs and raid456 measure their checksums for seconds as they load.
MODULES = "dm_mod dm_crypt dm_flakey dm_delay dm_integrity dm_log_writes dm_snapshot loop raid1 xfs btrfs overlay"
# Keys that systemd makes at its first use are made before the snapshot: a disk enrolled after a
# restore, or a credential sealed then, must open in the next restored host as well.
PREPARE = f"""
set -eu
modprobe -a {MODULES}
systemctl is-system-running --wait || systemctl --failed --no-legend >&2
/usr/lib/systemd/systemd-tpm2-setup
systemd-creds setup >/dev/null
udevadm settle
# The first use of a tool reads it from the disk; a restored host has it in memory.
dd if=/dev/urandom of=/tmp/warm bs=1M count=32 status=none
echo warm | cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 /tmp/warm -
echo warm | cryptsetup open --key-file - /tmp/warm warm
mkfs.ext4 -q /dev/mapper/warm
cryptsetup close warm
echo x | systemd-creds encrypt --with-key=host+tpm2 --name=x - - >/dev/null
systemd-cryptenroll --tpm2-device=list >/dev/null
rm -f /tmp/warm
"""

SETTLE = """
set -eu
udevadm settle
journalctl --sync
journalctl --rotate --vacuum-time=1us --quiet 2>/dev/null
sync
"""

INSTALL = """
set -eu
/opt/volward/bin/pip install --quiet --disable-pip-version-check --no-index \\
    --find-links /opt/lab/wheels --find-links /opt/lab/volward 'volward[vault]'
ln -sf /opt/volward/bin/volward /usr/local/bin/volward
volward --help >/dev/null || true
"""

START_WARM = """
set -eu
systemd-run --quiet --unit=lab-warm /opt/volward/bin/python /opt/lab/warm_server.py
for _ in $(seq 600); do
    [ ! -S /run/lab-warm.sock ] || exit 0
    sleep 0.2
done
systemctl status --no-pager --full lab-warm >&2
exit 1
"""


def ensure() -> tuple[Image, Snapshot]:
    """The image and the snapshot that tests restore, with everything missing built."""
    return _finish(image.ensure())


def refresh() -> tuple[Image, Snapshot]:
    """The same, but raise LabUnavailableError if more than the two layers is missing."""
    return _finish(image.find())


def is_current() -> bool:
    """Whether a restore would show this checkout's volward, with nothing to be built."""
    try:
        built = image.find()
    except LabUnavailableError:
        return False
    return cache.entry("agent", _agent_key(_booted_key(built))).exists()


def _finish(built: Image) -> tuple[Image, Snapshot]:
    booted_key = _booted_key(built)
    booted = Snapshot(cache.ensure("booted", booted_key, lambda directory: _boot(built, directory)))
    agent_key = _agent_key(booted_key)
    agent = cache.ensure("agent", agent_key, lambda directory: _install(built, booted, directory))
    cache.prune("agent", keep=KEPT_AGENT_LAYERS)
    return built, Snapshot(agent)


def _booted_key(built: Image) -> str:
    shapers = cache.key_of_files([recipe.LAB / name for name in SHAPERS], relative_to=recipe.LAB)
    return cache.key_of(built.key, shapers, qemu.version(), str(recipe.MEMORY_MIB), str(recipe.CPUS))


def _agent_key(booted_key: str) -> str:
    sources = [recipe.CHECKOUT / name for name in SOURCES]
    sources += WARM.values()
    return cache.key_of(booted_key, cache.key_of_files(sources, relative_to=recipe.CHECKOUT))


def _boot(built: Image, directory: Path) -> None:
    machine = Machine(built)
    try:
        with step("first boot of the virtual host"):
            machine.new_root(built.disk, "raw")
            machine.boot(memory=machine.directory / "memory")
        with step("keys, warm caches, snapshot"):
            machine.ssh.run(["sh", "-c", PREPARE + SETTLE])
            machine.save()
            _keep(machine, directory)
    finally:
        machine.discard()


def _install(built: Image, booted: Snapshot, directory: Path) -> None:
    machine = Machine(built)
    try:
        with step("volward's wheel"):
            wheel = _build_wheel(machine.directory)
        with step("volward installed in the virtual host, snapshot"):
            memory = machine.directory / "memory"
            run(["cp", "--sparse=always", booted.memory, memory])
            machine.restore(booted, memory=memory)
            if wheel is not None:
                _send(machine.ssh, wheel, f"/opt/lab/volward/{wheel.name}")
                machine.ssh.run(["sh", "-c", INSTALL])
                for name, path in WARM.items():
                    _send(machine.ssh, path, f"/opt/lab/{name}")
                machine.ssh.run(["sh", "-c", START_WARM])
            machine.ssh.run(["sh", "-c", SETTLE])
            machine.save()
            _keep(machine, directory)
    finally:
        machine.discard()


def _send(ssh: Ssh, path: Path, target: str) -> None:
    ssh.run(["mkdir", "-p", target.rpartition("/")[0]])
    ssh.run(["dd", "status=none", f"of={target}"], stdin=path.read_bytes())


def _build_wheel(directory: Path) -> Path | None:
    """This checkout's wheel, or None while there is no program to build one from."""
    if not (recipe.CHECKOUT / "pyproject.toml").exists() or not (recipe.CHECKOUT / "agent").exists():
        return None
    # From a copy: the build must not see what a developer changes in the meantime, nor leave files behind.
    source = directory / "source"
    source.mkdir()
    # Its text is the wheel's description; a checkout without one still has a program to test.
    (source / "README.md").touch()
    for name in SOURCES:
        path = recipe.CHECKOUT / name
        if path.is_dir():
            shutil.copytree(path, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.exists():
            shutil.copyfile(path, source / name)
    output = directory / "wheel"
    command = [image.pip_python(), "-m", "pip", "wheel", "--quiet", "--no-deps"]
    run([*command, "--wheel-dir", output, source])
    return next(output.glob("*.whl"))


def _keep(machine: Machine, directory: Path) -> None:
    """Move what makes up a snapshot out of the machine's directory."""
    for name in ("root.qcow2", "memory", "devices", "tpm"):
        shutil.move(machine.directory / name, directory / name)
