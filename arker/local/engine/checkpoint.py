"""The state of a shell, as it reported it, and the shell code that restores it. Pure.

A shell reports its state in sections: its options, and the output of some builtins (`SECTIONS`). They are kept as they
came and read only when a shell is to be started from them. The code handles every definition separately, quoted, so
that one which cannot be read affects no other; and it removes what the shell did not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

#: The sections in the order in which a shell reports them, and the command whose output each is. Before them come
#: `OPTIONS`: bash writes each line by itself, and the output of `set +o` and `shopt -p` would be most of the lines.
SECTIONS: dict[str, str] = {
    "traps": r"\builtin trap -p",
    "variables": r"\builtin declare -p",
    "functions": r"\builtin declare -f",
    "names": r"\builtin declare -F",
    "aliases": r"\builtin alias -p",
    "umask": r"\builtin umask -p",
    "disabled": r"\builtin enable -n",
    "arguments": r"""\builtin printf '%s ' "${@@Q}" """,
    "limits": r"\builtin ulimit -Sa; \builtin printf '\1'; \builtin ulimit -Ha",
    "hashed": r"\builtin hash -l",
    "folders": r"""\builtin printf '%s\n' "${DIRSTACK[@]@Q}" """,
}
#: The sections with the values of `SHELLOPTS` and `BASHOPTS`.
OPTIONS: tuple[str, ...] = ("options", "shopt")
#: Reported only when the last command may have changed them.
ON_DEMAND: frozenset[str] = frozenset({"limits", "hashed", "folders"})
#: A command may have changed them if it has one of these words, or calls a function or an alias that has.
CHANGES_ON_DEMAND = (b"ulimit", b"hash", b"pushd", b"popd", b"dirs", b"DIRSTACK", b"BASH_CMDS")

#: Builtins that the engine's own lines use. A shell without one of them is not used any more.
ESSENTIAL: frozenset[bytes] = frozenset(
    b". : alias builtin cd declare enable eval exec exit hash printf set shopt test trap ulimit umask unset".split()
)
#: Words of the grammar in the engine's own lines; an alias for one would change what they mean.
_GRAMMAR = frozenset(b"{ } ( ) if then fi".split())
#: Variables that bash sets by itself, or that cannot be set.
_DYNAMIC = frozenset(
    b"""_ BASH BASHOPTS BASHPID BASH_ALIASES BASH_ARGC BASH_ARGV BASH_ARGV0 BASH_CMDS BASH_COMMAND BASH_LINENO
    BASH_MONOSECONDS BASH_REMATCH BASH_SOURCE BASH_SUBSHELL BASH_VERSINFO BASH_VERSION COMP_WORDBREAKS DIRSTACK
    EPOCHREALTIME EPOCHSECONDS EUID FUNCNAME GROUPS HISTCMD HOSTTYPE LINENO MACHTYPE OSTYPE PIPESTATUS PPID PWD RANDOM
    POSIXLY_CORRECT SHELLOPTS SHLVL SRANDOM UID""".split()
)
#: Variables that bash sets by itself, and that can be removed.
_DEFAULT = (b"HOSTNAME", b"IFS", b"OPTERR", b"OPTIND", b"PATH", b"PS4", b"SHELL", b"TERM")

#: Variables that set options, and lose their values with those.
_SETTING: frozenset[bytes] = frozenset({b"BASH_COMPAT", b"GLOBIGNORE", b"IGNOREEOF"})

#: Options that last only for the command that set them, and some that would end or restrict the next shell.
_PASSING = (
    b"errexit",
    b"nounset",
    b"pipefail",
    b"onecmd",
    b"noexec",
    b"privileged",
    b"restricted",
    b"history",
)

#: Options that a new shell has set.
_USUAL = (b"braceexpand", b"hashall", b"interactive-comments")

#: Bytes of all that is kept of a session.
TOTAL = 1 << 20

_VERSION = b"\x01arker-shell-2\0"
#: One definition: up to the first line feed that is not quoted.
_DEFINITION = re.compile(
    rb"""(?:\$'(?:[^'\\]|\\.)*+'|'[^']*+'|"(?:[^"\\]|\\.)*+"|\\.|[^\n"'\\$]++|\$)*+\n""", re.DOTALL
)
_VARIABLE = re.compile(rb"declare -[a-zA-Z-]+ ([A-Za-z_][A-Za-z0-9_]*)")
_ALIAS = re.compile(rb"alias (?:-- )?([^=]+)=")
_TRAP = re.compile(rb"trap -- (.*) (?:SIG)?([A-Z0-9+-]+)", re.DOTALL)
_LIMIT = re.compile(rb"-([a-zA-Z])\) +(\S+)$")


