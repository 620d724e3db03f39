"""preflight: whether this host opens its volumes at the next boot without a person, tried now; changes nothing.

Every provider is asked for its key and every key is tried at its keyslot (`cryptsetup open --test-passphrase`), by the
very login that the boot will use. What a boot changes (the PCRs that a new kernel or firmware measures) is not known
before.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from volward import lock
from volward.errors import KeyDeniedError, VolwardError
from volward.host import listener
from volward.keys.providers import Providers
from volward.logins import EARLY_SECONDS
from volward.model import ProviderKind, StoreKind, VaultServer, VolumeSpec
from volward.observe import observe
from volward.operations import login_life
from volward.operations.enrolment import provable_header
from volward.operations.proof import Tried, try_each
from volward.operations.status import look_at
from volward.os_errors import explained
from volward.plan.device import present_device
from volward.report import preflight as report
from volward.report.preflight import HOST, Check, Verdict

DAY_SECONDS = 24 * 3600
_AT_ONCE = 8


def preflight(specs: Sequence[VolumeSpec], *, deadline_seconds: float) -> tuple[Check, ...]:
    """Return every check, the host's first, then volume by volume in the order given.

    ``deadline_seconds`` bounds how long each provider of each volume may take.
    """
    seen = look_at(specs)
    tested = [one.spec for one in seen if report.can_be_opened(one) and one.spec.store is not StoreKind.SCRATCH]
    with Providers() as providers:
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            keys = dict(
                zip(
                    (spec.name for spec in tested),
                    pool.map(lambda spec: _Keys(spec, providers, deadline_seconds), tested),
                    strict=True,
                )
            )
        checks = list(_vault(tested, keys, providers, deadline_seconds))
    for one in seen:
        checks += report.of_volume(one)
        if one.spec.name in keys:
            checks += keys[one.spec.name].checks()
    return tuple(checks)


class _Keys:
    """What the providers of one volume did when they were tried."""

    def __init__(self, spec: VolumeSpec, providers: Providers, deadline_seconds: float) -> None:
        self.spec = spec
        self.tried: tuple[Tried, ...] = ()
        self.error: VolwardError | None = None
        try:
            with explained(f"Testing the keys of {spec.name}"), lock.held(spec.name):
                seen = observe(spec, to_open=True)
                header, node = provable_header(spec, seen), present_device(spec, seen).node
                self.tried = tuple(try_each(spec, header, node, providers, deadline_seconds=deadline_seconds))
        except VolwardError as error:
            self.error = error

    def opens_without(self, *kinds: ProviderKind) -> bool:
        """Whether a provider that needs no person, and is none of these, opens the volume at a boot."""
        for one in self.tried:
            if one.denied and self.spec.on_denied_stop:
                return False
            if not one.why_not and not one.asks and one.provider not in kinds:
                return True
        return False

    def checks(self) -> Iterator[Check]:
        name = self.spec.name
        if self.error is not None:
            yield Check(name, "keys", Verdict.FAILED, self.error.what, self.error.resolution)
            return
        opens = self.opens_without()
        for one in self.tried:
            what = f"key of {one.provider}"
            if one.asks:
                yield Check(name, what, Verdict.PASSED, "asks a person, so it is no help at a boot; not tried")
            elif one.why_not:
                verdict = Verdict.WARNING if opens else Verdict.FAILED
                mend = one.resolution or f"`volward status {name}` shows the keyslots."
                yield Check(name, what, verdict, one.why_not, mend)
            else:
                yield Check(name, what, Verdict.PASSED, "opens its keyslot")
        if not opens:
            stop = " A denial stops the chain (`on_denied`)." if self.spec.on_denied_stop else ""
            yield Check(
                name,
                "keys",
                Verdict.FAILED,
                f"no provider opens it without a person.{stop}",
                "Mend one of the above before the next boot.",
            )


def _vault(
    specs: Sequence[VolumeSpec], keys: dict[str, _Keys], providers: Providers, deadline_seconds: float
) -> Iterator[Check]:
    servers: dict[VaultServer, list[VolumeSpec]] = {}
    for spec in specs:
        if ProviderKind.VAULT in spec.providers and spec.vault is not None:
            servers.setdefault(spec.vault.server, []).append(spec)
    for server, users in servers.items():
        alone = [spec.name for spec in users if not keys[spec.name].opens_without(ProviderKind.VAULT)]
        yield _login(server, providers, alone, deadline_seconds)
        if listener.is_here(server.address):
            yield _lives_here(server, users, alone)


def _login(server: VaultServer, providers: Providers, alone: Sequence[str], deadline_seconds: float) -> Check:
    """Log in as the boot will, and look how long that is going to work. ``alone``: volumes that only Vault opens."""
    what, bad = f"vault {server.address}", Verdict.FAILED if alone else Verdict.WARNING
    try:
        session = providers.session(server)
        session.token(deadline_seconds=deadline_seconds)
    except ImportError:
        return Check(HOST, what, bad, "its client is not installed", "apt install python3-hvac")
    except VolwardError as error:
        return Check(HOST, what, bad, error.what, error.resolution)
    try:
        left = login_life.ask(server, providers, deadline_seconds=deadline_seconds)
    except KeyDeniedError as error:
        what_not = f"the login works; how long it will is not to be told: {error.what}"
        return Check(HOST, what, Verdict.WARNING, what_not, error.resolution)
    except VolwardError as error:
        return Check(HOST, what, bad, error.what, error.resolution)
    renew = "Make a new secret id, and seal it: docs/how-to/vault.md, or `volward vault policy`."
    if left.secret_id_seconds is not None and left.secret_id_seconds < EARLY_SECONDS:
        days = int(left.secret_id_seconds // DAY_SECONDS)
        return Check(HOST, what, Verdict.WARNING, f"the login works; its secret id expires in {days} days", renew)
    if left.secret_id_uses:
        uses = f"the login works; its secret id has {left.secret_id_uses} uses left"
        return Check(HOST, what, bad if left.secret_id_uses == 1 else Verdict.WARNING, uses, renew)
    if not session.login.can_be_repeated and not left.token_renewable and left.token_seconds is not None:
        return Check(
            HOST,
            what,
            Verdict.WARNING,
            f"the token ends in {int(left.token_seconds // 3600)} h and cannot be renewed",
            "Use a login that a boot can repeat: AppRole, a certificate or a JWT.",
        )
    ends = f"for {int(left.secret_id_seconds // DAY_SECONDS)} more days" if left.secret_id_seconds else "without an end"
    return Check(HOST, what, Verdict.PASSED, f"the login works, {ends}" if left.secret_id_known else "the login works")


def _lives_here(server: VaultServer, users: Sequence[VolumeSpec], alone: Sequence[str]) -> Check:
    """A Vault whose own data are on a volume that only Vault opens never starts again after a reboot."""
    what = "vault on this host"
    files = listener.files_of(server.address)
    below = {spec.name for spec in users if spec.mount_point and any(_is_below(one, spec.mount_point) for one in files)}
    if deadlocked := sorted(below & set(alone)):
        name = deadlocked[0]
        return Check(
            HOST,
            what,
            Verdict.FAILED,
            f"Vault's own data are on {name}, which only Vault opens: after a reboot neither starts",
            f'Give {name} a provider of this host: `keys = ["credential"]`, then `volward apply {name}`.',
        )
    if below:
        found = f"Vault's own data are on {', '.join(sorted(below))}, which another provider opens as well"
        return Check(HOST, what, Verdict.WARNING, found, "Put that provider first, so that the boot does not wait.")
    if not files:
        return Check(
            HOST,
            what,
            Verdict.WARNING,
            "Vault runs on this host, and where it keeps its data could not be seen",
            f"They must not be on {', '.join(spec.name for spec in users)}, which need it.",
        )
    return Check(HOST, what, Verdict.PASSED, "Vault runs on this host, and keeps its data on no volume that needs it")


def _is_below(path: Path, directory: Path) -> bool:
    return path.is_relative_to(directory)
