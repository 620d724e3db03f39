"""Every error that volward raises on purpose.

An error says what happened and then what to do. Each class has one stable code (``volward explain CODE``)
and one exit status in the range of sysexits(3), so that units can say ``RestartPreventExitStatus=``. The
class's docstring is what ``volward explain`` prints. Owns no host commands.
"""

from typing import ClassVar

from volward.exit_status import ExitStatus


class VolwardError(Exception):
    """Base of every deliberate error; never raised itself."""

    code: ClassVar[str] = "VW0000"
    exit_status: ClassVar[ExitStatus] = ExitStatus.BUG

    def __init__(self, what: str, *, resolution: str) -> None:
        """Take one sentence on what happened and one on what to do about it."""
        super().__init__(what)
        self.what = what
        self.resolution = resolution

    def __str__(self) -> str:
        return f"{self.what} {self.resolution}"


# --- configuration and command line -------------------------------------------------------------------


class ConfigurationError(VolwardError):
    """The configuration has problems.

    volward reads /etc/volward/volward.toml and then /etc/volward/volward.d/*.toml in the order of their
    names. Every problem is listed at once with its file, its dotted path and a suggestion. Nothing on the
    host was touched. Mend the files and run `volward check`.
    """

    code = "VW0101"
    exit_status = ExitStatus.CONFIGURATION


class UnknownVolumeError(VolwardError):
    """A volume was named that the configuration does not have.

    Names are the table names below `[volumes]`. `volward status` lists them.
    """

    code = "VW0102"
    exit_status = ExitStatus.CONFIGURATION


class ConfirmationError(VolwardError):
    """An action that destroys or shows something was not confirmed.

    On a terminal volward shows what it is going to do and asks. Without one, name each volume:
    `volward apply --yes VOLUME`. Nothing was changed.
    """

    code = "VW0103"
    exit_status = ExitStatus.WOULD_DESTROY


class InterruptedRunError(VolwardError):
    """The run was interrupted (Ctrl-C, SIGTERM).

    The step that was running was finished first, and the journal knows how far the operation came. Run the
    same command again: it goes on where this one stopped.
    """

    code = "VW0104"
    exit_status = ExitStatus.INTERRUPTED


# --- the host -------------------------------------------------------------------------------------------


class ToolMissingError(VolwardError):
    """A host tool that volward calls is not installed or is too old.

    volward calls cryptsetup (2.6 or newer), systemd (252 or newer), e2fsprogs or xfsprogs and util-linux.
    Install the package that the message names.
    """

    code = "VW0201"
    exit_status = ExitStatus.TOOL_MISSING


class ToolFailedError(VolwardError):
    """A host tool ended with a status that volward did not expect.

    The message quotes the tool. Nothing was repeated. `volward status` shows what is there now; running the
    same volward command again is safe.
    """

    code = "VW0202"
    exit_status = ExitStatus.TOOL_FAILED

    def __init__(self, what: str, *, resolution: str, status: int | None = None, stderr: str = "") -> None:
        super().__init__(what, resolution=resolution)
        self.status = status
        self.stderr = stderr


class ToolTimeoutError(ToolFailedError):
    """A host tool did not end in time.

    A tool that only reads is ended after its time-out. A tool that changes the host is never killed, since
    a half-written header is worse than a slow one: volward reports it with its process number and leaves it
    running. Wait for it, then run the same volward command again.
    """

    code = "VW0203"
    exit_status = ExitStatus.BUSY


class NotPrivilegedError(VolwardError):
    """The command needs root.

    Block devices, device mapper and systemd's mounts belong to root. Run it with sudo.
    """

    code = "VW0204"
    exit_status = ExitStatus.DENIED


class NoDeviceMapperError(VolwardError):
    """The kernel has no device mapper or no dm-crypt.

    LUKS volumes are opened by the kernel's dm-crypt target. Containers and some minimal virtual machines
    lack it. `modprobe dm_crypt` may load it; `make demo` in volward's source shows everything in a virtual
    host of its own instead.
    """

    code = "VW0205"
    exit_status = ExitStatus.TOOL_MISSING


class NoSpaceError(VolwardError):
    """A file system that volward writes to is full.

    Keys, the journal and file: volumes are written to the root disk. Nothing was left half-written. Free
    some space and run the same command again.
    """

    code = "VW0206"
    exit_status = ExitStatus.TOOL_FAILED


