"""An analysis in cells: code that shares variables, in a Python interpreter in a computer.

It prints:

    In [1]: import csv, statistics
    In [2]: by_city = {}
    Out[2]: {'Bergen': 3, 'Oslo': 3}
    In [3]: statistics.mean(by_city["Tromsø"])
    KeyError in line 1: 'Tromsø'
    In [4]: means = ...
    Out[4]: {'Bergen': 9.0, 'Oslo': 6.0}
    In [5]: import asyncio, time
    part 1
    part 2
    Out[5]: 'both at once'
    In [6]: while True:
    interrupted after 1 s; 6 rows are still there
    In [7]: class Table: ...
    Out[7]: a table, as HTML: <table><tr><td>Bergen<td>9.0<tr><td>Oslo<td>6.0</table>
    In [8]: import os; os.abort()
    The process was killed by signal 6; its variables are lost.
    NameError in line 1: name 'rows' is not defined
"""

from __future__ import annotations

from arker import Arker, Python, PythonResult

WEATHER = "city,degrees\nOslo,5\nBergen,8\nOslo,6\nBergen,9\nOslo,7\nBergen,10\n"

#: For example, cells that a model wrote, one after the other, each with the results of those before it in view.
NOTEBOOK = """
import csv, statistics
rows = list(csv.DictReader(open("weather.csv")))
# %%
by_city = {}
for row in sorted(rows, key=lambda row: row["city"]):
    by_city.setdefault(row["city"], []).append(float(row["degrees"]))
{city: len(values) for city, values in by_city.items()}
# %%
statistics.mean(by_city["Tromsø"])
# %%
means = {city: statistics.mean(values) for city, values in by_city.items()}
means
# %%
import asyncio, time

async def fetch(number):
    await asyncio.sleep(0.1 * number)
    print("part", number)

await asyncio.gather(fetch(1), fetch(2))
"both at once"
# %%
while True:
    time.sleep(0.01)
# %%
class Table:  # tables of pandas and figures of matplotlib come in the same way, where an image has them
    def _repr_html_(self):
        return "<table>" + "".join(f"<tr><td>{city}<td>{mean}" for city, mean in means.items()) + "</table>"

Table()
# %%
import os; os.abort()
"""


def show(number: int, code: str, result: PythonResult) -> None:
    """A result as a notebook shows it."""
    if result.html is not None:
        print(f"Out[{number}]: a table, as HTML: {result.html}")
    elif result.value is not None:
        print(f"Out[{number}]: {result.value}")
    for picture in result.pngs:
        print(f"Out[{number}]: a picture, {len(picture)} bytes of PNG")
    if result.restarted:
        print(*result.notes)
    elif result.error is not None and not result.timed_out:
        print(f"{result.error.name} in line {result.error.line}: {result.error.message}")


def work(python: Python) -> None:
    """Execute the cells; output is printed while a cell runs."""
    for number, cell in enumerate(NOTEBOOK.split("# %%"), 1):
        code = cell.strip()
        print(f"In [{number}]: {code.splitlines()[0][:40]}")
        result = python.run(code, timeout=1 if "while True" in code else 60, on_stdout=write)
        show(number, code, result)
        if result.timed_out:
            print(f"interrupted after 1 s; {python.run('len(rows)').value} rows are still there")
    show(9, "rows", python.run("rows"))


def write(data: bytes) -> None:
    """Print output as it comes."""
    print(data.decode(), end="", flush=True)


with Arker.local() as arker, arker.vm("arkuntu").fork(name="notebook") as computer:
    computer.files.write("/home/user/weather.csv", WEATHER)
    with computer.python() as python:
        work(python)
