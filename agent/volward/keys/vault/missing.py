"""Why a version of a key is not to be had, and what brings it back. Pure."""

from volward.errors import KeyDeletedError, KeyDeniedError
from volward.keys.source import KeyRef
from volward.keys.vault.exchange import Answer


def missing_version(ref: KeyRef, mount: str, answer: Answer) -> KeyDeniedError:
    """Return the error for a 404 from KV: destroyed, deleted, never there, or no such engine."""
    key = f"{mount}/{ref.name}"
    state = answer.table("metadata")
    if state.get("destroyed"):
        return KeyDeletedError(
            f"Version {ref.version} of the key {key} was destroyed in Vault.",
            resolution="It comes back only from a backup (snapshot) of Vault. Open the volume by another key, such as "
            "the recovery key, then rotate.",
        )
    if state.get("deletion_time"):
        return KeyDeletedError(
            f"Version {ref.version} of the key {key} was deleted in Vault at {state['deletion_time']}.",
            resolution="It can be brought back: "
            f"`vault kv undelete -mount={mount} -versions={ref.version} {ref.name}`.",
        )
    if "no handler for route" in answer.said:
        return KeyDeniedError(
            f"Vault has no engine mounted at {mount}.",
            resolution="Was it moved (`vault secrets list`)? Then move it back. If it was disabled, its keys come back "
            "only from a snapshot of Vault: open the volume by another key, and enable no new engine in its place.",
        )
    return KeyDeniedError(
        f"Vault has no version {ref.version} of the key {key}.",
        resolution=f"`vault kv metadata get -mount={mount} {ref.name}` shows what is there. An engine of KV version 1 "
        "answers so too; volward keeps keys in version 2 only.",
    )
