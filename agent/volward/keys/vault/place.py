"""Where a ref says that its key is. A ref may come from the header of any disk, so its words are checked first.

A path with ".." in it would turn a request for a key into another request, made with this host's token. Pure.
"""

from volward.errors import KeyDeniedError
from volward.keys.source import KeyRef
from volward.model.vault import is_path


def mount(ref: KeyRef, default: str) -> str:
    """Return the mount of the ref's engine. Raises KeyDeniedError for words that are no path."""
    return _checked(ref, "mount", ref.details.get("mount") or default)


def namespace(ref: KeyRef) -> str:
    """Return the ref's namespace, "" for none. Raises KeyDeniedError."""
    written = ref.details.get("namespace", "")
    return _checked(ref, "namespace", written) if written else ""


def path(ref: KeyRef) -> str:
    """Return the path of a key in KV. Raises KeyDeniedError."""
    return _checked(ref, "key_name", ref.name)


def transit_key(ref: KeyRef, default: str) -> str:
    """Return the name of the transit key. Raises KeyDeniedError."""
    return _checked(ref, "key", ref.details.get("key") or default)


def _checked(ref: KeyRef, what: str, text: str) -> str:
    if not is_path(text):
        raise KeyDeniedError(
            f"The ref {ref} names as its {what} what is no path in Vault; nothing was asked.",
            resolution="Look at the header token (`cryptsetup luksDump --dump-json-metadata`): it may be forged.",
        )
    return text
