"""Whether the stores' keys open the header backups that there are, tried now; changes nothing.

A key for backups can go while unlocking keys are well: deleted in its store, or wrapped by a version of Vault's transit
key that was forbidden since.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from volward.errors import VolwardError
from volward.header_backup import files, recipients, sealing
from volward.header_backup.facts import Facts, Recipient
from volward.keys.providers import Providers
from volward.model import ProviderKind, VolumeSpec
from volward.os_errors import explained
from volward.report.preflight import Check, Verdict

WHAT = "header backup keys"


@dataclass
class _Opener:
    """A key, a backup that it should open (the newest), and how many there are."""

    recipient: Recipient
    facts: Facts
    backups: int = 0


def check(
    spec: VolumeSpec, providers: Providers, answering: Collection[ProviderKind], *, deadline_seconds: float
) -> Iterator[Check]:
    """Yield what is to be said of the volume's header backups; nothing where no store is to open one.

    Only stores that are ``answering`` are asked; of the others it was said already that they are away.
    """
    try:
        with explained(f"Reading the header backups of {spec.name}"):
            openers = _openers(spec, answering)
    except VolwardError as error:
        yield Check(spec.name, WHAT, Verdict.WARNING, error.what, error.resolution)
        return
    failed = [said for one in openers if (said := _failure(one, spec, providers, deadline_seconds))]
    if failed:
        again = f"`volward header backup {spec.name}` makes one that the present keys open; what a store has lost it"
        yield Check(spec.name, WHAT, Verdict.WARNING, "; ".join(failed), f"{again} does not bring back.")
    elif openers:
        yield Check(spec.name, WHAT, Verdict.PASSED, "open every header backup that is kept")


def _openers(spec: VolumeSpec, answering: Collection[ProviderKind]) -> list[_Opener]:
    """Return each key once, in each form in which a backup names it."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], _Opener] = {}
    for _, facts in files.backups(spec.header_backups, spec.name):
        for one in facts.recipients:
            if one.ref.provider in answering and not one.is_recovery:
                form = str(one.ref), tuple(sorted(one.ref.details.items()))
                found.setdefault(form, _Opener(one, facts)).backups += 1
    return list(found.values())


def _failure(opener: _Opener, spec: VolumeSpec, providers: Providers, deadline_seconds: float) -> str:
    """Return why the key does not open its backups; "" when it does."""
    one = opener.recipient
    try:
        with recipients.read(one.ref, spec, providers, deadline_seconds) as key:
            sealing.data_key(one, key, luks_uuid=opener.facts.luks_uuid).wipe()
    except VolwardError as error:
        return f"{opener.backups} not opened by {one.ref}: {error.what.rstrip('.')}"
    return ""
