"""The limits of one computer."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of each computer. Sizes are in bytes, times in seconds."""

    #: Processes and threads of a computer that are alive at once.
    processes: int = 512
    #: Private memory of one process, and of all processes of a computer together.
    memory: int = 4096 * _MIB
    #: Size of `/dev/shm`, which is memory.
    shared_memory: int = 256 * _MIB
    #: The largest file that a command may write.
    file_size: int = 8192 * _MIB
    #: Disk space of a computer, including the files inherited from its parents; each file counts 4096 bytes in addition
    #: to its content.
    disk: int = 16384 * _MIB
    #: Open descriptors of one process.
    open_files: int = 8192
    #: Output kept of one run, on disk beyond the first bytes; the rest is dropped, and the result says so.
    run_output: int = 1024 * _MIB
    #: Longest run time of a command.
    run: float = 3600.0
    #: A sandbox that has only idle shells stops after this time.
    idle: float = 300.0
    #: Sessions of a computer, and how many of their shells are alive at once; a new shell replaces an idle one.
    sessions: int = 1024
    shells: int = 32

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"Limits.{name} is {getattr(self, name)}; it must be above 0")
