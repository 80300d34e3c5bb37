"""What has changed in a tree of files."""

from __future__ import annotations

import pickle

from hypothesis import given
from hypothesis import strategies as st

from arker import FileChanges, FileInfo
from arker.filechanges import KnownTree, TreeNews
from arker.filevalues import PARTIAL, FileKind


def info(path: str, kind: FileKind = "file", version: str = "1") -> FileInfo:
    return FileInfo(path, kind, 0, 0o644, 0, version)


def test_a_folder_that_is_removed_takes_its_entries_along() -> None:
    tree = KnownTree([info("/d", "directory"), info("/d/f"), info("/d.txt"), info("/e")])
    changes = tree.update(TreeNews("", False, [info("/e", version="2")], ["/d", "/unknown"]))
    assert [(change.kind, change.path) for change in changes] == [
        ("removed", "/d"),
        ("removed", "/d/f"),
        ("changed", "/e"),
    ]
    assert [entry.path for entry in tree.entries] == ["/d.txt", "/e"]


def test_a_folder_that_is_replaced() -> None:
    tree = KnownTree([info("/d", "directory"), info("/d/old"), info("/d/same")])
    news = TreeNews("", False, [info("/d", "directory", "2"), info("/d/new"), info("/d/same")], ["/d"])
    assert [(change.kind, change.path) for change in tree.update(news)] == [
        ("added", "/d/new"),
        ("removed", "/d/old"),
    ]
    changes = tree.update(TreeNews("", False, [info("/d")]))
    assert [(change.kind, change.path) for change in changes] == [
        ("changed", "/d"),
        ("removed", "/d/new"),
        ("removed", "/d/same"),
    ]


def test_files_that_are_not_complete_do_not_count() -> None:
    tree = KnownTree([])
    assert not tree.update(TreeNews("", False, [info(f"/d/{PARTIAL}0")]))
    assert not tree.replace([info(f"/d/{PARTIAL}0")])


def test_changes_are_a_sequence_that_can_be_kept() -> None:
    tree = KnownTree([])
    found = FileChanges(tree.update(TreeNews("", False, [info("/f")])), tree.entries)
    assert (len(found), found[0].path, [change.kind for change in found]) == (1, "/f", ["added"])
    kept = pickle.loads(pickle.dumps(found))
    assert kept == found
    assert not KnownTree(kept.entries).replace([info("/f")])


paths = st.sampled_from(["/a", "/a/b", "/a/b/c", "/a/d", "/e", "/e/f"])


@given(st.lists(st.tuples(paths, st.sampled_from(["file", "directory"]), st.sampled_from("12"))), st.data())
def test_news_and_a_listing_lead_to_the_same(
    steps: list[tuple[str, FileKind, str]], data: st.DataObject
) -> None:
    """A tree that is told of each step, and one that is read at the end."""
    now: dict[str, FileInfo] = {}
    told, read = KnownTree([]), KnownTree([])
    for path, kind, version in steps:
        removed = [old for old in now if old == path or old.startswith(f"{path}/")]
        if now.get(path) != info(path, kind, version) and data.draw(st.booleans()):
            for old in removed:
                del now[old]
            told.update(TreeNews("", False, [], [path]))
        else:
            parents = [path[:at] for at in range(2, len(path)) if path[at] == "/"]
            if any(parent not in now or not now[parent].is_directory for parent in parents):
                continue
            if kind == "file":
                for old in removed:
                    del now[old]
            now[path] = info(path, kind, version)
            told.update(TreeNews("", False, [now[path]]))
    read.replace(now.values())
    assert sorted(told.entries, key=str) == sorted(read.entries, key=str)
