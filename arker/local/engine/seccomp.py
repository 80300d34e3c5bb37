"""The system call filter of the sandboxes: blocks calls that no program in a computer needs and that attacks on kernels
use.

It is a classic BPF program, written by a small assembler. Calls that programs probe for and can do without fail with
ENOSYS. Calls that need a privilege that a sandbox does not have fail with EPERM, as they would without the filter.
"""

from __future__ import annotations

import errno
import platform
import struct
from functools import cache
from typing import NamedTuple

from arker.local.engine.protocol import SandboxUnavailable

# struct seccomp_data
_NR, _ARCH = 0, 4


def _argument(index: int) -> int:
    """Return the offset of the low half of an argument; both architectures are little-endian."""
    return 16 + 8 * index


_LOAD, _JUMP_EQUAL, _JUMP_AT_LEAST, _JUMP_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW = 0x7FFF0000
_KILL = 0x80000000


def _refuse(number: int) -> int:
    return 0x00050000 | number


_CLONE_NEW = 0x7E020000  # every CLONE_NEW* that clone(2) takes
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PER_QUERY = 0xFFFFFFFF


class _Arch(NamedTuple):
    audit: int
    #: (x86_64, aarch64) column of the tables below.
    column: int


_ARCHES = {"x86_64": _Arch(0xC000003E, 0), "aarch64": _Arch(0xC00000B7, 1)}
_X32_BIT = 0x40000000

# name: (x86_64, aarch64); None where the architecture has no such call.
_PRIVILEGED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_tree": (428, 428),
    "open_tree_attr": (467, 467),
    "unshare": (272, 97),
    "setns": (308, 268),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "open_by_handle_at": (304, 265),
    "fanotify_init": (300, 262),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "acct": (163, 89),
    "syslog": (103, 116),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "adjtimex": (159, 171),
    "vhangup": (153, 58),
    "move_pages": (279, 239),
    "migrate_pages": (256, 238),
    "mbind": (237, 235),
    "set_mempolicy": (238, 237),
    "lookup_dcookie": (212, 18),
    "nfsservctl": (180, 42),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "ustat": (136, None),
    "sysfs": (139, None),
    "_sysctl": (156, None),
}
_ABSENT: dict[str, tuple[int | None, int | None]] = {
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    # Contexts of asynchronous I/O are limited per host, not per user.
    "io_setup": (206, 0),
    # Its flags are in memory, which a filter cannot read; C libraries fall back to clone.
    "clone3": (435, 435),
}
# Calls that change users or owners: a sandbox has only one user.
_IDENTITY: dict[str, tuple[int | None, int | None]] = {
    "chown": (92, None),
    "lchown": (94, None),
    "fchown": (93, 55),
    "fchownat": (260, 54),
    "setuid": (105, 146),
    "setgid": (106, 144),
    "setreuid": (113, 145),
    "setregid": (114, 143),
    "setresuid": (117, 147),
    "setresgid": (119, 149),
    "setfsuid": (122, 151),
    "setfsgid": (123, 152),
    "setgroups": (116, 159),
}
#: F_SETLEASE would block processes that open the file, even on the host; F_NOTIFY is a watch that no limit counts.
_LEASE_COMMANDS = (1024, 1026)
_PR_SET_DUMPABLE = 4
_RLIMIT_CORE = 4
#: Sizes of the buffers of a socket, which the kernel keeps in memory of its own.
_SOL_SOCKET, _SO_SNDBUF, _SO_RCVBUF = 1, 7, 8
#: Huge pages that the administrator of the host reserved for something else.
_MAP_HUGETLB, _MFD_HUGETLB, _SHM_HUGETLB = 0x40000, 0x4, 0o4000
_MMAP, _MEMFD_CREATE, _SHMGET = (9, 222), (319, 279), (29, 194)
_SETSOCKOPT, _SETRLIMIT, _PRLIMIT = (54, 208), (160, 164), (302, 261)
_FCNTL, _PRCTL = (72, 25), (157, 167)
_CLONE, _SOCKET, _SOCKETPAIR, _IOCTL, _PERSONALITY = (56, 220), (41, 198), (53, 199), (16, 29), (135, 92)

_Instruction = tuple[int, int, int, int]


def _assemble(program: list[_Instruction]) -> bytes:
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in program)


def _load(offset: int) -> _Instruction:
    return (_LOAD, 0, 0, offset)


def _return(action: int) -> _Instruction:
    return (_RETURN, 0, 0, action)


def _when(number: int, block: list[_Instruction]) -> list[_Instruction]:
    """Apply `block`, which must end in a return, to one system call; expects the call's number to be loaded."""
    return [(_JUMP_EQUAL, 0, len(block), number), *block]


def _allow_only(offset: int, values: tuple[int, ...], otherwise: int) -> list[_Instruction]:
    checks: list[_Instruction] = [_load(offset)]
    for index, value in enumerate(values):
        checks.append((_JUMP_EQUAL, len(values) - index, 0, value))
    return [*checks, _return(_refuse(otherwise)), _return(_ALLOW)]


