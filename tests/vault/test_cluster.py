"""The cluster's promises: standbys answer as standbys, and the leader changes under the same keys."""

from __future__ import annotations

from tests.vault import mounts
from tests.vault.cluster import Cluster
from tests.vault.health import Health


def test_one_leads_and_the_others_stand_by(cluster: Cluster) -> None:
    leader = cluster.leader
    assert sorted(node.health() for node in cluster.nodes) == [Health.ACTIVE, Health.STANDBY, Health.STANDBY]
    standby = cluster.standbys[0]
    assert standby.admin.sys.read_leader_status()["leader_address"] == leader.url


def test_a_change_of_leader_keeps_data_and_tokens(cluster: Cluster, mount: str) -> None:
    mounts.kv(cluster.leader.admin, mount)
    cluster.leader.admin.secrets.kv.v2.create_or_update_secret("key", secret={"x": "1"}, mount_point=mount)
    before = cluster.leader
    after = cluster.step_down()
    assert after is not before
    read = after.admin.secrets.kv.v2.read_secret_version
    assert read("key", mount_point=mount, raise_on_deleted_version=True)["data"]["data"] == {"x": "1"}
