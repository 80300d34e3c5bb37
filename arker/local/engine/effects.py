"""What a command can change of the state of its shell, judged by its text, so that the shell need not report
everything. Pure.

A full report takes as long as a short command, because bash writes each line of it separately, and the next command may
have to wait for it. A wrong guess here would lose state. So a command is assumed to change everything unless its text
shows that it cannot: a list of simple commands of a plain form, without certain words, even in quoted text.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from arker.local.engine.checkpoint import OPTIONS, SECTIONS, Checkpoint

# Groups are repeated in `(?>...)`: Python before 3.11.5 goes wrong with `(...)*+`.

#: The name of a program or of a builtin.
_NAME = rb"[\w./:][\w./+-]*+"
#: Words that cannot fail and have no effect: plain characters, quoted text, and variables.
_VALUE_OF = rb"\$(?:\w++|[?$#!@*]|\{\w++\})"
_PART = rb"""[\w@%+:,./=-]|'[^']*+'|""" + _VALUE_OF + rb"""|"(?>(?:[^"$`\\]|""" + _VALUE_OF + rb""")*)\""""
#: A call without redirections.
_CALL = re.compile(rb"(?P<name>" + _NAME + rb")(?>(?:[ \t]++(?:" + _PART + rb")+)*)\n?")
#: Builtins and words of the grammar that may change the state of a shell.
_CHANGING = frozenset(
    b""". : alias bg bind break builtin caller case cd command compgen complete compopt continue coproc declare dirs
    disown do done elif else enable esac eval exec exit export fc fg fi for function getopts hash help history if in
    jobs
    kill let local logout mapfile popd printf pushd read readarray readonly return select set shift shopt source suspend
    test then time times trap type typeset ulimit umask unalias unset until wait while""".split()
)
#: Longer commands are assumed to change everything: a report costs less than analyzing them.
_LOOKED_AT = 1024
_QUOTES = b"\\'\""
#: A dot as a command. The literal comes first, as a search for it is fast.
_DOT = rb"\.(?<![^\s;&|(){}!`]\.)\s"
_DOTS = re.compile(_DOT)
#: Words that may change anything, or a section that is rarely reported.
_DEEP = re.compile(
    rb"""\b(?:bind|builtin|command(?!\s+-[vV]\s)|compgen|complete|compopt|coproc|dirs|enable|eval|exec|exit|fc|hash
    |history|local|logout|mapfile|popd|pushd|readarray|set|shift|shopt\b[^;&|\n]*\s-\w*o|source|suspend|ulimit
    |BASH_ARGV0|BASH_CMDS|BASH_COMPAT|DIRSTACK|GLOBIGNORE|IGNOREEOF|POSIXLY_CORRECT|PWD)\b
    |"""
    + _DOT
    + rb"""|\$\{[\s|]|\bjobs\s+-x
    # A command whose name is the value of something, or the name of a file that is found by a pattern; values of
    # variables and names of files may come before it.
    |(?:^|[\n;&|)!`]|(?<!\$)(?<!\$\()[({]|\b(?:do|then|else|elif|if|while|until|time)\s)\s*
        (?:(?:[\w\[\]]+\+?=|\d*[<>]&?|-)(?:[^;&|\n]|[<>]&)*\s)?[^\s=]*(?:[$`*?]|\[[^\s\[]|\{\S)""",
    re.VERBOSE,
)
#: Words that change the sections of the state that their group is named for.
_PARTS = re.compile(
    rb"""\b(?:(?P<aliases>alias|unalias|BASH_ALIASES)|(?P<umask>umask)|(?P<options>shopt)|(?P<traps>trap)
    |(?P<functions>declare|typeset|readonly|unset|export\s+-)|(?P<defined>function))\b|(?P<definition>\(\s*\))""",
    re.VERBOSE,
)
_SECTIONS: dict[str, tuple[str, ...]] = {
    "aliases": ("aliases",),
    "umask": ("umask",),
    "traps": ("traps",),
    "options": OPTIONS,
    "functions": ("functions", "names"),
    "defined": ("functions", "names"),
    "definition": ("functions", "names"),
}
_TELL: dict[str, str] = {
    **SECTIONS,
    OPTIONS[0]: r'\builtin printf %s "$SHELLOPTS"',
    OPTIONS[1]: r'\builtin printf %s "$BASHOPTS"',
}
#: An argument: also patterns, plain arithmetic, and the output of a plain subshell.
_ARGUMENT = rb"(?>(?:" + _PART + rb"""|[~^*?]|\$(?:\(\([\w\s$+*/%-]*+\)\)|\([^()'"`\\\#<]++\)))+)"""
_ASSIGNMENT = rb"[A-Za-z_]\w*+\+?=(?:" + _ARGUMENT + rb")?"
_REDIRECTION = rb"[ \t]*+(?:\d?>&\d|(?:\d?(?:>>?|<<<|<)|&>)[ \t]*+" + _ARGUMENT + rb")"
#: A simple command that a plain word names, or assignments; before it, words of loops, conditions and functions.
_SIMPLE = rb"""(?>(?:(?:do|then|else|elif|if|while|until|!|\{|[\w-]++\(\)\s*+\{)\s++)*)
    (?:for[ \t]++\w++[ \t]++in(?>(?:[ \t]++%(argument)b)*)
    |(?:(?:done|fi)(?![\w./+=-])|\})(?>(?:%(redirection)b)*)
    |%(assignment)b(?>(?:[ \t]++%(assignment)b)*)
    |(?!(?:do|then|else|elif|if|while|until|time|coproc|case|select|function|in|for|done|fi)\b)
        %(name)b(?>(?:%(redirection)b|[ \t]++%(argument)b)*))""" % {
    b"argument": _ARGUMENT,
    b"assignment": _ASSIGNMENT,
    b"name": _NAME,
    b"redirection": _REDIRECTION,
}
# `_SIMPLE` is in it once, as it takes long to compile.
_LIST = re.compile(
    rb"(?>(?:(?:\A|(?!\A)[ \t]*+(?:;|&&?|\|\|?|\n))\s*+%b)+)[ \t]*+[;&]?\s*+" % _SIMPLE, re.VERBOSE
)
#: Builtins that set variables by their arguments.
_TAKING = re.compile(rb"\b(?:read|getopts|export)\b|\b(?:printf|wait)\s+[-$`{*?~]")
#: Arguments that do not come from their text, or that follow an option in one word.
_EXPANDED = re.compile(rb"[$`{*?~\[]|\s-\w*[apv]\w")
#: What may set variables that are not named in the text: arithmetic, which evaluates values, and names that are values.
_ANY_VARIABLE = re.compile(rb"\(\(|\btest\b.*\s-[vR]\b|\[|\blet\b|\$\{(?:!|[\w@*]+(?::[^-=?+]|@P))")
_WORD = re.compile(rb"[A-Za-z_]\w*")
_ASSIGNED = re.compile(
    rb"""\b([A-Za-z_]\w*+)(?=\+?=|:=)|\b(?:for|select)\s+([A-Za-z_]\w*)|\{([A-Za-z_]\w*)\}[<>]""",
    re.VERBOSE,
)
#: Variables that builtins set without being told their names.
_ASIDE: dict[bytes, tuple[bytes, ...]] = {
    b"cd": (b"OLDPWD",),
    b"getopts": (b"OPTARG", b"OPTIND"),
    b"read": (b"REPLY",),
    b"select": (b"REPLY",),
}
#: Variables whose assignment may set another one: references and numbers, but for those that bash has.
_INDIRECT = re.compile(
    rb"^declare -\w*[ni]\w* (?!(?:BASHPID|EUID|HISTCMD|OPTIND|PPID|RANDOM|SRANDOM|UID)\b)", re.MULTILINE
)
#: Variables that are asked for by name; beyond that, asking for all costs less.
_NAMED = 12


