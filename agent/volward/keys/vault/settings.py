"""May keys be kept under this path? Refuses KV version 1 and settings that lose keys. Asks Vault, changes nothing.

https://developer.hashicorp.com/vault/api-docs/secret/kv/kv-v2
"""

import re
from dataclasses import dataclass

from hvac.api.secrets_engines.kv_v2 import KvV2

from volward.errors import UnsafeStoreError
from volward.keys.vault.exchange import Answer, Question
from volward.keys.vault.session import Session

DEFAULT_VERSIONS = 10  # what Vault takes 0 for
NEEDED_VERSIONS = 4  # in use, before it, and two rotations by hand within the grace period of 30 days
_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)(h|ms|m|s)")
_SECONDS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}


@dataclass(frozen=True)
class Kept:
    """How long the versions under a path live: the path's own settings, else the mount's."""

    max_versions: int
    delete_after_seconds: float  # 0: never


def demand_version_2(session: Session, mount: str, *, namespace: str, deadline_seconds: float) -> None:
    """Raise UnsafeStoreError unless the mount is a KV engine of version 2."""
    path = f"sys/internal/ui/mounts/{mount}"
    question = Question(f"looking at the mount {mount}", path, namespace=namespace)
    answer = session.ask(question, lambda adapter: adapter.get(f"/v1/{path}"), deadline_seconds=deadline_seconds)
    kind, version = answer.data("type"), answer.data("options", "version")
    if kind != "kv" or str(version) != "2":
        found = "KV version 1" if kind == "kv" else f"an engine of type {kind}"
        raise UnsafeStoreError(
            f"The mount {mount} in Vault is {found}; volward keeps keys in KV version 2 only: it needs versions and "
            "check-and-set, so that no key is ever overwritten.",
            resolution=f"Upgrade it (`vault kv enable-versioning {mount}`) or name another mount.",
        )


def demand_keeping(
    session: Session,
    mount: str,
    path: str,
    *,
    namespace: str,
    deadline_seconds: float,
    needed_versions: int = 0,
) -> Kept:
    """Raise UnsafeStoreError when the settings would lose keys that headers and their backups need.

    ``needed_versions`` follow from how often the volume's key is rotated, and how long the old ones are kept; at least
    NEEDED_VERSIONS are needed.
    """
    question = Question(f"reading the settings of the mount {mount}", f"{mount}/config", namespace=namespace)
    engine = session.ask(
        question,
        lambda adapter: KvV2(adapter).read_configuration(mount_point=mount),
        deadline_seconds=deadline_seconds,
    )
    kept = combined(engine, metadata(session, mount, path, namespace=namespace, deadline_seconds=deadline_seconds))
    needed = max(NEEDED_VERSIONS, needed_versions)
    if kept.max_versions < needed:
        raise UnsafeStoreError(
            f"{mount}/{path} keeps {kept.max_versions} versions (max_versions), and Vault destroys older ones without "
            f"a question: up to {needed} are needed at once, for keys in their grace period and header backups.",
            resolution=_more(mount, path, max(needed, DEFAULT_VERSIONS)),
        )
    if kept.delete_after_seconds > 0:
        raise UnsafeStoreError(
            f"Vault deletes every version under {mount}/{path} after {kept.delete_after_seconds:.0f} s "
            "(delete_version_after), the key of a volume in use as well.",
            resolution=f"Switch it off: `vault kv metadata put -mount={mount} -delete-version-after=0 {path}`, or "
            f"`vault write {mount}/config delete_version_after=0s` for the whole mount.",
        )
    return kept


def demand_room(kept: Kept, mount: str, path: str, version: int, oldest_needed: int) -> None:
    """Raise UnsafeStoreError when storing this version has Vault destroy one that is still needed (0: none is)."""
    if 0 < oldest_needed <= version - kept.max_versions:
        raise UnsafeStoreError(
            f"{mount}/{path} keeps {kept.max_versions} versions (max_versions): with version {version}, Vault would "
            f"destroy version {oldest_needed}, the key of a keyslot that is still there.",
            resolution=f"{_more(mount, path, version - oldest_needed + NEEDED_VERSIONS)} Or have old keyslots removed "
            "first: `volward rotate --due`.",
        )


def _more(mount: str, path: str, versions: int) -> str:
    return (
        f"Set {versions} or more: `vault kv metadata put -mount={mount} -max-versions={versions} {path}`, or for the "
        f"whole mount `vault write {mount}/config max_versions={versions}`."
    )


def metadata(session: Session, mount: str, path: str, *, namespace: str, deadline_seconds: float) -> Answer:
    """Return the path's metadata; status 404 when there is nothing under it yet."""
    question = Question(
        f"reading the versions of {mount}/{path}", f"{mount}/metadata/{path}", namespace=namespace, understood=(404,)
    )
    return session.ask(
        question,
        lambda adapter: KvV2(adapter).read_secret_metadata(path, mount_point=mount),
        deadline_seconds=deadline_seconds,
    )


def combined(engine: Answer, own: Answer) -> Kept:
    """Return what holds of the mount's settings and the path's own. A negative duration switches deletion off."""
    amounts = [one.data("max_versions") for one in (own, engine)]
    versions = next((amount for amount in amounts if isinstance(amount, int) and amount > 0), DEFAULT_VERSIONS)
    durations = [seconds(one.data("delete_version_after")) for one in (own, engine)]
    return Kept(versions, max(0.0, next((duration for duration in durations if duration), 0.0)))


def seconds(written: object) -> float:
    """Return a duration as Vault writes it ("3h25m19s", "0s", or a number of seconds); 0 for what is none."""
    if isinstance(written, int | float) and not isinstance(written, bool):
        return float(written)
    text = str(written or "")
    sign = -1.0 if text.startswith("-") else 1.0
    return sign * sum(float(amount) * _SECONDS[unit] for amount, unit in _DURATION.findall(text.lstrip("-")))
