# Licensed under the Apache License, Version 2.0 (the "License"); you may
# not use this file except in compliance with the License. You may obtain
# a copy of the License at
#
#      http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS, WITHOUT
# WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied. See the
# License for the specific language governing permissions and limitations
# under the License.
"""The driver diskimage_builder with the real disk-image-create.

The element of the operating system copies the files of the minimal image, so
that no package is installed; tests/cloud makes a whole Debian.
"""

import multiprocessing
import pathlib
import subprocess
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from imagebuild import exception
from imagebuild.disks import base_images
from imagebuild.drivers import base
from imagebuild.drivers import diskimage_builder
from tests.contract import driver_contract
from tests.integration import loops
from tests.integration import test_bootstrap

#: Of the operator, who has a system of his own.
OPTIONS = {
    'elements': ['copied', 'tries'],
    'base': False,
    'bootable': False,
    'environment': {'DIB_WORD': 'said'},
}

# With a policy of two lines; what matters is whether every file of the disk
# gets the label that the own table of the tree gives it.
_COPIED = """\
#!/bin/bash
set -eu
cp -a {tree}/. "$TARGET_ROOT"
cat /etc/resolv.conf >"$TARGET_ROOT/etc/resolv.conf"
export DEBIAN_FRONTEND=noninteractive
chroot "$TARGET_ROOT" apt-get -qq update
chroot "$TARGET_ROOT" apt-get -qq install --no-install-recommends \\
    policycoreutils
cd "$TARGET_ROOT/etc"
mkdir -p selinux/tiny/contexts/files
printf 'SELINUX=enforcing\\nSELINUXTYPE=tiny\\n' >selinux/config
cat >selinux/tiny/contexts/files/file_contexts <<EOF
/.*            system_u:object_r:etc_t:s0
/srv(/.*)?     system_u:object_r:srv_t:s0
EOF
"""
#: What an element with a defect might do to the host, and what it sees of it.
_TRIES = """\
#!/bin/bash
set -u
exec >"$TARGET_ROOT/srv/tried"
for directory in /etc /usr /var /opt "{outside}"; do
    touch "$directory/imagebuild-was-here" 2>/dev/null \\
        && echo "wrote to $directory"
done
rm -rf "${{UNSET:-}}{outside}"/* 2>/dev/null
ls -A /root /home /etc/imagebuild 2>/dev/null | grep -v :$ | grep .
date --set=@0 >/dev/null 2>&1 && echo 'set the clock'
ip link add imagebuild0 type dummy >/dev/null 2>&1 && echo 'made an interface'
ls /proc | grep -c '^[0-9]' | sed 's/^/processes /'
env | grep -E '^(DIB_WORD|AWS_SECRET)' | sort
sudo sh -c 'id -u' | sed 's/^/sudo /'
echo "$ELEMENTS_PATH" >/dev/null
echo 'printed by an element' >&2
"""
_HANGS = """\
#!/bin/bash
set -eu
mkdir -p "$TARGET_ROOT/etc" "$TARGET_ROOT/mnt"
mount -t tmpfs none "$TARGET_ROOT/mnt"
mount --bind /dev "$TARGET_ROOT/etc"
setsid sleep 987612 &
touch "$TMP_DIR/ready"
sleep 987612
"""


def write_element(
    directory: pathlib.Path, name: str, hook: str, *, system: bool = False
) -> None:
    path = directory / name / 'root.d' / f'50-{name}'
    path.parent.mkdir(parents=True)
    path.write_text(hook)
    path.chmod(0o755)
    if system:
        (directory / name / 'element-provides').write_text(
            'operating-system\n'
        )


def sections_for(directory: pathlib.Path) -> dict[str, dict[str, Any]]:
    return {'diskimage_builder': {'elements_path': [str(directory)]}}


@pytest.fixture(scope='module')
def outside() -> Iterator[pathlib.Path]:
    """A directory of the host that is none of an element's business."""
    # Not where what is temporary is: that is hidden anyway.
    with tempfile.TemporaryDirectory(dir='/opt') as directory:
        path = pathlib.Path(directory)
        (path / 'precious').write_text('precious')
        yield path


