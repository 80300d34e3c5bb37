"""`Idempotency-Key`: a request under a key is carried out once, and every repeat gets the answer of the first.

* While the first request is running, a repeat waits for it.
* Answers are kept for 24 hours, across restarts. A run's answer is kept up to `MAX_ANSWER` bytes, and all
  answers together up to `MAX_ANSWERS`. Beyond that only the key is kept, so that nothing ever
  runs twice.
* A run is noted before it starts. If the deployment dies in between, its key answers that the outcome is
  unknown.
* A fork is noted in the transaction that creates the computer's row, so it needs no note beforehand.
* A run without waiting requests is ended after `GRACE` seconds, unless a repeat arrives.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, NamedTuple

from arker.local.storage.notes import Ended, Identity, Note, Notes

from .errors import ApiError
from .translation import api_errors

log: logging.Logger = logging.getLogger("arker.idempotency")

LIFETIME_MS: Final = 24 * 3600 * 1000
MAX_ANSWER: Final = 1024 * 1024
MAX_ANSWERS: Final = 256 * 1024 * 1024
GRACE: Final = 30.0
#: Seconds within which an answer is saved.
SAVED_WITHIN: Final = 0.02

#: Errors after which the command definitely did not start: the key stays free.
_NOT_STARTED: Final = frozenset({"bad_request", "not_found", "forbidden", "vm_busy", "unavailable"})

_UNKNOWN: Final = (
    "the command was started under this Idempotency-Key, and its outcome is unknown: the deployment stopped, "
    "or no request waited for it any more. It is not run again; look at what it left, or use another key"
)
_NEVER: Final = "the request under this Idempotency-Key was cancelled before it began"
_UNKEPT: Final = (
    "the command ran under this Idempotency-Key, but its output was too large to be kept; it is not run again"
)


class Once(NamedTuple):
    """What identifies a request that is carried out once: its Idempotency-Key, and a digest of its content."""

    key: str
    request: bytes


@dataclass(slots=True)
class _Pending:
    request: bytes
    task: asyncio.Task[bytes]
    #: Where the requests wait for its answer.
    waiting: list[asyncio.Future[bytes]] = field(default_factory=list)

    def tell(self, answer: bytes) -> None:
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_result(answer)

    def fail(self, error: BaseException) -> None:
        for waiter in self.waiting:
            if not waiter.done():
                waiter.set_exception(error)


class Idempotency:
    """The idempotency keys of a deployment."""

    def __init__(self, notes: Notes) -> None:
        self._notes = notes
        self._pending: dict[Identity, _Pending] = {}
        self._saves: set[asyncio.Task[Any]] = set()
        #: Requests whose end is not saved yet, which `_pending` still answers; and the timer that saves it.
        self._ended: dict[Identity, Ended] = {}
        self._timer: asyncio.TimerHandle | None = None
        #: Bytes kept since the last sweep.
        self._unswept = 0

    async def start(self) -> None:
        """Mark requests that were running when the last process ended as having an unknown outcome."""
        await self._notes.lose_started()

    async def once(
        self, identity: Identity, request: bytes, work: Callable[[], Awaitable[bytes]], *, journal: bool
    ) -> bytes:
        """Return what `work` returns, or the answer kept under this key.

        `request` is a digest of the request. With `journal` the key is noted before `work` starts and its
        answer afterwards; otherwise `work` notes its answer itself and leaves nothing behind when
        it fails.

        Raises:
            ApiError: `idempotency_conflict` when the key was used with another request, `conflict` when it
                has no answer, and whatever `work` raises.
        """
        pending = self._pending.get(identity)
        if pending is None:
            note = self._notes.find(identity)
            if note is not None:
                return _replay(note, request)
            task = asyncio.create_task(
                self._journaled(identity, request, work) if journal else self._plain(identity, work)
            )
            pending = self._pending[identity] = _Pending(request, task)
            task.add_done_callback(partial(self._done, identity, pending, journal))
        elif pending.request != request:
            raise conflicting()
        elif pending.task.done() and not pending.task.cancelled():
            return pending.task.result()
        waiter: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        pending.waiting.append(waiter)
        try:
            return await waiter
        finally:
            pending.waiting.remove(waiter)
            if not pending.waiting and not pending.task.done():
                asyncio.get_running_loop().call_later(GRACE, _abandon, pending)

    def _done(self, identity: Identity, pending: _Pending, journal: bool, task: asyncio.Task[bytes]) -> None:
        # With `journal`, only a task that was cancelled before it began is cancelled, and has not done this itself.
        if not journal or task.cancelled():
            self._pending.pop(identity, None)
        if task.cancelled():
            pending.fail(ApiError("conflict", _NEVER) if journal else asyncio.CancelledError())
        # Retrieve the exception: if no request is left waiting, it is not an error.
        elif (error := task.exception()) is not None:
            pending.fail(error)

    async def _plain(self, identity: Identity, work: Callable[[], Awaitable[bytes]]) -> bytes:
        answer = await work()
        self._pending[identity].tell(answer)
        return answer

    async def _journaled(
        self, identity: Identity, request: bytes, work: Callable[[], Awaitable[bytes]]
    ) -> bytes:
        try:
            with api_errors():
                ended = list(self._ended.values())
                await self._notes.add(Note(identity, request, "started", None), ended)
                self._saved(ended)
            answer = await work()
        except BaseException as error:
            try:
                if isinstance(error, ApiError) and error.code in _NOT_STARTED:
                    await self._notes.forget(identity)
                else:
                    await self._notes.end([Ended(identity, "unknown", None)])
            finally:
                self._pending.pop(identity, None)
            if isinstance(error, asyncio.CancelledError):
                # Only this task was cancelled, not the requests that may wait for it.
                raise ApiError("conflict", _UNKNOWN) from None
            raise
        # The answer need not wait for the note: until that is saved, with the next one if it comes soon, the entry in
        # `_pending` answers repeats.
        kept = len(answer) <= MAX_ANSWER
        self._ended[identity] = Ended(identity, "ended" if kept else "unkept", answer if kept else None)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(SAVED_WITHIN, self._save_soon)
        self._unswept += len(answer) if kept else 0
        if self._unswept > MAX_ANSWERS // 4:
            # The database file does not shrink: do not wait for the next sweep when answers arrive fast.
            self._unswept = 0
            self._in_background(self._sweep_ended())
        # Not by the end of this task, which the requests would notice a turn of the loop later.
        self._pending[identity].tell(answer)
        return answer

    def _in_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._saves.add(task)
        task.add_done_callback(self._saves.discard)

    async def _sweep_ended(self) -> None:
        try:
            await self.sweep()
        except Exception as error:
            log.error("old results of requests with an Idempotency-Key could not be removed: %s", error)

    def _save_soon(self) -> None:
        self._timer = None
        if self._ended:  # or they were saved with the note of another request
            self._in_background(self._save())

    async def _save(self) -> None:
        """Save how requests ended."""
        ended = list(self._ended.values())
        if not ended:
            return
        try:
            await self._notes.end(ended)
        except Exception as error:
            # A repeat is told that the outcome is unknown, which is safe.
            log.error("results of requests with an Idempotency-Key could not be saved: %s", error)
        self._saved(ended)

    def _saved(self, ended: Collection[Ended]) -> None:
        for one in ended:
            self._ended.pop(one.identity, None)
            self._pending.pop(one.identity, None)

    def known(self, identity: Identity) -> bool:
        """Return whether there was a request under this key."""
        return identity in self._pending or self._notes.find(identity) is not None

    def cancel(self, identity: Identity) -> bool:
        """End the running request under this key, even if callers wait for it; return False when there is none."""
        pending = self._pending.get(identity)
        return pending is not None and pending.task.cancel()

    async def sweep(self) -> None:
        """Delete old notes, and the oldest answers of runs when all answers take too much space."""
        await self._notes.sweep(before_ms=time.time_ns() // 1_000_000 - LIFETIME_MS, most_bytes=MAX_ANSWERS)

    async def close(self) -> None:
        """End requests that no caller waits for, and finish saving notes."""
        tasks = [pending.task for pending in self._pending.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, *self._saves, return_exceptions=True)
        if self._timer is not None:
            self._timer.cancel()
        await self._save()


def _replay(note: Note, request: bytes) -> bytes:
    if note.request != request:
        raise conflicting()
    if note.answer is not None:
        return note.answer
    raise ApiError("conflict", _UNKEPT if note.state == "unkept" else _UNKNOWN)


def conflicting() -> ApiError:
    """Return the error for a key that was used with another request."""
    return ApiError(
        "idempotency_conflict", "this Idempotency-Key was used with another request; make a new key"
    )


def _abandon(pending: _Pending) -> None:
    if not pending.waiting:
        pending.task.cancel()
