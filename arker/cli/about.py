"""The commands help and version."""

from __future__ import annotations

import click

from .base import Command


@click.command("help", cls=Command)
@click.argument("words", metavar="[COMMAND]...", nargs=-1)
@click.pass_context
def show_help(ctx: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of arker, or of a command."""
    parent = ctx.find_root()
    for word in words:
        group = parent.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"`{parent.command_path}` has no command {word!r}", parent)
        name, command, _ = group.resolve_command(parent, [word])
        assert command is not None
        parent = click.Context(command, info_name=name, parent=parent)
    click.echo(parent.get_help(), color=parent.color)


@click.command("version", cls=Command)
def show_version() -> None:
    """Show the version."""
    from arker import __version__

    click.echo(f"arker, version {__version__}")
