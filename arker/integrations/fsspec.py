"""The files of computers as an fsspec file system: `arker://COMPUTER/path/of/file`.

pandas, pyarrow, duckdb, dask and others accept such URLs after `pip install 'arker[fsspec]'`; no import is
needed.
"""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

try:
    from fsspec import spec  # type: ignore[import-untyped]
except ImportError as _error:  # pragma: no cover - the tests have it
    raise ImportError("the file system of computers needs `pip install 'arker[fsspec]'`") from _error

from arker import Arker, ArkerError
from arker.ids import is_vm_id

if TYPE_CHECKING:
    from arker import FileInfo, Files

__all__ = ["ArkerFile", "ArkerFileSystem"]

if TYPE_CHECKING:
    # fsspec has no types, and a class of an unknown base would have none either.
    class _FileSystem:
        def __init__(self, *args: Any, **options: Any) -> None: ...
        def __getattr__(self, name: str) -> Any: ...
        def __reduce__(self) -> Any: ...
        def rm(self, path: Any, recursive: bool = False, maxdepth: int | None = None) -> Any: ...
        def mv(self, *args: Any, **options: Any) -> Any: ...

    class _BufferedFile(_FileSystem): ...
else:
    _FileSystem, _BufferedFile = spec.AbstractFileSystem, spec.AbstractBufferedFile

_BLOCK: Final = 4 << 20
#: The errors that programs expect of local files, by the code and, for `bad_request`, the end of the message.
_CODES: Final = {
    "not_found": errno.ENOENT,
    "already_exists": errno.EEXIST,
    "payload_too_large": errno.ENOSPC,
}
_ENDS: Final = {
    "permission denied": errno.EACCES,
    "it is read-only": errno.EROFS,
    "is read-only": errno.EACCES,
    "not a folder": errno.ENOTDIR,
    "is a folder": errno.EISDIR,
    "not empty": errno.ENOTEMPTY,
    "too many links on the way": errno.ELOOP,
    "a name in it is too long": errno.ENAMETOOLONG,
}
_KINDS: Final = {"file": "file", "directory": "directory", "symlink": "link", "other": "other"}


@contextlib.contextmanager
def _os_errors(path: str) -> Iterator[None]:
    """Convert ArkerErrors to the OSErrors that programs expect of local files."""
    try:
        yield
    except ArkerError as error:
        number = _CODES.get(error.code)
        if error.code == "bad_request":
            number = next((number for end, number in _ENDS.items() if error.message.endswith(end)), None)
        if number is None:
            raise
        # The class is that of the number, such as FileNotFoundError.
        raise OSError(number, error.message, path) from error


