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
"""libvirt's daemons, whose directories are all in ours.

They run in a mount namespace in which /etc/libvirt, /run/libvirt and the
others are directories of the cloud: the host's own libvirt, if it has one, is
neither configured nor disturbed. Needs root.
"""

import abc
import os
import pathlib
import shlex
import shutil
import signal
import subprocess

from tools.cloud import cloud_state
from tools.cloud import errors
from tools.cloud import ini
from tools.cloud import venv
from tools.cloud.servers import base
from tools.cloud.servers import proc
from tools.cloud.servers import process

#: The host's directory: ours.
_DIRECTORIES = {
    '/etc/libvirt': 'etc',
    '/run/libvirt': 'run',
    '/var/cache/libvirt': 'cache',
    '/var/lib/libvirt': 'lib',
    '/var/log/libvirt': 'log',
}

_QEMU_CONF = """\
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = []
namespaces = []
remember_owner = 0
stdio_handler = "logd"
"""
_LIBVIRTD_CONF = """\
unix_sock_group = "root"
auth_unix_ro = "none"
auth_unix_rw = "none"
"""

#: The binding comes with the distribution, because it must match the library.
_BINDING = pathlib.Path('/usr/lib/python3/dist-packages')


def uri(state: cloud_state.State) -> str:
    """What clients connect to."""
    socket = state.directory / 'libvirt' / 'run' / 'libvirt-sock'
    return f'qemu+unix:///system?socket={socket}'


def link_binding() -> None:
    """Make the distribution's Python binding one of OpenStack's."""
    target = next((venv.openstack() / 'lib').glob('python3*/site-packages'))
    files = [_BINDING / 'libvirt.py', *_BINDING.glob('libvirtmod.*.so')]
    for file in files:
        if not file.exists():
            raise errors.CloudError('python3-libvirt is not installed.')
        link = target / file.name
        if not link.is_symlink():
            link.symlink_to(file)


class _Daemon(base.Server):
    def __init__(self, state: cloud_state.State) -> None:
        super().__init__(state.directory / 'libvirt', state)

    def prepare(self) -> None:
        if os.geteuid():
            raise errors.CloudError('libvirt needs root; try nova=fake.')
        for name in _DIRECTORIES.values():
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        ini.write(self.directory / 'etc' / 'qemu.conf', _QEMU_CONF)
        ini.write(self.directory / 'etc' / 'libvirtd.conf', _LIBVIRTD_CONF)
        ini.write(self.directory / 'etc' / 'virtlogd.conf', '')

    def program(self) -> process.Program:
        daemon = shutil.which(self.name, path=f'{os.defpath}:/usr/sbin')
        if daemon is None:
            raise errors.CloudError('libvirt-daemon-system is not installed.')
        config = self.directory / 'etc' / f'{self.name}.conf'
        own = [f'--pid-file={self.directory}/run/{self.name}.pid']
        command = [daemon, f'--config={config}', *own]
        mounts = [
            f'mkdir -p {host} && mount --bind '
            f'{shlex.quote(str(self.directory / ours))} {host}'
            for host, ours in _DIRECTORIES.items()
        ]
        script = ' && '.join([*mounts, f'exec {shlex.join(command)}'])
        unshare = ['unshare', '--mount', '--propagation=private', '--']
        return process.Program(
            name=self.name,
            argv=[*unshare, 'sh', '-c', script],
            directory=self.directory,
            ready=self._listens,
            files=[config, self.directory / 'etc' / 'qemu.conf'],
        )

    @abc.abstractmethod
    def _listens(self) -> bool:
        """Whether it answers."""


class Virtlogd(_Daemon):
    """What keeps the consoles' logs."""

    name = 'virtlogd'

    def start(self) -> bool:
        if not self.alive:
            # Its presence shall mean that it listens.
            (self.directory / 'run/virtlogd-sock').unlink(missing_ok=True)
        return super().start()

    def _listens(self) -> bool:
        return (self.directory / 'run/virtlogd-sock').is_socket()


class Libvirtd(_Daemon):
    """What runs guests; they end with it when it is stopped."""

    name = 'libvirtd'

    def prepare(self) -> None:
        super().prepare()
        link_binding()

    def stop(self) -> None:
        super().stop()
        end_guests(self.state)

    def _listens(self) -> bool:
        return virsh(self.state, 'version').returncode == 0


def end_guests(state: cloud_state.State) -> None:
    """End the guests that libvirtd leaves behind.

    libvirt recorded their ids. Only a process that has our directory on its
    command line is one of them.
    """
    directory = state.directory / 'libvirt'
    for file in (directory / 'run' / 'qemu').glob('*.pid'):
        pid = int(file.read_text())
        if proc.mentions(pid, state.directory):
            proc.send(pid, signal.SIGKILL)
            file.unlink(missing_ok=True)


def virsh(
    state: cloud_state.State, *arguments: str
) -> subprocess.CompletedProcess[str]:
    """Run virsh against the cloud's libvirt."""
    return subprocess.run(
        ['virsh', '--quiet', f'--connect={uri(state)}', *arguments],
        capture_output=True,
        text=True,
        timeout=200,
    )
