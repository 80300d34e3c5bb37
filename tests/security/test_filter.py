"""The filter as the kernel would run it, for both architectures, call by call."""

from __future__ import annotations

import errno
import struct

import pytest

from arker.local.engine import SandboxUnavailable, seccomp

X86, ARM = 0xC000003E, 0xC00000B7
ALLOW, KILL = 0x7FFF0000, 0x80000000


def verdict(program: bytes, arch: int, number: int, *arguments: int) -> int:
    """Run a classic BPF program over one struct seccomp_data."""
    values = [value & 0xFFFFFFFFFFFFFFFF for value in (*arguments, *[0] * 6)][:6]
    data = struct.pack("=IIQ6Q", number, arch, 0, *values)
    code = [struct.unpack_from("=HBBI", program, at) for at in range(0, len(program), 8)]
    at, accumulator = 0, 0
    while True:
        operation, if_true, if_false, k = code[at]
        at += 1
        if operation == 0x20:
            (accumulator,) = struct.unpack_from("=I", data, k)
        elif operation == 0x06:
            return k
        else:
            test = {0x15: accumulator == k, 0x35: accumulator >= k, 0x45: bool(accumulator & k)}[operation]
            at += if_true if test else if_false


def refused(number: int) -> int:
    return 0x00050000 | number


ARCHES = [("x86_64", X86, 0), ("aarch64", ARM, 1)]


@pytest.mark.parametrize(("machine", "arch", "column"), ARCHES)
def test_every_call_of_the_tables(machine: str, arch: int, column: int) -> None:
    program = seccomp.program(machine)
    listed = set()
    for table, error in ((seccomp._PRIVILEGED, errno.EPERM), (seccomp._ABSENT, errno.ENOSYS)):
        for name, numbers in table.items():
            if numbers[column] is not None:
                listed.add(numbers[column])
                assert verdict(program, arch, numbers[column]) == refused(error), name
    special = {
        calls[column]
        for calls in (seccomp._CLONE, seccomp._SOCKET, seccomp._SOCKETPAIR, seccomp._PERSONALITY)
    }
    for number in range(600):
        if number not in listed | special:
            assert verdict(program, arch, number) == ALLOW, number


@pytest.mark.parametrize(("machine", "arch", "column"), ARCHES)
def test_other_architectures_kill(machine: str, arch: int, column: int) -> None:
    program = seccomp.program(machine)
    for other in (X86, ARM, 0x40000003, 0x40000028, 0):
        if other != arch:
            assert verdict(program, other, 0) == KILL
    if machine == "x86_64":
        assert verdict(program, arch, 0x40000000) == KILL
        assert verdict(program, arch, 0xFFFFFFFF) == KILL


@pytest.mark.parametrize(("machine", "arch", "column"), ARCHES)
def test_arguments(machine: str, arch: int, column: int) -> None:
    program = seccomp.program(machine)
    clone, socket, pair = seccomp._CLONE[column], seccomp._SOCKET[column], seccomp._SOCKETPAIR[column]
    ioctl, personality = seccomp._IOCTL[column], seccomp._PERSONALITY[column]
    for flags in (17, 0x01200011, 0x003D0F00):  # fork, vfork-like, a thread
        assert verdict(program, arch, clone, flags) == ALLOW
    for bit in (0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000):
        assert verdict(program, arch, clone, bit | 17) == refused(errno.EPERM)
    for family in range(50):
        wanted = ALLOW if family in (1, 2, 10, 16) else refused(errno.EAFNOSUPPORT)
        assert verdict(program, arch, socket, family, 1, 0) == wanted
        assert verdict(program, arch, pair, family) == (ALLOW if family == 1 else refused(errno.EAFNOSUPPORT))
    assert verdict(program, arch, socket, 16, 3, 9) == refused(errno.EAFNOSUPPORT)
    for request in (0x5412, 0x541C):
        for high in (0, 1 << 32, 0xFFFFFFFF << 32):
            assert verdict(program, arch, ioctl, 0, request | high) == refused(errno.EPERM)
    assert verdict(program, arch, ioctl, 0, 0x5401) == ALLOW
    for calls, arguments, bad, number in (
        (seccomp._MMAP, (0, 4096, 3, 0x22), (0, 4096, 3, 0x40022), errno.ENOMEM),
        (seccomp._MEMFD_CREATE, (0, 3), (0, 4), errno.EINVAL),
        (seccomp._SHMGET, (0, 1, 0o1600), (0, 1, 0o5600), errno.EPERM),
        (seccomp._SETSOCKOPT, (3, 1, 2), (3, 1, 7), 0),
        (seccomp._SETSOCKOPT, (3, 6, 8), (3, 1, 8), 0),
        (seccomp._SETRLIMIT, (7, 1), (4, 1), 0),
        (seccomp._PRLIMIT, (0, 4, 0, 1), (0, 4, 1, 0), 0),
        (seccomp._PRLIMIT, (0, 7, 1 << 40, 0), (0, 4, 1 << 40, 1), 0),
    ):
        assert verdict(program, arch, calls[column], *arguments) == ALLOW, calls
        assert verdict(program, arch, calls[column], *bad) == refused(number), calls
    assert verdict(program, arch, personality, 0) == ALLOW
    assert verdict(program, arch, personality, 0xFFFFFFFF) == ALLOW
    assert verdict(program, arch, personality, 0x0040000) == refused(errno.EPERM)


def test_no_filter_for_an_unknown_machine() -> None:
    with pytest.raises(SandboxUnavailable, match="riscv64"):
        seccomp.program("riscv64")