def quote(text: bytes) -> bytes:
    """One word of shell code, on one line, that means `text`."""
    return b"$'" + text.replace(b"\\", b"\\\\").replace(b"'", b"\\'").replace(b"\n", b"\\n") + b"'"


@dataclass(frozen=True)
class Checkpoint:
    """The state of a shell by section; sections that were never reported are missing."""

    sections: Mapping[str, bytes]
    #: The cached value of `variables`: parsing it takes longer than all the rest of a short command.
    known_variables: Mapping[bytes, bytes] | None = field(default=None, compare=False, repr=False)

    def dump(self) -> bytes:
        """Return the stored form."""
        return _VERSION + b"\0".join(
            part for name, text in self.sections.items() for part in (name.encode(), text)
        )

    @classmethod
    def load(cls, stored: bytes) -> Checkpoint | None:
        """Read the stored form; None for the shell code that older releases stored."""
        if not stored.startswith(_VERSION):
            return None
        fields = stored[len(_VERSION) :].split(b"\0")
        names = {name.encode(): name for name in (*OPTIONS, *SECTIONS)}
        pairs = zip(fields[::2], fields[1::2], strict=False)
        return cls({names[name]: text for name, text in pairs if name in names})

    def _lines(self, section: str) -> list[bytes]:
        return [line[:-1] for line in _DEFINITION.findall(self.sections.get(section, b""))]

    def options(self, section: str = "options") -> list[bytes]:
        """The names of the options that are set, by `set -o` or, with "shopt", by `shopt -s`."""
        return [name for name in self.sections.get(section, b"").split(b":") if name]

    def traps(self) -> dict[bytes, bytes]:
        """The commands of traps by signal, each as one quoted word of shell code."""
        matches = map(_TRAP.fullmatch, self._lines("traps"))
        return {match[2]: match[1] for match in matches if match and match[1] != b"-"}

    @cached_property
    def variables(self) -> Mapping[bytes, bytes]:
        """The declarations of variables by name."""
        if self.known_variables is not None:
            return self.known_variables
        lines = self._lines("variables")
        return {match[1]: line for line in lines if (match := _VARIABLE.match(line))}

    def with_variables(self, names: Iterable[bytes], told: bytes) -> Checkpoint:
        """Return the state with the variables `names` as `declare -p` has reported them."""
        fresh = Checkpoint({"variables": told}).variables
        variables = {**self.variables, **fresh}
        for name in names:
            if name not in fresh:
                variables.pop(name, None)
        if variables == self.variables:
            return self
        text = b"".join(line + b"\n" for line in variables.values())
        return Checkpoint({**self.sections, "variables": text}, variables)

    def functions(self) -> dict[bytes, bytes]:
        """The definitions of functions by name."""
        text = b"\n" + self.sections.get("functions", b"")
        starts: list[tuple[int, bytes]] = []
        at = 0
        for name in self._names():
            # `declare -f` has them in the order of `declare -F`.
            found = text.find(b"\n" + name + b" () \n", at)
            if found >= 0:
                starts.append((found + 1, name))
                at = found + 1
        ends = [start for start, _ in starts[1:]] + [len(text)]
        return {name: text[start:end] for (start, name), end in zip(starts, ends, strict=False)}

    def _names(self) -> list[bytes]:
        return [line.split(b" ", 2)[2] for line in self.sections.get("names", b"").splitlines()]

    def aliases(self) -> dict[bytes, bytes]:
        """The definitions of aliases by name, which may be quoted."""
        return {match[1]: line for line in self._lines("aliases") if (match := _ALIAS.match(line))}

    @property
    def grammar_is_aliased(self) -> bool:
        """Whether an alias changes what a word of the grammar means."""
        return any(name.strip(b"'") in _GRAMMAR for name in self.aliases())

    def damage(self) -> str | None:
        """Why the engine cannot use a shell with this state; None if it can."""
        disabled = {line.removeprefix(b"enable -n ") for line in self._lines("disabled")}
        if lost := disabled & ESSENTIAL:
            return f"the builtin {min(lost).decode()} was disabled"
        if self.sections.get("aliases") and self.grammar_is_aliased:
            return "an alias changed a word of the grammar"
        if b"builtin" in self._names():
            return "`builtin` became a function"
        return None