class Changes(NamedTuple):
    """The part of a shell's state that a command may have changed.

    Attributes:
        sections: sections of a checkpoint, without "variables".
        variables: the names of variables; None for all of them.
    """

    sections: tuple[str, ...] = ()
    variables: tuple[bytes, ...] | None = ()

    def report(self, nonce: bytes) -> bytes:
        """Shell code that prints the nonce and this part, in texts that NULs separate."""
        begin = b"\\builtin printf '\\0V%b\\0" % nonce
        texts = [_TELL[name].encode() for name in self.sections]
        if self.variables != ():
            # Those that are not set are missing in the text.
            texts.append(b"\\builtin declare -p " + b" ".join(self.variables or ()))
        if not texts:
            return begin + b"Z\\0'"
        return begin + b"';" + b";\\builtin printf '\\0';".join(texts) + b";\\builtin printf '\\0Z\\0'"

    def apply(self, known: Checkpoint, texts: Sequence[bytes]) -> Checkpoint | None:
        """Return the state `known` with this part as reported; None if the texts are not of this part."""
        names = [*self.sections, *([] if self.variables == () else ["variables"])]
        if len(texts) != len(names):
            return None
        told = dict(zip(names, texts, strict=True))
        if self.variables:
            known = known.with_variables(self.variables, told.pop("variables"))
        return Checkpoint({**known.sections, **told}) if told else known


