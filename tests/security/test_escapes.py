"""Attacks on the host, the engine and other computers, run inside a real computer. All must fail."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import socket
import time

import pytest

from arker.local.engine import BubblewrapEngine, RunOutcome

from ..engine.harness import Box, attempt, sh  # noqa: TID252

x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="numbers of x86_64")

# Makes system calls by number; prints `ok <result>` or the name of the error.
CALL = """
import ctypes, errno, os
libc = ctypes.CDLL(None, use_errno=True)
def call(*a):
    a = [ctypes.c_long(x) if isinstance(x, int) else x for x in a]
    r = libc.syscall(*a)
    print(f'ok {r}' if r >= 0 else errno.errorcode[ctypes.get_errno()])
"""


async def python(engine: BubblewrapEngine, code: str, **options: object) -> RunOutcome:
    return await attempt(engine, f"python3 - <<'PYTHON'\n{code}\nPYTHON", timeout=30, **options)  # type: ignore[arg-type]


# What is there to see


NOT_THERE = """
/etc/shadow /etc/gshadow /etc/sudoers /etc/ssh /etc/machine-id /etc/ssl/private /etc/crontab /etc/cron.d /etc/systemd
/root /boot /srv /mnt /media /sys /var/log /var/lib /var/spool /lost+found /oldroot /newroot /.dockerenv
/run/docker.sock /run/systemd /run/dbus /run/user /run/lock /proc/1/root/etc/shadow /proc/self/cwd/../../root
/dev/mem /dev/kmsg /dev/kvm /dev/vda /dev/sda /dev/fuse /dev/net/tun /dev/loop0 /dev/vsock /dev/mqueue /dev/disk
"""


async def test_not_there(engine: BubblewrapEngine) -> None:
    for command in ("[ -e {} ]", "ls -d {}"):
        tried = "; ".join(f"{command.format(path)} && echo {path}" for path in NOT_THERE.split())
        assert (await attempt(engine, tried)).stdout == b""
    for path in ("kcore", "kmsg", "kpageflags", "slabinfo", "vmallocinfo"):
        assert (await attempt(engine, f"timeout 2 head -c 1 /proc/{path}")).exit_code != 0


async def test_the_whole_of_what_is_there(engine: BubblewrapEngine) -> None:
    told = set((await sh(engine, "ls -A /")).split())
    assert told <= {
        "bin",
        "dev",
        "etc",
        "home",
        "lib",
        "lib32",
        "lib64",
        "libx32",
        "opt",
        "proc",
        "run",
        "sbin",
        "tmp",
        "usr",
        "var",
    }
    assert await sh(engine, "ls -A /home /var /run /opt /tmp; ls -A /home/user") == (
        "/home:\nuser\n\n/opt:\narker\n\n/run:\narker\n\n/tmp:\n\n/var:\ntmp\n"
    )


async def test_the_environment_of_the_server(box: Box) -> None:
    os.environ["ARKER_API_KEY"] = "ark_very_secret"
    async with box.engine() as engine:
        await engine.create("a", "arkuntu")
        seen = await attempt(
            engine, "env; set; cat /proc/*/environ /proc/*/cmdline; ps auxe; cat /proc/*/task/*/environ"
        )
        assert b"ark_very_secret" not in seen.stdout
        assert str(box.folder).encode() not in seen.stdout


async def test_only_its_own_processes(engine: BubblewrapEngine) -> None:
    pids = {int(pid) for pid in (await sh(engine, "cd /proc; echo [0-9]*")).split()}
    assert pids
    assert max(pids) < 100
    assert (await attempt(engine, f"kill -0 {os.getpid()}")).exit_code != 0
    assert (await attempt(engine, f"ls /proc/{os.getpid()}")).exit_code != 0


async def test_no_way_through_proc(engine: BubblewrapEngine, box: Box) -> None:
    marker = box.folder / "store" / "marker"
    marker.write_text("host")
    assert (
        await attempt(engine, f"cat /proc/*/root{marker} /proc/*/cwd{marker} /proc/*/fd/*{marker}")
    ).stdout == b""
    opened = await attempt(
        engine,
        "for d in /proc/[0-9]*/fd/*; do readlink $d; done | grep -v '^/dev\\|^pipe:\\|^/run/arker\\|^/proc'",
    )
    assert opened.stdout == b""


async def test_other_computers(engine: BubblewrapEngine, box: Box) -> None:
    await engine.create("b", "arkuntu")
    await sh(engine, "echo mine > ~/secret; sleep 60 &", vm="b")
    assert (await attempt(engine, "find / -name secret 2>/dev/null | grep -v '^/usr\\|^/proc'")).stdout == b""
    assert await sh(engine, "pgrep -cx sleep || true") == "0\n"
    assert (await attempt(engine, f"ls {box.store}")).exit_code != 0
    for path in ("layers", "run/b", "engine.sqlite3"):
        assert (await attempt(engine, f"cat {box.store}/{path}")).exit_code != 0


# What is there to write


NOT_WRITABLE = """
/usr/x /usr/bin/python3 /usr/local/bin/x /bin/sh /lib/x /etc/passwd /etc/x /etc/ld.so.preload /x /home/x /var/x /run/x
/opt/x /opt/arker/bin/x /dev/x /dev/shm/../x /run/arker/x /run/arker/0/f /run/arker/0/checkpoint
/proc/sys/kernel/core_pattern /proc/sys/kernel/hostname /proc/sys/kernel/modprobe /proc/sys/vm/drop_caches
/proc/sys/fs/binfmt_misc/register /proc/sys/user/max_user_namespaces /proc/sys/net/ipv4/ip_forward /proc/sysrq-trigger
/proc/irq/0/smp_affinity /proc/mtrr /proc/self/uid_map /proc/self/setgroups /proc/1/uid_map /proc/acpi/x /proc/scsi/scsi
"""


async def test_not_writable(engine: BubblewrapEngine) -> None:
    for path in NOT_WRITABLE.split():
        for command in (
            "echo 1 > {}",
            "echo 1 >> {}",
            "mkdir {}/made",
            "mkdir {}",
            "mv -f {} /tmp/",
            "ln -f {} /tmp/h",
        ):
            assert (await attempt(engine, command.format(path))).exit_code != 0, command.format(path)
        here = await sh(engine, f"[ -e {path} ] && echo there || true")
        await attempt(engine, f"rm -rf {path}")
        assert await sh(engine, f"[ -e {path} ] && echo there || true") == here, path


async def test_modes_of_what_is_read_only(engine: BubblewrapEngine) -> None:
    code = """