def _refuse_only(offset: int, values: tuple[int, ...], action: int) -> list[_Instruction]:
    checks: list[_Instruction] = [_load(offset)]
    for index, value in enumerate(values):
        checks.append((_JUMP_EQUAL, len(values) - index, 0, value))
    return [*checks, _return(_ALLOW), _return(action)]


def _refuse_bits(offset: int, bits: int, number: int) -> list[_Instruction]:
    return [_load(offset), (_JUMP_ANY_BIT, 0, 1, bits), _return(_refuse(number)), _return(_ALLOW)]


@cache
def program(machine: str | None = None, *, one_user: bool = False) -> bytes:
    """Return the filter in the kernel's format for `machine` (default: this one). Raises SandboxUnavailable for an
    unsupported architecture.

    With `one_user`, calls that change owners and identities succeed and do nothing. Package managers expect a machine
    with many users; in a namespace with one user, these calls would fail.
    """
    machine = machine or platform.machine()
    arch = _ARCHES.get(machine)
    if arch is None:
        raise SandboxUnavailable(f"computers need x86_64 or aarch64; this machine is {machine}")
    column = arch.column
    code: list[_Instruction] = [
        _load(_ARCH),
        (_JUMP_EQUAL, 1, 0, arch.audit),
        _return(_KILL),  # i386 on x86_64, arm on aarch64: the call numbers differ
        _load(_NR),
    ]
    if column == 0:
        code += [(_JUMP_AT_LEAST, 0, 1, _X32_BIT), _return(_KILL)]
    pretended = _IDENTITY if one_user else {}
    for calls, number in ((_PRIVILEGED, errno.EPERM), (_ABSENT, errno.ENOSYS), (pretended, 0)):
        for call in calls.values():
            if (nr := call[column]) is not None:
                code += _when(nr, [_return(_refuse(number))])
    code += _when(_CLONE[column], _refuse_bits(_argument(0), _CLONE_NEW, errno.EPERM))
    code += _when(_MMAP[column], _refuse_bits(_argument(3), _MAP_HUGETLB, errno.ENOMEM))
    code += _when(_MEMFD_CREATE[column], _refuse_bits(_argument(1), _MFD_HUGETLB, errno.EINVAL))
    code += _when(_SHMGET[column], _refuse_bits(_argument(2), _SHM_HUGETLB, errno.EPERM))
    # Buffers keep their default size, as the kernel's memory for them is not that of any process.
    sizes = _refuse_only(_argument(2), (_SO_SNDBUF, _SO_RCVBUF), _refuse(0))
    other = [_load(_argument(1)), (_JUMP_EQUAL, 1, 0, _SOL_SOCKET), _return(_ALLOW)]
    code += _when(_SETSOCKOPT[column], [*other, *sizes])
    # With a limit of 1, the kernel starts no program of the host for a crashed process; with 0 it does.
    code += _when(_SETRLIMIT[column], _refuse_only(_argument(0), (_RLIMIT_CORE,), _refuse(0)))
    asks = [_load(_argument(2)), (_JUMP_EQUAL, 0, 3, 0), _load(_argument(2) + 4), (_JUMP_EQUAL, 0, 1, 0)]
    limit = _refuse_only(_argument(1), (_RLIMIT_CORE,), _refuse(0))
    code += _when(_PRLIMIT[column], [*asks, _return(_ALLOW), *limit])
    # Netlink is allowed for listing interfaces (its protocol 0) only; no vsock, packet or exotic families.
    netlink = _when(_AF_NETLINK, _allow_only(_argument(2), (0,), errno.EAFNOSUPPORT))
    families = [_load(_argument(0)), *netlink]
    code += _when(
        _SOCKET[column],
        [*families, *_allow_only(_argument(0), (_AF_UNIX, _AF_INET, _AF_INET6), errno.EAFNOSUPPORT)],
    )
    code += _when(_SOCKETPAIR[column], _allow_only(_argument(0), (_AF_UNIX,), errno.EAFNOSUPPORT))
    code += _when(_IOCTL[column], _refuse_only(_argument(1), (_TIOCSTI, _TIOCLINUX), _refuse(errno.EPERM)))
    code += _when(_FCNTL[column], _refuse_only(_argument(1), _LEASE_COMMANDS, _refuse(errno.EINVAL)))
    # Succeeds and does nothing: others cannot trace the process anyway, and the flag would hide its descriptors from
    # the limits.
    code += _when(_PRCTL[column], _refuse_only(_argument(0), (_PR_SET_DUMPABLE,), _refuse(0)))
    code += _when(_PERSONALITY[column], _allow_only(_argument(0), (0, _PER_QUERY), errno.EPERM))
    code.append(_return(_ALLOW))
    return _assemble(code)
