"""Use a terminal by `connect_pty` of the 1.3.0 client: type, resize, detach, attach again, end."""

import queue
import time

from arker import Arker


def until(drawn: "queue.Queue[bytes]", text: bytes) -> None:
    seen = b""
    while text not in seen:
        seen += drawn.get(timeout=30)


vm = Arker().fork(source_vm_name="arkuntu")
try:
    for use_ticket in (True, False):
        drawn: "queue.Queue[bytes]" = queue.Queue()
        closed: "queue.Queue[object]" = queue.Queue()

        pty = vm.connect_pty(on_data=drawn.put, on_close=closed.put, cols=90, rows=25, use_ticket=use_ticket)
        pty.send_input(b"stty size; echo $TERM-$NO_COLOR\r")
        until(drawn, b"25 90\r\ndumb-1")
        pty.resize(70, 20)
        pty.ping()
        pty.send_input(b"stty size; echo st''ays\r")
        until(drawn, b"20 70\r\nstays")
        session_id = pty.session_id
        assert vm.get_session(session_id).state == "running"
        pty.close()
        while vm.get_session(session_id).state != "idle":
            time.sleep(0.02)

        again = vm.connect_pty(
            on_data=drawn.put, on_close=closed.put, session_id=session_id, use_ticket=use_ticket
        )
        until(drawn, b"stays")
        while not closed.empty():
            closed.get()
        again.send_input(b"exit 7\r")
        assert closed.get(timeout=30).code == 1000

        last = vm.connect_pty(on_close=closed.put, use_ticket=use_ticket)
        last.kill()
        assert closed.get(timeout=30).code == 1000
finally:
    vm.delete()
print("the terminal works")