import os
for path in ("/", "/etc", "/etc/passwd", "/run/arker", "/run/arker/0", "/run/arker/0/c", "/home", "/dev", "/usr",
             "/usr/bin/env"):
    for change in (lambda: os.chmod(path, 0o777), lambda: os.rename(path, path + "-moved"), lambda: os.unlink(path),
                   lambda: os.rmdir(path), lambda: os.chown(path, 1000, 1000), lambda: os.utime(path),
                   lambda: os.setxattr(path, "user.x", b"1"), lambda: os.truncate(path, 0)):
        try: change()
        except OSError: continue
        print("changed", path)
"""
    assert (await python(engine, code)).stdout == b""
    assert await sh(engine, "echo still") == "still\n"


async def test_no_set_uid(engine: BubblewrapEngine) -> None:
    await sh(engine, "cp /usr/bin/id id; chmod 6755 id")
    assert await sh(engine, "./id -u; ./id -ru") == "1000\n1000\n"
    for program in (
        "su -c id",
        "sudo -n id",
        "mount",
        "newgrp root",
        "passwd -S root",
        "chfn -f x",
        "pkexec id",
    ):
        assert b"uid=0" not in (await attempt(engine, f"{program} </dev/null", timeout=10)).stdout
    assert (
        await sh(engine, "grep -E 'CapEff|CapPrm|CapBnd|CapAmb|CapInh' /proc/self/status | cut -f2 | sort -u")
        == "0000000000000000\n"
    )
    assert (
        await sh(engine, "grep -E 'NoNewPrivs|^Seccomp:' /proc/self/status")
        == "NoNewPrivs:\t1\nSeccomp:\t2\n"
    )


async def test_other_users(engine: BubblewrapEngine) -> None:
    code = """
import os
for f in (os.setuid, os.setgid, os.seteuid):
    try: f(0); print("became root")
    except OSError as e: print(e.errno)
