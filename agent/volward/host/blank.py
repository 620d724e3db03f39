"""The proof that a device is blank, without which nothing is ever formatted.

Two witnesses that do not trust each other: libblkid (`wipefs --no-act --json`, which opens read-only and lists
every signature it knows, where `blkid --probe` would stop at the first) and direct reads of the places in
`volward.host.signatures` and of the whole first and last MiB. Unknown is not blank: whatever cannot be read
makes the answer UNKNOWN. The device is opened read-only, since closing a writable descriptor makes udev probe
it anew (udev(7), OPTIONS="watch"). Uses the host command wipefs.
"""

import contextlib
import errno
import json
import os
import stat
from pathlib import Path

from volward.errors import ToolFailedError
from volward.host import run, signatures
from volward.model import MIB, BlankProbe, Finding, Presence

_PIECE_BYTES = 4096  # direct reads of single places: whole pages, whatever the sector size

_NAMES = {
    "crypto_LUKS": "LUKS header",
    "LVM2_member": "LVM physical volume",
    "LVM1_member": "LVM physical volume",
    "linux_raid_member": "md array member",
    "zfs_member": "ZFS label",
    "gpt": "GPT partition table",
    "dos": "MBR partition table",
    "PMBR": "MBR partition table (protective)",
    "swap": "swap space",
    "swsuspend": "hibernation image",
    "BitLocker": "BitLocker volume",
    "stratis": "Stratis block device",
    "bcache": "bcache device",
}
# Where both witnesses name the same place, ours says more, except for these.
_VAGUE = ("ext file system", "MBR partition table or boot sector")


class _Reader:
    """Reads pieces of one device and keeps count of what it found and could not read."""

    def __init__(self, descriptor: int, size_bytes: int) -> None:
        self.descriptor = descriptor
        self.size_bytes = size_bytes
        self.findings: list[Finding] = []
        self.unreadable: list[Finding] = []

    def read(self, offset: int, length: int) -> bytes | None:
        """Return the piece, cut at the device's end; None when any of it cannot be read."""
        wanted = max(0, min(length, self.size_bytes - offset))
        piece = bytearray()
        while len(piece) < wanted:
            try:
                part = os.pread(self.descriptor, wanted - len(piece), offset + len(piece))
            except OSError as error:
                self.fail(f"read error ({error.strerror})", offset + len(piece))
                return None
            if not part:
                self.fail("read error (the device ends early)", offset + len(piece))
                return None
            piece += part
        return bytes(piece)

    def fail(self, what: str, offset: int) -> None:
        self.unreadable.append(Finding(what, offset))


