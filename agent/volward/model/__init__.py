"""The frozen records that travel between observe, plan, apply and verify. Pure: no host, no clock.

Words follow docs/explanation/architecture.md. Sizes are in bytes, offsets in bytes from the start of the
device, key sizes in bits. ``None`` in a record means *unknown* only where the field says so.
"""

from volward.model.device import IDENTITY_FIELDS as IDENTITY_FIELDS
from volward.model.device import LUKS2_HEADER_BYTES as LUKS2_HEADER_BYTES
from volward.model.device import MIB as MIB
from volward.model.device import BlankProbe as BlankProbe
from volward.model.device import Device as Device
from volward.model.device import DeviceClass as DeviceClass
from volward.model.device import Finding as Finding
from volward.model.device import Identity as Identity
from volward.model.device import Pin as Pin
from volward.model.device import Place as Place
from volward.model.device import Presence as Presence
from volward.model.goal import Goal as Goal
from volward.model.header import SUBSYSTEM as SUBSYSTEM
from volward.model.header import AnnouncedKeyslot as AnnouncedKeyslot
from volward.model.header import CopyState as CopyState
from volward.model.header import Header as Header
from volward.model.header import Keyslot as Keyslot
from volward.model.header import Token as Token
from volward.model.observation import Mapping as Mapping
from volward.model.observation import MappingState as MappingState
from volward.model.observation import Mount as Mount
from volward.model.observation import MountPointState as MountPointState
from volward.model.observation import MountUnitState as MountUnitState
from volward.model.observation import Observation as Observation
from volward.model.observation import Unfinished as Unfinished
from volward.model.plan import Action as Action
from volward.model.plan import Discrepancy as Discrepancy
from volward.model.plan import Fate as Fate
from volward.model.plan import KeyslotFate as KeyslotFate
from volward.model.plan import Plan as Plan
from volward.model.plan import Progress as Progress
from volward.model.plan import Reencryption as Reencryption
from volward.model.plan import ReencryptionPlan as ReencryptionPlan
from volward.model.plan import Rotation as Rotation
from volward.model.plan import RotationPlan as RotationPlan
from volward.model.step import Step as Step
from volward.model.vault import VaultKeep as VaultKeep
from volward.model.vault import VaultLogin as VaultLogin
from volward.model.vault import VaultLoginMethod as VaultLoginMethod
from volward.model.vault import VaultPlace as VaultPlace
from volward.model.vault import VaultServer as VaultServer
from volward.model.volume import CONTAINER_PREFIX as CONTAINER_PREFIX
from volward.model.volume import DAY_SECONDS as DAY_SECONDS
from volward.model.volume import CipherProfile as CipherProfile
from volward.model.volume import Directory as Directory
from volward.model.volume import FileSystem as FileSystem
from volward.model.volume import ProviderKind as ProviderKind
from volward.model.volume import RecoveryProfile as RecoveryProfile
from volward.model.volume import RotationProfile as RotationProfile
from volward.model.volume import StoreKind as StoreKind
from volward.model.volume import VolumeSpec as VolumeSpec