class ArkerFileSystem(_FileSystem):
    """Files of computers; the first part of a path is the id or the name of a computer.

    Args:
        client: The client to use. Without one, a client is made from the next three arguments, or from
            `ARKER_API_KEY` and the other variables.
        api_key: See `Arker`.
        base_url: See `Arker`.
        global_url: See `Arker`.
        storage_options: Options of fsspec.
    """

    protocol = "arker"
    root_marker = ""
    #: Do not cache listings: commands change files at any time.
    cachable = True

    def __init__(
        self,
        client: Arker | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        global_url: str | None = None,
        **storage_options: Any,
    ) -> None:
        super().__init__(**{**storage_options, "use_listings_cache": False})
        self._client = client
        self._options: dict[str, Any] = {"api_key": api_key, "base_url": base_url, "global_url": global_url}
        self._ids: dict[str, str] = {}

    def __reduce__(self) -> Any:
        if "client" in self.storage_options or self.storage_args:
            raise TypeError(
                "a file system that was made with a client stays in its process; set ARKER_API_KEY and so on instead"
            )
        return super().__reduce__()

    @property
    def client(self) -> Arker:
        """The client, made on first use."""
        if self._client is None:
            self._client = Arker(**self._options)
            weakref.finalize(self, self._client.close)
        return self._client

    def _files(self, path: str) -> tuple[Files, str]:
        """The files of the computer that starts a path, and the path in it. Raises FileNotFoundError."""
        vm, _, rest = self._strip_protocol(path).partition("/")
        if vm not in self._ids:
            if is_vm_id(vm):
                self._ids[vm] = vm
            else:
                found = [item.vm_id for item in self.client.iter_vms(q=vm) if item.name == vm] if vm else []
                if len(found) != 1:
                    many = "several computers are" if found else "no computer is"
                    raise FileNotFoundError(2, f"{many} named {vm!r}", path)
                self._ids[vm] = found[0]
        return self.client.vm(self._ids[vm]).files, f"/{rest}"

    def _info(self, info: FileInfo, vm: str, files: Files) -> dict[str, Any]:
        link = info.kind == "symlink"
        path = info.path
        if link:
            # Report the kind of the link's target.
            with contextlib.suppress(ArkerError):
                info = files.stat(path)
        return {
            "name": f"{vm}{path}".rstrip("/"),
            "size": info.size,
            "type": _KINDS[info.kind],
            "mode": info.mode,
            "mtime": info.mtime_ns / 1e9,
            "version": info.version,
            "islink": link,
        }

    # --- what is there ---

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> list[Any]:
        """Entries of a folder; of the root, the computers."""
        path = self._strip_protocol(path)
        if not path:
            rows: list[dict[str, Any]] = [
                {"name": item.name or item.vm_id, "size": 0, "type": "directory"}
                for item in self.client.iter_vms()
            ]
        else:
            files, inside = self._files(path)
            vm = path.partition("/")[0]
            with _os_errors(path):
                top = files.stat(inside)
                found = files.list(inside) if top.is_directory else [top]
                rows = [self._info(info, vm, files) for info in found]
        return rows if detail else [row["name"] for row in rows]

    def info(self, path: str, **kwargs: Any) -> dict[str, Any]:
        """What is at a path. Raises FileNotFoundError."""
        path = self._strip_protocol(path)
        if not path:
            return {"name": "", "size": 0, "type": "directory"}
        files, inside = self._files(path)
        with _os_errors(path):
            found = self._info(files.stat(inside, follow=False), path.partition("/")[0], files)
        if found["type"] == "link":
            raise FileNotFoundError(2, "the link leads nowhere", path)
        return {**found, "name": path}

    def created(self, path: str) -> datetime:
        """The time of the last change; the time of creation is unknown."""
        return self.modified(path)

    def modified(self, path: str) -> datetime:
        """The time of the last change. Raises FileNotFoundError."""
        return datetime.fromtimestamp(self.info(path)["mtime"], UTC)

    def ukey(self, path: str) -> str:
        """Differs whenever the content may differ."""
        return str(self.info(path)["version"])

    # --- changes ---

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Make a folder. Raises FileExistsError."""
        files, inside = self._files(path)
        with _os_errors(path):
            files.mkdir(inside, parents=create_parents, exist_ok=False)

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a folder and those above it. Raises FileExistsError."""
        files, inside = self._files(path)
        with _os_errors(path):
            files.mkdir(inside, exist_ok=exist_ok)

    def rmdir(self, path: str) -> None:
        """Remove an empty folder."""
        files, inside = self._files(path)
        with _os_errors(path):
            if not files.stat(inside, follow=False).is_directory:
                raise NotADirectoryError(20, "not a folder", path)
            files.remove(inside)

    def rm_file(self, path: str) -> None:
        """Remove a file."""
        files, inside = self._files(path)
        with _os_errors(path):
            if files.stat(inside, follow=False).is_directory:
                raise IsADirectoryError(21, "a folder", path)
            files.remove(inside)

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Remove files, and with `recursive` also folders."""
        if maxdepth is not None:
            super().rm(path, recursive=recursive, maxdepth=maxdepth)
            return
        for one in self.expand_path(path, recursive=False):
            files, inside = self._files(one)
            with _os_errors(one):
                if not recursive and files.stat(inside, follow=False).is_directory:
                    raise IsADirectoryError(21, "a folder; remove it with recursive=True", one)
                files.remove(inside, recursive=recursive)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy a file, or make a folder with the name of another."""
        source, one = self._files(path1)
        target, two = self._files(path2)
        with _os_errors(path1):
            if source.stat(one).is_directory:
                target.mkdir(two)
                return
            target.mkdir(posixpath.dirname(two))
            if source._computer.id == target._computer.id:
                source.copy(one, two)
            else:
                with source.open(one) as reader, target.open(two, "wb") as writer:
                    while piece := reader.read(_BLOCK):
                        writer.write(piece)

    def mv(
        self, path1: str, path2: str, recursive: bool = False, maxdepth: int | None = None, **kw: Any
    ) -> None:
        """Rename within a computer; otherwise copy and remove."""
        source, one = self._files(path1)
        target, two = self._files(path2)
        if source._computer.id != target._computer.id or maxdepth is not None:
            super().mv(path1, path2, recursive=recursive, maxdepth=maxdepth, **kw)
            return
        with _os_errors(path1):
            if path2.endswith("/") or target._computer.path(two).is_dir():
                two = posixpath.join(two, posixpath.basename(one.rstrip("/")))
            source.move(one, two)

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Create an empty file, or truncate it; without `truncate`, set its time."""
        files, inside = self._files(path)
        with _os_errors(path):
            if truncate or not files.exists(inside):
                files.write(inside, b"")
            else:
                files.append(inside, b"")

    # --- contents ---

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return the content of a file, or a range of it; negative offsets count from the end."""
        files, inside = self._files(path)
        with _os_errors(path):
            if (start or 0) < 0 or (end or 0) < 0:
                size = files.stat(inside).size
                start = max(0, size + start) if start is not None and start < 0 else start
                end = max(0, size + end) if end is not None and end < 0 else end
            first = start or 0
            return files.read(inside, first, end if end is None else max(first, end))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write a file. Raises FileExistsError with `mode="create"`."""
        files, inside = self._files(path)
        with _os_errors(path):
            files.write(inside, value, if_absent=mode == "create")

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> ArkerFile:
        if mode == "rb" and self.info(path)["type"] != "file":
            raise IsADirectoryError(21, "not a file", path)
        if mode == "xb" and self.exists(path):
            raise FileExistsError(17, "it exists", path)
        return ArkerFile(
            self,
            path,
            mode=mode,
            block_size=block_size or _BLOCK,
            autocommit=autocommit,
            cache_options=cache_options,
            **kwargs,
        )


class ArkerFile(_BufferedFile):
    """A file of a computer, read in ranges or written in parts; written data appears when it is closed."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        files, inside = self.fs._files(self.path)
        with _os_errors(self.path):
            return bytes(files.read(inside, start, end))

    def _initiate_upload(self) -> None:
        if self.mode not in ("wb", "ab", "xb"):
            raise ValueError(f"mode {self.mode!r} is not one of a file of a computer")
        inside = self.fs._files(self.path)[1]
        name = f".arker-part-{os.urandom(12).hex()}"
        self._part = posixpath.join(posixpath.dirname(inside), name)
        self._begun = False

    def _upload_chunk(self, final: bool = False) -> bool:
        files, inside = self.fs._files(self.path)
        data = self.buffer.getvalue()
        with _os_errors(self.path):
            if self.mode == "ab" and not self._begun and files.exists(inside):
                files.copy(inside, self._part)
            files.append(self._part, data)
            self._begun = True
        if final and self.autocommit:
            self.commit()
        return True

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        # The base class would put the part in place that was written before an exception.
        if kind is not None and self.mode != "rb":
            self.discard()
            self.closed = True
        self.close()

    def commit(self) -> None:
        """Move the written data to its path."""
        files, inside = self.fs._files(self.path)
        with _os_errors(self.path):
            files.move(self._part, inside, replace=self.mode != "xb")

    def discard(self) -> None:
        """Discard the written data."""
        if getattr(self, "_part", None) is not None:
            files, _ = self.fs._files(self.path)
            with _os_errors(self.path):
                files.remove(self._part, missing_ok=True)