def evaluates(text: bytes) -> bool:
    """Whether code, without quotes, may evaluate text that is not its own."""
    return b"eval" in text or b"source" in text or _DOTS.search(text) is not None


def is_deep(functions: bytes) -> bool:
    """Whether calls of these functions may change more of a shell than variables."""
    text = unquoted(functions)
    parts = {match.lastgroup for match in _PARTS.finditer(text)}
    return _DEEP.search(text) is not None or not parts <= {"definition"}


def changes_nothing(command: bytes, known: Checkpoint) -> bool:
    """Whether a command does not change a shell with the state `known`, whether it succeeds or fails."""
    return all(_is_call(code, known) for code in (command, *_traps(known)))


def _is_call(code: bytes, known: Checkpoint) -> bool:
    """Whether `code` is one call of a command that changes nothing."""
    match = _CALL.fullmatch(code)
    return not (
        match is None
        or match["name"] in _CHANGING
        or known.sections.get("aliases")
        or b" " + match["name"] + b"\n" in known.sections.get("names", b"")
    )


def changes(command: bytes, known: Checkpoint, *, functions_are_deep: bool) -> Changes | None:
    """Return what a command can change in a shell with the state `known`; None for everything."""
    sections = known.sections
    if sections.get("aliases"):
        return None
    if len(command) > _LOOKED_AT or not all(_is_call(trap, known) for trap in _traps(known)):
        return None
    text = unquoted(command)
    if not _LIST.fullmatch(command) or _DEEP.search(text):
        return None
    parts = {match.lastgroup or "" for match in _PARTS.finditer(text)}
    if parts & {"functions", "options", "traps"} and _EXPANDED.search(text):
        return None
    functions = unquoted(sections.get("names", b"")).splitlines()
    calls = any(line.rpartition(b" ")[2] in text for line in functions)
    if calls and functions_are_deep:
        return None
    found = {name for part in parts for name in _SECTIONS[part]}
    every = calls or "functions" in parts
    return Changes(tuple(sorted(found)), None if every else _variables(text, known))


def _traps(known: Checkpoint) -> list[bytes]:
    """The commands of traps, which may run at any time, as far as they are plain."""
    traps = known.traps() if known.sections.get("traps") else {}
    return [word[1:-1] for name, word in traps.items() if word != b"''" and name != b"EXIT"]


def unquoted(code: bytes) -> bytes:
    """Code without quotes, which hide no word in it then; where lines may be joined, both as it is and with joined
    lines."""
    text = code.translate(None, _QUOTES)
    return text + b"\n" + code.replace(b"\\\n", b"").translate(None, _QUOTES) if b"\\\n" in code else text


def _variables(text: bytes, known: Checkpoint) -> tuple[bytes, ...] | None:
    """The variables that code which calls no functions may set; None if they may be any."""
    sections = known.sections
    if "variables" not in sections or b"xtrace" in sections.get("options", b""):  # it expands PS4
        return None
    if _ANY_VARIABLE.search(text) or _INDIRECT.search(sections.get("variables", b"")):
        return None
    words = set(_WORD.findall(text))
    if not _TAKING.search(text):
        names = {name for match in _ASSIGNED.finditer(text) if (name := match[match.lastindex or 0])}
    elif _EXPANDED.search(text):
        return None
    else:
        names = words - _CHANGING
    for builtin, aside in _ASIDE.items():
        if builtin in words:
            names.update(aside)
    return tuple(sorted(names)) if len(names) <= _NAMED else None
