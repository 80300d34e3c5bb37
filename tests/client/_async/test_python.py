"""The interpreter of the client against the embedded deployment: values, errors, output, and processes that end."""

from __future__ import annotations

import pytest

from arker import ArkerError, AsyncArker, PythonResult, RetryPolicy, VmBusyError
from arker.local.process.launcher import Deployment
from tests.client import awaiting
from tests.faults.proxy import CuttingProxy

FIGURES = """
import io
_open = {}
class Figure:
    def savefig(self, file, **options):
        assert options["format"] == "png"
        file.write(b"\\x89PNG drawing")
def figure(number=None):
    return _open.setdefault(number or len(_open) + 1, Figure())
def get_fignums():
    return list(_open)
def close(figure):
    for number in [number for number in _open if _open[number] is figure]:
        del _open[number]
"""
MUCH = """
class Much:
    def _repr_html_(self):
        return "x" * (9 << 20)
    def _repr_png_(self):
        return bytes(9 << 20)
Much()
"""
TABLE = """
class DataFrame:
    def __repr__(self):
        return "   a\\n0  1"
    def _repr_html_(self):
        return "<table>ä</table>"
"""


def client(deployment: Deployment, url: str = "") -> AsyncArker:
    url = url or deployment.base_url
    return AsyncArker(deployment.api_key, url, global_url=url, retry=RetryPolicy(backoff=0.001))


def name(result: PythonResult) -> str | None:
    return None if result.error is None else result.error.name