class OperatingSystemError(VolwardError):
    """The kernel refused to read or write a file or a device.

    The message names the path and the reason: a read-only file system, a permission, a disk with errors. The
    step that met it was not taken or not finished; the journal knows which. Remove the cause and run the same
    command again.
    """

    code = "VW0207"
    exit_status = ExitStatus.TOOL_FAILED


# --- devices ------------------------------------------------------------------------------------------


class DeviceNotFoundError(VolwardError):
    """The device of a volume is not there.

    The stable link in the configuration does not exist or leads nowhere. Look at /dev/disk/by-id, and at
    `volward init`, which lists the disks of this host. A missing device is never taken for a blank one.
    """

    code = "VW0301"
    exit_status = ExitStatus.NOT_FOUND


class NotBlankError(VolwardError):
    """The device is not proven blank, so it is not formatted.

    volward formats only a device on which it finds nothing at all: no signature of any kind, no partition
    table, nothing in the first and the last MiB. The message lists what was found and where. If the content
    is really not needed any more, run `volward apply --overwrite VOLUME VOLUME`, which wipes the signatures and
    both ends and asks for the device's serial number; or zero the whole device (`wipefs` leaves data behind).
    """

    code = "VW0302"
    exit_status = ExitStatus.WOULD_DESTROY


class DeviceUnknownError(VolwardError):
    """The device could not be read completely, so what is on it is unknown.

    Unknown is not blank: a device that has read errors, or is not readable yet, is never formatted. Look at
    `dmesg` and at the cabling; replace the disk if it stays so.
    """

    code = "VW0303"
    exit_status = ExitStatus.WOULD_DESTROY


class DeviceBusyError(VolwardError):
    """Something uses the device already.

    It is mounted, swapped on, held by another block device, or open under a mapping that is not this
    volume's. The message says by what. Close that first.
    """

    code = "VW0304"
    exit_status = ExitStatus.WOULD_DESTROY


class IdentityError(VolwardError):
    """The device is not the one that was pinned for this volume.

    At the first format volward records the device's serial number, WWN, size and LUKS UUID, and compares
    them from sysfs before it acts. The message names the fields that differ. If the disk was replaced or
    grown on purpose, run `volward repin VOLUME`; if not, the configured link leads to another disk now.
    """

    code = "VW0305"
    exit_status = ExitStatus.WOULD_DESTROY


class DeviceTooSmallError(VolwardError):
    """The device is too small for a LUKS2 volume.

    A LUKS2 header takes 16 MiB; volward asks for at least 32 MiB (64 MiB for ext4, 320 MiB for xfs).
    """

    code = "VW0306"
    exit_status = ExitStatus.WOULD_DESTROY


class DuplicateUuidError(VolwardError):
    """Two devices carry the same LUKS UUID.

    Usually one is a clone or a snapshot of the other. They share a volume key, and the wrong one could be
    opened, so neither is. Detach one of them.
    """

    code = "VW0307"
    exit_status = ExitStatus.WOULD_DESTROY


class DamagedHeaderError(VolwardError):
    """The LUKS2 header of the device is damaged or is not the one expected.

    A LUKS2 header has two copies. With one of them damaged the volume still opens, and `volward header repair`
    mends it from the other; with both damaged `volward header restore` writes a backup. Do not format.
    """

    code = "VW0308"
    exit_status = ExitStatus.DAMAGED_HEADER


class ForeignHeaderError(VolwardError):
    """The device has a LUKS header that volward did not make for this volume.

    Its UUID is not the pinned one, or its label names another volume. It is left alone.
    """

    code = "VW0309"
    exit_status = ExitStatus.WOULD_DESTROY


class MappingError(VolwardError):
    """The mapping of this volume's name exists but is not this volume.

    A mapping may be a zombie (its backing device is gone), may be suspended in the middle of a
    re-encryption, or may belong to somebody else. volward neither formats nor mounts it. The message says
    which of them it is and what to do.
    """

    code = "VW0310"
    exit_status = ExitStatus.BUSY


class MountPointError(VolwardError):
    """The mount point cannot be used.

    It holds files, is not a directory, or something else is mounted there. Files below a mount point would
    be hidden by the mount: move them away first.
    """

    code = "VW0311"
    exit_status = ExitStatus.WOULD_DESTROY


class BusyError(VolwardError):
    """Something still uses the volume, or another volward works on it.

    `volward close` names the processes and containers that hold the mount. Stop them, then try again.
    """

    code = "VW0312"
    exit_status = ExitStatus.BUSY


