"""What a plan is for."""

from enum import StrEnum


class Goal(StrEnum):
    PROVISION = "provision"  # everything that the configuration says: `volward plan`, `volward apply`
    MAP = "map"  # nothing but the mapping: `volward open --no-mount`, to mend a file system
    OPEN = "open"  # nothing but mapping and mount of a volume that is provisioned: `volward open`, the boot
