"""Base images: the files that a new computer starts with."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from arker.local.engine import small_files
from arker.local.engine.protocol import SandboxUnavailable

HOME = "/home/user"
UID = 1000
#: The writable folders of an image whose whole root is writable.
WHOLE = ("",)
#: Mount points in such a root.
MOUNT_POINTS = ("proc", "dev", "run")
#: Names of built images (all but `arkuntu`); each is in a folder of its name.
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,38}[a-z0-9]")
#: The target of `/etc/resolv.conf` in such an image.
RESOLVER = "/run/resolv.conf"
#: Name prefix of folders that are not yet or no longer images; the next build removes those that a crash left.
MAKING = ".build-"
_ROOT, _FIRST = "root", "first"

# Configuration of programs in /usr that is not secret on any machine. No other part of the host's /etc is visible.
_HOST_ETC = (
    "alternatives",
    "ca-certificates",
    "fonts",
    "ld.so.cache",
    "ld.so.conf",
    "ld.so.conf.d",
    "localtime",
    "magic",
    "mime.types",
    "perl",
    "pki/ca-trust",
    "pki/tls/certs",
    "protocols",
    "python3",
    "services",
    "ssl/certs",
    "ssl/openssl.cnf",
)
_HOST_ETC_PATTERNS = ("java-*-openjdk", "python3.*")

_ETC = {
    "passwd": (
        "root:x:0:0:root:/root:/usr/sbin/nologin\n"
        f"user:x:{UID}:{UID}::{HOME}:/bin/bash\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
    ),
    "group": f"root:x:0:\nuser:x:{UID}:\nnogroup:x:65534:\n",
    "hosts": "127.0.0.1 localhost arkuntu\n::1 localhost ip6-localhost ip6-loopback\n",
    "hostname": "arkuntu\n",
    "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n",
    "shells": "/bin/sh\n/bin/bash\n",
    "resolv.conf": "",
}

_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

ENVIRONMENT = {
    "HOME": HOME,
    "USER": "user",
    "LOGNAME": "user",
    "SHELL": "/bin/bash",
    "PATH": f"{HOME}/.local/bin:{_SYSTEM_PATH}:/opt/arker/bin",
    "LANG": "C.UTF-8",
    "TERM": "xterm-256color",
}

_ROOT_ENVIRONMENT = {"USER": "root", "LOGNAME": "root", "DEBIAN_FRONTEND": "noninteractive"}


class Image(NamedTuple):
    """A base image: bwrap arguments for its fixed part, and its writable folders.

    Each writable folder is a separate overlay on `lower`/<folder>. All mount points are in a root that no guest can
    write, so files on a computer's disk cannot redirect a mount. A `whole` image has one such folder, the root
    itself; its mount points are made real folders of the top layer whenever a sandbox starts.
    """

    name: str
    lower: Path
    #: The bash for process 1, which a guest can execute but not read.
    first: Path
    fixed: tuple[str, ...]
    writable: tuple[str, ...]

    @property
    def whole(self) -> bool:
        """Whether the whole root is writable. The user in such a computer is called root and has uid 0, without its
        privileges."""
        return self.writable == WHOLE

    @property
    def uid(self) -> int:
        """The uid of commands inside."""
        return 0 if self.whole else UID

    @property
    def environment(self) -> dict[str, str]:
        """The initial environment of shells."""
        return ENVIRONMENT | _ROOT_ENVIRONMENT if self.whole else ENVIRONMENT


def _host_tree() -> Iterator[str]:
    """Yield arguments that mount the host's /usr and recreate the host's `/bin`, `/lib` and so on."""
    yield from ("--ro-bind", "/usr", "/usr")
    for name in ("bin", "sbin", "lib", "lib32", "lib64", "libx32"):
        path = Path("/") / name
        if path.is_symlink():
            yield from ("--symlink", str(path.readlink()), f"/{name}")
        elif path.is_dir():
            yield from ("--ro-bind", f"/{name}", f"/{name}")


def _host_etc() -> list[str]:
    etc = Path("/etc")
    names = [*_HOST_ETC, *(path.name for pattern in _HOST_ETC_PATTERNS for path in etc.glob(pattern))]
    return [name for name in names if os.access(etc / name, os.R_OK)]


def find_program(name: str) -> str | None:
    """Return the path of a program that computers will find below /usr, or None."""
    return shutil.which(name, path=_SYSTEM_PATH)


def _first(folder: Path, bash: str | Path | None) -> Path:
    if bash is None:
        raise SandboxUnavailable("bash is not installed")
    first = folder / _FIRST
    wanted = Path(bash).stat()
    with contextlib.suppress(FileNotFoundError):
        # A copy takes room, which a full disk does not have.
        found = first.stat()
        if (found.st_size, found.st_mtime_ns) == (wanted.st_size, wanted.st_mtime_ns):
            return first
        first.unlink()
    shutil.copyfile(bash, first)
    os.utime(first, ns=(wanted.st_atime_ns, wanted.st_mtime_ns))
    first.chmod(0o111)
    return first


def arkuntu(folder: Path, *, network: bool) -> Image:
    """Recreate the image based on the host's /usr in `folder`, and describe it. Blocking."""
    if folder.exists():
        shutil.rmtree(folder)
    for name, mode in ((HOME.lstrip("/"), 0o755), ("tmp", 0o1777), ("etc", 0o755)):
        (folder / name).mkdir(parents=True)
        (folder / name).chmod(mode)
    etc = f"{folder}/etc"
    for name, text in _ETC.items():
        small_files.make(f"{etc}/{name}", text.encode())
    if network:
        small_files.make(f"{etc}/resolv.conf", Path("/etc/resolv.conf").read_bytes())
    os.symlink("/proc/self/mounts", f"{etc}/mtab")
    os.symlink("../usr/lib/os-release", f"{etc}/os-release")
    binds: list[str] = []
    for name in _host_etc():
        source, point = f"/etc/{name}", f"{etc}/{name}"
        if os.path.isdir(source):
            small_files.make_folder(point)
        else:
            small_files.make_folder(os.path.dirname(point))
            if name != "ld.so.cache":
                # Each mount takes time at every start of a computer.
                small_files.make(point, Path(source).read_bytes())
                continue
            small_files.make(point, b"")
        # Installing packages on the host changes these, together with /usr.
        binds += ["--ro-bind", source, f"/etc/{name}"]
    fixed = [*_host_tree(), "--ro-bind", etc, "/etc", *binds]
    if find_program("python") is None and (python3 := find_program("python3")):
        fixed += ["--symlink", python3, "/opt/arker/bin/python"]
    return Image(
        "arkuntu", folder, _first(folder, find_program("bash")), tuple(fixed), (HOME.lstrip("/"), "tmp")
    )


def built(folder: Path) -> set[str]:
    """Return the names of the images that were built in `folder`."""
    if not folder.is_dir():
        return set()
    return {path.name for path in folder.iterdir() if NAME.fullmatch(path.name) and (path / _ROOT).is_dir()}


def whole(folder: Path, *, network: bool) -> Image:
    """Describe the image whose root file system is in `folder`. With the network, DNS uses the host's resolvers,
    through a link that is part of the image."""
    fixed = ("--ro-bind-try", "/etc/resolv.conf", RESOLVER) if network else ()
    first = _first(folder, folder / _ROOT / "usr/bin/bash")
    return Image(folder.name, folder / _ROOT, first, fixed, WHOLE)


def gone(folder: Path) -> Image:
    """Return a placeholder for an image that was removed from `folder`."""
    return Image(folder.name, folder / _ROOT, folder / _FIRST, (), WHOLE)


def remove(folder: Path, name: str) -> Path:
    """Move an image out of `folder` at once; return the new path, which can be deleted later.

    Raises OSError.
    """
    left = folder / f"{MAKING}{name}-{secrets.token_hex(4)}"
    (folder / name).rename(left)
    return left
