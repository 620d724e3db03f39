"""A real Vault server is to be had in the lab: beside the virtual host over loopback, and inside it."""

from __future__ import annotations

import json
import ssl
from pathlib import Path

import pytest
from tests.lab.host import Host
from tests.lab.vault import guest
from tests.vault import mounts
from tests.vault.certificates import Authority
from tests.vault.server import Server

pytestmark = pytest.mark.vault

CA_FILE = "/run/ca.pem"
# Asks $1 in the guest; a CA in $2 is the only one that is trusted. TLS errors end it with their name.
ASK = """
import ssl, sys, urllib.request
context = ssl.create_default_context(cafile=sys.argv[2]) if len(sys.argv) > 2 else ssl.create_default_context()
request = urllib.request.Request(sys.argv[1], headers={"X-Vault-Token": sys.stdin.read()})
print(urllib.request.urlopen(request, timeout=60, context=context).read().decode())
"""
CONFIGURATION = """
storage "raft" { path = "/var/lib/vault" node_id = "guest" }
listener "tcp" { address = "127.0.0.1:8300" tls_disable = true }
api_addr = "http://127.0.0.1:8300"
cluster_addr = "http://127.0.0.1:8301"
disable_mlock = true
"""
# It may take a while to load, and to derive keys, in an emulated processor.
SERVE = """
mkdir -p /var/lib/vault
systemd-run --quiet --unit=lab-vault "$1" server -config=/run/vault.hcl
export VAULT_ADDR=http://127.0.0.1:8300
for _ in $(seq 300); do
    status=0
    "$1" status >/dev/null 2>&1 || status=$?
    # 2: it answers, and is sealed.
    if [ $status -eq 2 ]; then break; fi
    sleep 0.2
done
"$1" operator init -key-shares=1 -key-threshold=1 -format=json
"""


def test_the_host_reaches_a_server_beside_it_over_tls(host: Host, tmp_path: Path) -> None:
    with Server(tmp_path / "vault", authority=Authority(tmp_path / "ca")) as server:
        assert server.authority is not None
        mounts.kv(server.admin, "kv")
        server.admin.secrets.kv.v2.create_or_update_secret("host-1", secret={"x": "from-beside"}, mount_point="kv")
        host.forward(guest_port=8200, port=server.address.port)
        host.put(CA_FILE, server.authority.ca_file.read_bytes())
        url = "https://127.0.0.1:8200/v1/kv/data/host-1"
        answer = host.run("python3", "-c", ASK, url, CA_FILE, input=server.root_token).stdout
        assert json.loads(answer)["data"]["data"] == {"x": "from-beside"}
        untrusted = host.run("python3", "-c", ASK, url, input=server.root_token, ok=(1,))
        assert ssl.SSLCertVerificationError.__name__ in untrusted.stderr


def test_the_server_runs_inside_the_host(host: Host) -> None:
    vault = guest.install_in(host)
    host.put("/run/vault.hcl", CONFIGURATION)
    keys = json.loads(host.sh(SERVE, vault).stdout)
    script = 'export VAULT_ADDR=http://127.0.0.1:8300; "$1" operator unseal "$2" >/dev/null; "$1" status -format=json'
    status = host.sh(script, vault, keys["unseal_keys_b64"][0]).stdout
    assert json.loads(status)["sealed"] is False
    assert json.loads(status)["storage_type"] == "raft"
