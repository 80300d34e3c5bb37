"""Program of the helper process: creates sockets in the namespaces of sandboxes and passes them to the engine, and sets
the limits that the kernel keeps per namespace.

It imports nothing of Arker and is run as text, so that it starts fast and stays small. A process that entered a
user namespace cannot leave it, and one with threads cannot enter it, so a forked child waits for each request, handles
it and ends. Standard input is the channel: a request has descriptors of namespaces, the
answer has the sockets. The program ends when the channel closes, which is when the deployment ends.
"""

from __future__ import annotations

# `socket` would take longer to import than all the rest.
import _socket
import ctypes
import errno
import fcntl
import os
import struct
import sys

#: Address family, and number of sockets. Without a family the request sets limits: lines with names below /proc/sys and
#: their values follow.
REQUEST: struct.Struct = struct.Struct("=BB")
BOUNDS = 0
MOST: int = 4096
#: An errno; 0 for success; for limits, minus the number of those that the kernel refused.
ANSWER: struct.Struct = struct.Struct("=i")

#: The status of a child that found the channel closed.
_CLOSED = 3

_CLONE_NEWUSER, _CLONE_NEWNET = 0x10000000, 0x40000000
_NS_GET_USERNS = 0xB701


def _enter(libc: ctypes.CDLL, namespace: int, kind: int) -> None:
    if libc.setns(namespace, kind) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _make(libc: ctypes.CDLL, channel: _socket.socket, namespace: int, family: int, count: int) -> None:
    """Enter the namespace permanently, and send sockets created in it."""
    made: list[_socket.socket] = []
    failure = 0
    try:
        # The user namespace that owns it gives the right to enter. bwrap puts the processes of a sandbox into a nested
        # one, so the processes' own namespace is the wrong one.
        _enter(libc, fcntl.ioctl(namespace, _NS_GET_USERNS), _CLONE_NEWUSER)
        _enter(libc, namespace, _CLONE_NEWNET)
        made = [_socket.socket(family, _socket.SOCK_STREAM) for _ in range(count)]
    except OSError as error:
        failure, made = error.errno or errno.EIO, []
    sent = struct.pack(f"{len(made)}i", *(sock.fileno() for sock in made))
    channel.sendmsg([ANSWER.pack(failure)], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, sent)] if made else [])


def _bound(libc: ctypes.CDLL, channel: _socket.socket, namespaces: list[int], settings: bytes) -> None:
    """Enter the namespaces permanently and set limits; the answer is the number of limits that the kernel refused."""
    failure = 0
    try:
        _enter(libc, fcntl.ioctl(namespaces[0], _NS_GET_USERNS), _CLONE_NEWUSER)
        for namespace in namespaces:
            _enter(libc, namespace, 0)
        for line in settings.decode().splitlines():
            name, _, value = line.partition(" ")
            try:
                with open(f"/proc/sys/{name}", "w") as file:
                    file.write(value)
            except OSError:  # older kernels allow some of them to root only
                failure -= 1
    except OSError as error:
        failure = error.errno or errno.EIO
    channel.send(ANSWER.pack(failure))


def _serve(libc: ctypes.CDLL, channel: _socket.socket) -> None:
    while True:
        # Before there is a request, which then need not wait for it.
        pid = os.fork()
        if pid == 0:
            os._exit(_answer(libc, channel))
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if status == _CLOSED:
            return
        if status != 0:
            channel.send(ANSWER.pack(errno.EIO))


def _answer(libc: ctypes.CDLL, channel: _socket.socket) -> int:
    """Wait for a request and answer it, in a process of its own; return its status."""
    data, ancillary, _, _ = channel.recvmsg(MOST, _socket.CMSG_LEN(2 * struct.calcsize("i")))
    fds = [fd for _, _, sent in ancillary for (fd,) in struct.iter_unpack("i", sent)]
    if not data:
        return _CLOSED
    family, count = REQUEST.unpack_from(data)
    if family == BOUNDS:
        _bound(libc, channel, fds, data[REQUEST.size :])
    else:
        _make(libc, channel, fds[0], family, count)
    return 0


def main() -> None:
    """Serve requests until the channel closes, even in the middle of an answer."""
    try:
        _serve(ctypes.CDLL(None, use_errno=True), _socket.socket(fileno=0))
    except ConnectionError:
        sys.exit(0)


if __name__ == "__main__":
    main()
