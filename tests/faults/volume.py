"""The one volume that most fault tests are about."""

from __future__ import annotations

from tests.lab.host import Host

NAME = "data"
MOUNT_POINT = "/srv/volward/data"
CREDENTIAL = "/etc/credstore.encrypted/volward.data.v1"


def configure(host: Host, device: str, *, keys: str = '["credential"]', more: str = "", name: str = NAME) -> None:
    """Write the configuration of one volume; ``more`` are further lines of its table."""
    host.put(
        f"/etc/volward/volward.d/{name}.toml",
        f"""
[volumes.{name}]
device = "{device}"
store = "directory"
mount_point = "/srv/volward/{name}"
keys = {keys}
{more}
""",
    )
    host.sh("test -e /etc/volward/volward.toml || echo > /etc/volward/volward.toml")


def export(host: Host, name: str = NAME, to: str = "/run/exported") -> bytes:
    """Export the volume's key with volward, and have it looked for when the test is over."""
    host.run("rm", "-f", to)
    host.volward("key", "export", name, "--output", to, "--confirm", f"export {name}")
    key = host.get(to)
    host.secrets.append(key)
    return key


def opens(host: Host, device: str, key_file: str = "/run/exported", *, keyslot: int | None = None) -> bool:
    """Whether stock cryptsetup opens the device with that key file."""
    slot = [] if keyslot is None else ["--key-slot", str(keyslot)]
    words = ["--test-passphrase", "--disable-external-tokens", "--key-file", key_file, *slot, device]
    return host.run("cryptsetup", "open", *words, ok=(0, 2)).status == 0
