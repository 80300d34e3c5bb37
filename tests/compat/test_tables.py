"""pandas, pyarrow and duckdb read and write files of computers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from arker import Arker, Computer
from arker.integrations.fsspec import ArkerFileSystem
from arker.local.process.launcher import Deployment

pandas: Any = pytest.importorskip("pandas", reason="installed by `make compat`")
pytest.importorskip("pyarrow", reason="installed by `make compat`")
duckdb: Any = pytest.importorskip("duckdb", reason="installed by `make compat`")


@pytest.fixture(scope="module")
def computer(deployment: Deployment) -> Iterator[Computer]:
    with (
        Arker(deployment.api_key, deployment.base_url, global_url=deployment.base_url) as client,
        client.vm("arkuntu").fork() as computer,
    ):
        yield computer


@pytest.fixture
def home(computer: Computer, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("ARKER_API_KEY", deployment.api_key)
    monkeypatch.setenv("ARKER_BASE_URL", deployment.base_url)
    monkeypatch.setenv("ARKER_GLOBAL_URL", deployment.base_url)
    yield f"arker://{computer.id}/home/user"
    ArkerFileSystem.current().client.close()
    ArkerFileSystem.clear_instance_cache()


def frame() -> Any:
    return pandas.DataFrame({"x": range(1000), "y": [f"name {number}" for number in range(1000)]})


@pytest.mark.parametrize("kind", ["csv", "parquet", "json"])
def test_pandas(home: str, computer: Computer, kind: str) -> None:
    url = f"{home}/pandas/frame.{kind}"
    options = {"index": False} if kind == "csv" else {}
    getattr(frame(), f"to_{kind}")(url, **options)
    pandas.testing.assert_frame_equal(getattr(pandas, f"read_{kind}")(url), frame())
    assert computer.run("ls -A pandas").text == f"frame.{kind}\n"
    computer.files.remove("pandas", recursive=True)


def test_pyarrow(home: str, computer: Computer) -> None:
    import pyarrow
    import pyarrow.dataset
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    files = PyFileSystem(FSSpecHandler(ArkerFileSystem()))
    root = f"{computer.id}/home/user/dataset"
    table = pyarrow.Table.from_pandas(frame().assign(part=[number % 3 for number in range(1000)]))
    pyarrow.dataset.write_dataset(
        table, root, filesystem=files, format="parquet", partitioning=["part"], partitioning_flavor="hive"
    )
    assert len(list(computer.files.list("dataset", glob="part=*/*.parquet"))) == 3
    found = pyarrow.dataset.dataset(root, filesystem=files, format="parquet", partitioning="hive")
    assert found.count_rows() == 1000
    assert found.to_table(filter=pyarrow.dataset.field("x") < 10).sort_by("x")["x"].to_pylist() == list(
        range(10)
    )


def test_duckdb(home: str, computer: Computer) -> None:
    with duckdb.connect() as database:
        database.register_filesystem(ArkerFileSystem())
        database.execute(
            f"copy (select range as x from range(100)) to '{home}/numbers.parquet' (format parquet)"
        )
        database.execute(f"copy (select range as x from range(100, 150)) to '{home}/more.csv' (header)")
        assert database.execute(f"select sum(x) from '{home}/numbers.parquet'").fetchone() == (4950,)
        assert database.execute(f"select count(*), max(x) from read_csv('{home}/*.csv')").fetchone() == (
            50,
            149,
        )
    assert {"more.csv", "numbers.parquet"} <= set(computer.run("ls").text.split())
