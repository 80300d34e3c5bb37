"""Runs commands and waits for their results."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from arker.local.engine.protocol import Engine, RunMissing, RunOutcome
from arker.local.engine.runs import COLLECTED, collect, new_run_id, running
from arker.local.storage.notes import Identity

from .access import Access, Principal
from .activity import Activity
from .computers import Computers
from .errors import ApiError
from .idempotency import Idempotency, Once
from .semaphores import ByteSemaphores
from .translation import Sandboxes, api_errors
from .turns import Turns

__all__ = ["Early", "RunOutcome", "Runs", "run_identity"]

#: Seconds for which a cancellation that arrives before its run is remembered, and the maximum number of them.
EARLY: Final = 30.0
_MOST_EARLY: Final = 10_000
#: Bytes of output collected and rendered at once, for one organization and for all together.
MAX_OUTPUTS: Final = 64 * 1024 * 1024
MAX_ALL_OUTPUTS: Final = 128 * 1024 * 1024
#: Output up to this size (bytes) is not counted against these limits, and is rendered on the event loop.
SMALL: Final = 64 * 1024


class Early:
    """Cancellations by Idempotency-Key that arrived before their runs, which do not start then."""

    def __init__(self) -> None:
        self._until: OrderedDict[Identity, float] = OrderedDict()

    def add(self, identity: Identity) -> None:
        """Keep a run from starting for `EARLY` seconds."""
        self._until[identity] = time.monotonic() + EARLY
        while len(self._until) > _MOST_EARLY:
            self._until.popitem(last=False)

    def check(self, identity: Identity) -> None:
        """Check that a run may start.

        Raises:
            ApiError: `conflict`, because it was cancelled.
        """
        if self.taken(identity):
            raise ApiError("conflict", "this run was cancelled before it started", resource="run")

    def taken(self, identity: Identity) -> bool:
        """Return whether a run was cancelled, and forget that."""
        return self._until.pop(identity, 0) > time.monotonic()


class Runs:
    """Runs commands in the computers of a deployment."""

    def __init__(
        self,
        engine: Engine,
        access: Access,
        computers: Computers,
        idempotency: Idempotency,
        sandboxes: Sandboxes,
        turns: Turns,
        activity: Activity,
    ) -> None:
        self._engine = engine
        self._access = access
        self._computers = computers
        self._idempotency = idempotency
        self._sandboxes = sandboxes
        self._turns = turns
        self._activity = activity
        #: Limits the bytes of output that is being rendered.
        self.outputs: ByteSemaphores = ByteSemaphores(MAX_OUTPUTS, MAX_ALL_OUTPUTS)
        #: The engine's run under each Idempotency-Key.
        self._under_way: dict[Identity, str] = {}
        #: Cancellations that arrived before their runs.
        self.early: Early = Early()

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
        """Run a command; return what `answer` makes of its outcome. Without `once`, cancelling the call ends the
        command.

        Args:
            timeout: seconds after which the command is ended; None for the engine's own limit.
        """
        vm_id = self._access.owned(who, vm_id, "run in").vm_id
        check_command(command)

        run_id = new_run_id()

        async def work() -> bytes:
            self._computers.touch(vm_id)
            # The engine decides whether the session is busy: the command that occupies it may be ending.
            taken = self._turns.taken(vm_id, session_id)
            async with contextlib.nullcontext() if taken else self._turns.turn(vm_id, session_id):
                with self._sandboxes.used():
                    async with running(
                        self._engine, vm_id, session_id, command, timeout=timeout, run_id=run_id
                    ) as handle:
                        end = await handle.wait()
                        self._activity.ran(who, vm_id, run_id, session_id, command, end)
                        size = min(end.stdout_bytes, COLLECTED) + min(end.stderr_bytes, COLLECTED)
                        self._computers.touch(vm_id)
                        if size <= SMALL:
                            return answer(await collect(handle))
                        # Until now the output is on the engine's disk. Many large outputs are loaded into memory one
                        # after another.
                        async with self.outputs.held(who.org_id, size):
                            return await asyncio.to_thread(answer, await collect(handle))

        if once is None:
            return await work()
        identity = run_identity(who, vm_id, once.key)
        self.early.check(identity)

        async def named() -> bytes:
            self._under_way[identity] = run_id
            try:
                return await work()
            finally:
                del self._under_way[identity]

        return await self._idempotency.once(identity, once.request, named, journal=True)

    async def cancel(self, who: Principal, vm_id: str, key: str) -> bool:
        """Cancel the run requested under an Idempotency-Key, with all its processes; return False when it has ended.

        Returns when the engine has accepted the request. An unknown key is remembered for `EARLY` seconds, during
        which a run under it does not start, because a cancellation may arrive before its run.
        """
        vm_id = self._access.owned(who, vm_id, "run in").vm_id
        identity = run_identity(who, vm_id, key)
        if (run_id := self._under_way.get(identity)) is not None:
            with api_errors(), contextlib.suppress(RunMissing):
                await (await self._engine.run_of(vm_id, run_id)).cancel()
                return True
        # No command was started.
        if self._idempotency.cancel(identity):
            return True
        if self._idempotency.known(identity):
            return False
        self.early.add(identity)
        return True


def check_command(command: str) -> None:
    """Raise an ApiError for a command that no shell can take."""
    if "\0" in command:
        raise ApiError("bad_request", "command: contains a NUL character")


def run_identity(who: Principal, vm_id: str, key: str) -> Identity:
    """Return what identifies a run by its Idempotency-Key."""
    return Identity(who.org_id, f"run:{vm_id}", key)
