"""File systems that outlive computers, mounted anywhere in them."""

from __future__ import annotations

import pytest

from arker.local.engine import BubblewrapEngine

from .harness import Box, sh
from .test_images import make_image

PLACES = ["/home/user/deep/data", "/tmp/data", "/data", "/mnt/a/b", "/opt/data", "/var/lib/data"]


async def test_computers_share_what_is_mounted(engine: BubblewrapEngine) -> None:
    await sh(engine, "mkdir -m 700 deep; ln -s deep link")
    await engine.stop("a")
    await engine.fork("a", "b")
    for vm in ("a", "b"):
        await engine.set_mounts(vm, {place: f"fs_{number}" for number, place in enumerate(PLACES)})
    for place in PLACES:
        await sh(engine, f"echo {place} > {place}/file; mkdir {place}/folder")
    for place in PLACES:
        assert await sh(engine, f"cat {place}/file; rm -r {place}/folder", vm="b") == f"{place}\n"
    assert dict(await engine.mounted("a")) == dict.fromkeys(PLACES)
    assert await sh(engine, "stat -c %a deep /var/lib /mnt /mnt/a") == "700\n755\n755\n755\n"


async def test_a_file_for_a_computer_at_rest_is_put_into_what_is_mounted(engine: BubblewrapEngine) -> None:
    for vm in ("a", "b"):
        if vm == "b":
            await engine.fork("a", "b")
        await engine.stop(vm)
        await engine.set_mounts(vm, {"/home/user/data": "fs_1"})
    await sh(engine, "head -c 1000 /dev/zero > big; ls data", vm="a")
    async with await engine.open_file("a", "/home/user/big") as big:
        await engine.stop("b")
        await engine.write_file("b", "/home/user/data/big", big)
    assert await sh(engine, "stat -c %s data/big", vm="a") == "1000\n"


@pytest.mark.parametrize("target", ["/etc", "../../../oldroot/etc", "/tmp", "nowhere"])
async def test_a_link_redirects_no_mount(engine: BubblewrapEngine, target: str) -> None:
    await engine.stop("a")
    await engine.set_mounts("a", {"/home/user/work/data": "fs_1", "/home/user/other": "fs_2"})
    await sh(engine, f"touch work/data/kept; mv work was; ln -s {target} work")
    # It goes on where it was mounted.
    assert await sh(engine, "ls was/data") == "kept\n"
    await engine._computer("a").measure()
    await engine.stop("a")
    assert await sh(engine, "readlink work; ls -d other") == f"{target}\nother\n"
    assert dict(await engine.mounted("a")) == {
        "/home/user/other": None,
        "/home/user/work/data": "/home/user/work is not a folder, or cannot be read",
    }
    await sh(engine, "rm work")
    await engine.stop("a")
    assert await sh(engine, "ls work/data") == "kept\n"
    assert dict(await engine.mounted("a")) == {"/home/user/work/data": None, "/home/user/other": None}


async def test_what_a_layer_hides_is_no_obstacle(engine: BubblewrapEngine) -> None:
    await sh(engine, "ln -s /etc one; mkdir two; ln -s /etc two/inner; touch three")
    await engine.stop("a")
    await engine.fork("a", "b")
    await sh(engine, "rm one; rm -r two; mkdir two; rm three; mkdir three", vm="b")
    await engine.stop("b")
    await engine.fork("b", "c")
    for vm in ("b", "c"):
        places = {f"/home/user/{name}/inner/data": f"fs_{name}" for name in ("one", "two", "three")}
        await engine.set_mounts(vm, places)
        await sh(engine, "touch {one,two,three}/inner/data/x", vm=vm)
        assert dict(await engine.mounted(vm)) == dict.fromkeys(places)


async def test_the_whole_root_of_an_image(box: Box) -> None:
    make_image(box)
    async with box.engine() as engine:
        await engine.create("a", "tiny")
        places = {"/srv/data": "fs_1", "/mnt/x": "fs_2", "/home/user/y": "fs_3"}
        await engine.set_mounts("a", places)
        await sh(engine, "for at in /srv/data /mnt/x /home/user/y; do echo $at > $at/file; done")
        assert dict(await engine.mounted("a")) == dict.fromkeys(places)
        await sh(engine, "mv /srv /was; ln -s /run /srv")
        await engine.stop("a")
        assert await sh(engine, "cat /mnt/x/file") == "/mnt/x\n"
        assert (await engine.mounted("a"))["/srv/data"] == "/srv is not a folder, or cannot be read"
