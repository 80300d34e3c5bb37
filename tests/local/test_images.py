"""Images as users meet them: built, forked by name, published."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from arker import Arker, ArkerError
from arker.local.engine.debian import MIRROR, BuildError, check_tools
from tests.engine.harness import lay_out_image


def connect(deployment: Any, key: str | None = None) -> Arker:
    return Arker(key or deployment.api_key, deployment.base_url, global_url=deployment.base_url)


def command(state: Path, *args: str) -> subprocess.CompletedProcess[str]:
    own = ("ARKER_API_KEY", "ARKER_BASE_URL", "ARKER_GLOBAL_URL", "ARKER_PROFILE")
    environment = {name: value for name, value in os.environ.items() if name not in own}
    return subprocess.run(
        [sys.executable, "-c", "import arker.cli; arker.cli.main()", *args],
        env={**environment, "ARKER_STATE": str(state), "XDG_CONFIG_HOME": str(state / "config")},
        capture_output=True, text=True, check=False, timeout=400,
    )  # fmt: skip


def wheel() -> bytes:
    """A wheel of one module and nothing else."""
    files = {
        "arkertest.py": "answer = 42\n",
        "arkertest-1.dist-info/METADATA": "Metadata-Version: 2.1\nName: arkertest\nVersion: 1\n",
        "arkertest-1.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: t\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{name},,\n" for name in [*files, "arkertest-1.dist-info/RECORD"])
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        for name, text in {**files, "arkertest-1.dist-info/RECORD": record}.items():
            archive.writestr(name, text)
    return made.getvalue()


#: Makes a package whose files and script want other users, as those of many packages do.
MAKE_PACKAGE = r"""
set -e
mkdir -p pkg/DEBIAN pkg/usr/bin pkg/var/lib/arkertest repo
printf '#!/bin/sh\necho installed\n' >pkg/usr/bin/arkertest; chmod 4755 pkg/usr/bin/arkertest
control='Package: arkertest
Version: 1
Architecture: all
Maintainer: Nobody <nobody@example.org>
Description: for a test'
echo "$control" >pkg/DEBIAN/control
{ echo "#!/bin/sh -e"; echo "chown man:adm /var/lib/arkertest"
echo "su -s /bin/sh -c \"touch /var/lib/arkertest/x\" man"; } >pkg/DEBIAN/postinst
chmod 755 pkg/DEBIAN/postinst
dpkg-deb --build pkg repo/arkertest.deb >/dev/null
printf '%s\nFilename: ./arkertest.deb\nSize: %s\nSHA256: %s\n' "$control" "$(stat -c %s repo/arkertest.deb)" \
  "$(sha256sum repo/arkertest.deb | cut -d ' ' -f 1)" >repo/Packages
