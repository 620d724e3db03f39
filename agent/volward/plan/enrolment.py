"""The actions that give a header its keys: a token for what opens it, the other providers, a recovery key."""

from volward.errors import UnfinishedOperationError
from volward.model import Action, Header, Observation, ProviderKind, Step, VolumeSpec
from volward.plan.operation import current_operation
from volward.plan.orphan import removing
from volward.plan.ownership import Ownership


def enrolling(spec: VolumeSpec, seen: Observation, owned: Ownership, *, can_hand_over_recovery: bool) -> list[Action]:
    header = seen.header if owned is Ownership.OURS else None
    primary = first_source(spec)
    actions = removing(seen) if owned is Ownership.OURS else []
    fresh = header is None or not any(token.provider and token.keyslots for token in header.tokens)
    if fresh:
        _refuse_key_of_another_provider(spec, seen, owned, primary)
        actions.append(
            Action(
                Step.WRITE_TOKEN, f"write into the header that {primary} opens it",
                "the header says which key opens it, wherever the disk goes", provider=primary,
            )
        )  # fmt: skip
    for provider in spec.providers:
        if provider is ProviderKind.TPM2:
            if not _opens(header, provider) or _was_cut(seen, f"{Step.ENROL_TPM2}:{provider}"):
                pcrs = "+".join(map(str, spec.tpm2_pcrs))
                actions.append(
                    Action(Step.ENROL_TPM2, f"enrol the TPM (PCR {pcrs})", "the volume lists tpm2", provider=provider)
                )
        elif not (fresh and provider is primary) and not _described(header, provider):
            actions.append(
                Action(Step.ENROL_KEY, f"enrol a key of {provider}", f"the volume lists {provider}", provider=provider)
            )
    if can_hand_over_recovery and not seen.recovery_confirmed:
        actions.append(
            Action(
                Step.ENROL_RECOVERY, "enrol a recovery key",
                "every header has one that a person can type", provider=ProviderKind.RECOVERY,
            )
        )  # fmt: skip
    return actions


def _refuse_key_of_another_provider(
    spec: VolumeSpec, seen: Observation, owned: Ownership, primary: ProviderKind
) -> None:
    """A token must not name another provider than the one whose key the format used."""
    unfinished = current_operation(seen)
    if owned is not Ownership.OURS or unfinished is None:
        return
    created = {name for name in unfinished.steps_begun if name.startswith(f"{Step.CREATE_KEY}:")}
    if f"{Step.CREATE_KEY}:{primary}" not in created:
        used = ", ".join(name.partition(":")[2] for name in sorted(created)) or "another provider"
        raise UnfinishedOperationError(
            f"{spec.name} was formatted with a key of {used}, and now {primary} comes first in its configuration.",
            resolution=f"Put {used} first until `volward apply` has ended; then change it.",
        )


def _was_cut(seen: Observation, name: str) -> bool:
    """The step ran and is not known to be done: what it wrote is not proven to open the volume."""
    unfinished = current_operation(seen)
    return unfinished is not None and name in unfinished.steps_begun - unfinished.steps_done


def first_source(spec: VolumeSpec) -> ProviderKind:
    """Return the first provider that yields a key; the configuration guarantees one."""
    return next(provider for provider in spec.providers if provider is not ProviderKind.TPM2)


def _described(header: Header | None, provider: ProviderKind) -> bool:
    return header is not None and any(token.provider == provider and token.keyslots for token in header.tokens)


def _opens(header: Header | None, provider: ProviderKind) -> bool:
    return header is not None and any(token.opened_by == provider and token.keyslots for token in header.tokens)
