"""The tree of commands. What a command needs is imported when it runs, so that `arker --help` is there at
once."""

from __future__ import annotations

import importlib
from typing import Final

import click

#: Commands, and where each is: a module and a name in it.
_COMMANDS: Final = {
    "serve": ("arker.local.commands", "serve"),
    "keys": ("arker.local.commands", "keys"),
}


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module, name = _COMMANDS[cmd_name]
        command = getattr(importlib.import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="arker")
def app() -> None:
    """Isolated Linux computers for programs and AI agents: fork, run, read, write."""
