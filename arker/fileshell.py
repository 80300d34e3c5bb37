"""Scripts that do file operations in a computer whose deployment has no endpoints for files. Pure.

They need a POSIX shell with the usual tools: coreutils, findutils, grep, awk and tar, or busybox alone. Names may be
any bytes. The output of a script is encoded, so that it arrives unchanged, and a mark on standard error says that it is
complete.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import itertools
import posixpath
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from .errors import ArkerError
from .filevalues import PARTIAL, FileInfo, FileKind, GrepMatch

__all__ = ["Output", "digests", "failure", "glob_pattern", "matches", "output", "quoted", "script"]

_DONE: Final = b"arker:done\n"
#: Said by a listing that has more entries.
_MORE: Final = b"arker:more\n"
#: Precedes errors about the path Q.
_OTHER: Final = b"arker:other\n"
_SAID: Final = re.compile(rb"^arker:([a-z_]+):(.*?)\n\Z", re.DOTALL | re.MULTILINE)
_STAT: Final = re.compile(rb" ([0-9a-f]+) (\d+) (\d+) (-?\d+) (\S+ [^. ]+(?:\.(\d+))? \S+) ")
#: A line of `sha256sum`. That of GNU escapes names with line ends, that of busybox does not.
_DIGEST: Final = re.compile(
    rb"^(\\?)([0-9a-f]{64})  (.*?)\n(?=\\?[0-9a-f]{64}  |\Z)", re.DOTALL | re.MULTILINE
)
_KINDS: Final[Mapping[int, FileKind]] = {0o10: "file", 0o04: "directory", 0o12: "symlink"}
_STATUS: Final = {"not_found": 404, "already_exists": 409, "conflict": 409, "unavailable": 503}
_MISSING: Final = ("not_found", "file not found: {path}")
_FULL: Final = ("unavailable", "the disk is full; {path} was not written")
#: The ends of the messages of tools, and what they mean.
_REASONS: Final = {
    "No such file or directory": _MISSING,
    "No such file": _MISSING,
    "Directory nonexistent": _MISSING,
    "nonexistent directory": _MISSING,
    "No space left on device": _FULL,
    "Disk quota exceeded": _FULL,
    "File exists": ("already_exists", "{path} exists"),
    "Permission denied": ("bad_request", "{path}: permission denied"),
    "Operation not permitted": ("bad_request", "{path}: permission denied"),
    "Read-only file system": ("bad_request", "{path}: it is read-only"),
    "Not a directory": ("bad_request", "{path}: a part of the path is not a folder"),
    "Is a directory": ("bad_request", "{path}: it is a folder"),
    "Directory not empty": ("bad_request", "{path} is a folder that is not empty"),
    "File name too long": ("bad_request", "{path}: a name in it is too long"),
    "Too many levels of symbolic links": ("bad_request", "{path}: too many links on the way"),
    "Text file busy": ("bad_request", "{path}: it is being executed"),
}

#: In all scripts: P is the path, Q another one, N marks the parts of the output, `part` is a name for unfinished files.
_PRELUDE: Final = r"""
export LC_ALL=C TZ=UTC0 N
umask 022
fail() { printf 'arker:%s:%s\n' "$1" "$2" >&2; exit 3; }
encoded() {
  if command -v base64 >/dev/null 2>&1; then printf b; base64; else printf x; od -An -v -tx1; fi
}
exists() { [ -e "$1" ] || [ -L "$1" ]; }
is_folder() { [ -d "$1" ] && [ ! -L "$1" ]; }
found() { stat -L -- "$1" >/dev/null; }
stat_of() { stat "$1" -c "$N %f %s %i %Y %y $N>%n" -- "$2"; }
link_of() { if [ -L "$1" ]; then printf '%s@' "$N"; readlink -- "$1"; fi; }
entry() { stat -c "$N %f %s %i %Y %y $N>%n" -- "$1"; link_of "$1"; }
refuse() { printf '%s!%s\n%s:%s\n' "$N" "$1" "$N" "$2"; }
other() { printf 'arker:other\n' >&2; }
named() {
  case ${1##*/} in '' | . | ..) fail bad_request "$1: the last part of the path is not a name" ;; esac
}
regular() {
  if [ -d "$P" ]; then fail bad_request "$P is a folder"; fi
  if [ ! -f "$P" ]; then fail bad_request "$P is not a regular file"; fi
  # Files of procfs, which have no size, are those of the process that opens them.
  if [ ! -s "$P" ] && [ "$(stat -f -c %t -- "$P")" = 9fa0 ]; then
    fail bad_request "$P: the files of /proc can be used inside the computer only"
  fi
}
# Make a folder and those above it.
folders() {
  said=$(mkdir -p -- "$1" 2>&1) && return
  case $said in *"File exists") found "$1/" ;; esac
  printf '%s\n' "$said" >&2
  exit 4
}
# Whether the relative path of a folder leads over folders only; a missing one will be made.
clear() {
  rest=$1 way=.
  while [ -n "$rest" ]; do
    way=$way/${rest%%/*}
    if [ -L "$way" ] || { [ -e "$way" ] && [ ! -d "$way" ]; }; then return 1; fi
    case $rest in */*) rest=${rest#*/} ;; *) rest= ;; esac
  done
}
# Follow links at the end of P, and make its folder D.
resolve() {
  hops=0
  while [ -L "$P" ]; do
    hops=$((hops + 1))
    if [ $hops -gt 40 ]; then fail bad_request "$P: too many links on the way"; fi
    to=$(readlink -- "$P" && printf .); to=${to%??}
    case $to in /*) P=$to ;; *) P=${P%/*}/$to ;; esac
  done
  D=${P%/*}/
  folders "$D"
}
# Where the computer has flock, one writer at a time checks and replaces.
alone() {
  if [ -r "$D" ] && command -v flock >/dev/null 2>&1; then exec 9<"$D"; flock 9; fi
}
# Whether P may be replaced; `old` is its mode if it exists.
allowed() {
  old=
  if exists "$P"; then
    if [ "$absent" ]; then fail already_exists "$P exists"; fi
    regular
    old=$(stat -c %a -- "$P")
    if [ ! "$read_only" ] && [ $((0$old & 0200)) -eq 0 ]; then fail bad_request "$P is read-only"; fi
    if [ "$version" ] && [ "$(stat -c '%i-%s-%y' -- "$P")" != "$version" ]; then
      fail conflict "$P was changed meanwhile"
    fi
  elif [ "$version" ]; then fail not_found "file not found: $P"
  fi
}
set_time() { touch -d "@$1" -- "$2" 2>/dev/null || touch -d "@${1%.*}" -- "$2"; }
# Move the complete file T to P.
publish() {
  chmod "${mode:-${old:-644}}" -- "$T"
  if [ "$time" ]; then set_time "$time" "$T"; fi
  if [ "$absent" ]; then
    ln -- "$T" "$P" 2>/dev/null || fail already_exists "$P exists"
  else mv -fT -- "$T" "$P"
  fi
}
not_inside() {
  if is_folder "$P"; then
    from=$(readlink -f -- "$P" && printf .)
    into=$(readlink -f -- "${Q%/*}/" && printf .)
    case ${into%??}/ in "${from%??}"/*) fail bad_request "$Q is inside of what would be put there" ;; esac
  fi
}
# A place in the home folder for what is fetched from there; leftovers are a day old.
stage() {
  mkdir -p -- "${S%/*}"
  find "${S%/*}" -maxdepth 1 -name '.arker-part-*' -mtime +0 -exec rm -rf {} + 2>/dev/null || :
}
"""

_ENTER: Final = r"""
found "$P"
if [ ! -d "$P" ]; then fail bad_request "$P is not a folder"; fi
if [ ! -r "$P" ] || [ ! -x "$P" ]; then fail bad_request "$P: permission denied"; fi
cd -P -- "$P"
"""

#: In the order of paths: a folder, then its entries. For that, and so that names are lines, some bytes change places.
_LISTING: Final = r"""
export after limit
if [ "$(pwd -P)" = / ]; then closed=./proc; else closed=; fi
find . -mindepth 1 $depth -print0 -path "$closed" -prune 2>/dev/null |
  tr '/\001\n\000\002' '\001/\002\n\000' | sort |
  awk '$0 "" > ENVIRON["after"] "" {
    if (n++ == ENVIRON["limit"]) { print "arker:more" > "/dev/stderr"; exit }
    print
  }' |
  tr '\001/\002\n\000' '/\001\n\000\002' |
  xargs -0 -r sh -c 'stat -c "$N %f %s %i %Y %y $N>%n" -- "$@" 2>/dev/null
    for f do if [ -L "$f" ]; then printf "%s<%s\n%s@" "$N" "$f" "$N"; readlink -- "$f"; fi; done' sh || :
"""

_SCRIPTS: Final[Mapping[str, str]] = {
    "stat": r"""
if [ "$follow" ]; then stat_of -L "$P"; else entry "$P"; fi
""",
    "list": _ENTER + _LISTING,
    "manifest": r"""
if ! exists "$P"; then printf 'arker:done\n' >&2; exit; fi
"""
    + _ENTER
    + r"""
export N
find . -type d -exec sh -c 'for f do
  if [ ! -r "$f" ] || [ ! -x "$f" ]; then printf "%s!%s\n%s:%s: permission denied\n" "$N" "$f" "$N" "${f#./}"; fi
done' sh {} + 2>/dev/null || :
"""
    + _LISTING,
    "mkdir": r"""
if [ "$P" != / ]; then named "$P"; fi
if exists "$P" && { [ ! "$exist_ok" ] || [ ! -d "$P" ]; }; then fail already_exists "$P exists"; fi
if [ "$parents" ]; then mkdir -p -- "$P"; elif [ ! -d "$P" ]; then mkdir -- "$P"; fi
""",
    "remove": r"""
named "$P"
if ! exists "$P"; then
  said=$(found "$P" 2>&1) || case $missing_ok$said in
    1*"Not a directory") fail bad_request "$P: a part of the path is not a folder" ;;
    1*) ;;
    *) found "$P" ;;
  esac
elif ! is_folder "$P"; then rm -f -- "$P"
else
  said=$(rmdir -- "$P" 2>&1) || case $recursive$said in
    *"Read-only file system" | *busy) fail bad_request "$P is a folder that cannot be removed" ;;
    1*"not empty") rm -rf -- "$P" ;;
    *) rmdir -- "$P" ;;
  esac
fi
""",
    "move": r"""
named "$P"
exists "$P" || found "$P"
named "$Q"
other
found "${Q%/*}/"
not_inside
if exists "$Q"; then
  if [ ! "$replace" ]; then fail already_exists "$Q exists"; fi
  if is_folder "$Q"; then
    if ! is_folder "$P"; then fail bad_request "$Q: it is a folder"; fi
    if [ "$(ls -A -- "$Q")" ]; then fail already_exists "$Q exists"; fi
  elif is_folder "$P"; then fail bad_request "$Q: a part of the path is not a folder"
  fi
fi
if [ "$P" != "$Q" ]; then mv -fT -- "$P" "$Q"; fi
""",
    "copy": r"""
named "$P"
exists "$P" || found "$P"
named "$Q"
other
found "${Q%/*}/"
if exists "$Q" && { [ ! "$replace" ] || [ ! -f "$Q" ] || [ -L "$Q" ]; }; then
  fail already_exists "$Q exists"
fi
if is_folder "$P"; then
  if [ ! "$recursive" ]; then fail bad_request "$P is a folder; copy it recursively"; fi
  if exists "$Q"; then fail already_exists "$Q exists"; fi
  not_inside
elif [ ! -L "$P" ]; then
  if [ ! "$recursive" ]; then regular; fi
  if [ ! -r "$P" ]; then fail bad_request "$P: permission denied"; fi
fi
T=${Q%/*}/$part
trap 'rm -rf -- "$T"' EXIT
cp -dpRT -- "$P" "$T"
mv -fT -- "$T" "$Q"
""",
    "chmod": r"""
found "$P"
chmod "$mode" -- "$P"
""",
    "symlink": r"""
named "$P"
if exists "$P"; then fail already_exists "$P exists"; fi
ln -sn -- "$Q" "$P"
""",
    "read": r"""
found "$P"
regular
if [ ! -r "$P" ]; then fail bad_request "$P: permission denied"; fi
stat_of -L "$P"
count=$(($(stat -L -c %s -- "$P") - start))
if [ $count -gt "$size" ]; then count=$size; fi
piece() { if [ $count -gt 0 ]; then tail -c "+$((start + 1))" -- "$P" | head -c $count; fi; }
if [ $count -gt "$inline" ]; then stage; piece >"$S"; else printf '%s#' "$N"; piece; fi
stat_of -L "$P"
""",
    "write": r"""
resolve
allowed
T=$D$part
trap 'rm -f -- "$T" "$S"' EXIT
given >"$T"
alone
allowed
publish
entry "$P"
""",
    "append": r"""
trap 'rm -f -- "$S"' EXIT
if [ "${at:-0}" -gt 0 ]; then found "$P"; fi
resolve
alone
had=0
if exists "$P"; then regular; had=$(stat -c %s -- "$P"); fi
if [ ! "$at" ] || [ "$had" -eq "$at" ]; then
  given >>"$P" || { truncate -s "$had" -- "$P"; exit 4; }
elif [ "$had" -ne $((at + length)) ] ||
  [ "$(tail -c "$length" -- "$P" | sha256sum)" != "$(given | sha256sum)" ]; then
  fail conflict "$P has $had bytes, not $at"
fi
entry "$P"
""",
    "place": r"""
T=$P P=$Q
found "$T"
if [ "$digest" ] && [ "$(sha256sum <"$T")" != "$digest  -" ]; then
  fail conflict "$T has not the content that was sent"
fi
if [ "$base" ]; then
  cd -P -- "$base"
  case $P in */*) D=${P%/*} ;; *) D= ;; esac
  clear "$D" || fail bad_request "$P: a part of the path is not a folder"
  D=./$D P=./$P
  folders "$D"
  if [ -L "$P" ]; then rm -f -- "$P"; fi
else resolve
fi
alone
allowed
publish
if [ "$absent" ]; then rm -f -- "$T"; fi
entry "$P"
""",
    "hashes": r"""
cd -P -- "$P"
printf '%s#' "$N"
sha256sum -- "$@" 2>/dev/null || :
""",
    "mark": r"""
found "$P"
cd -P -- "$P"
mark() {
  case $3 in */*) D=${3%/*} ;; *) D= ;; esac
  if ! clear "$D" || [ -L "$3" ]; then refuse "$3" "a link is on the way"
  elif [ ! -e "$3" ]; then refuse "$3" "file not found: $3"
  elif [ "$4" ] && [ "$(stat -c '%i-%s-%y' -- "$3")" != "$4" ]; then refuse "$3" "$3 was changed meanwhile"
  elif ! set_time "$2" "./$3" 2>/dev/null || ! chmod "$1" -- "$3" 2>/dev/null; then
    refuse "$3" "$3: permission denied"
  fi
}
""",
    # A file that changes meanwhile has another status afterwards.
    "pack": r"""
found "$P"
cd -P -- "$P"
entries() {
  stat -c "$N %f %s %i %Y %y $N>%n" -- "$@" 2>/dev/null || :
  for f do if [ -L "$f" ]; then printf '%s<%s\n' "$N" "$f"; link_of "$f"; fi; done
}
entries "$@"
if command -v gzip >/dev/null 2>&1; then compressed() { gzip -1; }; else compressed() { cat; }; fi
stage
{ tar --no-recursion -cf - -- "$@" 2>/dev/null || :; } | compressed >"$S"
printf '%s~' "$N"
entries "$@"
if [ "$(stat -c %s -- "$S")" -le "$inline" ]; then printf '%s#' "$N"; cat -- "$S"; rm -f -- "$S"; fi
""",
    # The archive is unpacked beside the entries, which are then replaced one by one.
    "unpack": r"""
mkdir -p -- "$P"
cd -P -- "$P"
trap 'rm -rf -- "$part" "$part.tar" "$S"' EXIT
mkdir -- "$part"
given >"$part.tar"
tar -xpof "$part.tar" -C "$part"
make() {
  if ! clear "$1"; then refuse "$1" "$1 exists and is not a folder"
  elif ! mkdir -p -- "$1" 2>/dev/null; then refuse "$1" "$1: permission denied"; fi
}
fill() {
  D=$1
  shift
  if ! clear "$D" || ! mkdir -p -- "./$D" 2>/dev/null; then
    for f do refuse "${D:+$D/}$f" "a part of the path is not a folder"; done
    return
  fi
  D=./$D${D:+/}
  for f do
    shift
    f=$D$f
    if is_folder "$f"; then refuse "${f#./}" "$f is a folder"
    elif [ ! "$read_only" ] && [ -f "$f" ] && [ ! -L "$f" ] && [ $((0$(stat -c %a -- "$f") & 0200)) -eq 0 ]
    then refuse "${f#./}" "$f is read-only"
    else set -- "$@" "$part/$f"; fi
  done
  if [ $# -eq 0 ] || mv -f -- "$@" "$D" 2>/dev/null; then return; fi
  for f do if exists "$f"; then refuse "${f#"$part/./"}" "it could not be replaced"; fi; done
}
""",
    "changes": r"""
token() {
  if ! exists "$P"; then printf none; return; fi
  (cd -P -- "$P" && find . -exec stat -c '%n %f %s %i %y' {} + 2>/dev/null | sort | sha256sum)
}
while now=$(token) && [ "$now" = "$known" ] && [ "$wait" -gt 0 ]; do wait=$((wait - 1)); sleep 1; done
printf '%s#%s' "$N" "$now"
""",
    "grep": r"""
status=0
printf '\n' | grep "-q$syntax" -e "$pattern" 2>/dev/null || status=$?
if [ $status -gt 1 ]; then fail bad_request "grep does not take the pattern $pattern"; fi
found "$P"
if [ ! -r "$P" ]; then fail bad_request "$P: permission denied"; fi
if [ ! -d "$P" ]; then regular; fi
printf '%s#' "$N"
status=0
grep -qZ x /dev/null 2>/dev/null || status=$?
if [ $status -le 1 ]; then
  grep "-rnHIZ$syntax" --exclude='.arker-part-*' -e "$pattern" -- "$P" 2>/dev/null || :
else
  # busybox: no -Z, and no -I.
  export pattern syntax
  find "$P" -type f ! -name '.arker-part-*' -exec sh -c 'for f do
    if tr -d "\000" <"$f" | cmp -s - "$f"; then
      grep "-n$syntax" -e "$pattern" -- "$f" | while IFS= read -r line; do printf "%s\000%s\n" "$f" "$line"; done
    fi
  done' sh {} + 2>/dev/null || :
fi
""",
}


def quoted(text: str) -> str:
    """A word of a POSIX shell; bytes that are not UTF-8 are surrogates in it, as in `os.fsdecode`."""
    pieces = re.split("([\udc80-\udcff]+)", text)
    if len(pieces) == 1:
        return shlex.quote(text)
    return "".join(
        f'"$(printf {_octal(piece.encode("utf-8", "surrogateescape"), "")})"'
        if odd
        else (shlex.quote(piece) if piece else "")
        for piece, odd in zip(pieces, itertools.cycle((False, True)), strict=False)
    )


def _octal(data: bytes, zero: str) -> str:
    return "'" + "".join(f"\\{zero}{byte:03o}" for byte in data) + "'"


def script(
    operation: str,
    mark: str,
    variables: Mapping[str, str | int | bool | None],
    *,
    words: Iterable[str] = (),
    calls: Iterable[Sequence[str]] = (),
    data: bytes | None = None,
) -> str:
    """The script of an operation.

    Args:
        operation: Its name.
        mark: Marks the parts of the output; random, so that nothing else looks like it.
        variables: Variables of the script; None and False are empty.
        words: Arguments of the script.
        calls: Calls of functions of the script, after it.
        data: What `given` prints; None for the file S.
    """
    lines = [_PRELUDE]
    for name, value in {"N": mark, "part": PARTIAL + mark, **variables}.items():
        lines.append(
            f"{name}={quoted('' if value in (None, False) else '1' if value is True else str(value))}\n"
        )
    given = 'cat -- "$S"' if data is None else f"printf %b {_octal(data, '0')}"
    lines += [
        f"given() {{ {given}; }}\n",
        f"set -- {' '.join(quoted(one) for one in words)}\n",
        "{\nset -eu\n",
        _SCRIPTS[operation],
        *(f"{' '.join(quoted(one) for one in call)}\n" for call in calls),
        "printf 'arker:done\\n' >&2\n} | encoded\n",
    ]
    return "".join(lines)


@dataclass(slots=True)
class Output:
    """What a script has printed.

    Attributes:
        entries: Entries, with the paths that the script used.
        before: For two looks at the same entries, those of the first one.
        refused: Paths that were left out, with the reasons.
        data: Other output.
        more: Whether a listing has more entries.
    """

    entries: list[FileInfo] = field(default_factory=list)
    before: list[FileInfo] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    data: bytes | None = None
    more: bool = False


def failure(stderr: bytes, path: str, other: str | None = None) -> ArkerError | None:
    """The error that a script reports, if any; `path` and `other` are P and Q."""
    if stderr.endswith(_DONE):
        return None
    said = _SAID.search(stderr)
    if said is not None:
        code, message = said[1].decode(), said[2].decode(errors="replace")
    else:
        last = stderr.decode(errors="replace").strip().rpartition("\n")[2]
        code, message = _REASONS.get(last.rpartition(": ")[2], ("internal", f"{{path}}: {last[:200]}"))
        about = other if other is not None and _OTHER in stderr else path
        message = message.replace("{path}", about.encode(errors="replace").decode())
    return ArkerError(code, message, _STATUS.get(code, 400), processed="yes")


def _decoded(stdout: bytes) -> bytes:
    text = b"".join(stdout.split())
    try:
        if text[:1] == b"b":
            return base64.b64decode(text[1:], validate=True)
        if text[:1] == b"x":
            return bytes.fromhex(text[1:].decode("ascii"))
    except (binascii.Error, ValueError):
        pass
    raise ArkerError("internal", "the output of a file operation arrived damaged", processed="maybe")


def output(stdout: bytes, stderr: bytes, mark: str) -> Output:
    """Read the output of a script. Raises ArkerError when it is damaged."""
    found = Output(more=_MORE in stderr)
    targets: dict[str, str] = {}
    status: re.Match[bytes] | None = None
    name = ""
    for part in _decoded(stdout).split(mark.encode())[1:]:
        kind, rest = part[:1], part[1:]
        text = rest[:-1].decode("utf-8", "surrogateescape")
        if kind == b" ":
            status = _STAT.fullmatch(part)
        elif kind == b">" and status is not None:
            found.entries.append(_info(status, text))
            name = text
        elif kind in b"<!":
            name = text
        elif kind == b":":
            found.refused[name.removeprefix("./")] = text
        elif kind == b"@":
            targets[name.removeprefix("./")] = text
        elif kind == b"#":
            found.data = rest
        elif kind == b"~":
            found.before, found.entries = found.entries, []
        else:
            raise ArkerError(
                "internal", "the output of a file operation is not understood", processed="maybe"
            )
    if targets:
        found.entries = [
            dataclasses.replace(info, target=targets.get(info.path, "")) if info.kind == "symlink" else info
            for info in found.entries
        ]
    return found


def _info(status: re.Match[bytes], path: str) -> FileInfo:
    mode, size, inode, seconds = int(status[1], 16), int(status[2]), int(status[3]), int(status[4])
    nanos = int(((status[6] or b"") + b"0" * 9)[:9])
    kind: FileKind = _KINDS.get(mode >> 12, "other")
    version = f"{inode}-{size}-{status[5].decode()}".replace(" ", "_")
    size = size if kind == "file" else 0
    return FileInfo(path.removeprefix("./"), kind, size, mode & 0o7777, seconds * 10**9 + nanos, version)


def matches(found: bytes) -> list[GrepMatch]:
    """The matches that `grep -nZ` has printed."""
    result = []
    for line in found.split(b"\n"):
        name, nul, rest = line.partition(b"\0")
        number, _, text = rest.partition(b":")
        if nul and number.isdigit():
            path = posixpath.normpath(name.decode("utf-8", "surrogateescape"))
            result.append(GrepMatch(path, int(number), text.decode(errors="replace")))
    return result


def digests(found: bytes) -> dict[str, str]:
    """The digests that `sha256sum` has printed, by path."""
    result = {}
    for line in _DIGEST.finditer(found):
        name = line[3]
        if line[1]:
            name = re.sub(rb"\\(.)", lambda one: b"\n" if one[1] == b"n" else one[1], name)
        result[name.decode("utf-8", "surrogateescape").removeprefix("./")] = line[2].decode()
    return result


def glob_pattern(glob: str) -> tuple[re.Pattern[str], bool]:
    """The expression for relative paths that match a pattern of `Files.list`; and whether it matches below the folder's
    own entries."""
    parts: list[str] = []
    for part in glob.split("/"):
        if part not in ("", ".") and not (part == "**" and parts[-1:] == ["**"]):
            parts.append(part)
    pattern = ""
    for index, part in enumerate(parts):
        last = index == len(parts) - 1
        if part == "**" and last:
            pattern = f"{pattern[:-1]}(?:/[^/]+)*" if pattern else "[^/]+(?:/[^/]+)*"
        elif part == "**":
            pattern += "(?:[^/]+/)*"
        else:
            pattern += _segment(part) + ("" if last else "/")
    return re.compile(pattern, re.DOTALL), len(parts) > 1 or "**" in parts


def _segment(part: str) -> str:
    """The expression of a pattern for one name."""
    out, at = "", 0
    while at < len(part):
        char = part[at]
        at += 1
        if char == "*":
            out += "[^/]*"
        elif char == "?":
            out += "[^/]"
        elif char == "[" and (end := part.find("]", at + 1 + (part[at : at + 1] == "!"))) > 0:
            inner = part[at:end].replace("\\", "\\\\")
            inner = "^" + inner[1:] if inner.startswith("!") else inner
            out += f"(?!/)[{inner}]"
            at = end + 1
        else:
            out += re.escape(char)
    return out