class FileSystemError(VolwardError):
    """The open mapping does not carry the file system that the volume should have.

    volward makes a file system only on a mapping of a volume that it is provisioning itself. What the
    mapping carries was left alone.
    """

    code = "VW0313"
    exit_status = ExitStatus.WOULD_DESTROY


# --- keys -----------------------------------------------------------------------------------------------


class ProviderUnavailableError(VolwardError):
    """A key provider could not be reached or is not usable now.

    This may pass: volward tries again until its deadline, then the next provider of the volume. The volume
    stays closed and nothing is lost.
    """

    code = "VW0401"
    exit_status = ExitStatus.PROVIDER_UNAVAILABLE


class KeyDeniedError(VolwardError):
    """A key provider answered, and the answer was no.

    The key is not there, must not be read by this host, or the TPM refuses to unseal it (its PCRs have
    changed). Trying again cannot help, so volward does not; it goes on with the next provider, unless the
    volume says `on_denied = "stop"`.
    """

    code = "VW0402"
    exit_status = ExitStatus.DENIED


class KeyRejectedError(VolwardError):
    """The key opens no keyslot of the volume.

    cryptsetup says the same of a wrong key and of a damaged keyslot. Test the recovery key
    (`volward recovery test VOLUME`) before you take the key for wrong.
    """

    code = "VW0403"
    exit_status = ExitStatus.DENIED


class KeyExistsError(VolwardError):
    """A key of that name and version is already in the store.

    Keys are created, never overwritten. Something in the header may depend on the present one.
    """

    code = "VW0404"
    exit_status = ExitStatus.WOULD_DESTROY


class NoTerminalError(VolwardError):
    """A question had to be asked, and there is no terminal.

    volward never waits for a person who is not there. Run the command on a terminal, or use the option that
    the message names.
    """

    code = "VW0405"
    exit_status = ExitStatus.DENIED


class RecoveryKeyFormatError(VolwardError):
    """The recovery key was not typed as it was shown.

    A recovery key has eight groups of five characters. The last character of each group checks the other
    four, so the message can say which group to look at. Case, spaces and dashes do not matter; O is read as
    0, I and L as 1.
    """

    code = "VW0406"
    exit_status = ExitStatus.DENIED


class NoOpenerError(VolwardError):
    """No provider of the volume could open it.

    The message lists what each of them said. The recovery key always works:
    `volward open --recovery VOLUME`.
    """

    code = "VW0407"
    exit_status = ExitStatus.PROVIDER_UNAVAILABLE


class LastKeyslotError(VolwardError):
    """The operation would have removed the last way to open the volume.

    A keyslot is removed only after another enrolled one was opened in the same operation.
    """

    code = "VW0408"
    exit_status = ExitStatus.WOULD_DESTROY


class UntrustedServerError(KeyDeniedError):
    """The key server could not prove who it is, or did not believe this host.

    TLS is always verified: the certificate must be issued by the configured CA (`ca_file`), for the name in the
    address, and be in force. The message says which of these failed. A certificate that is not in force *yet* is
    taken for a wrong clock and tried again; everything else needs a person.
    """

    code = "VW0409"


class KeyDeletedError(KeyDeniedError):
    """The key store had this version of the key, and somebody deleted or destroyed it.

    A deleted version comes back with `vault kv undelete`. A destroyed one does not, except with a backup of the
    key server: open the volume by another key, then enrol a new one.
    """

    code = "VW0410"


class UnsafeStoreError(VolwardError):
    """The key store is set so that it would lose keys that a header still needs, or it is of the wrong kind.

    KV version 1 keeps one version and no check-and-set. A low `max_versions` destroys the key before last while
    header backups still need it; `delete_version_after` deletes keys by the clock. No key was stored. The message
    says what to set.
    """

    code = "VW0411"
    exit_status = ExitStatus.CONFIGURATION


class NotEnrolledError(VolwardError):
    """A key was to be rotated that the header does not have.

    Rotation replaces a key that is enrolled and that a token of volward describes. `volward status VOLUME` lists
    the keyslots with what opens them; `volward apply` enrols what the configuration lists.
    """

    code = "VW0412"
    exit_status = ExitStatus.CONFIGURATION


