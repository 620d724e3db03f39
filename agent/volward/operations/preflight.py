"""preflight: whether this host opens its volumes at the next boot without a person, tried now; changes nothing.

Opening is planned as the boot will plan it, and what the plan refuses is a failure. Every provider is asked for its key
and every key is tried at its keyslot (`cryptsetup open --test-passphrase`), by the very login that the boot will use.
What a boot changes (the PCRs that a new kernel or firmware measures) is not known before.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from volward import lock
from volward.errors import BusyError, KeyDeniedError, VolwardError
from volward.host import listener
from volward.keys.ages import TYPED
from volward.keys.providers import Providers
from volward.keys.vault import library
from volward.logins import EARLY_SECONDS
from volward.model import Goal, Observation, ProviderKind, StoreKind, VaultServer, VolumeSpec
from volward.observe import observe
from volward.operations import backup_openers, login_life
from volward.operations.enrolment import provable_header
from volward.operations.prepare import plan_for
from volward.operations.proof import Tried, try_each
from volward.operations.status import look_at
from volward.os_errors import explained
from volward.plan import order
from volward.plan.device import present_device
from volward.plan.order import Need
from volward.report import preflight as report
from volward.report.preflight import HOST, Check, Verdict

DAY_SECONDS = 24 * 3600
_AT_ONCE = 8


def preflight(specs: Sequence[VolumeSpec], *, deadline_seconds: float) -> tuple[Check, ...]:
    """Return every check, the host's first, then volume by volume in the order given.

    ``deadline_seconds`` bounds how long each provider of each volume may take.
    """
    seen = look_at(specs)
    tested = [one.spec for one in seen if report.can_be_opened(one)]
    with Providers() as providers:
        with ThreadPoolExecutor(max_workers=_AT_ONCE) as pool:
            openings = dict(
                zip(
                    (spec.name for spec in tested),
                    pool.map(lambda spec: _Opening(spec, providers, deadline_seconds), tested),
                    strict=True,
                )
            )
        needs = list(order.of_files(specs))
        checks = list(_vault(tested, openings, providers, deadline_seconds, needs))
        checks += _circle(needs)
    for one in seen:
        found = report.of_volume(one)
        if one.spec.name in openings:
            found += openings[one.spec.name].checks()
        checks += report.as_the_boot_sees(one.spec, found)
    return tuple(checks)


class _Opening:
    """How opening one volume would go: what the plan refuses, and what the providers did when they were tried."""

    def __init__(self, spec: VolumeSpec, providers: Providers, deadline_seconds: float) -> None:
        self.spec = spec
        self.tried: tuple[Tried, ...] = ()
        self.of_backups: tuple[Check, ...] = ()
        self.refusal: VolwardError | None = None
        self.error: VolwardError | None = None
        self.busy: VolwardError | None = None
        try:
            with explained(f"Testing the keys of {spec.name}"), ExitStack() as stack:
                try:
                    stack.enter_context(lock.held(spec.name))
                except BusyError as error:  # the daily rotation, say: its volume opens all the same
                    self.busy = error
                seen = observe(spec, to_open=True)
                self._plan(seen)
                if self.busy is None and spec.store is not StoreKind.SCRATCH:
                    header, node = provable_header(spec, seen), present_device(spec, seen).node
                    self.tried = tuple(try_each(spec, header, node, providers, deadline_seconds=deadline_seconds))
                    answering = {one.provider for one in self.tried if not one.why_not and not one.asks}
                    self.of_backups = tuple(
                        backup_openers.check(spec, providers, answering, deadline_seconds=deadline_seconds)
                    )
        except VolwardError as error:
            self.error = error

    def _plan(self, seen: Observation) -> None:
        try:
            plan_for(self.spec, seen, Goal.OPEN, can_hand_over_recovery=False)
        except VolwardError as error:
            self.refusal = error

    def depends_on(self, kind: ProviderKind) -> bool:
        """Whether no other provider was shown to open it at a boot; unknown while it was not tried."""
        return self.busy is None and not self.opens_without(kind)

    def opens_without(self, *kinds: ProviderKind) -> bool:
        """Whether a provider that needs no person, and is none of these, opens the volume at a boot."""
        for one in self.tried:
            if one.denied and self.spec.on_denied_stop:
                return False
            if not one.why_not and not one.asks and one.provider not in kinds:
                return True
        return False

    def checks(self) -> Iterator[Check]:
        """Return what opening it would meet."""
        name = self.spec.name
        if self.refusal is not None:
            yield Check(name, "volume", Verdict.FAILED, self.refusal.what, self.refusal.resolution)
        if self.error is not None:
            yield Check(name, "keys", Verdict.FAILED, self.error.what, self.error.resolution)
        elif self.busy is not None:
            yield Check(name, "keys", Verdict.WARNING, f"not tried: {self.busy.what}", self.busy.resolution)
        elif self.spec.store is not StoreKind.SCRATCH:
            yield from self._of_keys()
            yield from self.of_backups

    def _of_keys(self) -> Iterator[Check]:
        name = self.spec.name
        opens = self.opens_without()
        for one in self.tried:
            what = f"key of {one.provider}"
            if one.asks:
                yield Check(name, what, Verdict.PASSED, "asks a person, so it is no help at a boot; not tried")
            elif one.why_not:
                verdict = Verdict.WARNING if opens else Verdict.FAILED
                mend = one.resolution or f"`volward status {name}` shows the keyslots."
                yield Check(name, what, verdict, one.why_not, mend)
            elif one.doubt:
                found = f"opens a keyslot, and not by its newest key: {one.doubt}"
                yield Check(name, what, Verdict.WARNING, found, f"`volward rotate {name}` makes a new one.")
            else:
                yield Check(name, what, Verdict.PASSED, "opens its keyslot")
        if not opens:
            stop = " A denial stops the chain (`on_denied`)." if self.spec.on_denied_stop else ""
            mend = "Mend one of the above before the next boot."
            if TYPED.issuperset(self.spec.providers):
                mend = "Its keys are all typed. If that is meant: `open_at_boot = false`; if not, add a provider."
            yield Check(name, "keys", Verdict.FAILED, f"no provider opens it without a person.{stop}", mend)


def _vault(
    specs: Sequence[VolumeSpec],
    openings: dict[str, _Opening],
    providers: Providers,
    deadline_seconds: float,
    needs: list[Need],
) -> Iterator[Check]:
    """Look at each server; what has to be open before what, because of one on this host, is added to ``needs``."""
    servers: dict[VaultServer, list[VolumeSpec]] = {}
    for spec in specs:
        if ProviderKind.VAULT in spec.providers and spec.vault is not None:
            servers.setdefault(spec.vault.server, []).append(spec)
    for server, users in servers.items():
        alone = [spec for spec in users if openings[spec.name].depends_on(ProviderKind.VAULT)]
        yield _login(server, providers, alone, deadline_seconds)
        if listener.is_here(server.address):
            files = listener.files_of(server.address)
            holding = [one for one in specs if one.mount_point and any(_is_below(f, one.mount_point) for f in files)]
            needs += order.of_vault(alone, holding, server.address)
            yield _lives_here(users, {spec.name for spec in holding}, seen=bool(files), alone=alone)


def _circle(needs: Sequence[Need]) -> Iterator[Check]:
    """Several volumes that wait for one another; one that waits for itself is told of with its Vault."""
    found = order.circle(one for one in needs if one.volume != one.other)
    if found:
        names = ", ".join(one.volume for one in found)
        mend = f'Give one of {names} a provider of this host (`keys = ["credential"]`), or another device.'
        yield Check(HOST, "order of opening", Verdict.FAILED, order.sentence(found), mend)


def _bad_for(alone: Sequence[VolumeSpec]) -> Verdict:
    """Return how bad it is when Vault does not answer the boot; ``alone`` are the volumes that only Vault opens."""
    return Verdict.FAILED if any(spec.open_at_boot for spec in alone) else Verdict.WARNING


def _login(server: VaultServer, providers: Providers, alone: Sequence[VolumeSpec], deadline_seconds: float) -> Check:
    """Log in as the boot will, and look how long that is going to work. ``alone``: volumes that only Vault opens."""
    what, bad = f"vault {server.address}", _bad_for(alone)
    try:
        session = login_life.log_in(server, providers, deadline_seconds=deadline_seconds)
    except ImportError as error:
        missing = library.missing(error)
        return Check(HOST, what, bad, missing.what, missing.resolution)
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


def _lives_here(users: Sequence[VolumeSpec], holding: set[str], *, seen: bool, alone: Sequence[VolumeSpec]) -> Check:
    """A Vault whose own data are on a volume that only Vault opens never starts again after a reboot.

    ``holding`` are the volumes that its data are on; ``seen``: whether it could be seen where they are.
    """
    what = "vault on this host"
    below = {spec.name for spec in users} & holding
    if deadlocked := sorted((spec for spec in alone if spec.name in below), key=lambda spec: spec.name):
        name = deadlocked[0].name
        return Check(
            HOST,
            what,
            _bad_for(deadlocked),
            f"Vault's own data are on {name}, which only Vault opens: after a reboot neither starts",
            f'Give {name} a provider of this host: `keys = ["credential"]`, then `volward apply {name}`.',
        )
    if below:
        found = f"Vault's own data are on {', '.join(sorted(below))}, which another provider opens as well"
        return Check(HOST, what, Verdict.WARNING, found, "Put that provider first, so that the boot does not wait.")
    if not seen:
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
