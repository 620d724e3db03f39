"""A shell where `vault` is logged in to a server as an administrator; the server's own binary is its command line."""

from __future__ import annotations

from pathlib import Path

from tests.lab.process import run
from tests.vault.program import program
from tests.vault.server import Server


class Shell:
    """sh(1) in an empty `directory`, with the documented variables of the command line and no others of Vault's."""

    def __init__(self, server: Server, directory: Path) -> None:
        assert server.authority is not None
        self._directory = directory
        commands = directory / "bin"
        commands.mkdir(parents=True)
        # OpenBao's has another name, and is as good.
        (commands / "vault").symlink_to(program().path)
        self._environment = {
            "PATH": f"{commands}:/usr/bin:/bin",
            "HOME": str(directory),
            "VAULT_ADDR": server.url,
            "VAULT_TOKEN": server.root_token,
            "VAULT_CACERT": str(server.authority.ca_file),
        }

    def __call__(self, script: str) -> str:
        """Run a script from a file and return what it prints, without the last newline; its status has to be 0."""
        file = self._directory / "script.sh"
        file.write_text(script)
        return run(["sh", file], cwd=self._directory, env=self._environment).decode().rstrip("\n")
