"""Limits of all connections of a deployment together: descriptors, unfinished heads, unread answers.

Each connection has its own limits; these apply to the sums. Connections without a valid key are closed first.
"""

from __future__ import annotations

import asyncio
import resource
from collections import Counter, OrderedDict
from typing import Final, Protocol

#: Maximum bytes of all unfinished request heads together.
MAX_HEADS: Final = 16 * 1024 * 1024
#: Maximum bytes of answers that clients do not read, for one organization and for all; connections without a key count
#: as one organization. Above it, the oldest connections without progress for `STALLED` seconds are closed; above twice
#: as much, the oldest ones at once.
MAX_UNREAD: Final = 64 * 1024 * 1024
MAX_ALL_UNREAD: Final = 256 * 1024 * 1024
STALLED: Final = 5.0
#: Maximum number of connections, however many descriptors there are.
_MOST: Final = 16_384


def most_connections() -> int:
    """Return how many connections the limit on descriptors allows; a quarter of it is left for sandboxes and files."""
    return min(resource.getrlimit(resource.RLIMIT_NOFILE)[0] * 3 // 4, _MOST)


class UnderWay:
    """Counts the requests under way, `most` at a time. An organization may have at most as many as are still free,
    so that some are always free for the next organization."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count: Counter[str] = Counter()

    def begin(self, org_id: str) -> bool:
        """Count a request of an organization; return False, without counting it, if it has too many."""
        if self._count[org_id] >= self._most - self._count.total():
            return False
        self._count[org_id] += 1
        return True

    def end(self, org_id: str) -> None:
        """Stop counting a request, which has ended."""
        self._count[org_id] -= 1
        if not self._count[org_id]:
            del self._count[org_id]


class Bounded(Protocol):
    """A connection, as seen by these limits."""

    def give_up(self) -> None:
        """Close it at once."""
        ...


class Bounds:
    """The sums over the connections of a deployment.

    Args:
        connections: maximum number; by default so many that a quarter of the descriptors remains for sandboxes
            and files.
    """

    def __init__(self, connections: int | None = None) -> None:
        self._most = most_connections() if connections is None else connections
        self._open: set[Bounded] = set()
        #: Connections in or before a head, the longest waiting first: without a key, and with one.
        self._waiting: tuple[OrderedDict[Bounded, int], OrderedDict[Bounded, int]] = (
            OrderedDict(),
            OrderedDict(),
        )
        self._heads = 0
        #: Connections with unread answers, oldest first: the organization, the number of bytes, and since when.
        self._unread: OrderedDict[Bounded, tuple[str, int, float]] = OrderedDict()
        self._timer: asyncio.TimerHandle | None = None

    def opened(self, connection: Bounded) -> None:
        """Count a new connection, which waits for its first head; if there are too many, close the oldest idle one."""
        self._open.add(connection)
        self.waits(connection, keyed=False)
        while len(self._open) > self._most:
            victim = self._oldest(besides=connection) or connection
            self.closed(victim)
            victim.give_up()

    def closed(self, connection: Bounded) -> None:
        """Forget a closed connection."""
        self._open.discard(connection)
        self.busy(connection)
        self._unread.pop(connection, None)

    def waits(self, connection: Bounded, *, keyed: bool) -> None:
        """Note that a connection waits for a head from now on."""
        if connection in self._open:
            self.busy(connection)
            self._waiting[keyed][connection] = 0

    def head(self, connection: Bounded, size: int) -> None:
        """Note that `size` bytes of a head have arrived; if all heads together are too large, close the oldest
        unfinished one."""
        for waiting in self._waiting:
            if connection in waiting:
                self._heads += size - waiting[connection]
                waiting[connection] = size
        while self._heads > MAX_HEADS:
            victim = next(one for waiting in self._waiting for one, held in waiting.items() if held)
            self.closed(victim)
            victim.give_up()

    def busy(self, connection: Bounded) -> None:
        """Note that the head is complete: a request is running, so the connection is kept."""
        for waiting in self._waiting:
            self._heads -= waiting.pop(connection, 0)

    def _oldest(self, *, besides: Bounded) -> Bounded | None:
        return next((one for waiting in self._waiting for one in waiting if one is not besides), None)

    def stuck(self, connection: Bounded, whose: str, size: int) -> None:
        """Note that the client does not read `size` bytes of an answer to the organization `whose` (empty if
        unknown)."""
        self._unread[connection] = (whose, size, asyncio.get_running_loop().time())
        self._give_up_stalled()

    def moves(self, connection: Bounded) -> None:
        """Note that the client reads again."""
        self._unread.pop(connection, None)

    def _give_up_stalled(self) -> None:
        """Close the oldest connections with unread answers of organizations over the limit; check again while there are
        any."""
        now = asyncio.get_running_loop().time()
        sums: dict[str, int] = {}
        total = 0
        for whose, size, _ in self._unread.values():
            sums[whose] = sums.get(whose, 0) + size
            total += size
        over = False
        for connection, (whose, size, since) in list(self._unread.items()):
            if sums[whose] <= MAX_UNREAD and total <= MAX_ALL_UNREAD:
                continue
            over = True
            largest = total > 2 * MAX_ALL_UNREAD and sums[whose] == max(sums.values())
            if now - since < STALLED and sums[whose] <= 2 * MAX_UNREAD and not largest:
                continue
            sums[whose] -= size
            total -= size
            self.closed(connection)
            connection.give_up()
        if self._timer is not None:
            self._timer.cancel()
        again = asyncio.get_running_loop().call_later
        self._timer = again(STALLED / 4, self._give_up_stalled) if over else None
