"""Images with a writable root, on a root file system of a few programs of the host."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from arker.local.engine import ImageMissing, SystemBroken, run, trees
from arker.local.engine.debian import BuildError, Recipe, check_name
from arker.local.engine.images import remove

from .harness import Box, attempt, content, lay_out_image, sh

pytestmark = pytest.mark.on_disk


def make_image(box: Box, name: str = "tiny") -> Path:
    """Its root."""
    return lay_out_image(box.store / "images" / name)


def layers(box: Box) -> list[Path]:
    return [path for path in (box.store / "layers").iterdir() if path.is_dir()]


async def test_the_whole_root_is_written_and_lasts_with_forks_stops_and_restarts(box: Box) -> None:
    make_image(box)
    async with box.engine() as engine:
        await engine.create("a", "tiny")
        await sh(engine, "mkdir /srv2 && echo one >/srv2/x && echo two >/etc/new && echo three >/usr/lib/new")
        await sh(engine, "rm /usr/bin/rmdir; mv /etc/passwd /etc/moved")
        await engine.fork("a", "b")
        await sh(engine, "echo changed >/etc/new; rm -r /srv2")
        await engine.stop("b")
    async with box.engine() as engine:
        assert await sh(engine, "cat /srv2/x /etc/new /usr/lib/new", vm="b") == "one\ntwo\nthree\n"
        assert (
            await sh(engine, "cat /etc/new /usr/lib/new; [[ -e /srv2 ]] || echo gone")
            == "changed\nthree\ngone\n"
        )
        assert (await attempt(engine, "rmdir /nothing", vm="b")).exit_code == 127
        assert await sh(engine, "ls /etc", vm="b") == "group\nmoved\nnew\n"
        await engine.create("c", "tiny")
        assert await sh(engine, "ls -d /etc/passwd; ls /", vm="c") == (
            "/etc/passwd\nbin\ndev\netc\nhome\nlib\nlib64\nproc\nroot\nrun\ntmp\nusr\n"
        )


async def test_the_user_is_root_by_name_without_any_capability(box: Box) -> None:
    make_image(box)
    async with box.engine() as engine:
        await engine.create("a", "tiny")
        assert await sh(engine, "id -u; echo $USER $HOME; pwd") == "0\nroot /home/user\n/home/user\n"
        status = await sh(engine, "cat /proc/self/status")
        assert set(re.findall(r"Cap\w+:\s+(\w+)", status)) == {"0" * 16}
        assert "NoNewPrivs:\t1" in status
        for refused in (
            "echo x >/proc/sys/kernel/core_pattern",
            "echo b >/proc/sysrq-trigger",
            "touch /run/arker/x",
            "echo x >/proc/1/fd/0",
            "cat /proc/1/maps",
        ):
            assert (await attempt(engine, refused)).exit_code == 1, refused


async def test_owners_are_changed_in_pretence(box: Box) -> None:
    make_image(box)
    async with box.engine() as engine:
        await engine.create("a", "tiny")
        assert await sh(engine, "touch x; chown daemon:daemon x && stat -c %u:%g x") == "0:0\n"
        # Where a computer has one user who is not called root, nothing pretends.
        await engine.create("b", "arkuntu")
        outcome = await attempt(engine, "touch x; chown 1:1 x", vm="b")
        assert outcome.exit_code == 1


async def test_links_on_the_disk_redirect_no_mount(box: Box) -> None:
    make_image(box)
    outside = box.store / "outside"
    outside.mkdir()
    async with box.engine() as engine:
        await engine.create("a", "tiny")
        for point in ("proc", "dev", "run"):
            assert (await attempt(engine, f"mv /{point} /elsewhere || rmdir /{point}")).exit_code == 1
        await engine.stop("a")
        [top] = layers(box)
        for point in ("proc", "dev", "run"):  # as if it had been possible
            (top / point).rmdir()
            (top / point).symlink_to(f"/oldroot{outside}")
        assert await sh(engine, "[[ -L /proc || -L /dev || -L /run ]] || id -un") == "root\n"
    assert list(outside.iterdir()) == []


async def test_leftovers_of_writes_are_swept_in_the_layer_and_nowhere_else(box: Box) -> None:
    make_image(box)
    outside = box.store / "outside"
    outside.mkdir()
    (outside / ".arker-partial-0000000000000001").touch()
    async with box.engine() as engine:
        for vm in ("a", "b"):
            await engine.create(vm, "tiny")
            await engine.write_file(vm, "/home/user/kept", b"kept")
        await sh(engine, f"mv /home/user /home/was && ln -s {outside} /home/user", vm="b")
        await engine.stop("b")
        tops = {("was" if (top / "home/was").exists() else "user"): top for top in layers(box)}
    (tops["user"] / "home/user/.arker-partial-0000000000000002").touch()
    async with box.engine() as engine:
        assert await sh(engine, "ls -A /home/user") == "kept\n"
    assert (outside / ".arker-partial-0000000000000001").exists()


async def test_a_computer_that_removed_its_system_reports_it_and_affects_no_other(box: Box) -> None:
    make_image(box)
    async with box.engine() as engine:
        for vm in ("a", "b"):
            await engine.create(vm, "tiny")
        await engine.fork("a", "before")
        await attempt(engine, "rm -rf /usr/lib /usr/lib64")
        await engine.stop("a")
        with pytest.raises(SystemBroken, match="parts of its own system"):
            await run(engine, "a", "0", "true")
        assert await sh(engine, "echo fine", vm="b") == "fine\n"
        assert await sh(engine, "echo fine", vm="before") == "fine\n"
        await engine.delete("a")


async def test_files_are_written_and_read_where_the_api_has_them(box: Box) -> None:
    make_image(box)
    async with box.engine() as engine:
        await engine.create("a", "tiny")
        await sh(engine, "rm -r /home/user")
        await engine.write_file("a", "/home/user/deep/x", b"data")
        assert await content(engine, "/home/user/deep/x") == b"data"
        assert await sh(engine, "cat /home/user/deep/x; ls -A /home/user") == "datadeep\n"


async def test_deep_chains_of_forks_are_flattened_from_the_root_on(box: Box) -> None:
    make_image(box)
    async with box.engine() as engine:
        await engine.create("v0", "tiny")
        for number in range(70):
            command = f"echo {number} >/file{number}; [[ ! -e /file{number - 2} ]] || rm /file{number - 2}"
            await sh(engine, command, vm=f"v{number}")
            await engine.fork(f"v{number}", f"v{number + 1}")
            await engine.delete(f"v{number}")
        assert await sh(engine, "echo /file*; cat /file69", vm="v70") == "/file68 /file69\n69\n"


async def test_removed_entries_stay_removed_when_a_folder_takes_their_place(box: Box) -> None:
    make_image(box)
    async with box.engine() as engine:
        await engine.create("a", "tiny")
        await sh(engine, "rm -r /etc /root; echo file >/root")
        await engine.fork("a", "b")
        await sh(engine, "mkdir /etc; echo x >/etc/new; rm /root; mkdir /root")
        await engine.fork("a", "c")
        assert await sh(engine, "ls -A /etc /root") == "/etc:\nnew\n\n/root:\n"
        computer = engine._computers["a"]
        async with computer.gate.exclusive():
            await engine._flatten(computer)
        assert len(computer.frozen) == 1
        await engine.stop("a")
        assert await sh(engine, "ls -A /etc /root") == "/etc:\nnew\n\n/root:\n"


async def test_an_image_is_there_as_soon_as_it_is_complete(box: Box) -> None:
    async with box.engine() as engine:
        assert await engine.images() == ["arkuntu"]
        with pytest.raises(ImageMissing):
            await engine.create("a", "tiny")
        root = make_image(box, ".build-tiny")
        assert await engine.images() == ["arkuntu"]
        await asyncio.sleep(0.01)  # the clock of the file system ticks
        root.parent.rename(box.store / "images" / "tiny")
        assert await engine.images() == ["arkuntu", "tiny"]
        await engine.create("a", "tiny")
        assert await sh(engine, "id -un") == "root\n"


async def test_an_image_is_gone_as_soon_as_it_is_removed_and_another_may_have_its_name(box: Box) -> None:
    images = box.store / "images"
    make_image(box)
    async with box.engine() as engine:
        assert await engine.images() == ["arkuntu", "tiny"]
        trees.remove_tree(remove(images, "tiny"))
        await asyncio.sleep(0.01)  # the clock of the file system ticks
        assert await engine.images() == ["arkuntu"]
        with pytest.raises(ImageMissing):
            await engine.create("a", "tiny")
        (make_image(box, ".build-tiny") / "etc/new").touch()
        await asyncio.sleep(0.01)
        (images / ".build-tiny").rename(images / "tiny")
        assert await engine.images() == ["arkuntu", "tiny"]
        await engine.create("a", "tiny")
        assert await sh(engine, "ls /etc/new") == "/etc/new\n"


async def test_computers_whose_image_is_gone_report_it_and_affect_no_other(box: Box) -> None:
    make_image(box)
    async with box.engine() as engine:
        await engine.create("a", "tiny")
        await engine.create("b", "arkuntu")
        await sh(engine, "touch x")
    left = remove(box.store / "images", "tiny")
    async with box.engine() as engine:
        assert await sh(engine, "echo fine", vm="b") == "fine\n"
        assert set(engine._computers) == {"a", "b"}
        for refused in (
            run(engine, "a", "0", "true"),
            engine.fork("a", "c"),
            engine.open_file("a", "/home/user/x"),
        ):
            with pytest.raises(SystemBroken, match=r"'tiny'.*is gone"):
                await refused
    left.rename(box.store / "images" / "tiny")
    async with box.engine() as engine:
        assert await sh(engine, "ls") == "x\n"
    trees.remove_tree(remove(box.store / "images", "tiny"))
    async with box.engine() as engine:
        await engine.delete("a")
        assert set(engine._computers) == {"b"}


@pytest.mark.parametrize("name", ["", "x", "UPPER", "../x", "a/b", "-x", "x-", "x" * 41, ".build-x", "a b"])
def test_names_that_no_image_has(name: str, tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="not a valid name of an image"):
        check_name(tmp_path, name)


def test_the_name_of_an_image_is_taken_once(tmp_path: Path) -> None:
    check_name(tmp_path, "debian")
    (tmp_path / "debian").mkdir()
    with pytest.raises(BuildError, match="already"):
        check_name(tmp_path, "debian")


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"suite": "-o"}, "'-o' is not the name of a Debian release"),
        ({"suite": "book worm"}, "'book worm'"),
        ({"packages": ("git", "--force-yes")}, "'--force-yes' is not the name of a Debian package"),
        ({"packages": ("x;y",)}, "'x;y'"),
        ({"mirror": "http://mirror/debian main\ndeb http://evil"}, "not a mirror"),
        ({"mirror": "ftp://mirror"}, "not a mirror"),
    ],
)
def test_recipes_that_apt_could_take_for_something_else(wrong: dict[str, object], named: str) -> None:
    with pytest.raises(BuildError, match=re.escape(named)):
        Recipe(**wrong)  # type: ignore[arg-type]


def test_the_sources_of_packages() -> None:
    assert [line.split()[2:] for line in Recipe().sources().splitlines()] == [
        ["http://deb.debian.org/debian", "bookworm", "main"],
        ["http://deb.debian.org/debian", "bookworm-updates", "main"],
        ["http://deb.debian.org/debian-security", "bookworm-security", "main"],
    ]
    assert len(Recipe("sid").sources().splitlines()) == 1
    own = Recipe("trixie", mirror="file:/srv/debian").sources()
    assert own.split()[2:] == ["file:/srv/debian", "trixie", "main"]
