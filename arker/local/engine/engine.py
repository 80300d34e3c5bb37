"""The engine: creates, forks, merges, limits and deletes the computers of one store."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import os
import re
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from arker.local.engine import _linux, cgroups, images, kernel, sandbox_files, trees
from arker.local.engine.computer import Computer, Host, storage_error
from arker.local.engine.digests import Digests
from arker.local.engine.filesystem import ComputerFiles
from arker.local.engine.filesystem.root import absolute
from arker.local.engine.images import HOME, Image
from arker.local.engine.limits import Limits
from arker.local.engine.ports import Connection, Helper
from arker.local.engine.predecessors import end_predecessors
from arker.local.engine.protocol import (
    ComputerBusy,
    EngineError,
    ImageMissing,
    Load,
    Readable,
    Run,
    SandboxUnavailable,
    SessionState,
    StorageFull,
    SystemBroken,
    TerminalSize,
    Usage,
    VmMissing,
)
from arker.local.engine.runs import LocalRun, RunBook
from arker.local.engine.sandbox import layer_budget
from arker.local.engine.session import Session, end_run
from arker.local.engine.shell import Result, in_subshell
from arker.local.engine.store import LayerUse, SessionRow, Store, VmRow, new_layer
from arker.local.engine.supervisor import Supervisor
from arker.local.engine.terminal import Attachment

log: logging.Logger = logging.getLogger("arker.engine")

_T = TypeVar("_T")
_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z_.-]{0,127}")
_DEFAULT_SESSION = "0"

#: Computers with more frozen layers than this get the lowest ones merged into one.
_LAYERS = 32
#: How many sandboxes may start at once; more would only delay each other.
_STARTS = 8
#: Maximum bytes that a fork copies only to keep what would end with the sandbox.
_COPIED_FOR_HELD = 64 << 20
#: Seconds for which the state of a session may be in memory only.
_SAVE_SECONDS = 0.2


class BubblewrapEngine:
    """An `Engine` whose computers run on this machine, isolated by bubblewrap.

    Args:
        store: folder for persistent data, used by this engine alone; created if missing.
        limits: the limits of each computer.
        network: whether computers share the host's network, including its loopback. Otherwise each has only its own
            loopback.

    Call all methods from the event loop that `start` ran in.
    """

    def __init__(self, store: Path, limits: Limits | None = None, *, network: bool = False) -> None:
        self._path = store.absolute()
        self._limits = limits or Limits()
        self._network = network
        self._computers: dict[str, Computer] = {}
        #: Ids of computers that running calls are about to create.
        self._coming: set[str] = set()
        #: Unfinished removals of deleted computers, by id.
        self._leaving: dict[str, asyncio.Task[None]] = {}
        self._images: dict[str, Image] = {}
        #: Modification time of the folder of images when it was last read.
        self._images_at = 0
        self._use = LayerUse()
        self._digests = Digests()
        self._merging: set[tuple[str, ...]] = set()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._saving = False
        self._store: Store | None = None
        self._runs = RunBook(self._path / "runs", self._limits.run_output, self._save_soon)
        self._commits = ThreadPoolExecutor(1, "arker-store")
        self._files = ThreadPoolExecutor(8, "arker-files")
        self._chores = ThreadPoolExecutor(1, "arker-chores")
        self._helper = Helper(
            kernel.bounds(
                self._limits,
                kernel.read_sysctl("fs/inotify/max_user_instances", 128),
                kernel.read_sysctl("fs/inotify/max_user_watches", 8192),
                network=network,
            )
        )
        self._host = Host(
            store=self._path,
            limits=self._limits,
            network=self._network,
            threads=self._files,
            digests=self._digests,
            spawn=self._spawn,
            take=self._use.take,
            release=self._release,
            scratch=[],
            starts=asyncio.Semaphore(_STARTS),
            sandboxes=set(),
            helper=self._helper,
            part=cgroups.find_part(),
            unsaved=self._save_soon,
        )

    # Start and end

    async def start(self) -> None:
        """Lock the store, clean up after a crash, and check that a sandbox starts.

        Raises SandboxUnavailable, and EngineError when the store is in use or was written by a newer release.
        """
        if os.geteuid() == 0:
            # The user of a sandbox would be the host's root and could write /proc/sys.
            raise SandboxUnavailable("the engine does not run as root; call drop_privileges first")
        _linux.fill_standard_descriptors()
        _linux.keep_descriptors()
        self._most_layers = layer_budget(self._path)
        self._layers = min(_LAYERS, self._most_layers * 2 // 3)
        try:
            with contextlib.suppress(OSError):  # the first sandbox reports it
                # It takes as long as the rest of the start.
                self._helper.start()
            self._store, rows = await self._in(self._commits, self._open)
            for row in rows:
                self._add(row)
            await self._prove()
        except BaseException:
            await self.close()
            raise
        self._spawn(
            Supervisor(self._path, self._limits, lambda: list(self._computers.values()), self._spawn).run()
        )

    def _open(self) -> tuple[Store, list[VmRow]]:
        store = Store(self._path)
        try:
            end_predecessors(store.run)
            rows = store.load()
            # First of all, as the disk may be full.
            store.sweep(rows)
            self._runs.sweep({row.id for row in rows})
            image = images.arkuntu(self._path / "images" / "arkuntu", network=self._network)
            self._images = {image.name: image}
            self._find_images()
            for row in rows:
                sandbox_files.sweep(self._path / "layers" / row.top)
        except BaseException:
            store.close()
            raise
        return store, rows

    async def _prove(self) -> None:
        probe = self._new(VmRow(".probe", "arkuntu", (), new_layer()))
        try:
            async with probe.gate.shared():
                await probe.live()
        except StorageFull as error:
            # Computers can still be deleted to make room.
            log.warning("the check of sandboxes failed: %s", error)
        finally:
            await probe.stop()
            self._release((probe.top,))
            await self._in(self._chores, int)  # wait for earlier chores

    async def close(self) -> None:
        """Checkpoint idle sessions, end every sandbox and unlock the store."""
        closing = EngineError("the engine is closing")

        async def stop(computer: Computer) -> None:
            computer.refuse(closing)
            async with computer.gate.exclusive():
                await computer.stop()

        await asyncio.gather(*map(stop, self._computers.values()))
        for sandbox in list(self._host.sandboxes):
            await sandbox.stop()
        self._helper.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        store, self._store = self._store, None
        for pool in (self._chores, self._files):
            await asyncio.to_thread(pool.shutdown, cancel_futures=True)
        self._save_runs()
        if store is not None:
            with contextlib.suppress(EngineError):
                await self._in(self._commits, store.save_sessions, self._unsaved())
            await self._in(self._commits, store.close)
        self._commits.shutdown()
        self._computers.clear()

    async def _in(self, pool: ThreadPoolExecutor, function: Callable[..., _T], *args: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(pool, function, *args)

    async def _commit(self, change: Callable[[Store], None]) -> None:
        store = self._store
        if store is None:
            raise EngineError("the engine is closing")
        await self._in(self._commits, change, store)

    def _spawn(self, work: Coroutine[Any, Any, _T]) -> asyncio.Task[_T]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _whole(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run `work` to its end, even if the caller is cancelled meanwhile."""
        return await asyncio.shield(self._spawn(work))

    # Inventory

    async def images(self) -> list[str]:
        """Return the names of the available base images, including those built since the engine started."""
        self._find_images()
        return sorted(self._images)

    def _find_images(self) -> None:
        folder = self._path / "images"
        changed = folder.stat().st_mtime_ns
        if changed != self._images_at:
            # Read all of them again: an image may have been removed and rebuilt under the same name.
            built = images.built(folder)
            self._images = {
                "arkuntu": self._images["arkuntu"],
                **{name: images.whole(folder / name, network=self._network) for name in built},
            }
            self._images_at = changed

    async def missing(self, vm_ids: Iterable[str]) -> set[str]:
        """Return those of the computers that are not in the store."""
        return set(vm_ids) - set(self._computers) - self._coming

    async def running(self) -> set[str]:
        """Return the ids of the computers whose sandbox is alive."""
        return {computer.id for computer in self._computers.values() if computer.running}

    async def in_use(self, vm_ids: Iterable[str]) -> set[str]:
        """Return the ids of those computers that have other processes than idle shells."""
        found = [self._computers[vm_id] for vm_id in vm_ids if vm_id in self._computers]
        return {computer.id for computer in found if computer.running and not computer.at_rest}

    async def loads(self, vm_ids: Iterable[str]) -> dict[str, Load]:
        """Return what computers use now; those that do not exist are left out."""
        found = [self._computers[vm_id] for vm_id in vm_ids if vm_id in self._computers]
        return {computer.id: await computer.load() for computer in found}

    async def sessions(self, vm_id: str) -> list[SessionState]:
        """Return the sessions of a computer; the default one is always among them. Raises VmMissing."""
        computer = self._computer(vm_id)
        states = {}
        for s in computer.sessions.values():
            terminal = computer.terminal(s.id)
            busy = s.busy or (terminal is not None and terminal.attached)
            states[s.id] = SessionState(s.id, "running" if busy else "idle", s.cwd.decode(errors="replace"))
        return list({_DEFAULT_SESSION: SessionState(_DEFAULT_SESSION, "idle", HOME), **states}.values())

    def _computer(self, vm_id: str) -> Computer:
        try:
            return self._computers[vm_id]
        except KeyError:
            raise VmMissing(f"there is no computer {vm_id}") from None

    def _new(self, row: VmRow) -> Computer:
        image = self._images.get(row.image)
        computer = Computer.from_row(self._host, image or images.gone(self._path / "images" / row.image), row)
        if image is None:
            # The computer can still be deleted, and other computers are not affected.
            computer.refuse(SystemBroken(f"the image {row.image!r}, which {row.id} is made of, is gone"))
        self._use.take((*row.frozen, row.top))
        return computer

    def _add(self, row: VmRow) -> Computer:
        computer = self._computers[row.id] = self._new(row)
        return computer

    # Creation and removal of computers

    async def create(self, vm_id: str, image: str) -> None:
        """Create a computer on a base image; it is durable when this returns. Raises ImageMissing, StorageFull."""
        if image not in self._images:
            raise ImageMissing(f"there is no image {image!r}; there are {', '.join(sorted(self._images))}")
        await self._whole(self._create(VmRow(vm_id, image, (), new_layer())))

    async def _create(self, row: VmRow) -> None:
        with self._claim(row.id):
            await self._left(row.id)
            await self._make(row)

    async def fork(self, parent_id: str, child_id: str, *, sessions: bool = True) -> None:
        """Create a computer with the parent's files and, with `sessions`, the state of its idle shells. Takes constant
        time; the computer is durable when this returns.

        If the parent has processes other than idle shells, they are paused while the files written since its last fork
        are copied. Without `sessions` they are not paused, and the child gets the files as of the
        parent's last fork with nothing running. Raises VmMissing, StorageFull.
        """
        await self._whole(self._fork(self._computer(parent_id), child_id, sessions))

    @contextlib.contextmanager
    def _claim(self, vm_id: str) -> Iterator[None]:
        if not _ID.fullmatch(vm_id):
            raise EngineError(
                f"{vm_id!r} is not a valid id of a computer: letters, digits and `_.-`, at most 128"
            )
        if vm_id in self._computers or vm_id in self._coming:
            raise EngineError(f"there is a computer {vm_id} already")
        self._coming.add(vm_id)
        try:
            yield
        finally:
            self._coming.discard(vm_id)

    async def _left(self, vm_id: str) -> None:
        """Wait until nothing is left of a deleted computer with this id, its runs above all."""
        if leaving := self._leaving.get(vm_id):
            await asyncio.wait({leaving})

    async def _make(self, *rows: VmRow) -> Computer:
        """Commit `rows`, the last of which is that of a new computer."""
        await self._commit(lambda store: store.save(rows))
        return self._add(rows[-1])

    async def _fork(self, parent: Computer, child_id: str, sessions: bool) -> None:
        with self._claim(child_id):
            await self._left(child_id)
            async with parent.gate.exclusive():
                parent.check()
                if not sessions and parent.running and not parent.at_rest:
                    row = parent.row()
                    child = await self._make(VmRow(child_id, row.image, row.frozen, new_layer()))
                else:
                    child = await self._fork_all(parent, child_id, sessions)
        for computer in (child, parent):
            if len(computer.frozen) > self._layers:
                self._spawn(self._flatten_in_background(computer))

    async def _fork_all(self, parent: Computer, child_id: str, sessions: bool) -> Computer:
        await parent.settle()
        if len(parent.frozen) + 2 > self._most_layers:
            await self._flatten(parent)
        if parent.running and (not parent.at_rest or await self._is_kept_for_fork(parent)):
            child = await self._fork_by_copy(parent, child_id, sessions)
        else:
            await parent.leave()
            child = await self._fork_by_freezing(parent, child_id, sessions)
        child.size, child.tolerated = parent.size, parent.tolerated
        return child

    async def _is_kept_for_fork(self, parent: Computer) -> bool:
        """Whether the sandbox of a computer at rest holds something, and copying what it wrote costs little."""
        return await parent.holds_open() and await self._in(
            self._files, trees.is_within, self._host.layer(parent.top), _COPIED_FOR_HELD
        )

    async def _fork_by_freezing(self, parent: Computer, child_id: str, sessions: bool) -> Computer:
        # Without this check, the commit would restore a parent that was deleted meanwhile.
        parent.check()
        row = parent.row()
        kept = row.sessions if sessions else ()
        if not parent.written:
            # Nothing was written since the last fork: parent and child share the same frozen layers.
            return await self._make(VmRow(child_id, row.image, row.frozen, new_layer(), kept))
        frozen, top = (*row.frozen, row.top), new_layer()
        child = await self._make(
            VmRow(row.id, row.image, frozen, top, row.sessions),
            VmRow(child_id, row.image, frozen, new_layer(), kept),
        )
        self._use.take((top,))
        parent.frozen, parent.top, parent.measured_at = frozen, top, None
        return child

    async def _fork_by_copy(self, parent: Computer, child_id: str, sessions: bool) -> Computer:
        copy = await self._copy_top(parent)
        try:
            row = parent.row()
            return await self._make(
                VmRow(child_id, row.image, row.frozen, copy, row.sessions if sessions else ())
            )
        except BaseException:
            self._chores.submit(_quietly, trees.remove_tree, self._host.layer(copy))
            raise

    async def _copy_top(self, parent: Computer) -> str:
        """Copy the top layer of a live computer while its processes are paused; return the copy."""
        name = new_layer()
        source, target = self._host.layer(parent.top), self._host.layer(name)

        def copy() -> None:
            try:
                trees.copy_tree(source, target)
                trees.sync(target)
            except OSError as error:
                trees.remove_tree(target)
                raise storage_error(error, "the computer could not be copied") from error

        if parent.sandbox is None:
            await self._in(self._files, copy)
            return name
        processes = parent.sandbox.processes
        stopped = await processes.freeze()
        try:
            await self._in(self._files, copy)
            disturbed = processes.awake(patient=False)
        finally:
            processes.thaw(stopped)
        if disturbed:  # a timer of a paused process may have resumed it
            trees.remove_tree(target)
            raise ComputerBusy("the processes of the computer did not stop for the fork; try again")
        return name

    async def delete(self, vm_id: str) -> None:
        """End the sandbox and remove the computer. Layers that no other computer needs are removed in the background.

        Raises VmMissing, StorageFull.
        """
        await self._whole(self._delete(self._computer(vm_id)))

    async def _delete(self, computer: Computer) -> None:
        computer.refuse(VmMissing(f"there is no computer {computer.id}"))
        del self._computers[computer.id]
        try:
            await self._commit(lambda store: store.delete(computer.id))
        except BaseException:
            computer.refuse(None)
            self._computers[computer.id] = computer
            raise
        if computer.sandbox is not None:
            computer.sandbox.kill()
        leaving = self._leaving[computer.id] = self._spawn(self._remove(computer))
        leaving.add_done_callback(lambda _: self._leaving.pop(computer.id))

    async def _remove(self, computer: Computer) -> None:
        async with computer.gate.exclusive():
            await computer.stop()
        self._runs.forget_all(computer.id)
        self._release((*computer.frozen, computer.top))

    def _release(self, names: tuple[str, ...]) -> None:
        for name in self._use.release(names):
            if self._store is not None:  # otherwise the next start cleans up
                self._chores.submit(_quietly, trees.remove_tree, self._host.layer(name))

    # Layers

    async def _flatten_in_background(self, computer: Computer) -> None:
        """Merge the lowest layers of `computer` for all computers that share them."""
        lowest = self._lowest(computer)
        if lowest in self._merging:
            return
        self._merging.add(lowest)
        try:
            merged = await self._merge(lowest)
            try:
                for other in list(self._computers.values()):
                    if self._lowest(other) == lowest:
                        async with other.gate.exclusive():
                            # The computer may have been deleted or merged meanwhile.
                            if self._computers.get(other.id) is other and self._lowest(other) == lowest:
                                await self._rebase(other, lowest, merged)
            finally:
                self._release((merged,))
        except EngineError as error:
            log.warning("layers of computer %s could not be merged: %s", computer.id, error)
        finally:
            self._merging.discard(lowest)

    async def _flatten(self, computer: Computer) -> None:
        """Reduce the number of layers of `computer` now; needs its exclusive turn."""
        lowest = self._lowest(computer)
        merged = await self._merge(lowest)
        try:
            await self._rebase(computer, lowest, merged)
        finally:
            self._release((merged,))

    def _lowest(self, computer: Computer) -> tuple[str, ...]:
        return computer.frozen[: self._layers * 3 // 4]

    async def _merge(self, layers: tuple[str, ...]) -> str:
        """Create one layer equal to `layers`; the caller releases it."""
        name = new_layer()
        target = self._host.layer(name)

        def merge() -> None:
            try:
                trees.merge([self._host.layer(layer) for layer in layers], target)
                trees.sync(target)
            except OSError as error:
                trees.remove_tree(target)
                raise storage_error(error, "the layers of the computer could not be merged") from error

        self._use.take(layers)
        try:
            await self._in(self._files, merge)
            self._use.take((name,))
        finally:
            self._release(layers)
        return name

    async def _rebase(self, computer: Computer, lowest: tuple[str, ...], merged: str) -> None:
        """Replace the layers `lowest` of a computer by `merged`; a live sandbox keeps its mounts."""
        # Without this check, the commit would restore a computer that was deleted meanwhile.
        computer.check()
        frozen = (merged, *computer.frozen[len(lowest) :])
        row = VmRow(computer.id, computer.image.name, frozen, computer.top)
        await self._commit(lambda store: store.save([row]))
        self._use.take((merged,))
        computer.frozen = frozen
        self._release(lowest)

    # Use

    async def start_run(
        self,
        vm_id: str,
        session_id: str,
        command: str,
        *,
        timeout: float | None = None,
        run_id: str | None = None,
        stdin: bool = False,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        whole: bool = False,
        kept: bool = False,
    ) -> Run:
        """Start `command` in the session's shell, which is created on first use; `"0"` is the default session.

        `timeout` is in seconds and at most the engine's limit; `math.inf` means no timeout. A command that times out
        is ended with its processes and has exit code 124. With `cwd` or `env` (for this command only) it runs
        in a subshell. With `kept`, the run is on disk before the command starts. Raises SessionBusy at once when the
        session runs a command, RunExists, LimitReached, VmMissing, SandboxUnavailable, StorageFull.
        """
        computer = self._computer(vm_id)
        session = self._session(computer, session_id)
        raw = in_subshell(command, cwd, env)
        if b"\0" in raw:
            raise EngineError("a command cannot contain a NUL character")
        if timeout is None or self._limits.run < timeout < math.inf:
            timeout = self._limits.run
        run = self._runs.start(vm_id, run_id, session_id, command, soon=not kept)
        task = asyncio.current_task()
        assert task is not None
        cancelling = task.cancelling()
        try:
            if kept:
                await self._keep(run)
                self._runs.save_soon(run)
            run.check()
            run.starter = task
            await computer.start_run(session, run, raw, timeout, stdin=stdin, whole=whole)
        except BaseException:
            if run.ending is not None:
                end_run(run, Result(None, session.cwd, 0.0), Usage(), session.cwd, None)
                if task.uncancel() <= cancelling:
                    # The run was cancelled, and nothing else.
                    return run
            self._runs.withdraw(run)
            raise
        finally:
            run.starter = None
        return run

    async def _keep(self, run: LocalRun) -> None:
        try:
            await self._in(self._files, self._runs.keep, run)
        except OSError as error:
            raise storage_error(error, "the run could not be saved") from error

    def _session(self, computer: Computer, session_id: str) -> Session:
        if not _ID.fullmatch(session_id):
            raise EngineError(
                f"{session_id!r} is not a valid id of a session: letters, digits and `_.-`, at most 128"
            )
        return computer.session(session_id)

    async def copy_session(self, vm_id: str, source: str, target: str) -> None:
        """Copy the state of the session `source` to `target`. Raises VmMissing, LimitReached."""
        computer = self._computer(vm_id)
        await computer.settle()
        original, copy = computer.sessions.get(source), self._session(computer, target)
        if original is not None:
            copy.cwd, copy.checkpoint, copy.unsaved = original.cwd, original.checkpoint, True
            self._save_soon()

    async def run_of(self, vm_id: str, run_id: str) -> Run:
        """Return the run with this id; a run that was unfinished when the engine ended has the reason `infrastructure`.

        Raises RunMissing, VmMissing.
        """
        self._computer(vm_id)
        return await self._runs.get(vm_id, run_id)

    async def runs(self, vm_id: str) -> list[Run]:
        """Return the runs of a computer that have not ended or were not forgotten, newest first. Raises VmMissing."""
        self._computer(vm_id)
        held = self._runs.held(vm_id)
        written = await self._in(self._files, self._runs.written, vm_id, {run.id for run in held})
        return sorted([*held, *written], key=lambda run: (run.started_ms, run.id), reverse=True)

    async def end_session(self, vm_id: str, session_id: str) -> None:
        """Cancel the run of a session, end its shell and all processes that its commands started, and drop its state.

        Ignored when there is none. Raises VmMissing, StorageFull.
        """
        await self._whole(self._end_session(self._computer(vm_id), session_id))

    async def _end_session(self, computer: Computer, session_id: str) -> None:
        await computer.end_session(session_id)
        await self._commit(lambda store: store.delete_session(computer.id, session_id))

    async def forget_run(self, vm_id: str, run_id: str) -> None:
        """Drop the run and its output; an unfinished run is dropped when it ends. Ignored when there is none."""
        self._runs.forget(vm_id, run_id)

    async def set_mounts(self, vm_id: str, mounts: Mapping[str, str]) -> None:
        """Set the file systems that a computer mounts from its next start on, by their paths. A new file system is
        empty. Raises VmMissing, StorageFull."""
        computer = self._computer(vm_id)
        try:
            for name in mounts.values():
                self._host.filesystem(name).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(error, "the file system cannot be made") from error
        computer.mounts = dict(mounts)

    async def mounted(self, vm_id: str) -> Mapping[str, str | None]:
        """Return the paths of the file systems that a computer has mounted (None), and of those that it could not mount
        (why); empty while it is stopped. Raises VmMissing."""
        computer = self._computer(vm_id)
        if not computer.running:
            return {}
        return {**computer.unmountable, **dict.fromkeys(computer.mounted)}

    async def delete_filesystem(self, name: str) -> None:
        """Remove a file system. Ignored when there is none."""
        folder = self._host.filesystem(name)
        if folder.exists():
            await self._in(self._files, trees.remove_tree, folder)

    async def open_file(self, vm_id: str, path: str) -> Readable:
        """Open the regular file at `path`. Raises FileMissing, FileRefused, VmMissing, SandboxUnavailable."""
        return await self._computer(vm_id).open(absolute(path))

    async def write_file(
        self, vm_id: str, path: str, source: bytes | Readable, *, sha256: str | None = None
    ) -> None:
        """Write `source` to `path` atomically: readers see the old file or the new one, which is on disk when this
        returns. Missing folders are created; the mode is 0644 or that of the replaced file. `sha256` is the digest of
        the content, if it is known. A local file may become the file itself: do not change it any more.

        Raises FileMissing, FileRefused, StorageFull, VmMissing, SandboxUnavailable.
        """
        computer = self._computer(vm_id)
        path = absolute(path)
        if isinstance(source, bytes):
            await self._whole(computer.write(path, source, sha256))
        elif source.fd is not None:
            # The caller may be cancelled and close its descriptor while the write goes on.
            await self._whole(self._write(computer, path, os.dup(source.fd), sha256))
        else:
            await self._whole(self._write(computer, path, await _staged(source), sha256))

    async def _write(self, computer: Computer, path: str, source: int, sha256: str | None) -> None:
        try:
            await computer.write(path, source, sha256)
        finally:
            os.close(source)

    async def open_port(self, vm_id: str, port: int) -> Connection:
        """Connect to a TCP port of the computer's loopback.

        Raises VmMissing, PortClosed, LimitReached, and EngineError for computers that share the host's network.
        """
        return await self._computer(vm_id).open_port(port)

    def files(self, vm_id: str) -> ComputerFiles:
        """Return the files and trees of a computer. Raises VmMissing."""
        return ComputerFiles(self._computer(vm_id), self._digests, self._whole)

    async def open_terminal(
        self,
        vm_id: str,
        session_id: str,
        size: TerminalSize,
        *,
        command: str | None = None,
        idle: float | None = None,
    ) -> Attachment:
        """Attach to the terminal of a session; it is created if there is none. A session has at most one terminal. Its
        recent output is sent first. Ends the previous attachment.

        Its shell starts with the folder, the exported variables and the functions of the session, and does not change
        them. `command` is a program to run instead of a shell; `idle` is the seconds without an attachment after which
        the terminal ends. Raises VmMissing, LimitReached, SandboxUnavailable, StorageFull.
        """
        computer = self._computer(vm_id)
        return await computer.open_terminal(self._session(computer, session_id), size, command, idle)

    async def resize_terminal(self, vm_id: str, session_id: str, size: TerminalSize) -> None:
        """Set the size of the terminal of a session, attached or not. Ignored when it has none. Raises VmMissing."""
        terminal = self._computer(vm_id).terminal(session_id)
        if terminal is not None:
            terminal.resize(size)

    async def stop(self, vm_id: str) -> None:
        """Checkpoint and end the sandbox now; the next use restores it. Running commands fail. Raises VmMissing."""
        computer = self._computer(vm_id)
        async with computer.gate.exclusive():
            await computer.stop()

    # Saving of sessions

    def _save_soon(self) -> None:
        if not self._saving and self._store is not None:
            self._saving = True
            self._spawn(self._save())

    async def _save(self) -> None:
        await asyncio.sleep(_SAVE_SECONDS)
        self._saving = False
        try:
            self._save_runs(but_new=True)
            sessions = self._unsaved()
            if sessions:
                await self._commit(lambda store: store.save_sessions(sessions))
        except EngineError as error:
            # State that is still in memory is saved with the next change, or at the end.
            log.warning("sessions could not be saved: %s", error)
        else:
            for vm, row in sessions:
                computer = self._computers.get(vm)
                session = None if computer is None else computer.sessions.get(row.id)
                if session is not None and session.row() == row:
                    session.unsaved = False

    def _save_runs(self, *, but_new: bool = False) -> None:
        try:
            self._runs.save(but_new=but_new)
        except OSError as error:
            log.warning("runs could not be saved: %s", error)

    def _unsaved(self) -> list[tuple[str, SessionRow]]:
        return [
            (computer.id, session.row())
            for computer in self._computers.values()
            for session in computer.sessions.values()
            if session.unsaved
        ]


async def _staged(source: Readable) -> int:
    """Return a descriptor of an unnamed file that has the content of `source`."""
    with tempfile.TemporaryFile() as file:
        offset = 0
        while data := await source.read(offset, 1 << 20):
            file.write(data)
            offset += len(data)
        file.flush()
        return os.dup(file.fileno())


def _quietly(function: Callable[..., None], *args: Any) -> None:
    """Call a function in the background, and ignore its errors."""
    try:
        function(*args)
    except OSError as error:
        log.warning("%s%r: %s", function.__name__, args, error)
