"""The command line of QEMU for a virtual host: what hardware it has, and why.

QEMU's system emulation manual and `qemu-system-x86_64 -device help` describe the words.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.lab import recipe
from tests.lab.image import Image
from tests.lab.process import run

# Each hot-plugged virtio disk needs a port of its own; they are made before the guest starts.
PORTS = 24

# What costs time under emulation and is of no use here. Without svm the guest does not load KVM, which could only run
# a guest in the guest. With AVX every string function and every switch of a task handles registers of 256 bits; a
# fifth level of page tables, SMAP and protection keys cost at each page, system call and switch.
CPU = "max,-svm,-la57,-smap,-pku,-pks,-umip,-avx,-avx2,-fma,-f16c"


@dataclass(frozen=True)
class Hardware:
    """What differs between one start of QEMU and the next."""

    directory: Path
    image: Image
    ssh_port: int
    # Guest memory in a file: with `share_memory` the file follows what the guest writes, without it
    # the guest starts from the file's contents and changes stay in the process.
    memory: Path | None = None
    share_memory: bool = False
    incoming: bool = False


def version() -> str:
    """The first line of `qemu-system-x86_64 --version`: a saved guest is of one version of QEMU."""
    return run(["qemu-system-x86_64", "--version"]).decode().splitlines()[0]


def argv(hardware: Hardware) -> list[str | Path]:
    """The command line; data disks follow from the caller."""
    image = hardware.image
    return [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none"),
        # vmport is of no use here; the high-precision timer costs interrupts under emulation.
        *("-machine", "q35,memory-backend=ram,vmport=off,hpet=off"),
        *("-accel", "tcg,thread=multi,tb-size=512", "-cpu", CPU, "-smp", str(recipe.CPUS)),
        *("-m", f"{recipe.MEMORY_MIB}M", "-object", _memory(hardware)),
        *("-kernel", image.kernel, "-initrd", image.initrd, "-append", _kernel_command_line()),
        *("-rtc", "base=utc"),
        # A new generation id at each start: the kernel reseeds its random numbers, so that two
        # hosts restored from one snapshot do not make the same keys and UUIDs.
        *("-device", "vmgenid,guid=auto"),
        *("-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-pci,rng=rng"),
        *("-chardev", "socket,id=tpm,path=tpm.sock", "-tpmdev", "emulator,id=tpm,chardev=tpm"),
        *("-device", "tpm-tis,tpmdev=tpm"),
        # restrict=on: the guest reaches nothing but what comes in through this one port.
        *("-netdev", f"user,id=net,restrict=on,hostfwd=tcp:127.0.0.1:{hardware.ssh_port}-:22"),
        *("-device", "virtio-net-pci,netdev=net,romfile="),
        *_root_disk(),
        *("-device", "virtio-scsi-pci,id=scsi"),
        *_ports(),
        *("-chardev", "socket,id=console,path=console.sock,server=on,wait=off,logfile=console.log"),
        *("-serial", "chardev:console", "-qmp", "unix:qmp.sock,server=on,wait=off"),
        *(("-incoming", "defer") if hardware.incoming else ()),
    ]


def _memory(hardware: Hardware) -> str:
    if hardware.memory is None:
        return f"memory-backend-ram,id=ram,size={recipe.MEMORY_MIB}M"
    share = "on" if hardware.share_memory else "off"
    return f"memory-backend-file,id=ram,size={recipe.MEMORY_MIB}M,mem-path={hardware.memory},share={share}"


def _kernel_command_line() -> str:
    # By label: with data disks attached at boot the root disk need not be the first one.
    # Without the bpf security module systemd does not verify its filter for RestrictFileSystems=, 2 s a boot.
    security = "lsm=landlock,lockdown,yama,integrity,apparmor"
    return f"console=ttyS0 root=LABEL=lab-root rw mitigations=off panic=1 loglevel=4 net.ifnames=0 {security}"


def _root_disk() -> list[str]:
    # no-flush: a guest's fsync costs nothing; the lab cuts the power of QEMU, never of this machine.
    file = {"driver": "file", "filename": "root.qcow2"}
    node = {"driver": "qcow2", "node-name": "root", "cache": {"no-flush": True}, "file": file}
    return ["-blockdev", json.dumps(node), "-device", "virtio-blk-pci,drive=root,serial=lab-root"]


def _ports() -> list[str]:
    words: list[str] = []
    for number in range(PORTS):
        slot, function = divmod(number, 8)
        many = ",multifunction=on" if function == 0 else ""
        address = f"{0x10 + slot:#x}.{function:#x}"
        words += ["-device", f"pcie-root-port,id=port{number},chassis={number + 1},addr={address}{many}"]
    return words
