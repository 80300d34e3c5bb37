"""Commands."""

from __future__ import annotations

from collections.abc import Callable

from arker.local.engine.protocol import Engine, RunOutcome
from arker.local.engine.runs import run
from arker.local.storage.notes import Identity

from .access import Access, Principal
from .computers import Computers
from .errors import ApiError
from .idempotency import Idempotency, Once
from .translation import Sandboxes

__all__ = ["RunOutcome", "Runs"]


class Runs:
    """The runs of a deployment."""

    def __init__(
        self,
        engine: Engine,
        access: Access,
        computers: Computers,
        idempotency: Idempotency,
        sandboxes: Sandboxes,
    ) -> None:
        self._engine = engine
        self._access = access
        self._computers = computers
        self._idempotency = idempotency
        self._sandboxes = sandboxes

    async def run(
        self,
        who: Principal,
        vm_id: str,
        *,
        session_id: str,
        command: str,
        timeout: float | None,
        once: Once | None,
        answer: Callable[[RunOutcome], bytes],
    ) -> bytes:
        """Run a command; what `answer` makes of its outcome. Without `once`, cancelling the call ends the command.

        Args:
            timeout: seconds after which the command is ended; None for the engine's own limit.
        """
        self._access.owned(who, vm_id, "run in")
        if "\0" in command:
            raise ApiError("bad_request", "command: contains a NUL, which no shell can take")

        async def work() -> bytes:
            self._computers.touch(vm_id)
            with self._sandboxes.used():
                outcome = await run(self._engine, vm_id, session_id, command, timeout=timeout)
            self._computers.touch(vm_id)
            return answer(outcome)

        if once is None:
            return await work()
        identity = Identity(who.org_id, f"run:{vm_id}", once.key)
        return await self._idempotency.once(identity, once.request, work, journal=True)
