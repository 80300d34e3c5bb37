"""What one computer may use."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Limits:
    """The bounds of each computer. Sizes are bytes, times are seconds."""

    #: Processes and threads alive at once in a computer.
    processes: int = 512
    #: Private memory of one process, and of all processes of a computer together.
    memory: int = 4096 * _MIB
    #: What `/dev/shm` may hold; it is memory.
    shared_memory: int = 256 * _MIB
    #: The largest file that a command may write.
    file_size: int = 8192 * _MIB
    #: What a computer may have written to its disk, what it got from its parents included; each file takes 4096 bytes
    #: beside its content.
    disk: int = 16384 * _MIB
    #: Open descriptors of one process.
    open_files: int = 8192
    #: Kept of the output of one run, on disk beyond the first bytes; the rest is read, thrown away and flagged.
    run_output: int = 1024 * _MIB
    #: The longest that a command runs.
    run: float = 3600.0
    #: A sandbox with nothing but idle shells in it stops after this long.
    idle: float = 300.0
    #: Sessions of one computer, and shells of them that are alive at once; an idle one makes room for another.
    sessions: int = 1024
    shells: int = 32

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"Limits.{name} is {getattr(self, name)}; it must be above 0")
