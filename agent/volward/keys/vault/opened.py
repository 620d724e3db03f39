"""From a server's record to a session with it: the only place that imports hvac's users. Calls systemd-creds(1)."""

from volward.keys.vault import library
from volward.keys.vault.credential import LoginCredentials
from volward.keys.vault.login import Login
from volward.keys.vault.session import Session
from volward.keys.vault.transport import HttpTransport
from volward.model import VaultServer
from volward.secret import SecretBytes


def session(
    server: VaultServer, *, given_token: SecretBytes | None = None, credentials: LoginCredentials | None = None
) -> Session:
    """Return a session that logs in when it is first asked something. Raises UntrustedServerError, ToolMissingError."""
    library.demand_recent()
    login = Login(server.login, credentials or LoginCredentials(), given_token=given_token)
    return Session(server, login, HttpTransport(server))