"""
    assert (await python(engine, code)).stdout in (b"1\n1\n1\n", b"22\n22\n22\n")
    assert (await attempt(engine, "touch f; chown root f || chown 0:0 f || chgrp daemon f")).exit_code != 0


# System calls


REFUSED = [
    ("mount tmpfs", "165, b'none', b'/tmp', b'tmpfs', 0, None", "EPERM"),
    ("mount proc", "165, b'proc', b'/tmp', b'proc', 0, None", "EPERM"),
    ("bind", "165, b'/', b'/tmp', None, 4096, None", "EPERM"),
    ("remount /usr", "165, b'none', b'/usr', None, 32 | 4096, None", "EPERM"),
    ("umount", "166, b'/etc', 2", "EPERM"),
    ("pivot_root", "155, b'/', b'/tmp'", "EPERM"),
    ("chroot", "161, b'/tmp'", "EPERM"),
    ("fsopen", "430, b'tmpfs', 0", "EPERM"),
    ("open_tree", "428, -100, b'/', 1", "EPERM"),
    ("move_mount", "429, -100, b'/usr', -100, b'/tmp', 0", "EPERM"),
    ("mount_setattr", "442, -100, b'/usr', 0, None, 0", "EPERM"),
    ("unshare user", "272, 0x10000000", "EPERM"),
    ("unshare mount", "272, 0x20000", "EPERM"),
    ("unshare net", "272, 0x40000000", "EPERM"),
    ("unshare time", "272, 0x80", "EPERM"),
    ("setns", "308, os.open('/proc/self/ns/mnt', 0), 0", "EPERM"),
    ("clone user", "56, 0x10000000 | 17, 0, 0, 0, 0", "EPERM"),
    ("clone pid", "56, 0x20000000 | 17, 0, 0, 0, 0", "EPERM"),
    ("clone3", "435, ctypes.create_string_buffer(88), 88", "ENOSYS"),
    ("ptrace", "101, 16, 1, 0, 0", "EPERM"),
    ("process_vm_readv", "310, 1, None, 0, None, 0, 0", "EPERM"),
    ("process_vm_writev", "311, 1, None, 0, None, 0, 0", "EPERM"),
    ("pidfd_getfd", "438, 0, 0, 0", "EPERM"),
    ("kcmp", "312, 1, 1, 0, 0, 0", "EPERM"),
    ("bpf", "321, 0, None, 0", "EPERM"),
    ("io_uring_setup", "425, 1, ctypes.create_string_buffer(200)", "ENOSYS"),
    ("add_key", "248, b'user', b'k', b'v', 1, -3", "EPERM"),
    ("keyctl", "250, 0, -3, 0, 0, 0", "EPERM"),
    ("request_key", "249, b'user', b'k', None, 0", "EPERM"),
    ("userfaultfd", "323, 0", "EPERM"),
    ("perf_event_open", "298, ctypes.create_string_buffer(128), 0, -1, -1, 0", "EPERM"),
    ("open_by_handle_at", "304, -100, ctypes.create_string_buffer(64), 0", "EPERM"),
    ("fanotify_init", "300, 0, 0", "EPERM"),
    ("mknod block", "133, b'/tmp/b', 0o60600, 0xfe00", "EPERM"),
    ("mknod char", "133, b'/tmp/c', 0o20600, 0x103", "EPERM"),
    ("mknodat whiteout", "259, -100, b'/home/user/w', 0o20000, 0", "EPERM"),
    ("init_module", "175, None, 0, b''", "EPERM"),
    ("finit_module", "313, 0, b'', 0", "EPERM"),
    ("kexec_load", "246, 0, 0, None, 0", "EPERM"),
    ("reboot", "169, 0xfee1dead, 672274793, 0x89abcdef, None", "EPERM"),
    ("swapon", "167, b'/tmp/x', 0", "EPERM"),
    ("acct", "163, None", "EPERM"),
    ("syslog", "103, 3, ctypes.create_string_buffer(100), 100", "EPERM"),
    ("sethostname", "170, b'x', 1", "EPERM"),
    ("settimeofday", "164, ctypes.create_string_buffer(16), None", "EPERM"),
    ("clock_settime", "227, 0, ctypes.create_string_buffer(16)", "EPERM"),
    ("quotactl", "179, 0, None, 0, None", "EPERM"),
    ("iopl", "172, 3", "EPERM"),
    ("ioperm", "173, 0, 1, 1", "EPERM"),
    ("modify_ldt", "154, 1, None, 0", "EPERM"),
    ("personality", "135, 0x0400000", "EPERM"),
    ("vsock", "41, 40, 1, 0", "EAFNOSUPPORT"),
    ("packet", "41, 17, 3, 0", "EAFNOSUPPORT"),
    ("alg", "41, 38, 5, 0", "EAFNOSUPPORT"),
    ("netlink audit", "41, 16, 3, 9", "EAFNOSUPPORT"),
    ("raw socket", "41, 2, 3, 1", "EPERM"),
    ("TIOCSTI", "16, 0, 0x5412, b'x'", "EPERM"),
    ("TIOCSTI with high bits", "16, 0, 0x100005412, b'x'", "EPERM"),
    ("TIOCLINUX", "16, 0, 0x541c, b'x'", "EPERM"),
    (
        "capset",
        "126, ctypes.create_string_buffer(b'\\x22\\x05\\x08\\x20' + bytes(4), 8), "
        "ctypes.create_string_buffer(b'\\xff' * 24, 24)",
        "EPERM",
    ),
]


@x86_64
async def test_refused_calls(engine: BubblewrapEngine) -> None:
    # Each in a process of its own: what one does must not hide what the next one would.
    calls = "\n".join(
        f"if not os.fork():\n  print({name!r}, end=': '); call({call}); sys.stdout.flush(); os._exit(0)\nos.wait()"
        for name, call, _ in REFUSED
    )
    told = (await python(engine, f"{CALL}import sys\n{calls}")).stdout.decode().splitlines()
    assert told == [f"{name}: {error}" for name, _, error in REFUSED]


@x86_64
@pytest.mark.parametrize("number", [0x40000000 + 39, 0x40000000 + 165, 0x40000000 + 272, 0x40000000 + 521])
async def test_x32_calls_kill(engine: BubblewrapEngine, number: int) -> None:
    outcome = await python(engine, f"{CALL}call({number}, 0, 0, 0, 0, 0)")
    assert outcome.exit_code == 128 + 31, outcome  # SIGSYS


@x86_64
async def test_i386_calls_kill(engine: BubblewrapEngine) -> None:
    # mov eax, 20 (getpid); int 0x80; ret
    code = (
        "import ctypes, mmap\nm = mmap.mmap(-1, 4096, prot=7)\nm.write(bytes.fromhex('b814000000cd80c3'))\n"
        "f = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(m)))\nprint('called', f())"
    )
    outcome = await python(engine, code)
    assert (outcome.stdout, outcome.exit_code) == (b"", 128 + 31), outcome


async def test_tools_for_namespaces(engine: BubblewrapEngine) -> None:
    for command in (
        "unshare -U true",
        "unshare -Ur true",
        "unshare -m true",
        "unshare -n true",
        "nsenter -t 1 -m true",
        "mount -t tmpfs x /tmp",
    ):
        assert (await attempt(engine, command)).exit_code != 0, command


# Process 1, the pipes of the engine, and signals


async def test_the_engine_takes_any_rubbish_on_its_pipes(engine: BubblewrapEngine) -> None:
    await sh(engine, ":", session="b")
    code = (
        "import os, random, time\nrandom.seed(1)\n"
        "for n in range(400):\n"
        "  for s in ('0', 'b'):\n"
        "    try:\n"
        "      f = os.open(f'/run/arker/{s}/s', os.O_WRONLY | os.O_NONBLOCK)\n"
        "      os.write(f, random.choice([b'R0', b'X5', b'E1', b'S1', b'S99999999', b'R', b'\\0', b'\\0' * 50,"
        " b'/etc', b'Rx', bytes(60000), os.urandom(300)]) + b'\\0')\n"
        "      os.close(f)\n"
        "    except OSError: pass\n"
    )
    await python(engine, code)
    for name in "co":
        await attempt(
            engine, f"timeout 1 sh -c 'cat /dev/urandom | head -c 1000 > /run/arker/0/{name}'", timeout=5
        )
    await attempt(engine, "timeout 1 cat /run/arker/0/c /run/arker/b/c", timeout=2)
    await engine.create("n", "arkuntu")
    assert await sh(engine, "echo neighbour", vm="n") == "neighbour\n"
    await engine.stop("a")
    assert await sh(engine, "echo back") == "back\n"


async def test_a_forged_signal_target_stays_inside(engine: BubblewrapEngine) -> None:
    # The engine kills what a session says is its shell; a lie must reach no process of the host.
    victim = os.fork()
    if victim == 0:
        time.sleep(60)
        os._exit(0)
    try:
        await attempt(engine, f"printf 'S{victim}\\0' > /run/arker/0/s; sleep 30", timeout=0.3)
        await asyncio.sleep(0.1)
        assert os.waitpid(victim, os.WNOHANG) == (0, 0)
    finally:
        os.kill(victim, 9)
        os.waitpid(victim, 0)


async def test_process_1_is_closed(engine: BubblewrapEngine) -> None:
    for path in (
        "environ",
        "mem",
        "fd/0",
        "fd",
        "root",
        "cwd",
        "exe",
        "maps",
        "stack",
        "syscall",
        "io",
        "map_files",
    ):
        assert (await attempt(engine, f"head -c 1 /proc/1/{path} || ls /proc/1/{path}/")).exit_code != 0, path
    for path in ("mem", "fd/0", "clear_refs", "coredump_filter", "oom_score_adj", "attr/current"):
        assert (await attempt(engine, f"echo 1 > /proc/1/{path}")).exit_code != 0, path
    assert (await attempt(engine, "cat /run/arker/.first")).exit_code != 0
    await attempt(engine, "kill -STOP 1; kill -KILL 1; kill -9 $PPID", timeout=5)
    assert await sh(engine, "echo fine") == "fine\n"


async def test_a_state_that_lies_harms_its_own_computer_only(engine: BubblewrapEngine) -> None:
    forged = "printf 'R0\\0/etc\\0rm -rf ~/*; kill -9 -1\\0' > /run/arker/0/s"
    await attempt(engine, f"touch kept; {forged}; sleep 0.1")
    await engine.create("b", "arkuntu")
    assert await sh(engine, "echo fine", vm="b") == "fine\n"


# The network


async def test_the_hosts_loopback_and_sockets(engine: BubblewrapEngine) -> None:
    with contextlib.ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port, port6 = tcp.getsockname()[1], 1
        with contextlib.suppress(OSError):  # a host without IPv6
            tcp6 = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
            port6 = tcp6.getsockname()[1]
        abstract = stack.enter_context(socket.socket(socket.AF_UNIX))
        abstract.bind(f"\0arker-test-{os.getpid()}")
        abstract.listen()
        code = f"""
