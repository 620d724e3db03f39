"""Volumes that only Vault opens, as configuration, and a policy that allows nothing of them."""

DATA = """
[volumes.data]
device = "{device}"
store = "directory"
mount_point = "/srv/volward/data"
keys = ["vault"]
"""
KEPT_AND_WRAPPED = """
[volumes.kept]
device = "{kept}"
store = "directory"
mount_point = "/srv/volward/kept"
keys = ["vault"]
[volumes.wrapped]
device = "{wrapped}"
store = "directory"
mount_point = "/srv/volward/wrapped"
keys = ["vault"]
[volumes.wrapped.vault]
keep = "transit"
"""
NOTHING = 'path "nothing/*" { capabilities = ["read"] }'
