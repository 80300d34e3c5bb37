"""Computers and base images."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from typing import Final, NamedTuple

from .database import PLATFORM_ORG, Database, Row, matching
from .errors import ImageGone, ImageInUse, NameTaken, TooManyComputers
from .notes import Note, insert_note

_COUNT: Final = "SELECT count(*) FROM vms WHERE org_id = ? AND kind = 'computer'"
_TAKEN: Final = "SELECT 1 FROM vms WHERE name = ? AND (kind = 'base' OR org_id = ?)"


class Computer(NamedTuple):
    """A computer, or a base image (`kind` is `computer` or `base`); times are in milliseconds since the epoch."""

    vm_id: str
    org_id: str
    kind: str
    name: str | None
    image: str
    is_public: bool
    parent_vm_id: str | None
    created_ms: int
    last_active_ms: int
    description: str | None = None


#: A column for each field.
_NAMES: Final = Computer._fields
_COLUMNS: Final = ", ".join(_NAMES)
_VALUES: Final = ", ".join("?" * len(_NAMES))


class ComputerFilter(NamedTuple):
    """Filters of a list: computers must match all that are set. Times are in milliseconds since the epoch; `after` is
    where the previous page ended."""

    org_id: str
    is_public: bool | None = None
    created_after: int | None = None
    created_before: int | None = None
    after: tuple[int, str] | None = None
    vm_ids: Collection[str] | None = None


class Computers:
    """The rows of computers and base images."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, vm_id: str) -> Computer | None:
        """Return the computer or image with this id."""
        row = self._database.one(f"SELECT {_COLUMNS} FROM vms WHERE vm_id = ?", vm_id)  # noqa: S608
        return None if row is None else _computer(row)

    def named(self, org_id: str, name: str) -> list[Computer]:
        """Return the computers that an organization may mean by a name: its own, else base images, else public ones of
        others. Up to six if the name is ambiguous."""
        rows = self._database.all(
            f"SELECT {_COLUMNS}, CASE org_id WHEN ? THEN 0 WHEN ? THEN 1 ELSE 2 END AS rank FROM vms "  # noqa: S608
            "WHERE name = ? AND (is_public OR rank = 0) ORDER BY rank, vm_id LIMIT 6",
            org_id, PLATFORM_ORG, name,
        )  # fmt: skip
        return [_computer(row) for row in rows if row["rank"] == rows[0]["rank"]]

    def addressed(self, org_id: str, name: str) -> list[Computer]:
        """Return what an organization addresses by a name: a base image, else its own computers. Up to six if the name
        is ambiguous."""
        rows = self._database.all(
            f"SELECT {_COLUMNS} FROM vms WHERE name = ? AND (kind = 'base' OR org_id = ?) "  # noqa: S608
            "ORDER BY kind, vm_id LIMIT 6",
            name, org_id,
        )  # fmt: skip
        return [_computer(row) for row in rows if row["kind"] == rows[0]["kind"]]

    def within(self, org_id: str, org: str, name: str) -> list[Computer]:
        """Return up to six computers or images with a name in an organization, given by its id or name: all of the
        caller's own organization `org_id`, and the public ones of another."""
        rows = self._database.all(
            f"SELECT {', '.join(f'vms.{column}' for column in _NAMES)} "  # noqa: S608
            "FROM vms JOIN orgs USING (org_id) "
            "WHERE vms.name = ? AND (is_public OR org_id = ?) AND ? IN (org_id, orgs.name) ORDER BY vm_id LIMIT 6",
            name, org_id, org,
        )  # fmt: skip
        return [_computer(row) for row in rows]

    def base(self, image: str) -> Computer | None:
        """Return the row of a base image, by the image's name."""
        row = self._database.one(
            f"SELECT {_COLUMNS} FROM vms WHERE kind = 'base' AND image = ?",  # noqa: S608
            image,
        )
        return None if row is None else _computer(row)

    def base_names(self) -> set[str]:
        """Return the names of all base images."""
        return {row["name"] for row in self._database.all("SELECT name FROM vms WHERE kind = 'base'")}

    def ids(self) -> set[str]:
        """Return the ids of all computers."""
        return {row["vm_id"] for row in self._database.all("SELECT vm_id FROM vms WHERE kind = 'computer'")}

    def count(self, org_id: str) -> int:
        """Return the number of computers of an organization."""
        row = self._database.one(_COUNT, org_id)
        assert row is not None
        return int(row[0])

    def count_all(self) -> int:
        """Return the number of computers."""
        row = self._database.one("SELECT count(*) FROM vms WHERE kind = 'computer'")
        assert row is not None
        return int(row[0])

    def page(
        self,
        org_id: str,
        *,
        part_of_name: str,
        oldest_first: bool,
        limit: int,
        offset: int,
        vm_ids: Collection[str] | None = None,
    ) -> tuple[list[Computer], int]:
        """Return a page of an organization's computers by age, and the number of computers on all pages; with `vm_ids`,
        of only these."""
        where = "org_id = ? AND kind = 'computer'"
        values: list[object] = [org_id]
        if vm_ids is not None:
            where += f" AND {_among(vm_ids)}"
            values.extend(vm_ids)
        if part_of_name:
            where += " AND instr(name, ?) > 0"
            values.append(part_of_name)
        order = "ASC" if oldest_first else "DESC"
        # Only constants are put into the text.
        total = self._database.one(f"SELECT count(*) FROM vms WHERE {where}", *values)  # noqa: S608
        assert total is not None
        rows = self._database.all(
            f"SELECT {_COLUMNS} FROM vms WHERE {where} "  # noqa: S608
            f"ORDER BY created_ms {order}, rowid {order} LIMIT ? OFFSET ?",
            *values, limit, min(offset, 2**62),
        )  # fmt: skip
        return [_computer(row) for row in rows], int(total[0])

    async def announce(self, vm_id: str) -> None:
        """Note that a computer will be created: until it is added, its files count as left over."""
        await self._database.execute("INSERT INTO leftovers VALUES (?)", vm_id, durable=False)

    def leftovers(self) -> list[str]:
        """Return the ids of computers whose files may exist without a row, because of a crash."""
        return [row["vm_id"] for row in self._database.all("SELECT vm_id FROM leftovers")]

    async def cleared(self, vm_id: str) -> None:
        """Note that no files of a computer are left over."""
        await self._database.execute("DELETE FROM leftovers WHERE vm_id = ?", vm_id, durable=False)

    def newest(self, wanted: ComputerFilter, limit: int) -> list[Computer]:
        """Return computers of an organization, or its base images, newest first."""
        where, values = matching(
            ("org_id = ?", wanted.org_id),
            ("is_public = ?", wanted.is_public),
            ("created_ms >= ?", wanted.created_after),
            ("created_ms < ?", wanted.created_before),
            (_among(wanted.vm_ids or ()), None if wanted.vm_ids is None else tuple(wanted.vm_ids)),
            ("(created_ms, vm_id) < (?, ?)", wanted.after),
        )
        rows = self._database.all(
            # Only constants are put into the text.
            f"SELECT {_COLUMNS} FROM vms WHERE {where} "  # noqa: S608
            "ORDER BY created_ms DESC, vm_id DESC LIMIT ?",
            *values, limit,
        )  # fmt: skip
        return [_computer(row) for row in rows]

    async def describe(self, vm_id: str, description: str | None) -> None:
        """Set the description of a computer."""
        await self._database.execute("UPDATE vms SET description = ? WHERE vm_id = ?", description, vm_id)

    async def rename(self, computer: Computer, name: str) -> None:
        """Change the name of a computer.

        Raises:
            NameTaken: another computer of the organization, or an image, has it.
        """

        def change(connection: sqlite3.Connection) -> None:
            taken = f"{_TAKEN} AND vm_id != ?"
            if connection.execute(taken, (name, computer.org_id, computer.vm_id)).fetchone():
                raise NameTaken
            connection.execute("UPDATE vms SET name = ? WHERE vm_id = ?", (name, computer.vm_id))

        await self._database.write(change)

    async def add(self, computer: Computer, *, most: int, note: Note | None, unique: bool = False) -> None:
        """Add a computer, and note the answer for its Idempotency-Key in the same transaction.

        Args:
            most: maximum number of computers of the organization; 0 for no limit.
            unique: whether its name must be unused.

        Raises:
            TooManyComputers, ImageGone, NameTaken, DiskFull: nothing was added.
        """

        def change(connection: sqlite3.Connection) -> None:
            if most and connection.execute(_COUNT, (computer.org_id,)).fetchone()[0] >= most:
                raise TooManyComputers
            if unique and connection.execute(_TAKEN, (computer.name, computer.org_id)).fetchone():
                raise NameTaken
            image = "SELECT 1 FROM vms WHERE kind = 'base' AND image = ?"
            if not connection.execute(image, (computer.image,)).fetchone():
                raise ImageGone
            connection.execute(
                f"INSERT INTO vms ({_COLUMNS}) VALUES ({_VALUES})",  # noqa: S608
                _row(computer),
            )
            connection.execute("DELETE FROM leftovers WHERE vm_id = ?", (computer.vm_id,))
            if note is not None:
                insert_note(connection, note)

        await self._database.write(change)

    async def add_image(self, vm_id: str, name: str, now_ms: int) -> None:
        """Add a base image, unless one with this name exists already."""
        image = Computer(vm_id, PLATFORM_ORG, "base", name, name, True, None, now_ms, now_ms)
        await self._database.execute(
            f"INSERT INTO vms ({_COLUMNS}) SELECT {_VALUES} "  # noqa: S608
            "WHERE NOT EXISTS (SELECT 1 FROM vms WHERE kind = 'base' AND name = ?)",
            *_row(image), name,
        )  # fmt: skip

    async def delete(self, vm_id: str) -> bool:
        """Delete a computer with its uploads and the notes of its runs; return False if it does not exist. Its files
        are noted as left over."""

        def change(connection: sqlite3.Connection) -> bool:
            connection.execute(
                "DELETE FROM idempotency WHERE scope IN (?, ?)", (f"run:{vm_id}", f"runs:{vm_id}")
            )
            deleted = connection.execute("DELETE FROM vms WHERE vm_id = ?", (vm_id,)).rowcount == 1
            if deleted:
                connection.execute("INSERT OR IGNORE INTO leftovers VALUES (?)", (vm_id,))
            return deleted

        return await self._database.write(change)

    async def touch(self, active: Mapping[str, int]) -> None:
        """Note when computers were last used: ids to milliseconds since the epoch."""

        def change(connection: sqlite3.Connection) -> None:
            connection.executemany(
                "UPDATE vms SET last_active_ms = ? WHERE vm_id = ?", [(at, vm) for vm, at in active.items()]
            )

        await self._database.write(change, durable=False)