def trimmed(told: Checkpoint, most: int = TOTAL) -> tuple[Checkpoint, list[str]]:
    """The checkpoint within `most` bytes, and what was left out for that: the largest definitions."""
    size = sum(map(len, told.sections.values()))
    if size <= most:
        return told, []
    parts = {
        "variables": dict(told.variables),
        "functions": told.functions(),
        "aliases": told.aliases(),
        "traps": {name: b"trap -- " + word + b" " + name for name, word in told.traps().items()},
    }
    every = [(len(text), section, name) for section, found in parts.items() for name, text in found.items()]
    left_out = []
    for length, section, name in sorted(every, reverse=True):
        if size <= most:
            break
        del parts[section][name]
        size -= length
        left_out.append(f"{section.removesuffix('s')} {name.decode(errors='replace')} ({length} bytes)")
    sections = dict(told.sections)
    for section, found in parts.items():
        sections[section] = b"".join(text.rstrip(b"\n") + b"\n" for text in found.values())
    if size > most:
        sections["arguments"] = b""
        left_out.append("positional parameters")
    return Checkpoint(sections), left_out


def restoration(told: Checkpoint, environment: Iterable[str]) -> tuple[bytes, bytes]:
    """Return shell code that restores the state in a shell that was started with `environment`.

    Returns the code to be sourced, and a line to be read after that.
    """
    return b"".join(line + b"\n" for line in _code(told, environment)), _late(told)


def _code(told: Checkpoint, environment: Iterable[str]) -> Iterator[bytes]:
    def each(definition: bytes) -> bytes:
        return b"\\builtin eval " + quote(b"\\builtin " + definition)

    names = [name.encode() for name in environment if name.encode() not in _DYNAMIC]
    yield b"\\builtin unset -v " + b" ".join((*names, *_DEFAULT))
    for name, definition in told.variables.items():
        if name not in _DYNAMIC:
            # Lists are read as such after a bare `declare` only. There are no functions yet that could be called so.
            yield b"\\builtin eval " + quote(definition)
    if functions := told.functions():
        # Reading a function may need this option, whatever its value when the function is called.
        yield b"\\builtin shopt -s extglob"
    for name, definition in functions.items():
        if name != b"builtin":
            yield b"\\builtin eval " + quote(definition)
    yield b"\\builtin shopt -u extglob"
    for line in told.sections.get("names", b"").splitlines():
        if not line.startswith(b"declare -f "):
            yield each(line)
    for folder in reversed(told._lines("folders")[1:]):
        yield each(b"pushd -n -- " + folder)
    yield each(b"set -- " + told.sections.get("arguments", b""))
    for definition in told.aliases().values():
        yield each(definition)
    yield each(told.sections.get("umask", b"umask 0022").strip())
    for kind, text in zip((b"S", b"H"), told.sections.get("limits", b"").split(b"\1"), strict=False):
        for line in text.splitlines():
            # `p` cannot be set, and the engine uses `x`.
            if (match := _LIMIT.search(line)) and match[1] not in b"px":
                yield b"\\builtin ulimit -" + kind + b" -" + match[1] + b" " + match[2]
    for line in told.sections.get("hashed", b"").splitlines():
        if line.startswith(b"builtin hash "):
            yield each(line.removeprefix(b"builtin "))
    for line in told.sections.get("disabled", b"").splitlines():
        if line.removeprefix(b"enable -n ") not in ESSENTIAL:
            yield each(line)
    if OPTIONS[1] in told.sections:
        yield b'\\builtin eval "\\builtin shopt -u ${BASHOPTS//:/ }"'
        yield b"\\builtin shopt -s " + b" ".join(told.options("shopt"))
    if OPTIONS[0] in told.sections:
        options = told.options()
        for name in sorted({*options, *_USUAL}):
            if name not in _PASSING:
                yield b"\\builtin set " + (b"-o " if name in options else b"+o ") + name
    for name in _SETTING & told.variables.keys():
        yield b"\\builtin eval " + quote(told.variables[name])
    for name in (b"SHELLOPTS", b"BASHOPTS"):
        if told.variables.get(name, b"").startswith(b"declare -rx "):
            yield b"\\builtin export " + name
    for name, word in told.traps().items():
        if name not in (b"EXIT", *SEEN):
            yield each(b"trap -- " + word + b" " + name)


#: Traps that the rest of the restoring code would trigger.
SEEN: frozenset[bytes] = frozenset({b"ERR", b"RETURN", b"DEBUG"})


def _late(told: Checkpoint) -> bytes:
    traps = told.traps()
    return b"".join(
        b"\\builtin trap -- " + traps[name].replace(b"\n", b"'$'\\n''") + b" " + name + b";"
        for name in (b"ERR", b"RETURN", b"DEBUG")
        if name in traps
    )
