"""The steps that operations are made of, by the names that the journal has for them."""

from enum import StrEnum


class Step(StrEnum):
    """One kind of action. The order of the members is the order in which a volume is provisioned."""

    CREATE_FILE = "create-file"
    CREATE_KEY = "create-key"
    PIN = "pin"
    WIPE = "wipe"
    FORMAT = "format"
    WRITE_TOKEN = "write-token"  # noqa: S105 (a LUKS2 token, not a password)
    REMOVE_KEYSLOT = "remove-keyslot"
    ENROL_KEY = "enrol-key"
    ENROL_TPM2 = "enrol-tpm2"
    ENROL_RECOVERY = "enrol-recovery"
    CLAIM_SCRATCH = "claim-scratch"
    CLOSE = "close"
    OPEN = "open"
    MAKE_FILE_SYSTEM = "make-file-system"
    SEAL_MOUNT_POINT = "seal-mount-point"
    WRITE_UNITS = "write-units"
    MOUNT = "mount"
    SWAP_ON = "swap-on"
    PREPARE_STORE = "prepare-store"
    # Of a rotation, in its order; the last three give one up.
    REVOKE_KEYSLOT = "revoke-keyslot"
    CREATE_SUCCESSOR = "create-successor"
    ENROL_SUCCESSOR = "enrol-successor"
    DESCRIBE_SUCCESSOR = "describe-successor"
    PARK_TOKEN = "park-token"  # noqa: S105 (a LUKS2 token, not a password)
    REENROL_TPM2 = "reenrol-tpm2"
    RETIRE_KEYSLOT = "retire-keyslot"
    REINSTATE_KEYSLOT = "reinstate-keyslot"
    DROP_SUCCESSOR = "drop-successor"
    UNPARK_TOKEN = "unpark-token"  # noqa: S105
    # Of a new volume key, in its order; the TPM is enrolled afterwards by ENROL_TPM2.
    LEAVE_KEYSLOT = "leave-keyslot"
    REENCRYPT = "reencrypt"
    END_REENCRYPTION = "end-reencryption"  # in its place, when all data were done and cryptsetup was killed