class KeyRequestError(VolwardError):
    """Something asked for a key where only systemd-cryptsetup asks, or did not take it.

    /run/volward/key.sock answers root's systemd-cryptsetup alone, which says by the name of its own end for which
    mapping it asks (crypttab(5)). Nobody got a key. `volward export crypttab` prints the lines that use it.
    """

    code = "VW0413"
    exit_status = ExitStatus.DENIED


# --- operations -----------------------------------------------------------------------------------------


class VerificationError(VolwardError):
    """After the change the host does not look as planned.

    Every tool reported success, yet a fresh look disagrees. The message lists the discrepancies. Nothing
    was undone; `volward status` shows the present state.
    """

    code = "VW0501"
    exit_status = ExitStatus.VERIFICATION_FAILED


class JournalError(VolwardError):
    """The journal of an operation cannot be read or written.

    volward takes no step that it cannot write down first. The message names the file and the reason.
    """

    code = "VW0502"
    exit_status = ExitStatus.TOOL_FAILED


class UnfinishedOperationError(VolwardError):
    """An earlier operation on this volume was not finished.

    `volward journal` shows it with its last step. Resume it (`volward resume OPERATION`) or give it up
    (`volward abort OPERATION`) first.
    """

    code = "VW0503"
    exit_status = ExitStatus.BUSY


class NotProvisionedError(VolwardError):
    """A volume is to be opened that was not provisioned yet, or not to the end.

    Opening never formats and writes no unit. `volward apply` makes what is missing, or goes on with what was
    cut short. Trying again without it mends nothing, so the boot does not.
    """

    code = "VW0505"
    exit_status = ExitStatus.CONFIGURATION


class UnknownOperationError(VolwardError):
    """An operation was named that is not unfinished.

    It has ended, was resumed or aborted meanwhile, or its name is misspelt. `volward journal` lists the
    unfinished ones, `volward journal --all` the others too.
    """

    code = "VW0504"
    exit_status = ExitStatus.NOT_FOUND


class NoWayBackError(VolwardError):
    """An operation cannot be given up any more, only finished.

    A rotation that has begun to remove the old keyslot would leave the volume with fewer keys than before if the
    new one went as well. `volward resume OPERATION` ends it; the new key opens the volume.
    """

    code = "VW0506"
    exit_status = ExitStatus.WOULD_DESTROY


class HeaderBackupError(VolwardError):
    """A header backup is damaged, is of another volume, or does not open what it should.

    `volward header list` shows the backups of a volume and `volward header verify` tries them. Each change of a
    header makes a new one, so an older one or a copy elsewhere may do. Nothing was written to the device.
    """

    code = "VW0507"
    exit_status = ExitStatus.DAMAGED_HEADER


class NoHeaderBackupError(VolwardError):
    """There is no header backup of that volume or name.

    Backups are files VOLUME.TIME.RANDOM.header in the directory of `[header_backup]`, by default
    /var/lib/volward/header-backups. A copy from elsewhere is given by its path: `volward header restore VOLUME
    --from FILE`.
    """

    code = "VW0508"
    exit_status = ExitStatus.NOT_FOUND


# --- the daemon -----------------------------------------------------------------------------------------


class DaemonAwayError(VolwardError):
    """The daemon does not run, so nothing can be asked of it.

    `volward status --live` and `volward reload` talk to volward.service at /run/volward/control.sock. Volumes that are
    open stay so without it, and `volward status` and `volward open` do without it as well.
    """

    code = "VW0601"
    exit_status = ExitStatus.PROVIDER_UNAVAILABLE


class DaemonAnswerError(VolwardError):
    """The daemon did not answer, or not in a way that this volward understands.

    It ended meanwhile, is of another version, is busy for too long, answers too many already, or is not for this user.
    Volumes are not touched by any of it. `systemctl status volward.service` shows the daemon.
    """

    code = "VW0602"
    exit_status = ExitStatus.BUSY


class BugError(VolwardError):
    """volward reached a state that its authors thought impossible.

    Please report it with the traceback. Nothing further was done.
    """

    code = "VW0900"
    exit_status = ExitStatus.BUG


def every_error() -> dict[str, type[VolwardError]]:
    """Return all error classes by code, in the order of their definition."""
    found: dict[str, type[VolwardError]] = {}
    pending = [VolwardError]
    while pending:
        for child in pending.pop(0).__subclasses__():
            if child.code in found and found[child.code] is not child:
                raise RuntimeError(f"{child.code} is used by two classes")
            found[child.code] = child
            pending.append(child)
    return dict(sorted(found.items()))
