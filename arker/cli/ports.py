"""port: a server in a computer, reached on this machine."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Final

import click

from . import names
from .base import Command, Failure, warn
from .deployments import connected

if TYPE_CHECKING:
    from arker import Arker, Port, PortConnection

_READ: Final = 65536


def _pair(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, int]:
    port, _, local = value.partition(":")
    for number in (port, local or port):
        if (
            not (number.isascii() and number.isdecimal() and 0 <= int(number) <= 65535)
            or number == port == "0"
        ):
            raise click.BadParameter(f"{value!r} is not PORT or PORT:LOCAL", ctx, param)
    return int(port), int(local or port)


@click.command(cls=Command)
@click.argument("vm", shell_complete=names.complete)
@click.argument("port", metavar="PORT[:LOCAL]", callback=_pair)
@click.option(
    "--link", is_flag=True, help="Print a URL that opens the server in a browser for 15 minutes, and exit."
)
@connected
def port(client: Arker, vm: str, port: tuple[int, int], link: bool) -> None:
    """Forward a port of this machine to a server in a computer.

    PORT is the port of the server; LOCAL that of this machine, 0 for any free one.  [default: PORT]  Ctrl-C ends it.
    """
    remote, local = port
    found = names.computer(client, vm).port(remote)
    if link:
        click.echo(found.link())
        return
    try:
        listener = socket.create_server(("127.0.0.1", local))
    except OSError as error:
        raise Failure(f"cannot listen on port {local}: {error.strerror}; try {remote}:0") from error
    with listener:
        click.echo(f"127.0.0.1:{listener.getsockname()[1]} -> {vm}:{remote}")
        while True:
            near, _ = listener.accept()
            threading.Thread(target=_serve, args=(near, found), daemon=True).start()


def _serve(near: socket.socket, port: Port) -> None:
    from arker import ArkerError

    with near:
        try:
            with port.connect() as far:
                up = threading.Thread(target=_send, args=(near, far), daemon=True)
                up.start()
                with contextlib.suppress(OSError):
                    while data := far.read():
                        near.sendall(data)
                    near.shutdown(socket.SHUT_RDWR)
                up.join()
        except ArkerError as error:
            if error.code != "network":
                warn(f"{error.message} of the computer; PORT comes first in PORT:LOCAL")


def _send(near: socket.socket, far: PortConnection) -> None:
    from arker import ArkerError

    try:
        while data := near.recv(_READ):
            far.write(data)
        far.send_eof()
    except (OSError, ArkerError):
        far.close()
