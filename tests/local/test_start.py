"""A deployment starts on the state that an earlier one left."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest

from arker.local.engine import protocol as engine
from arker.local.storage.database import MIGRATIONS, open_database
from arker.local.storage.errors import StateError

from .kit import BASE, PRIVATE, Bench, command, fork, ulid


class TestStart:
    async def test_leftovers_of_a_crash_are_removed(self, bench: Bench) -> None:
        async with bench.client() as client:
            kept, lost = await fork(client), await fork(client)
        del bench.engine.files[lost]
        stray = bench.folder / "staging" / f"{kept}.{ulid('A')}"
        stray.write_bytes(b"half")
        async with bench.client() as client:
            assert set(bench.engine.files) == {kept}
            listed = (await client.get("/api/v1/vms/list")).json()
            assert [item["vm_id"] for item in listed["items"]] == [kept]
            assert not stray.exists()

    async def test_files_without_a_row_are_deleted_only_where_this_deployment_left_them(
        self, bench: Bench
    ) -> None:
        async with bench.client() as client:
            await fork(client)
            # Another's, or of a database that was put back from a backup: nobody knows, so nobody deletes it.
            await bench.engine.create("0" * 26, "arkuntu")

            async def killed(vm_id: str) -> None:
                raise engine.EngineError("the process ended here")

            bench.engine.delete, delete = killed, bench.engine.delete  # type: ignore[method-assign]
            doomed = await fork(client)
            await client.delete(f"/api/v1/vms/{doomed}")
            trigger = "CREATE TRIGGER t BEFORE INSERT ON vms BEGIN SELECT raise(ABORT, 'x'); END"
            await bench.database.execute(trigger)
            refused = await client.post(f"/api/v1/vms/{BASE}/fork", json=PRIVATE)
            assert refused.status_code == 500
            await bench.database.execute("DROP TRIGGER t")
            assert len(bench.engine.files) == 4
        # An engine that cannot be reached is asked again at the next start.
        async with bench.client() as client:
            assert len(bench.engine.files) == 4
        bench.engine.delete = delete  # type: ignore[method-assign]
        async with bench.client() as client:
            assert len(bench.engine.files) == 2
            assert "0" * 26 in bench.engine.files
            assert bench.database.all("SELECT * FROM leftovers") == []

    async def test_rows_stay_when_the_engine_cannot_be_reached(self, bench: Bench) -> None:
        async with bench.client() as client:
            vm = await fork(client)

        async def unreachable(vm_ids: Iterable[str]) -> set[str]:
            return set()

        files, bench.engine.files = bench.engine.files, {}
        bench.engine.missing = unreachable  # type: ignore[method-assign]
        async with bench.client() as client:
            assert (await client.get("/api/v1/vms/list")).json()["total"] == 1
            bench.engine.files = files
            assert (await command(client, vm, "id")).status_code == 200

    def test_a_file_of_a_newer_version_is_refused_and_left_as_it_is(self, tmp_path: Path) -> None:
        connection = open_database(tmp_path / "arker.db")
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        connection.close()
        before = (tmp_path / "arker.db").read_bytes()
        with pytest.raises(StateError, match="newer Arker"):
            open_database(tmp_path / "arker.db")
        assert (tmp_path / "arker.db").read_bytes() == before

    def test_a_file_that_is_up_to_date_is_opened_without_a_write(self, tmp_path: Path) -> None:
        with contextlib.closing(open_database(tmp_path / "arker.db")) as writer:
            writer.execute("BEGIN IMMEDIATE")
            # A write would wait for the other connection, and then fail.
            open_database(tmp_path / "arker.db").close()

    @pytest.mark.parametrize("version", range(len(MIGRATIONS)))
    def test_a_file_of_an_older_version_is_brought_up_to_date(self, tmp_path: Path, version: int) -> None:
        old = sqlite3.connect(tmp_path / "arker.db", isolation_level=None)
        for step in MIGRATIONS[:version]:
            old.executescript(step)
        old.execute(f"PRAGMA user_version = {version}")
        if version:
            old.execute("INSERT INTO orgs VALUES ('org_x', 'kept')")
        old.close()
        with contextlib.closing(open_database(tmp_path / "arker.db")) as migrated:
            assert migrated.execute("PRAGMA user_version").fetchone()[0] == len(MIGRATIONS)
            names = {row["name"] for row in migrated.execute("SELECT name FROM orgs")}
            assert names == {"Local", "Arker"} | ({"kept"} if version else set())
            copy = tmp_path / f"arker.db.version-{version}"
            assert copy.exists() == bool(version)
            if version:
                assert copy.stat().st_mode & 0o777 == 0o600
                with contextlib.closing(sqlite3.connect(copy)) as kept:
                    assert kept.execute("PRAGMA user_version").fetchone()[0] == version
                    assert ("kept",) in kept.execute("SELECT name FROM orgs").fetchall()
            schema = "SELECT type, name, sql FROM sqlite_schema ORDER BY name"
            with contextlib.closing(open_database(tmp_path / "new.db")) as new:
                rows = [tuple(row) for row in new.execute(schema)]
                assert [tuple(row) for row in migrated.execute(schema)] == rows

    def test_a_file_that_is_not_a_database_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "arker.db").write_bytes(b"something else" * 1000)
        with pytest.raises(StateError, match="not a database"):
            open_database(tmp_path / "arker.db")

    def test_the_database_is_for_its_owner_only(self, tmp_path: Path) -> None:
        before = os.umask(0)
        try:
            connection = open_database(tmp_path / "arker.db")
            connection.execute("INSERT INTO meta VALUES ('x', x'00')")
            modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
            connection.close()
        finally:
            os.umask(before)
        assert modes == {"arker.db": 0o600, "arker.db-wal": 0o600, "arker.db-shm": 0o600}
