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

import pathlib

import pytest

from imagebuild import exception
from imagebuild.drivers.bootstrap import apt_sources
from imagebuild.drivers.bootstrap import finish
from imagebuild.drivers.bootstrap import releases

RELEASE = releases.RELEASES['debian-12']
SOURCE = apt_sources.AptSource(
    'http://m.example/debian', 'bookworm', ('main',)
)

LEFT_OVER = (
    'etc/apt/apt.conf.d/99mmdebstrap',
    'etc/apt/sources.list.d/0000bootstrap.sources',
    'etc/ssh/ssh_host_rsa_key',
    'etc/ssh/ssh_host_rsa_key.pub',
    'etc/passwd-',
    'var/cache/apt/archives/bash.deb',
    'var/lib/apt/lists/m.example_debian_dists_bookworm_InRelease',
    'var/lib/dbus/machine-id',
    'var/log/dpkg.log',
)
KEPT = (
    'etc/ssh/sshd_config',
    'etc/passwd',
    'var/lib/dpkg/status',
    'var/log/wtmp',
)


@pytest.fixture
def tree(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / 'tree'
    for name in LEFT_OVER + KEPT:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_text('x')
    (path / 'etc/machine-id').write_text('0123\n')
    return path


def finished(
    tree: pathlib.Path,
    *,
    source: apt_sources.AptSource = SOURCE,
    minimal: bool = True,
) -> None:
    finish.finish(tree, release=RELEASE, sources=[source], minimal=minimal)


def sources(tree: pathlib.Path) -> str:
    return (tree / 'etc/apt/sources.list.d/debian.sources').read_text()


def test_leftovers_go(tree: pathlib.Path) -> None:
    finished(tree)
    assert [name for name in LEFT_OVER if (tree / name).exists()] == []
    assert [name for name in KEPT if not (tree / name).exists()] == []
    assert (tree / 'etc/machine-id').read_text() == ''
    assert (tree / 'etc/hostname').read_text() == 'debian\n'


def test_the_host_is_not_written_to(tree: pathlib.Path) -> None:
    outside = tree.parent / 'outside'
    outside.write_text('precious')
    for name in ('etc/machine-id', 'etc/hostname', 'etc/hosts'):
        (tree / name).unlink(missing_ok=True)
        (tree / name).symlink_to(outside)
    (tree / 'var/log/apt').symlink_to(tree.parent)
    with pytest.raises(exception.InvalidInput, match='var/log/apt'):
        finished(tree)
    (tree / 'var/log/apt').unlink()
    finished(tree)
    assert outside.read_text() == 'precious'
    assert not (tree / 'etc/hostname').is_symlink()


def test_names_are_resolved_as_the_image_does(tree: pathlib.Path) -> None:
    conf = tree / 'etc/resolv.conf'
    conf.write_text('nameserver 192.0.2.1\n')
    finished(tree)
    assert conf.read_text() == ''
    finished(tree, minimal=False)
    assert str(conf.readlink()).startswith('../run/systemd/resolve/')


def test_a_machine_has_more(tree: pathlib.Path) -> None:
    cloud = tree / 'etc/cloud/cloud.cfg.d/90_imagebuild.cfg'
    finished(tree)
    assert not cloud.exists()
    finished(tree, minimal=False)
    assert 'preserve_sources_list: true' in cloud.read_text()
    assert (tree / 'etc/grub.d/enable_cloud').exists()


def test_a_keyring_that_the_image_has_is_named(tree: pathlib.Path) -> None:
    name = '/usr/share/keyrings/debian-archive-keyring.gpg'
    (tree / name[1:]).parent.mkdir(parents=True)
    (tree / name[1:]).touch()
    finished(tree, source=SOURCE.signed_by_these([name]))
    assert f'Signed-By: {name}\n' in sources(tree)


def test_any_other_keyring_comes_along(tree: pathlib.Path) -> None:
    key = tree.parent / 'ours.gpg'
    key.write_bytes(b'key')
    finished(tree, source=SOURCE.signed_by_these([str(key)]))
    assert 'Signed-By: /etc/apt/keyrings/ours.gpg\n' in sources(tree)
    assert (tree / 'etc/apt/keyrings/ours.gpg').read_bytes() == b'key'


@pytest.mark.parametrize('value', ['', '0123456789ABCDEF', '\n-----\nA/B\n--'])
def test_fingerprints_and_keys_stay(value: str, tree: pathlib.Path) -> None:
    options = {'Signed-By': value} if value else {}
    source = apt_sources.AptSource('http://m.example', 's', ('main',), options)
    finished(tree, source=source)
    assert apt_sources.parse_deb822(sources(tree)) == [source]