# Administration: functions of a connection, for programs other than the deployment.


def public(connection: sqlite3.Connection) -> list[Computer]:
    """Return base images, then public computers that have a name, each by name."""
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM vms WHERE name IS NOT NULL AND is_public "  # noqa: S608
        "ORDER BY kind, name"
    )
    return [_computer(row) for row in rows]


@contextlib.contextmanager
def removing_image(connection: sqlite3.Connection, name: str) -> Iterator[None]:
    """Delete the row of a base image in one transaction with the block: a concurrent fork sees both or neither.

    Raises:
        ImageInUse: computers are based on it.
    """
    connection.execute("BEGIN IMMEDIATE")
    try:
        rows = connection.execute(
            "SELECT vm_id FROM vms WHERE image = ? AND kind = 'computer' ORDER BY vm_id", (name,)
        ).fetchall()
        if rows:
            raise ImageInUse([row["vm_id"] for row in rows])
        yield
        connection.execute("DELETE FROM vms WHERE image = ? AND kind = 'base'", (name,))
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _among(vm_ids: Collection[str]) -> str:
    return f"vm_id IN ({', '.join('?' * len(vm_ids))})"


def _computer(row: Row) -> Computer:
    return Computer(
        row["vm_id"], row["org_id"], row["kind"], row["name"], row["image"], bool(row["is_public"]),
        row["parent_vm_id"], row["created_ms"], row["last_active_ms"], row["description"],
    )  # fmt: skip


def _row(computer: Computer) -> tuple[object, ...]:
    return tuple(getattr(computer, name) for name in _NAMES)
