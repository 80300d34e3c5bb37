"""The program that `computer.python()` runs in a computer. It executes code, one call after another.

It is sent as source and never imported; it needs Python 3.8 or newer and the standard library. Input is a sequence of
calls: the length as four bytes (little-endian), and JSON. What the code prints goes to stdout and stderr directly.
Between that output there are records: the nonce of the call, a letter, the length as two bytes, and data. `P` is a part
of the answer, which is JSON; `E` is the end of a call, with its number, on both streams.
"""

from __future__ import annotations

import ast
import base64
import builtins
import io
import json
import linecache
import os
import resource
import select
import signal
import sys
import time
from contextlib import suppress
from types import CodeType, FrameType
from typing import Any, BinaryIO, Coroutine, Dict, List, Optional, Tuple  # noqa: UP035

#: A pipe keeps a write of this size in one piece, whatever others write at the same time.
RECORD = 4096
#: Most characters of a value or a traceback.
TEXT = 1 << 20
#: Most bytes of all pictures and tables of a call.
SHOWN = 16 << 20
#: Seconds after its timeout at which a call is ended by SIGALRM, if the client that would have done so is gone.
ALONE = 30.0
_CALL = "<call "
_AWAIT = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
_COROUTINE = 0x80


def main(commands: BinaryIO) -> None:
    """Execute calls until the input ends, or none comes for too long."""
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    # Copies, so that records arrive whatever the code does with 1 and 2. Programs that it starts do not inherit them.
    streams = (os.dup(1), os.dup(2))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    sys.argv[:] = [""]
    os.environ.setdefault("MPLBACKEND", "agg")
    names = sys.modules["__main__"].__dict__
    for name in [name for name in names if not name.startswith("__")]:
        del names[name]
    interpreter = Interpreter(names, commands)
    while True:
        interpreter.arriving = True
        head = commands.read(4)
        if len(head) < 4:
            break
        call = json.loads(commands.read(int.from_bytes(head, "little")))
        if call["interrupted"]:
            interpreter.forget_interrupt()
        answer = json.dumps(interpreter.call(call)).encode()
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):
                stream.flush()
        nonce, number = bytes.fromhex(call["nonce"]), str(call["number"]).encode()
        room = RECORD - len(nonce) - 3
        for start in range(0, len(answer), room):
            _send(streams[0], nonce, b"P", answer[start : start + room])
        for descriptor in streams:
            _send(descriptor, nonce, b"E", number)
        if not select.select([commands], [], [], call["idle"])[0]:
            break


def _send(descriptor: int, nonce: bytes, letter: bytes, data: bytes) -> None:
    record = nonce + letter + len(data).to_bytes(2, "little") + data
    while True:
        try:
            os.write(descriptor, record)
            return
        except BlockingIOError:  # asyncio makes pipes non-blocking, for all who share them
            select.select([], [descriptor], [])