def probe(node: Path, size_bytes: int) -> BlankProbe:
    """Say whether a device or backing file of ``size_bytes`` carries anything. Changes nothing.

    PRESENT comes with what was found, UNKNOWN with what could not be read (and what was found nevertheless).
    Only ABSENT allows a format. Raises ToolMissingError.
    """
    try:
        descriptor = os.open(node, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        return BlankProbe(Presence.UNKNOWN, (Finding(f"read error ({error.strerror})", 0),))
    try:
        # The kernel's cache may hold what the device no longer has (or never had): read it from the device.
        with contextlib.suppress(OSError):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        reader = _Reader(descriptor, size_bytes)
        _check_size(reader)
        _look_at_ends(reader)
        _look_at_places(reader)
        _look_at_zfs(reader)
        if stat.S_ISBLK(os.fstat(descriptor).st_mode):
            _look_for_use(reader, node)
    finally:
        os.close(descriptor)
    named = _ask_libblkid(node, reader)
    findings = _aggregate(reader.findings, named, size_bytes)
    if reader.unreadable:
        return BlankProbe(Presence.UNKNOWN, (*_distinct(reader.unreadable), *findings))
    return BlankProbe(Presence.PRESENT if findings else Presence.ABSENT, findings)


def _check_size(reader: _Reader) -> None:
    """A device of another size than the caller knows is another device, or is not ready."""
    try:
        found = os.lseek(reader.descriptor, 0, os.SEEK_END)
    except OSError as error:
        reader.fail(f"read error ({error.strerror})", 0)
        return
    if found != reader.size_bytes or found == 0:
        reader.fail(f"size is {found} bytes and not {reader.size_bytes}", min(found, reader.size_bytes))


def _look_at_ends(reader: _Reader) -> None:
    for offset in sorted({0, max(0, reader.size_bytes - MIB)}):
        piece = reader.read(offset, MIB)
        if piece and piece != bytes(len(piece)):  # in one comparison; stripping goes byte by byte
            reader.findings.append(Finding("data", offset + len(piece) - len(piece.lstrip(b"\0"))))


def _look_at_places(reader: _Reader) -> None:
    """Read the 4 KiB page of each place once, in the order of the device."""
    pages: dict[int, bytes | None] = {}
    for place in sorted(signatures.places(reader.size_bytes), key=lambda one: one.offset_bytes):
        page = place.offset_bytes // _PIECE_BYTES * _PIECE_BYTES
        if page not in pages:
            pages[page] = reader.read(page, _PIECE_BYTES)
        piece = pages[page]
        if piece and piece[place.offset_bytes - page :].startswith(place.magic):
            reader.findings.append(Finding(place.what, place.offset_bytes))


def _look_at_zfs(reader: _Reader) -> None:
    for offset in signatures.zfs_labels(reader.size_bytes):
        label = reader.read(offset, 256 * 1024)
        if label and signatures.has_uberblock(label):
            reader.findings.append(Finding("ZFS label", offset))


def _look_for_use(reader: _Reader, node: Path) -> None:
    """An exclusive open fails while the kernel uses a block device (open(2), O_EXCL without O_CREAT)."""
    try:
        os.close(os.open(node, os.O_RDONLY | os.O_EXCL | os.O_CLOEXEC | os.O_NONBLOCK))
    except OSError as error:
        if error.errno == errno.EBUSY:
            reader.findings.append(Finding("in use", 0))
        else:
            reader.fail(f"read error ({error.strerror})", 0)


def _ask_libblkid(node: Path, reader: _Reader) -> list[Finding]:
    try:
        printed = run.read(["wipefs", "--no-act", "--json", node]).stdout.strip()
        listed = json.loads(printed)["signatures"] if printed else []
        return [Finding(_name(str(one["type"])), int(str(one["offset"]), 0)) for one in listed]
    except ToolFailedError as error:
        said = " ".join(error.stderr.split()) or error.what
        reader.fail(f"wipefs could not examine it ({said})", 0)
    except (ValueError, KeyError, TypeError):
        reader.fail("wipefs printed something unexpected", 0)
    return []


def _name(kind: str) -> str:
    if kind in _NAMES:
        return _NAMES[kind]
    return kind if kind.endswith("_member") else f"{kind} file system"


def _aggregate(own: list[Finding], named: list[Finding], size_bytes: int) -> tuple[Finding, ...]:
    """One finding a thing: the more telling name for one place, the lowest place for one name."""
    told = {finding.offset_bytes for finding in named}
    own = [one for one in own if not (one.what.startswith(_VAGUE) and one.offset_bytes in told)]
    ours = {finding.offset_bytes for finding in own if finding.what not in ("data", "in use")}
    zfs = any(one.what == "ZFS label" for one in own)
    named = [one for one in named if one.offset_bytes not in ours and not (zfs and one.what == "ZFS label")]
    signs = [one for one in (*own, *named) if one.what not in ("data", "in use")]
    explained = {_end(one.offset_bytes, size_bytes) for one in signs}
    others = [
        one
        for one in own
        if one.what == "in use" or (one.what == "data" and _end(one.offset_bytes, size_bytes) not in explained)
    ]
    return _distinct([*signs, *others])


def _end(offset: int, size_bytes: int) -> str:
    """Name the end that an offset lies in: plain "data" is not worth telling where a signature explains it."""
    if offset < MIB:
        return "first"
    return "last" if offset >= size_bytes - MIB else "between"


def _distinct(findings: list[Finding]) -> tuple[Finding, ...]:
    lowest: dict[str, Finding] = {}
    for finding in sorted(findings, key=lambda one: one.offset_bytes):
        lowest.setdefault(finding.what, finding)
    return tuple(lowest.values())
