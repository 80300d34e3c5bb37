"""How a user names a computer: by its id, its name, or the beginning of its id."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

import click

from .base import Failure, is_utf8

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from arker import Arker, Computer, VmSummary

#: The beginning of an id, in upper or lower case.
_PREFIX = re.compile(r"[0-9a-hjkmnp-tv-z]{1,26}(_[0-9a-z]*)?", re.ASCII | re.IGNORECASE)


#: Seconds that a completion may take.
_PATIENCE: Final = 2


def pick(text: str, vms: Iterable[VmSummary]) -> list[VmSummary]:
    """The computers that `text` may mean: those with this name, else those whose id begins with it."""
    vms = list(vms)
    named = [vm for vm in vms if vm.name == text]
    return named or [vm for vm in vms if vm.vm_id.lower().startswith(text.lower())]


def computer(client: Arker, text: str) -> Computer:
    """The computer that `text` means.

    Raises:
        Failure: no computer or several; the message suggests similar names.
        ArkerError: they could not be listed.
    """
    found, names = _find(client, text)
    if found is None:
        raise Failure(f"there is no computer {text!r}{_near(text, names)}see `arker ls`", code="not_found")
    return found


def source(client: Arker, text: str) -> Computer:
    """What `text` means to a fork: a computer of the user, else what the deployment knows by that name."""
    found, _ = _find(client, text)
    return client.vm(text) if found is None else found


def _find(client: Arker, text: str) -> tuple[Computer | None, list[str]]:
    from arker.ids import SOURCE_ALIASES, is_vm_id

    if text in SOURCE_ALIASES or is_vm_id(text):
        return client.vm(text), []
    # Usually it is a name, and then one page is enough.
    matches = [vm for vm in client.iter_vms(q=text[:128]) if vm.name == text]
    names: list[str] = []
    if not matches:
        everything = list(client.iter_vms())
        names = [vm.name for vm in everything if vm.name]
        matches = pick(text, everything) if _PREFIX.fullmatch(text) else []
    if len(matches) > 1:
        raise Failure(f"{text!r} is ambiguous: {_several(matches)}; use an id", code="ambiguous")
    return (client.vm(matches[0]) if matches else None), names


def _several(vms: Sequence[VmSummary]) -> str:
    shown = [f"{vm.vm_id} ({vm.name})" if vm.name else vm.vm_id for vm in vms[:5]]
    return ", ".join(shown) + (f" and {len(vms) - 5} more" if len(vms) > 5 else "")


def no_source(client: Arker, text: str) -> Failure:
    """Why nothing can be forked by this name, and where to look."""
    from arker.ids import SOURCE_ALIASES

    names = [*SOURCE_ALIASES, *(vm.name for vm in client.iter_vms() if vm.name)]
    message = (
        f"there is no image and no computer {text!r}{_near(text, names)}`arker images list` and `arker ls` "
        "show what there is, and `arker images build debian` makes an image"
    )
    return Failure(message, code="not_found")


def check_new(ctx: click.Context, param: click.Parameter, name: str | None) -> str | None:
    """Refuse a name for a new computer that commands would take for something else."""
    from arker.ids import SOURCE_ALIASES, is_vm_id

    if name is None:
        return None
    if not name.strip():
        problem = "a name is not empty"
    elif is_utf8(name) and not name.isprintable():
        problem = f"{name!r} has characters that cannot be printed"
    elif name.startswith("-"):
        problem = f"{name!r} looks like an option"
    elif is_vm_id(name.upper()):
        problem = f"{name!r} looks like an id"
    elif name in SOURCE_ALIASES:
        problem = f"{name!r} is a base image"
    elif ":" in name or "/" in name:
        problem = f"{name!r} has a `:` or `/`, and `arker cp` could not tell it from a path"
    else:
        return name
    raise click.BadParameter(f"{problem}; choose another name", ctx, param)


def _near(text: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(text, names, n=1, cutoff=0.7)
    return f"; did you mean {near[0]!r}? " if near else "; "


def complete(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names and ids that begin with the text so far; nothing where the deployment does not answer in time."""
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
    """Like `complete`, with the base images."""
    from click.shell_completion import CompletionItem

    from arker.ids import SOURCE_ALIASES

    images = [
        CompletionItem(alias, help="base image") for alias in SOURCE_ALIASES if alias.startswith(incomplete)
    ]
    return images + complete(ctx, param, incomplete)
