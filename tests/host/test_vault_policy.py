"""What `volward vault policy` prints, run as it is printed: then a host does all that it has to, and nothing else."""

from __future__ import annotations

import base64
import json
import os
import re
from pathlib import Path

import hvac
import pytest
from tests.faults.volume import opens
from tests.host.terminal import KEY
from tests.host.vault_volumes import KEPT_AND_WRAPPED
from tests.lab.host import MIB, Host
from tests.vault import lab_login
from tests.vault.certificates import Authority
from tests.vault.server import Server
from tests.vault.shell import Shell

pytestmark = [pytest.mark.lab, pytest.mark.vault, pytest.mark.full]

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "vault.md"
VOLUMES = '[defaults.recovery]\nmemory = "64 MiB"\n' + KEPT_AND_WRAPPED
THEIRS = """
[volumes.kept.vault]
path = "volward/db2/kept"
[volumes.theirs]
device = "{theirs}"
store = "directory"
mount_point = "/srv/volward/theirs"
keys = ["vault"]
[volumes.theirs.vault]
path = "volward/db2/theirs"
"""
NAMES = ("kept", "wrapped")
# The role id, and the token that wraps a secret id: the script's last words.
PRINTED = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\s*((?:hvs|s)\.\S+)$")
WRITTEN = "host_cidr=192.0.2.10/32"


def engines() -> str:
    """Return the commands of the page on Vault that an administrator runs once."""
    block = re.search(r"an engine, once:\n\n *```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    return block[1]


def run_script(shell: Shell, script: str) -> tuple[str, str]:
    """Run what was printed; return the role id and the wrapping token."""
    said = PRINTED.search(shell(script))
    assert said is not None
    return said[1], said[2]


def test_the_script_is_run_as_printed_and_is_enough_and_not_too_much(host: Host, tmp_path: Path) -> None:
    with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
        shell = Shell(server, tmp_path / "administrator")
        shell(engines())
        name = host.run("hostname").stdout.strip()
        disks = {one: host.disk(f"POLICY-{one}", 96 * MIB) for one in (*NAMES, "theirs")}
        links = {one: disk.link for one, disk in disks.items()}
        port = server.address.port  # the printed script names the server as the host does
        host.forward(guest_port=port, port=port)
        lab_login.trust(host, server)

        def configure(role_id: str, volumes: str = VOLUMES) -> None:
            login = lab_login.tables(f"volward-{name}", role_id, wrapped=True, address=server.url)
            host.put("/etc/volward/volward.toml", login + volumes.format(**links))

        configure("later")
        script = host.volward("vault", "policy").stdout
        role_id, token = run_script(shell, script)
        configure(role_id)
        lab_login.seal(host, token)
        elsewhere = host.volward("apply", "--yes", "--no-recovery", "kept", ok=(77,))
        assert "refuses the login" in elsewhere.stderr, "the address in the script is not this host's"

        role_id, token = run_script(shell, script.replace(WRITTEN, "host_cidr=127.0.0.1/32"))
        lab_login.seal(host, token)
        host.volward("apply", "--yes", "--no-recovery", *NAMES)
        host.volward("close", "--all")
        opened = host.volward("open", "--all").stdout
        rotated = host.volward("rotate", *NAMES).stdout
        for one in NAMES:
            assert f"{one}: open and mounted (key: vault)" in opened
            assert f"{one}: a new key of vault opens it" in rotated
            assert "keyslot" in host.volward("header", "verify", one).stdout
            backups = json.loads(host.volward("header", "list", "--json", one).stdout)
            assert [row["state"] for row in backups].count("current") == 1

        # Recovery keys go in by a policy of their own.
        refused = host.volward("recovery", "enrol", "--recovery-vault", "kept", ok=(77,))
        escrow = f"kv/data/volward-recovery/{name}/*"
        assert f'path "{escrow}" {{ capabilities = ["create"] }}' in refused.stderr
        taker = shell(f"vault token create -policy=volward-{name}-escrow -field=token")
        enrol = 'read -r VAULT_TOKEN; export VAULT_TOKEN; volward recovery enrol --recovery-vault "$1"'
        for one in NAMES:
            where = re.search(r"is in Vault, at kv/(\S+);", host.sh(enrol, one, input=f"{taker}\n").stderr)
            assert where is not None
            kept = shell(f"vault kv get -mount=kv -field=recovery_key {where[1]}")
            assert KEY.fullmatch(kept)
            host.secrets.append(kept.encode())
            host.put("/run/typed", kept, mode=0o600)
            assert opens(host, links[one], "/run/typed")
            host.run("rm", "/run/typed")
            with pytest.raises(hvac.exceptions.Forbidden):
                server.client(taker).secrets.kv.v2.read_secret_version(
                    where[1], mount_point="kv", raise_on_deleted_version=True
                )
        host.volward("preflight", "--strict")

        # The key of another host is neither read nor made.
        key = base64.b64encode(os.urandom(64)).decode()
        shell(f"vault kv put -mount=kv volward/db2/kept key={key}")
        host.volward("close", "kept")
        written = json.loads(host.run("cryptsetup", "luksDump", "--dump-json-metadata", links["kept"]).stdout)["tokens"]
        for number, one in written.items():
            if one["volward"]["provider"] == "vault":
                one["volward"] |= {"key_name": "volward/db2/kept", "key_version": 1, "key_ref": "volward/db2/kept.v1"}
                words = ["token", "import", "--token-id", number, "--token-replace", "--json-file", "-", links["kept"]]
                host.run("cryptsetup", *words, input=json.dumps(one))
        configure(role_id, VOLUMES + THEIRS)
        denied = host.volward("open", "kept", ok=(77,))
        assert 'path "kv/data/volward/db2/kept" { capabilities = ["read"] }' in denied.stderr
        blank = disks["theirs"].sha256()
        denied = host.volward("apply", "--yes", "--no-recovery", "theirs", ok=(77,))
        assert 'volward/db2/theirs" { capabilities = ' in denied.stderr
        assert disks["theirs"].sha256() == blank
