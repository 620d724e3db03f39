"""How requests travel to one Vault server: hvac's API over a requests session of our own.

TLS is always verified. Nothing of the environment counts (no proxy, no VAULT_*, no .netrc, no bundle of requests').
Time-outs within one deadline, answers of 1 MiB at most, one redirect at most, and that to https. requests and TLS
copy what they send and receive; those copies cannot be wiped (docs/explanation/threat-model.md).
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urljoin, urlsplit

import hvac
import requests
import urllib3

from volward.errors import UntrustedServerError
from volward.keys.vault import classify, deadline
from volward.keys.vault.exchange import Answer, Question
from volward.model import VaultServer
from volward.secret import SecretBytes

SYSTEM_CAS = Path("/etc/ssl/certs/ca-certificates.crt")
LONGEST_ANSWER_BYTES = 1024 * 1024
_CONNECTIONS = 4  # at once: requests overlap, and not every volume costs a TLS handshake
_NO_CONTENT = 204
_REDIRECT = 307  # the only one that Vault uses, from a standby to its leader

Api = Callable[["VaultAdapter"], Any]
"""Asks one thing through hvac: ``lambda adapter: KvV2(adapter).read_secret_metadata(...)``."""


class Transport(Protocol):
    """What a session asks through; the tests have others."""

    def ask(self, question: Question, api: Api, token: SecretBytes | None, *, end: float) -> Answer:
        """Return the answer, whatever its status. Raises ProviderUnavailableError, KeyDeniedError."""
        ...

    def close(self) -> None:
        """Close the connections."""
        ...


class VaultAdapter(hvac.adapters.RawAdapter):  # type: ignore[misc]  # hvac has no types
    """hvac's way to send one request; made anew for each, so that threads share nothing but the session."""

    def __init__(self, session: requests.Session, send: Callable[[str, str, Any, Any], Answer]) -> None:
        super().__init__(base_uri="", session=session)
        self._send = send

    def request(
        self, method: str, url: str, headers: Any = None, raise_exception: bool = True, **options: Any
    ) -> Answer:
        """Send it our way; hvac's own options for TLS and time-outs do not count."""
        del headers, raise_exception
        return self._send(method, url, options.get("params"), options.get("json"))


class HttpTransport:
    """Asks the server over HTTP. Threads may share it."""

    def __init__(self, server: VaultServer, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._free = threading.BoundedSemaphore(_CONNECTIONS)
        self._session = requests.Session()
        self._session.trust_env = False
        self._session.verify = str(_readable(server.ca_file or SYSTEM_CAS, "ca_file", server))
        login = server.login
        if login.certificate is not None and login.private_key is not None:
            pair = (_readable(login.certificate, "certificate", server), login.private_key)
            self._session.cert = (str(pair[0]), str(_readable(pair[1], "private_key", server)))
        for scheme in ("http://", "https://"):
            adapter = deadline.DeadlineAdapter(pool_connections=2, pool_maxsize=_CONNECTIONS, max_retries=0)
            self._session.mount(scheme, adapter)

    def ask(self, question: Question, api: Api, token: SecretBytes | None, *, end: float) -> Answer:
        """Send one request. Raises ProviderUnavailableError when no whole answer came until ``end``."""

        def send(method: str, url: str, params: Any, content: Any) -> Answer:
            headers = {"X-Vault-Request": "true", "Accept-Encoding": "identity"}
            namespace = self._server.namespace if question.namespace is None else question.namespace
            if namespace:
                headers["X-Vault-Namespace"] = namespace
            if token is not None:
                with token.view() as view:
                    headers["X-Vault-Token"] = str(view, "ascii")
            options = {"params": params, "json": content, "headers": headers}
            return self._exchange(question, method.upper(), self._server.address + url, options, end)

        try:
            with deadline.until(end):
                answer: Answer = api(VaultAdapter(self._session, send))
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError) as error:
            raise classify.failure(question, self._server.address, error) from None
        except ValueError as error:  # of requests, which looks where a redirect leads
            raise classify.nonsense(question, "it sends to an address that is none") from error
        return answer

    def _exchange(self, question: Question, method: str, url: str, options: Any, end: float) -> Answer:
        answer, location = self._once(question, method, url, options, end)
        target = urljoin(url, location)
        if answer.status == _REDIRECT and location and _may_be_followed(url, target):
            # The whole of it is in the new address, the query as well (RFC 9110, 15.4).
            answer, _ = self._once(question, method, target, {**options, "params": None}, end)
        return answer

    def _once(self, question: Question, method: str, url: str, options: Any, end: float) -> tuple[Answer, str]:
        with (
            self._connection(end) as left,
            self._session.request(
                method,
                url,
                timeout=min(left, self._server.timeout_seconds),
                allow_redirects=False,
                stream=True,
                **options,
            ) as response,
        ):
            content = response.raw.read(LONGEST_ANSWER_BYTES + 1)
            promised = response.headers.get("Content-Length", "")
            if promised.isdecimal() and len(content) < min(int(promised), LONGEST_ANSWER_BYTES):
                raise requests.ConnectionError("the answer was cut short")  # older urllib3 does not look
            if not content and not promised and response.status_code != _NO_CONTENT:
                # To http.client headers that break off are headers that end: 200 and nothing would be taken for
                # an answer without a key. Vault says the length of every answer, or sends it in chunks.
                raise requests.ConnectionError("the answer was cut short in its headers")
            return self._understood(question, response.status_code, content), response.headers.get("Location", "")

    @contextlib.contextmanager
    def _connection(self, end: float) -> Iterator[float]:
        """Wait for a free connection; yields the seconds that are left. Raises requests.Timeout."""
        if not self._free.acquire(timeout=max(0.0, end - self._clock())):
            raise requests.Timeout("other requests hold all connections")
        try:
            left = end - self._clock()
            if left <= 0:
                raise requests.Timeout("no time is left")
            yield left
        finally:
            self._free.release()

    def _understood(self, question: Question, status: int, content: bytes) -> Answer:
        if len(content) > LONGEST_ANSWER_BYTES:
            raise classify.nonsense(question, "the answer is longer than 1 MiB")
        if not content:
            return Answer(status)
        try:
            body = json.loads(content)
        except ValueError:
            body = None
        if isinstance(body, dict):
            return Answer(status, body)
        if 200 <= status < 300:  # an error page of a proxy in between is an answer by its status alone
            raise classify.nonsense(question, "the answer is no JSON object")
        return Answer(status)

    def close(self) -> None:
        """Close the connections."""
        self._session.close()


def _may_be_followed(url: str, target: str) -> bool:
    """The same request to another host: TLS shows that it is one of ours, and the token goes along."""
    return urlsplit(target).scheme == "https" and urlsplit(target).path == urlsplit(url).path


def _readable(path: Path, setting: str, server: VaultServer) -> Path:
    """Return the path. Raises UntrustedServerError: requests would complain in the middle of a request."""
    try:
        with path.open("rb"):
            return path
    except OSError as error:
        raise UntrustedServerError(
            f"{path}, needed for TLS with {server.address} (`{setting}`), cannot be read: {error.strerror}.",
            resolution="Put the PEM file there, readable for root, or mend [vault].",
        ) from error
