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
"""The Remote contract over a real disk."""

import pathlib
from collections.abc import Iterator

import pytest

from imagebuild import appliance
from imagebuild import exception
from imagebuild.disks import image_file
from imagebuild.disks import overlay
from imagebuild.remotes import guestfs
from tests.contract import remote_contract


def _open(
    image: pathlib.Path, directory: pathlib.Path
) -> guestfs.GuestfsRemote:
    path = directory / 'overlay.qcow2'
    overlay.create(image_file.inspect(image), path)
    return guestfs.GuestfsRemote(
        [appliance.Drive(path, 'qcow2')], workspace=directory
    )


@pytest.fixture(scope='module')
def opened(
    minimal_image: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[guestfs.GuestfsRemote]:
    with _open(minimal_image, tmp_path_factory.mktemp('contract')) as remote:
        yield remote


class TestGuestfsRemote(remote_contract.RemoteContract):
    @pytest.fixture
    def remote(self, opened: guestfs.GuestfsRemote) -> guestfs.GuestfsRemote:
        return opened

    @pytest.fixture
    def fresh_remote(
        self, minimal_image: pathlib.Path, tmp_path: pathlib.Path
    ) -> guestfs.GuestfsRemote:
        return _open(minimal_image, tmp_path)

    # -- what only a disk has -----------------------------------------------

    def test_new_parents_belong_to_the_owner(
        self, remote: guestfs.GuestfsRemote
    ) -> None:
        """As cloud-init's write_files makes them."""
        remote.write_file(
            '/srv/own/er/file', b'x', mode=0o600, owner='daemon', group='mail'
        )
        shown = remote.run(
            ['stat', '-c', '%a %U %G', '/srv', '/srv/own', '/srv/own/er']
        )
        assert shown.stdout.splitlines() == [
            '755 root root', '755 daemon mail', '755 daemon mail',
        ]  # fmt: skip

    @pytest.mark.parametrize('kind', ['p', 'c 1 3'])
    def test_what_is_no_file_is_refused_at_once(
        self, remote: guestfs.GuestfsRemote, kind: str
    ) -> None:
        remote.run(
            ['sh', '-c', f'rm -f /srv/special; mknod /srv/special {kind}']
        )
        with pytest.raises(exception.StepError, match='not a regular file'):
            remote.write_file('/srv/special', b'x')

    def test_the_merged_usr(self, remote: guestfs.GuestfsRemote) -> None:
        """/bin, /sbin, /lib and /var/run are links."""
        remote.write_file('/bin/hello', b'#!/bin/sh\n', mode=0o755)
        remote.write_file('/var/run/hello.pid', b'1')
        assert remote.read_file('/usr/bin/hello') == b'#!/bin/sh\n'
        assert remote.read_file('/run/hello.pid') == b'1'


class TestResolver:
    """What commands make of /etc/resolv.conf, one appliance for all."""

    @pytest.fixture(autouse=True)
    def own(self, opened: guestfs.GuestfsRemote) -> Iterator[None]:
        self.remote = opened
        opened.write_file('/etc/resolv.conf', b'search example.org\n')
        yield
        # Nothing of ours is left, whatever happened.
        shown = opened.run(['find', '/etc', '-maxdepth', '1', '-name', '.im*'])
        assert shown.stdout == ''

    def now(self, script: str) -> str:
        """Run a script; what the image has afterwards."""
        self.remote.run(['sh', '-ec', script])
        handle = self.remote.appliance.handle
        if handle.is_symlink('/etc/resolv.conf'):
            return '-> ' + str(handle.readlink('/etc/resolv.conf'))
        if not handle.exists('/etc/resolv.conf'):
            return 'none'
        return self.remote.read_file('/etc/resolv.conf').decode()

    @pytest.mark.parametrize(
        'script, after',
        [
            ('true', 'search example.org\n'),
            ('grep nameserver /etc/resolv.conf', 'search example.org\n'),
            ('ln -snf ../run/stub /etc/resolv.conf', '-> ../run/stub'),
            ('echo nameserver 192.0.2.1 >/etc/resolv.conf',
             'nameserver 192.0.2.1\n'),
            ('echo options rotate >>/etc/resolv.conf',
             'search example.org\noptions rotate\n'),
            ('sed -i "1i options rotate" /etc/resolv.conf',
             'options rotate\n'),
            ('rm /etc/resolv.conf', 'none'),
            ('rm /etc/resolv.conf; mkfifo /etc/resolv.conf',
             'search example.org\n'),
            ('cd /etc; cp resolv.conf new; mv new resolv.conf',
             'search example.org\n'),
        ],
    )  # fmt: skip
    def test_it_is_kept(self, script: str, after: str) -> None:
        assert self.now(script).removeprefix('#\n') == after

    def test_a_package_that_moves_it_away(self) -> None:
        """As systemd-resolved does, for one."""
        script = 'mv /etc/resolv.conf /etc/.resolv.conf.orig; ' + (
            'ln -s ../run/systemd/resolve/stub-resolv.conf /etc/resolv.conf'
        )
        assert self.now(script).startswith('-> ../run/systemd')
        kept = self.remote.read_file('/etc/.resolv.conf.orig')
        assert kept == b'search example.org\n'

    def test_a_link_to_nothing_stays_and_can_be_written(self) -> None:
        link = 'ln -snf ../run/systemd/resolve/stub-resolv.conf '
        self.now(link + '/etc/resolv.conf')
        again = self.now('cat /etc/resolv.conf; echo x >>/etc/resolv.conf')
        assert again == '-> ../run/systemd/resolve/stub-resolv.conf'
        self.remote.write_file('/etc/resolv.conf', b'nameserver 192.0.2.1\n')
        assert self.now('true') == 'nameserver 192.0.2.1\n'


def test_a_magic_key_is_the_users_fault(
    opened: guestfs.GuestfsRemote,
) -> None:
    """Last: it ends the appliance of all above."""
    script = b'echo c >/proc/sysrq-trigger; sleep 60'
    with pytest.raises(exception.GuestBroken, match='magic SysRq') as caught:
        opened.run_script(script, name='x.sh', timeout=30)
    assert caught.value.exit_code == 1