async def test_variables_live_from_call_to_call(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        result = await python.run("x = 20\ndef twice(n):\n    return 2 * n\n")
        assert (result.ok, result.value, result.restarted, result.notes) == (True, None, False, ())
        result = await python.run("print('out'); import sys; print('err', file=sys.stderr)\ntwice(x) + 2")
        assert (result.value, result.text, result.error_text) == ("42", "out\n", "err\n")
        assert 0 < result.duration_ms < 60_000
        assert result.reason == "exited"
        assert (await python.run("_ + 1")).value == "43"
        assert (await python.run("'a string alone'")).value == "'a string alone'"
        assert (await python.run("")).ok
        async with vm.python() as other:
            assert name(await other.run("x")) == "NameError"


async def test_the_process_has_the_folder_and_the_variables_of_the_session(deployment: Deployment) -> None:
    show = "import os; os.getcwd(), os.environ.get('A'), os.environ.get('B'), __name__"
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        await vm.run("export A=1; mkdir 'a b'; cd 'a b'; echo 'c = 7' >mine.py")
        async with vm.python(env={"B": "2 '$"}) as python:
            assert (await python.run(show)).value == repr(("/home/user/a b", "1", "2 '$", "__main__"))
            assert (await python.run("import mine; mine.c")).value == "7"
        async with vm.python(cwd="/tmp") as python:
            assert (await python.run(show)).value == repr(("/tmp", "1", None, "__main__"))


async def test_exceptions_are_values_with_lines(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        await python.run("def fail(n):\n    return 1 / n")
        result = await python.run("print('before')\n\nfail(0)\nprint('after')")
        assert result.text == "before\n"
        assert result.error is not None
        assert (result.error.name, result.error.message) == ("ZeroDivisionError", "division by zero")
        assert result.error.line == 3
        lines = result.error.traceback.splitlines()
        assert lines[1:3] == ['  File "<call 2>", line 3, in <module>', "    fail(0)"]
        assert '  File "<call 1>", line 2, in fail' in lines
        assert "    return 1 / n" in lines
        with pytest.raises(ArkerError, match="division by zero") as caught:
            result.check()
        assert caught.value.code == "command_failed"
        result = await python.run("x = 1\ny = = 2")
        assert result.error is not None
        assert (result.error.name, result.error.line) == ("SyntaxError", 2)
        assert name(await python.run("x")) == "NameError"  # nothing of it was executed
        result = await python.run("import sys\nsys.exit(3)")
        assert result.error is not None
        assert (result.error.name, result.error.message, result.restarted) == ("SystemExit", "3", False)
        bad = "class Bad:\n    def __repr__(self):\n        raise OSError('no form')\n    __str__ = __repr__\nBad()"
        result = await python.run(bad)
        assert result.error is not None
        assert (result.error.message, result.error.line) == ("no form", 3)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Code has more time to end when it is interrupted: the machine may be busy."""
    monkeypatch.setattr("arker._async.python._GRACE", 30.0)


@pytest.mark.usefixtures("patient")
async def test_await_at_the_top_level(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        assert (await python.run(awaiting.DEFINE)).value == "5"
        assert (await python.run(awaiting.TWICE)).value == "10"
        assert (await python.run(awaiting.TASK)).value == "True"
        assert (await python.run(awaiting.SCRIPT)).value == "5"  # no loop runs around the code
        result = await python.run(awaiting.FAIL)
        assert result.error is not None
        assert (result.error.message, result.error.line) == ("in a task", 2)
        result = await python.run(awaiting.FOREVER, timeout=0.3)
        assert (name(result), result.timed_out) == ("KeyboardInterrupt", True)
        assert (await python.run(awaiting.TWICE)).value == "10"


async def test_pictures_and_tables(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        await vm.files.write("/home/user/matplotlib/pyplot.py", FIGURES)
        await vm.files.write("/home/user/pandas.py", TABLE)
        code = (
            "import matplotlib.pyplot as plt\nplt.figure()\nplt.figure()\nimport pandas\npandas.DataFrame()"
        )
        result = await python.run(code)
        assert result.pngs == [b"\x89PNG drawing"] * 2
        assert (result.value, result.html) == ("   a\n0  1", "<table>ä</table>")
        assert (await python.run("1")).displays == ()  # a figure is shown once
        assert (await python.run("import os; os.environ['MPLBACKEND']")).value == "'agg'"
        result = await python.run(MUCH)
        assert (len(result.html or ""), result.pngs, result.truncated, result.ok) == (9 << 20, [], True, True)


async def test_real_figures_and_tables(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        if name(await python.run("import matplotlib, pandas")) is not None:
            pytest.skip("the Python of this machine has no matplotlib and pandas, so computers have none")
        code = "import matplotlib.pyplot as plt\nplt.plot([1, 2])\npandas.DataFrame({'a': [1]})"
        result = await python.run(code)
        assert [png[:4] for png in result.pngs] == [b"\x89PNG"]
        assert "<table" in (result.html or "")


async def test_output_arrives_while_the_code_runs(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        seen: list[bytes] = []

        async def first(data: bytes) -> None:
            if not seen:
                await vm.run("touch /tmp/go")
            seen.append(data)

        code = "import os, time\nprint('one')\nwhile not os.path.exists('/tmp/go'):\n    time.sleep(0.01)\nprint('two')"
        result = await python.run(code, on_stdout=first)
        assert b"".join(seen) == result.stdout == b"one\ntwo\n"


async def test_large_output_that_is_not_text(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        result = await python.run("import sys; sys.stdout.buffer.write(b'\\xff\\0\\n')")
        assert (result.stdout, result.value, result.text) == (b"\xff\0\n", "3", "\ufffd\0\n")
        assert (await python.run("print('\\udc80')")).stdout == b"\x80\n"
        size = 0

        def count(data: bytes) -> None:
            nonlocal size
            size += len(data)

        result = await python.run(
            "import os\nfor _ in range(20):\n    os.write(1, bytes(1 << 20))\n'end'", on_stdout=count
        )
        assert size >= 16 << 20
        assert (len(result.stdout), result.truncated, result.value) == (16 << 20, True, "'end'")
        long = await python.run("'x' * 3_000_000")
        assert len(long.value or "") == 1 << 20


async def test_output_of_programs_and_descriptors_is_captured(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        code = "import os, subprocess\nsubprocess.run('echo from a program; echo err >&2', shell=True).returncode"
        result = await python.run(code)
        assert (result.text, result.error_text, result.value) == ("from a program\n", "err\n", "0")
        # Whatever becomes of its own streams, the call ends.
        await python.run("keep = os.dup(1)\nos.set_blocking(1, False)")
        assert (await python.run("os.close(1); os.close(2); 5")).value == "5"
        assert (await python.run("os.dup2(keep, 1); os.dup2(keep, 2); print('back')")).text == "back\n"
        assert (await python.run("import sys; sys.stdout.close(); sys.stdout = None; 6")).value == "6"


async def test_processes_of_the_code_work_with_its_functions(deployment: Deployment) -> None:
    code = """
import multiprocessing
def square(n):
    return n * n
with multiprocessing.get_context("fork").Pool(2) as pool:
    squares = pool.map(square, range(5))
squares
"""
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        assert (await python.run(code)).value == "[0, 1, 4, 9, 16]"
        copy = "import copy, pickle\nclass C: pass\ntype(pickle.loads(pickle.dumps(C()))) is C"
        assert (await python.run(copy)).value == "True"


async def test_threads_that_print_later(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        code = "import threading\ngo = threading.Event()\ndef later():\n    go.wait()\n    print('late')\n"
        result = await python.run(code + "thread = threading.Thread(target=later)\nthread.start()")
        assert result.text == ""
        assert (await python.run("go.set(); thread.join()")).text == "late\n"


async def test_a_fork_ends_with_its_code(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        wait = "os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
        result = await python.run(
            f"import os\nif (pid := os.fork()) == 0:\n    print('child')\nelse:\n    x = {wait}"
        )
        assert (result.text, (await python.run("x")).value) == ("child\n", "0")
        result = await python.run(
            f"if (pid := os.fork()) == 0:\n    raise ValueError('of the child')\n{wait}"
        )
        assert (result.value, "of the child" in result.error_text) == ("1", True)


async def test_the_code_has_no_input(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        assert name(await python.run("input()")) == "EOFError"
        assert (
            await python.run("import subprocess; subprocess.run('cat; echo end', shell=True)")
        ).text == "end\n"


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
async def test_a_timeout_interrupts_and_keeps_the_variables(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        await python.run("x = 1")
        result = await python.run("while True:\n    pass", timeout=0.3)
        assert (name(result), result.timed_out, result.restarted) == ("KeyboardInterrupt", True, False)
        assert result.reason == "timed_out"
        result = await python.run("import subprocess\nsubprocess.run(['sleep', '1000'])", timeout=0.5)
        assert (name(result), result.timed_out) == ("KeyboardInterrupt", True)
        assert (await python.run("x", timeout=60)).value == "1"


@pytest.mark.slow
async def test_a_call_that_cannot_be_interrupted_is_killed(deployment: Deployment) -> None:
    code = "signal.signal(signal.SIGINT, signal.SIG_IGN)\nx = 1\nprint('here')\nwhile True:\n    pass"
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        await python.run("import signal")
        # A busy machine takes its time until the code ignores what interrupts it.
        for timeout in (1, 5, 25):
            result = await python.run(code, timeout=timeout)
            if name(result) != "KeyboardInterrupt":
                break
        assert (name(result), result.timed_out, result.restarted) == ("ProcessEnded", True, True)
        assert result.text == "here\n"
        assert f"did not end when its timeout of {timeout} s" in result.notes[0]
        result = await python.run("x")
        assert (name(result), result.restarted) == ("NameError", False)


@pytest.mark.parametrize(
    ("code", "how", "reason"),
    [
        ("import os\nos._exit(3)", "ended with exit code 3", "exited"),
        ("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)", "was killed by signal 11", "signalled"),
        ("import os\nos.closerange(3, 100)", "ended with exit code 1", "exited"),
    ],
)
async def test_an_ended_process_is_reported_and_replaced(
    deployment: Deployment, code: str, how: str, reason: str
) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        await python.run("x = 1")
        result = await python.run(code)
        assert (name(result), result.restarted, result.timed_out) == ("ProcessEnded", True, False)
        assert (result.reason, result.usage.cpu_seconds) == (reason, None)
        assert result.error is not None
        assert how in result.error.message
        assert (await python.run("x = 2\nx")).value == "2"


async def test_a_result_has_the_cpu_time_of_its_call(deployment: Deployment) -> None:
    burn = "import time\nend = time.process_time() + 0.05\nwhile time.process_time() < end:\n    pass"
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        usage = (await python.run(burn)).usage
        assert usage.exact
        assert usage.cpu_seconds is not None
        assert usage.cpu_seconds >= 0.05
        child = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {burn!r}])"
        assert ((await python.run(child)).usage.cpu_seconds or 0) >= 0.05
        assert ((await python.run("1")).usage.cpu_seconds or 0) < 0.05


async def test_an_end_between_calls_is_reported_by_the_next_call(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        python = vm.python(idle=0.05)
        await python.run("x = 1")
        [run] = await vm.runs()
        assert (await run.wait(timeout=30)).exit_code == 0
        result = await python.run("x = 2\nx")
        assert (result.value, result.restarted) == ("2", True)
        assert "between calls" in result.notes[0]
        await python.aclose()


async def test_interrupt_restart_and_close(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        async with vm.python() as python:
            await python.interrupt()  # nothing runs

            async def stop(data: bytes) -> None:
                with pytest.raises(VmBusyError):
                    await python.run("1")
                await python.interrupt()

            result = await python.run("x = 1\nprint('go')\nwhile True:\n    pass", on_stdout=stop)
            assert (name(result), result.timed_out) == ("KeyboardInterrupt", False)
            await python.interrupt()
            assert (await python.run("x")).value == "1"
            await python.restart()
            result = await python.run("import atexit\natexit.register(open, 'left', 'w')\nx")
            assert (name(result), result.restarted) == ("NameError", False)

            async def end(data: bytes) -> None:
                await python.restart()

            result = await python.run("print('go')\nwhile True:\n    pass", on_stdout=end)
            assert (name(result), result.restarted) == ("ProcessEnded", True)
            await python.run("import atexit\natexit.register(open, 'left', 'w')")
        assert await vm.runs(running=True) == []
        assert (await vm.run("ls")).text == "left\n"  # it ended as a script does
        await python.aclose()
        with pytest.raises(ArkerError, match="closed"):
            await python.run("1")


async def test_a_callback_that_raises_ends_the_call(deployment: Deployment) -> None:
    class Enough(Exception):
        pass

    def stop(data: bytes) -> None:
        raise Enough

    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        with pytest.raises(Enough):
            await python.run("print('x')\nwhile True:\n    pass", on_stdout=stop)
        result = await python.run("1")
        assert (result.value, result.restarted) == ("1", True)
        assert len(await vm.runs(running=True)) == 1


async def test_arguments_and_computers_without_python(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm:
        with pytest.raises(ArkerError, match="python9") as caught:
            await vm.python(executable="python9").run("1")
        assert caught.value.code == "command_not_found"
        with pytest.raises(ArkerError, match="nowhere"):
            await vm.python(cwd="/nowhere").run("1")
        with pytest.raises(TypeError):
            await vm.python().run(b"1")  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="timeout"):
            await vm.python().run("1", timeout=-1)
        with pytest.raises(ValueError, match="idle"):
            vm.python(idle=-1)
        assert await vm.runs(running=True) == []


async def test_a_cut_connection_changes_nothing(deployment: Deployment) -> None:
    with CuttingProxy(deployment.base_url) as wire:
        async with client(deployment, wire.url) as arker, await arker.vm("arkuntu").fork() as vm:
            async with vm.python() as python:
                await python.run("calls = 0")
                for _ in range(5):
                    wire.lose(1)
                    result = await python.run("calls += 1\nprint('x' * 100_000)\ncalls")
                    assert len(result.stdout) == 100_001
                assert result.value == "5"
            assert wire.lost > 2


async def test_a_deleted_computer(deployment: Deployment) -> None:
    async with client(deployment) as arker, await arker.vm("arkuntu").fork() as vm, vm.python() as python:
        await python.run("1")
        await vm.delete()
        with pytest.raises(ArkerError) as caught:
            await python.run("1")
        assert caught.value.code == "not_found"