@pytest.fixture(scope='module')
def settings(
    plain_tree: pathlib.Path,
    outside: pathlib.Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[base.Settings]:
    """With one cache for all: the base image is made once. About 20 s."""
    top = tmp_path_factory.mktemp('dib')
    elements = top / 'elements'
    # Visible to the element wherever this is.
    (elements / 'tree-of-copied').parent.mkdir()
    plain_tree.rename(elements / 'tree-of-copied')
    write_element(
        elements,
        'copied',
        _COPIED.format(tree=elements / 'tree-of-copied'),
        system=True,
    )
    write_element(elements, 'tries', _TRIES.format(outside=outside))

    def no_glance() -> Any:
        raise AssertionError('no test here needs Glance')

    yield base.Settings(
        base_images.Cache(top / 'cache'),
        no_glance,
        isolation='sandbox',
        sections=sections_for(elements),
    )
    (elements / 'tree-of-copied').rename(plain_tree)


class TestDiskImageBuilder(driver_contract.DriverContract):
    @pytest.fixture
    def driver(self) -> base.Driver:
        return diskimage_builder.DiskImageBuilderDriver()

    @pytest.fixture
    def opening(
        self, driver: base.Driver, settings: base.Settings
    ) -> driver_contract.Opening:
        return driver_contract.Opening(
            driver, base.BaseImage(), OPTIONS, settings
        )

    def test_an_element_can_read_the_host(
        self,
        opening: driver_contract.Opening,
        workspace: pathlib.Path,
        outside: pathlib.Path,
    ) -> None:
        """And do nothing to it, nor see what it has no business with."""
        with opening.open(workspace) as disk:
            tried = disk.remote.read_file('/srv/tried').decode()
            fstab = disk.remote.read_file('/etc/fstab').decode()
            devices = disk.remote.run(['ls', '-A', '/dev']).stdout.split()
        lines = tried.splitlines()
        [processes] = [each for each in lines if each.startswith('processes')]
        # Its own; this host has hundreds.
        assert int(processes.split()[1]) < 20
        lines.remove(processes)
        assert lines == ['DIB_WORD=said', 'sudo 0']
        assert (outside / 'precious').read_text() == 'precious'
        assert fstab.startswith('UUID=')
        # Nothing of this host's disks.
        assert not [name for name in devices if name.startswith('vd')]

    def test_the_files_have_the_labels_of_their_policy(
        self, opening: driver_contract.Opening, workspace: pathlib.Path
    ) -> None:
        with opening.open(workspace) as disk:
            handle: Any = disk.remote._handle  # type: ignore[attr-defined]  # noqa: SLF001
            for path, kind in (('/srv/tried', 'srv'), ('/bin', 'etc')):
                found = {
                    each['attrname']: each['attrval'].rstrip(b'\0').decode()
                    for each in handle.lgetxattrs(path)
                }
                label = f'system_u:object_r:{kind}_t:s0'
                assert found['security.selinux'] == label


class Lines(base.DiskMonitor):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def output(self, line: str) -> None:
        self.lines.append(line)


def test_its_output_is_that_of_the_build(tmp_path: pathlib.Path) -> None:
    elements = tmp_path / 'elements'
    write_element(
        elements,
        'fails',
        '#!/bin/bash\necho of the element\necho "E: no such thing" >&2\nfalse',
        system=True,
    )
    monitor = Lines()
    target = tmp_path / 'target'
    target.mkdir()
    with pytest.raises(exception.HostCommandFailed) as caught:
        diskimage_builder.DiskImageBuilderDriver().create_disk(
            {**OPTIONS, 'elements': ['fails']},
            target / 'image',
            monitor=monitor,
            sections=sections_for(elements),
        )
    assert 'of the element' in monitor.lines
    assert str(caught.value) == (
        'disk-image-create failed (exit code 1): E: no such thing'
    )
    assert list(target.iterdir()) == []


def _make(elements: pathlib.Path, path: pathlib.Path) -> None:
    diskimage_builder.DiskImageBuilderDriver().create_disk(
        {**OPTIONS, 'elements': ['hangs']},
        path,
        sections=sections_for(elements),
    )


def test_nothing_is_left_when_killed(tmp_path: pathlib.Path) -> None:
    elements, target = tmp_path / 'elements', tmp_path / 'target'
    target.mkdir()
    # In the workspace, the one place that it can write to.
    write_element(
        elements,
        'hangs',
        _HANGS,
        system=True,
    )
    child = multiprocessing.get_context('spawn').Process(
        target=_make, args=(elements, target / 'image')
    )
    child.start()
    try:
        test_bootstrap._wait_for(  # noqa: SLF001
            lambda: list(target.glob('.*/dib/temporary/ready'))
        )
        # They are started beside what says so.
        test_bootstrap._wait_for(_sleepers)  # noqa: SLF001
    finally:
        child.kill()
        child.join()
    test_bootstrap._wait_for(lambda: not _sleepers())  # noqa: SLF001
    shown = subprocess.run(
        ['grep', '-l', str(target), *_mount_tables()],
        capture_output=True,
        text=True,
        check=False,
    ).stdout
    assert shown == ''
    assert not loops.below(target)
    base.sweep(target)
    assert list(target.iterdir()) == []


def _mount_tables() -> list[str]:
    """Of all processes: their mounts go with the last of them."""
    return [str(path) for path in pathlib.Path('/proc').glob('[0-9]*/mounts')]


def _sleepers() -> list[str]:
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            if b'sleep\x00987612' in path.read_bytes():
                found.append(path.parent.name)
        except OSError:
            continue
    return found