import socket
for family, address in ((2, ("127.0.0.1", {port})), (10, ("::1", {port6})),
                        (1, "\\0arker-test-{os.getpid()}"), (2, ("8.8.8.8", 53)), (2, ("169.254.169.254", 80))):
    s = socket.socket(family); s.settimeout(2)
    try: s.connect(address); print("connected", address)
    except OSError as e: print("refused")
print([name for _, name in socket.if_nameindex()])
"""
        assert (await python(engine, code)).stdout == b"refused\n" * 5 + b"['lo']\n"


@pytest.mark.engine(network=True)
async def test_the_network_by_choice(engine: BubblewrapEngine) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
        code = f"import socket; socket.create_connection({address}, 5); print('connected')"
        assert (await python(engine, code)).stdout == b"connected\n"


# System V and POSIX objects of the host


async def test_shared_memory_of_the_host(engine: BubblewrapEngine) -> None:
    from multiprocessing import shared_memory

    memory = shared_memory.SharedMemory(create=True, size=4096)
    try:
        assert memory.name not in await sh(engine, "ls -A /dev/shm; ipcs -a 2>/dev/null || true")
    finally:
        memory.close()
        memory.unlink()


async def test_the_engine_refuses_to_run_as_root(box: Box, as_root: None) -> None:
    from arker.local.engine import SandboxUnavailable

    with pytest.raises(SandboxUnavailable, match="root"):
        async with box.engine():
            pass
