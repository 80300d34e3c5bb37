"""Start a deployment for a program: started when needed, shared by its users, and ended with the last of them.

    with launch() as deployment:
        client = Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url)

The deployment is a child process. It ends when it is closed or when this process dies, even by SIGKILL.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any, Final

from .folder import default_state, holder

#: Seconds that a deployment may take to start, and to end before it is killed.
_START: Final = 60.0
_END: Final = 15.0
#: Size in bytes at which the log in a persistent state folder is started anew.
_MAX_LOG: Final = 10 * 1024 * 1024
#: An in-memory file system that every Linux has.
_MEMORY: Final = "/dev/shm"  # noqa: S108
#: How to get a deployment inside a Linux system.
_INSIDE: Final = (
    "python3 -m venv ~/arker && ~/arker/bin/pip install 'arker[local]' && ~/arker/bin/arker serve --detach"
)
_ANYWHERE: Final = f"on a Linux machine: {_INSIDE}"
#: The shortest way to a Linux system on other platforms.
_ELSEWHERE: Final = {
    "darwin": "on macOS: brew install lima && limactl start --name=arker template://debian-12 && limactl shell arker; "
    f"there: sudo apt-get install -y python3-venv && {_INSIDE}",
    "win32": "on Windows: wsl --install -d Debian, then in its window: sudo apt-get update && sudo apt-get install -y "
    f"python3-venv && {_INSIDE}",
}
#: Modules of the `local` extra; only the child imports them.
_NEEDED: Final = ("httptools", "starlette", "uvicorn")


class LaunchError(Exception):
    """The deployment could not be started; the message says why and how to fix it."""


class _UnfitError(LaunchError):
    """This state folder does not work; another place may."""


class Deployment:
    """A running deployment. Also a context manager that closes it.

    Attributes:
        base_url: URL of both its APIs.
        api_key: a key that is valid there.
    """

    def __init__(self, shared: _Shared) -> None:
        self._shared: _Shared | None = shared
        self.base_url: str = shared.url
        self.api_key: str = shared.key

    def close(self) -> None:
        """Release the deployment. It ends when its last user releases it; a temporary state folder is then removed."""
        shared, self._shared = self._shared, None
        if shared is not None:
            shared.release()

    def __enter__(self) -> Deployment:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Deployment(base_url={self.base_url!r})"


def launch(
    state: str | os.PathLike[str] | None = None, *, attach: bool = False, **options: Any
) -> Deployment:
    """Start or share a deployment on a free port of this machine. Thread-safe; blocks for about 0.3 s.

    Args:
        state: folder for persistent data. A folder has one deployment: if a program has launched one there
            already (in this process or another), it is shared. None for a temporary folder, which all callers in
            this process with the same options share.
        attach: whether to use a deployment that `arker serve` started on the folder, if there is one; then the default
            folder is that of `arker serve`.
        options: further fields of `Settings`, such as `network=True` or `limits={"processes": 64}`.

    Raises:
        LaunchError: it could not be started: something is missing on the machine, an option is wrong, the folder
            cannot be used, or the folder has a deployment already, with options other than those given, or by
            `arker serve` and `attach` is not set.
    """
    check_installed()
    if state is None and attach:
        state = os.environ.get("ARKER_STATE") or default_state()
    folder = None if state is None else Path(state).expanduser().absolute()
    name = (
        None if folder is None else os.path.realpath(folder),
        json.dumps(options, sort_keys=True, default=str),
    )
    with _lock:
        shared = _running.get(name)
        if shared is None or not shared.alive():
            shared = _running[name] = _Shared(name, folder, options, attach)
        shared.users += 1
    return Deployment(shared)


def check_installed() -> None:
    """Check that an embedded deployment can run on this system.

    Raises:
        LaunchError: this is not Linux, or the `local` extra is not installed.
    """
    if sys.platform != "linux":
        raise LaunchError(
            f"the embedded deployment needs Linux; {_ELSEWHERE.get(sys.platform, _ANYWHERE)}. It prints the variables "
            "that Arker() and the arker command need here. Or use the cloud: set ARKER_API_KEY"
        )
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise LaunchError(
            f"the embedded deployment needs: pip install 'arker[local]' (there is no {', '.join(missing)})"
        )


class _Shared:
    """The deployment of one state folder, as shared in this process. Created and released under the lock."""

    def __init__(
        self, name: tuple[str | None, str], state: Path | None, options: dict[str, Any], attach: bool
    ) -> None:
        from arker.local.service.keys import generate

        self._name = name
        self._attach = attach
        self._owner = os.getpid()
        self._temporary: Path | None = None
        self._joined: tuple[Path, str] | None = None
        self.users: int = 0
        self.key: str = generate()
        try:
            self.url: str = self._start_anywhere(options) if state is None else self._start(state, options)
        except BaseException:
            self._clean()
            raise

    def _start_anywhere(self, options: dict[str, Any]) -> str:
        """Start with temporary state: in the folder for temporary files, or else in memory. Sandboxes cannot run on the
        root file system of most containers, nor on a full disk."""
        refusal: LaunchError | None = None
        for place in (None, _MEMORY):
            try:
                self._temporary = Path(tempfile.mkdtemp(prefix="arker-", dir=place))
            except OSError as error:
                refusal = refusal or LaunchError(f"there is no folder for temporary state: {error}")
                continue
            try:
                return self._start(self._temporary, options)
            except _UnfitError as error:
                refusal = refusal or error
            self._clean()
        assert refusal is not None
        raise refusal

    def _start(self, state: Path, options: dict[str, Any]) -> str:
        if not sys.executable:
            raise LaunchError(
                "this Python does not know its own executable (sys.executable); use `arker serve`"
            )
        try:
            state.mkdir(mode=0o700, parents=True, exist_ok=True)
            log_path = state / "deployment.log"
            fresh = not log_path.exists() or log_path.stat().st_size > _MAX_LOG
            log = log_path.open("wb" if fresh else "ab")
        except OSError as error:
            raise _UnfitError(f"cannot use the state folder {state}: {error.strerror}") from None
        self._channel, theirs = socket.socketpair()
        settings = {"port": 0, "log_level": "warning", "grace": 2, **options, "state": str(state)}
        order = json.dumps(
            {
                "parent": os.getpid(),
                "key": self.key,
                "temporary": self._temporary is not None,
                "settings": settings,
            },
            default=str,
        )
        with log, theirs:
            # -P and our own sys.path: the child imports what this process would, and nothing from the current folder.
            try:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "arker.local"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
                        "ARKER_LAUNCH_FD": str(theirs.fileno()),
                    },
                )
            except OSError as error:
                self._channel.close()
                raise LaunchError(f"cannot start {sys.executable}: {error.strerror}") from None
        self._channel.settimeout(_START)
        try:
            self._channel.sendall(order.encode() + b"\n")
            with self._channel.makefile("rb") as lines:
                line = lines.readline()
        except TimeoutError:
            self._end()
            raise LaunchError(f"the deployment did not start within {_START:g} s; see {log_path}") from None
        except OSError:
            line = b""
        answer = (
            json.loads(line) if line else {"error": f"the deployment ended at once{_last_words(log_path)}"}
        )
        if "url" in answer:
            return str(answer["url"])
        self._end()
        if "other" in answer:
            return self._join(state, str(answer["other"]), options)
        raise (_UnfitError if answer.get("unfit") else LaunchError)(str(answer["error"]))

    def _join(self, state: Path, url: str, options: dict[str, Any]) -> str:
        """Use a deployment of another process. Any process that can write its state folder can create a key for it."""
        found = holder(state)
        if found is not None and not (found.launched or self._attach):
            raise LaunchError(
                f"`arker serve` serves {state} at {url} (pid {found.pid}); pass attach=True to use it, or name "
                "another state folder"
            )
        if found is not None and (differing := _differing(options, found.options)):
            raise LaunchError(
                f"a deployment serves {state} at {url} with other options: {'; '.join(differing)}. Leave them "
                "out to use it as it is, stop it, or name another state folder"
            )
        from arker.local.service.keys import StateError, open_keys

        try:
            with open_keys(state) as keys:
                key_id = keys.register(self.key, name=f"for a program, pid {os.getpid()}")
        except StateError as error:
            raise LaunchError(
                f"a deployment serves {state} at {url}, but this user cannot make keys for it: {error}"
            ) from None
        self._joined = (state, key_id)
        return url

    def alive(self) -> bool:
        """Return whether it still serves, as far as this process can tell, and was started by this process."""
        return self._owner == os.getpid() and (self._joined is not None or self._process.poll() is None)

    def release(self) -> None:
        """Remove one user; the last one ends it. Does nothing in a forked process, because it belongs to the parent."""
        if self._owner != os.getpid():
            return
        with _lock:
            self.users -= 1
            if self.users > 0:
                return
            if _running.get(self._name) is self:
                del _running[self._name]
            # Still under the lock, so that the next launch on this state folder never finds it half stopped.
            self.end()

    def end(self) -> None:
        """End the deployment, even if it still has users."""
        if self._joined is None:
            self._end()
        self._clean()

    def _end(self) -> None:
        # shutdown(), because a forked process may hold a copy of the socket.
        with contextlib.suppress(OSError):
            self._channel.shutdown(socket.SHUT_RDWR)
        self._channel.close()
        try:
            self._process.wait(_END)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _clean(self) -> None:
        if self._joined is not None:
            from arker.local.service.keys import StateError, open_keys

            state, key_id = self._joined
            with contextlib.suppress(StateError), open_keys(state) as keys:
                keys.forget(key_id)
        if self._temporary is not None:
            remove(self._temporary)


def remove(folder: Path) -> None:
    """Remove a state folder, including files that computers made unreadable or read-only."""
    if not folder.exists():
        return
    # Usually the deployment itself has removed it, and this process need not import the engine.
    from arker.local.engine.trees import remove_tree

    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink()
        folder.rmdir()


def _differing(given: dict[str, Any], there: dict[str, Any]) -> list[str]:
    """Return the names of the given options that differ from those of a running deployment."""
    pairs = [(name, value, there.get(name, value)) for name, value in given.items() if name != "limits"]
    limits = there.get("limits", {})
    for name, value in (given.get("limits") or {}).items():
        pairs.append((f"limits.{name}", value, limits.get(name, value)))
    return [f"{name} is {has!r} there, not {wanted!r}" for name, wanted, has in pairs if wanted != has]


def _last_words(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text("utf-8", "replace").strip().splitlines()
        if lines:
            return f": {lines[-1]} (see {log})"
    return ""


_lock = threading.Lock()
_running: dict[tuple[str | None, str], _Shared] = {}


def _after_fork() -> None:
    # The lock may have been held during the fork, and the deployments belong to the parent.
    global _lock
    _lock = threading.Lock()
    _inherited.extend(_running.values())
    _running.clear()


#: References that keep this process from waiting for processes that are not its children.
_inherited: list[_Shared] = []


@atexit.register
def _end_all() -> None:
    for shared in list(_running.values()):
        if shared.alive():
            shared.end()


if hasattr(os, "register_at_fork"):  # Windows has no fork
    os.register_at_fork(after_in_child=_after_fork)
