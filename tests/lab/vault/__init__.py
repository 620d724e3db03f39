"""A real Vault server for the tests: built from its published Go module, kept in the lab's cache.

`binary` builds or finds it, `guest` brings it into a virtual host. Servers are started by tests/vault.
"""
