"""The provider ``vault``: keys that a Vault (or OpenBao) server keeps or wraps. hvac is imported when it is needed."""
