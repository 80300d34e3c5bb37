"""Run a test suite in many settings at once: prepare one computer, fork it for each.

It prints:

    utf-8    optimized=0  pass
    utf-8    optimized=1  FAIL  AssertionError not raised
    latin-1  optimized=0  pass
    latin-1  optimized=1  FAIL  AssertionError not raised
"""

from __future__ import annotations

import itertools

from arker import Arker, Computer

SUITE = """
import os, unittest

def check(value):
    assert value > 0, value

class Test(unittest.TestCase):
    def test_check(self):
        with self.assertRaises(AssertionError):
            check(-1)

    def test_write(self):
        with open("out.txt", "x", encoding=os.environ["ENCODING"]) as file:
            file.write("Grüße")

unittest.main()
"""

ENCODINGS = ["utf-8", "latin-1"]
OPTIMIZED = [0, 1]


def suite(job: tuple[Computer, tuple[str, int]]) -> str:
    """Run the suite in one setting; returns the last line of its output."""
    computer, (encoding, optimized) = job
    result = computer.run(f"ENCODING={encoding} PYTHONOPTIMIZE={optimized} python3 suite.py", timeout=60)
    return "pass" if result.ok else "FAIL  " + result.stderr.decode().split("Error: ")[1].splitlines()[0]


with Arker.local() as arker, arker.vm("arkuntu").fork() as prepared:
    prepared.sync.write_file("/home/user/suite.py", SUITE)
    settings = list(itertools.product(ENCODINGS, OPTIMIZED))
    # Every run writes out.txt with mode "x": none sees that another one did.
    with prepared.fork(count=len(settings)) as branches:
        jobs = list(zip(branches.all_or_none(), settings, strict=True))
        for (encoding, optimized), outcome in zip(settings, arker.map(suite, jobs), strict=True):
            print(f"{encoding:8} optimized={optimized}  {outcome.get()}")
