"""What a user may call a computer: its id, its name, or the beginning of its id."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import click

from .base import Failure

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from arker import Arker, Computer, VmSummary

#: The beginning of an id, in any case.
_PREFIX = re.compile(r"[0-9a-hjkmnp-tv-z]{1,26}(_[0-9a-z]*)?", re.ASCII | re.IGNORECASE)


#: Seconds that whoever presses Tab waits at most.
_PATIENCE: Final = 2


def pick(text: str, vms: Iterable[VmSummary]) -> list[VmSummary]:
    """The computers that `text` may mean: those of this name, else those whose id begins so."""
    vms = list(vms)
    named = [vm for vm in vms if vm.name == text]
    return named or [vm for vm in vms if vm.vm_id.lower().startswith(text.lower())]


def computer(client: Arker, text: str) -> Computer:
    """The computer that `text` means.

    Raises:
        Failure: no computer or several, with what comes near.
        ArkerError: they could not be listed.
    """
    found, names = _find(client, text)
    if found is None:
        raise Failure(f"there is no computer {text!r}{_near(text, names)}; see `arker ls`", code="not_found")
    return found


def source(client: Arker, text: str) -> Computer:
    """What `text` means to a fork: a computer of one's own, else what the deployment knows by that name."""
    found, _ = _find(client, text)
    return client.vm(text) if found is None else found


def _find(client: Arker, text: str) -> tuple[Computer | None, list[str]]:
    from arker.ids import SOURCE_ALIASES, is_vm_id

    if text in SOURCE_ALIASES or is_vm_id(text):
        return client.vm(text), []
    # Most often it is a name, and then one page will do.
    matches = [vm for vm in client.iter_vms(q=text[:128]) if vm.name == text]
    names: list[str] = []
    if not matches:
        everything = list(client.iter_vms())
        names = [vm.name for vm in everything if vm.name]
        matches = pick(text, everything) if _PREFIX.fullmatch(text) else []
    if len(matches) > 1:
        raise Failure(
            f"{text!r} is ambiguous: {_several(matches)}; use an id that is only one's", code="ambiguous"
        )
    return (client.vm(matches[0]) if matches else None), names


def _several(vms: Sequence[VmSummary]) -> str:
    shown = [f"{vm.vm_id} ({vm.name})" if vm.name else vm.vm_id for vm in vms[:5]]
    return ", ".join(shown) + (f" and {len(vms) - 5} more" if len(vms) > 5 else "")


def _near(text: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.7)
    return f"; did you mean {near[0]!r}?" if near else ""


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names and ids that begin as what is typed so far; nothing when they cannot be had at once."""
    from click.shell_completion import CompletionItem

    from arker.errors import ArkerError

    from . import deployments

    try:
        deployment = deployments.find(ctx.params.get("profile"), ask=False)
        with deployment.connect(timeout=_PATIENCE, retry=None) as client:
            page = client.list(limit=100)
    except (Failure, ArkerError, OSError):
        return []
    items = [CompletionItem(vm.name, help=vm.vm_id) for vm in page if vm.name]
    items += [CompletionItem(vm.vm_id, help=vm.name) for vm in page]
    return [item for item in items if item.value.lower().startswith(incomplete.lower())]


def complete_source(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """As `complete`, and the base images."""
    from click.shell_completion import CompletionItem

    from arker.ids import SOURCE_ALIASES

    images = [
        CompletionItem(alias, help="base image") for alias in SOURCE_ALIASES if alias.startswith(incomplete)
    ]
    return images + complete(ctx, param, incomplete)