class Interpreter:
    """Executes code in one namespace."""

    def __init__(self, names: Dict[str, Any], commands: BinaryIO) -> None:  # noqa: UP006
        self._names = names
        self._commands = commands
        #: Whether a call is arriving, and whether it was interrupted before its code began.
        self.arriving = True
        self._interrupted = False
        signal.signal(signal.SIGINT, self._early)
        self._process = os.getpid()
        self._loop: Any = None

    def _early(self, number: int, frame: Optional[FrameType]) -> None:  # noqa: UP045
        """Remember an interrupt for a call that has arrived; without one there is nothing to interrupt."""
        if self.arriving or select.select([self._commands], [], [], 0)[0]:
            self._interrupted = True

    def forget_interrupt(self) -> None:
        """Forget an interrupt that was meant for an earlier call: it was sent before this one, so it is here by now."""
        self._interrupted = False

    def _end_of_code(self) -> None:
        signal.signal(signal.SIGINT, self._early)
        self.arriving = self._interrupted = False

    def call(self, call: Dict[str, Any]) -> Dict[str, Any]:  # noqa: UP006
        """Execute the code of a call; return the answer."""
        code, filename = call["code"], f"{_CALL}{call['number']}>"
        # No time of change: the lines stay as they are.
        linecache.cache[filename] = (len(code), None, code.splitlines(True), filename)
        answer: Dict[str, Any] = {"value": None, "error": None}  # noqa: UP006
        shown: List[Tuple[str, bytes]] = []  # noqa: UP006
        failure: Optional[BaseException] = None  # noqa: UP045
        began, used = time.perf_counter(), _cpu()
        try:
            try:
                signal.signal(signal.SIGINT, signal.default_int_handler)
                if call["timeout"] is not None:
                    # The kernel's own, which needs no thread and no lock of the interpreter.
                    signal.setitimer(signal.ITIMER_REAL, call["timeout"] + ALONE)
                try:
                    if self._interrupted:
                        raise KeyboardInterrupt
                    value = self._execute(code, filename)
                    if value is not None and os.getpid() == self._process:
                        builtins._ = value  # type: ignore[attr-defined]
                        answer["value"] = _text(repr(value))
                        shown += _forms(value)
                finally:
                    if os.getpid() == self._process:
                        shown += _figures()
            finally:
                self._end_of_code()
        except BaseException as error:
            self._end_of_code()
            failure = error
        if os.getpid() != self._process:
            _leave(failure)
        if call["timeout"] is not None:
            signal.setitimer(signal.ITIMER_REAL, 0)
        answer["seconds"] = time.perf_counter() - began
        answer["cpu"] = _cpu() - used
        if failure is not None:
            answer["error"] = _described(failure, filename)
        answer["shown"], room = [], SHOWN
        for kind, data in shown:
            if len(data) <= room:
                room -= len(data)
                answer["shown"].append([kind, base64.b64encode(data).decode()])
        answer["omitted"] = len(shown) - len(answer["shown"])
        return answer

    def _execute(self, code: str, filename: str) -> Any:
        """Execute the statements; return the value of the last one if it is an expression."""
        tree = compile(code, filename, "exec", ast.PyCF_ONLY_AST | _AWAIT, dont_inherit=True)
        last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
        if tree.body:
            self._evaluate(compile(tree, filename, "exec", _AWAIT, dont_inherit=True))
        if last is None:
            return None
        expression = ast.Expression(last.value)
        return self._evaluate(compile(expression, filename, "eval", _AWAIT, dont_inherit=True))

    def _evaluate(self, code: CodeType) -> Any:
        result = eval(code, self._names)  # noqa: S307
        return self._wait(result) if code.co_flags & _COROUTINE else result

    def _wait(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Run a coroutine. No loop runs otherwise, so that `asyncio.run()` works as in a script."""
        import asyncio

        if self._loop is None or self._loop.is_closed():
            self._loop = asyncio.new_event_loop()
        task = self._loop.create_task(coroutine)
        try:
            return self._loop.run_until_complete(task)
        except KeyboardInterrupt:
            if not task.done():
                task.cancel()
                with suppress(asyncio.CancelledError):
                    self._loop.run_until_complete(task)
            raise


def _leave(failure: Optional[BaseException]) -> None:  # noqa: UP045
    """End a process that the code forked, as the end of a script would."""
    code = 0
    if isinstance(failure, SystemExit):
        code = failure.code if isinstance(failure.code, int) else int(failure.code is not None)
    elif failure is not None:
        import traceback

        code = 1
        traceback.print_exception(type(failure), failure, failure.__traceback__)
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(code)


def _cpu() -> float:
    """CPU seconds of this process, and of those that it waited for."""
    of = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in of)


def _text(text: str) -> str:
    """Text that UTF-8 can encode, and not too much of it."""
    return text[:TEXT].encode("utf-8", "backslashreplace").decode()


def _described(error: BaseException, filename: str) -> Dict[str, Any]:  # noqa: UP006
    import traceback

    line = error.lineno if isinstance(error, SyntaxError) and error.filename == filename else None
    first = error.__traceback__
    while first is not None and not first.tb_frame.f_code.co_filename.startswith(_CALL):
        first = first.tb_next
    trace = first
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == filename:
            line = trace.tb_lineno
        trace = trace.tb_next
    try:
        message = str(error)
    except Exception:
        message = "<exception str() failed>"
    text = "".join(traceback.TracebackException(type(error), error, first).format())
    return {
        "name": type(error).__name__,
        "message": _text(message),
        "traceback": _text(text),
        "line": line,
    }


def _forms(value: Any) -> List[Tuple[str, bytes]]:  # noqa: UP006
    """The value as HTML and as a picture, if it has such forms."""
    forms: List[Tuple[str, bytes]] = []  # noqa: UP006
    if isinstance(value, type):
        return forms
    for kind, method in (("text/html", "_repr_html_"), ("image/png", "_repr_png_")):
        if callable(getattr(value, method, None)):
            form = getattr(value, method)()
            if isinstance(form, str):
                form = form.encode("utf-8", "backslashreplace")
            if isinstance(form, bytes):
                forms.append((kind, form))
    return forms


def _figures() -> List[Tuple[str, bytes]]:  # noqa: UP006
    """The figures of matplotlib that were drawn; closes them."""
    pictures: List[Tuple[str, bytes]] = []  # noqa: UP006
    if "matplotlib.pyplot" not in sys.modules:
        return pictures
    pyplot: Any = sys.modules["matplotlib.pyplot"]
    for number in pyplot.get_fignums():
        figure, picture = pyplot.figure(number), io.BytesIO()
        try:
            figure.savefig(picture, format="png", bbox_inches="tight")
        finally:
            pyplot.close(figure)
        pictures.append(("image/png", picture.getvalue()))
    return pictures