echo 'deb [trusted=yes] file:/home/user/repo ./' >/etc/apt/sources.list
apt-get update -q
"""


# It downloads and unpacks a Debian.
@pytest.mark.timeout(400)
def test_a_debian_is_built_beside_a_deployment_and_what_is_installed_in_it_lasts(
    fresh_deployment: Callable[..., Any],
) -> None:
    try:
        check_tools()
    except BuildError as error:
        pytest.skip(str(error))
    deployment = fresh_deployment().start()
    built = command(deployment.state, "images", "build", "deb", "--mirror", MIRROR)
    if "Failed to fetch" in built.stderr or "Could not resolve" in built.stderr:
        pytest.skip(f"no mirror of Debian can be reached: {built.stderr.splitlines()[-1]}")
    assert built.returncode == 0, built.stderr
    listed = command(deployment.state, "images", "list").stdout.splitlines()
    assert [line.split("\t")[:3] for line in listed] == [["arkuntu", "base", ""], ["deb", "base", "bookworm"]]

    checks = {
        "arkertest": "installed\n",
        "python -c 'import arkertest; print(arkertest.answer)'": "42\n",
        "dpkg --audit": "",
        "id -un; pwd; . /etc/os-release; echo $VERSION_CODENAME": "root\n/home/user\nbookworm\n",
    }
    with connect(deployment) as arker:
        first = arker.vm("deb").fork()
        done = first.run(MAKE_PACKAGE, timeout=100)
        assert done.exit_code == 0, done
        done = first.run("apt-get install -y arkertest", timeout=100)
        assert done.exit_code == 0, done
        first.sync.write_file("/home/user/arkertest-1-py3-none-any.whl", wheel())
        done = first.run("pip install --no-index arkertest-1-py3-none-any.whl", timeout=100)
        assert (done.exit_code, done.stderr) == (0, b""), done
        forked = first.fork()
        assert first.run("apt-get purge -y arkertest", timeout=100).exit_code == 0
        assert first.run("arkertest").exit_code == 127
    deployment.stop()
    deployment.start()
    with connect(deployment) as arker:
        for line, printed in checks.items():
            done = arker.vm(forked.id).run(line)
            assert (done.stdout.decode(), done.exit_code) == (printed, 0), done
        assert arker.vm("deb").fork().run("arkertest").exit_code == 127
    again = command(deployment.state, "images", "build", "deb")
    assert again.returncode == 1
    assert "already" in again.stderr


def test_a_computer_is_published_as_an_image(fresh_deployment: Callable[..., Any]) -> None:
    deployment = fresh_deployment().start()
    made = command(deployment.state, "keys", "create", "--org", "others")
    with connect(deployment) as arker, connect(deployment, made.stdout.strip()) as other:
        vm = arker.vm("arkuntu").fork(name="mine")
        vm.run("echo published >x")
        published = command(deployment.state, "images", "publish", "mine", "tools")
        assert published.returncode == 0, published.stderr
        image = published.stdout.strip()
        vm.run("echo changed >x")
        assert other.vm("tools").fork().run("cat x").stdout == b"published\n"
        for refused in (
            lambda: other.vm(image).run("id"),
            lambda: other.vm(image).delete(),
            lambda: other.vm(image).sync.read_file("/home/user/x"),
        ):
            with pytest.raises(ArkerError) as error:
                refused()
            assert error.value.code == "forbidden"
        rows = [line.split("\t") for line in command(deployment.state, "images", "list").stdout.splitlines()]
        assert [row[:2] for row in rows] == [["arkuntu", "base"], ["tools", "published"]]
        again = command(deployment.state, "images", "publish", "mine", "tools")
        assert (again.returncode, again.stdout) == (1, "")
        assert image in again.stderr
        arker.vm(image).delete()
        with pytest.raises(ArkerError) as error:
            other.vm("tools").fork()
        assert error.value.code == "not_found"


def test_an_image_that_was_built_is_removed_once_no_computer_stands_on_it(
    fresh_deployment: Callable[..., Any],
) -> None:
    deployment = fresh_deployment()
    images = deployment.state / "engine/images"
    lay_out_image(images / "tiny")
    deployment.start()
    with connect(deployment) as arker:
        first = arker.vm("tiny").fork()
        child = first.fork()
        first.delete()
        assert child.run("echo fine").stdout == b"fine\n"
        refused = command(deployment.state, "images", "rm", "tiny")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"computers were forked from tiny; delete them first: {child.id}" in refused.stderr
        assert child.fork().run("echo fine").stdout == b"fine\n"
        for row in list(arker.iter_vms()):
            arker.vm(row.vm_id).delete()
        removed = command(deployment.state, "images", "rm", "tiny")
        assert (removed.returncode, removed.stdout) == (0, "removed tiny\n"), removed.stderr
        assert [path.name for path in images.iterdir()] == ["arkuntu"]
        assert command(deployment.state, "images").stdout.splitlines()[0].startswith("arkuntu\t")
        with pytest.raises(ArkerError) as error:
            arker.vm("tiny").fork()
        assert error.value.code == "not_found"
        for name in ("tiny", "arkuntu", "../images", "."):
            refused = command(deployment.state, "images", "rm", name)
            assert (refused.returncode, refused.stdout) == (1, "")
            assert "was built here" in refused.stderr
        with arker.vm("arkuntu").fork() as vm:
            assert vm.run("echo fine").stdout == b"fine\n"
    deployment.stop()
    deployment.start()
