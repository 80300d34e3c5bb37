"""completion: print a shell's script that completes commands, options, names and ids."""

from __future__ import annotations

import click

from .base import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion of commands and names for a shell.

    \b
    bash:  eval "$(arker completion bash)"       in ~/.bashrc
    zsh:   eval "$(arker completion zsh)"        in ~/.zshrc, after compinit
    fish:  arker completion fish > ~/.config/fish/completions/arker.fish
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "arker", "_ARKER_COMPLETE").source()
    if shell == "fish":
        # click's script cuts a description at its first comma.
        script = script.replace('string split ","', 'string split --max 1 ","')
    click.echo(script)
