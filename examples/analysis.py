"""Data analysis: upload a file, run an untrusted program on it, download the results.

It prints:

    50000 rows up
    done in ... ms
    region  orders     total
    east     12500 6190211.86
    ...
    west     12500 6242929.26
    down: report.csv, 4 rows
"""

from __future__ import annotations

import csv
import random
import tempfile
from pathlib import Path

from arker import Arker

# For example, a program that a model wrote. It can do no harm beyond its computer.
PROGRAM = """
import csv, collections
orders = collections.Counter()
totals = collections.Counter()
with open("orders.csv", newline="") as file:
    for row in csv.DictReader(file):
        orders[row["region"]] += 1
        totals[row["region"]] += int(row["cents"])
with open("report.csv", "w", newline="") as file:
    out = csv.writer(file)
    out.writerow(["region", "orders", "total"])
    out.writerows([region, orders[region], totals[region] / 100] for region in sorted(orders))
"""


def make_orders(path: Path, rows: int) -> None:
    """A file to analyse."""
    chance = random.Random(1)
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["region", "cents"])
        out.writerows(
            (["north", "east", "south", "west"][n % 4], chance.randrange(100_000)) for n in range(rows)
        )
    print(rows, "rows up")


with (
    tempfile.TemporaryDirectory() as name,
    Arker.local() as arker,
    arker.vm("arkuntu").fork(name="analysis") as computer,
):
    folder = Path(name)
    make_orders(folder / "orders.csv", 50_000)
    # Streamed in constant memory, whatever the size; `progress=` tells how far it is.
    computer.sync.upload(folder / "orders.csv", "/home/user/orders.csv")
    computer.sync.write_file("/home/user/program.py", PROGRAM)
    result = computer.run("python3 program.py", timeout=60).check()
    print(f"done in {result.duration_ms:.0f} ms")
    computer.sync.download("/home/user/report.csv", folder / "report.csv")

    with (folder / "report.csv").open(newline="") as file:
        report = list(csv.DictReader(file))
    print("region  orders     total")
    for row in report:
        print(f"{row['region']:6} {row['orders']:>7} {float(row['total']):>9.2f}")
    print(f"down: report.csv, {len(report)} rows")
