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
"""The cloud: which services there are, and in which order they start."""

import concurrent.futures
import contextlib
import fcntl
import pathlib
import shutil
import subprocess
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

from tools.cloud import catalog
from tools.cloud import cloud_site
from tools.cloud import cloud_state
from tools.cloud import credentials
from tools.cloud import errors
from tools.cloud import tasks
from tools.cloud import venv
from tools.cloud.servers import base
from tools.cloud.servers import glance
from tools.cloud.servers import heat
from tools.cloud.servers import imagebuild
from tools.cloud.servers import keystone
from tools.cloud.servers import libvirt
from tools.cloud.servers import neutron
from tools.cloud.servers import nova
from tools.cloud.servers import placement

#: What a cloud may have, each with all that is to its left.
LEVELS = ('keystone', 'glance', 'heat', 'nova')

#: What servers of Nova may be: guests of qemu, or pretended.
VIRTS = ('libvirt', 'fake')

#: How many conductors of ours there are.
CONDUCTORS = 2

Report = Callable[[str], None]


class Cloud:
    """A cloud in a directory, there already or still to be made.

    :param directory: holds all of it but OpenStack's environment.
    :param level: how much of it; one of LEVELS. What it had before by
        default, or all.
    :param virt: what servers are; one of VIRTS. It cannot be changed later.
    :param report: called with what has been done, one line each.
    """

    def __init__(
        self,
        directory: pathlib.Path,
        *,
        level: str | None = None,
        virt: str | None = None,
        report: Report = lambda line: None,
    ) -> None:
        remembered = cloud_state.State(directory).section('cloud')
        self.level = level or remembered.get('level', LEVELS[-1])
        self.virt = virt or remembered.get('virt', VIRTS[0])
        self.site = cloud_site.Site(directory, virt=self.virt)
        self.directory = self.site.state.directory
        self.report = report
        self.services = self._services()

    def up(self, *, host_is_ready: bool = False) -> None:
        """Start what does not run; nothing else is touched.

        :param host_is_ready: leave out tools/setup-host.sh.
        :raises errors.CloudError: the first failure. What runs then goes on
            to run; down() ends it.
        """
        with self._alone():
            self._remember()
            self.report(f'starting the cloud in {self.directory}')
            if not host_is_ready:
                self.report(
                    'installing packages and imagebuild, which takes some '
                    'minutes the first time'
                )
                venv.make_imagebuild(self.site.processes)
                self.report('packages and imagebuild are installed')
            plan = self._tasks()
            self.report(f'starting {", ".join(sorted(self.services))}')
            tasks.run(plan, self._on_done)
            credentials.write(self.site)

    def down(self, *, wipe: bool = False) -> None:
        """End every recorded process.

        :param wipe: remove the directory, too.
        """
        processes = self.site.processes
        with contextlib.ExitStack() as stack:
            if self.directory.exists():
                stack.enter_context(self._alone())
            self._stop_all()
            left = processes.names()
            if left:
                raise errors.CloudError(f'These do not end: {left}.')
            if wipe:
                self._wipe()

    def status(self) -> dict[str, tuple[int | None, int | None]]:
        """The process and the port of each recorded program."""
        ports = self.site.state.section('ports')
        processes = self.site.processes
        return {
            name: (processes.pid(name), ports.get(name))
            for name in sorted(processes.names())
        }

    def environment(self, user: str = 'demo') -> dict[str, str]:
        """The variables that make a client log in as this user."""
        return credentials.environment(self.site, user)

    def openstack(self, *arguments: str, user: str = 'demo') -> str:
        """What an openstack command prints.

        :raises subprocess.CalledProcessError: it failed; the reason is in
            stderr.
        """
        return subprocess.run(
            [str(self.site.bin / 'openstack'), *arguments],
            env={'PATH': '/usr/bin:/bin', **self.environment(user)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout.strip()

    def service(self, name: str) -> Any:
        """One server by its name: ``cloud.service('glance').stop()``."""
        return self.services[name]

    def _services(self) -> dict[str, base.Server]:
        site = self.site
        servers: list[base.Server] = [site.mariadb, keystone.Keystone(site)]
        if self._has('glance'):
            servers += [site.rabbitmq, glance.Glance(site)]
        if self._has('heat'):
            servers += [heat.HeatApi(site), heat.HeatEngine(site)]
        if self._has('nova'):
            servers += self._compute()
        if self._has('glance') and imagebuild.APPLICATION.exists():
            servers += self._ours()
        return {server.name: server for server in servers}

    def _remember(self) -> None:
        state = self.site.state
        if self._has('nova'):
            if state.get('cloud', 'virt', self.virt) != self.virt:
                raise errors.CloudError(
                    f'{self.directory} has another kind of nova; '
                    'remove it with --wipe to have another.'
                )
            state.set('cloud', 'virt', self.virt)
        state.set('cloud', 'level', self.level)

    def _has(self, level: str) -> bool:
        return LEVELS.index(self.level) >= LEVELS.index(level)

    def _compute(self) -> list[base.Server]:
        site = self.site
        servers: list[base.Server] = [
            placement.Placement(site),
            neutron.Neutron(site),
            nova.NovaApi(site),
            nova.NovaConductor(site),
            nova.NovaScheduler(site),
            nova.NovaCompute(site),
        ]
        if self.virt == 'libvirt':
            servers.append(libvirt.Virtlogd(site.state))
            servers.append(libvirt.Libvirtd(site.state))
        return servers

    def _ours(self) -> list[base.Server]:
        return [
            imagebuild.ImageBuildApi(self.site),
            *(
                imagebuild.ImageBuildConductor(self.site, number)
                for number in range(1, CONDUCTORS + 1)
            ),
        ]

    def _tasks(self) -> dict[str, tasks.Task]:
        site, names = self.site, list(self.services)
        plan = {
            'venv': tasks.Task(lambda: venv.make_openstack(site.processes)),
            'catalog': tasks.Task(
                lambda: catalog.seed(site, names), ('keystone',)
            ),
        }
        if self._has('heat') and heat.has_plugin():
            plan['heat-plugin'] = tasks.Task(
                lambda: venv.install_plugin(site.processes), ('venv',)
            )
        for name, server in self.services.items():
            after = _AFTER.get(name, _USUALLY_AFTER)
            plan[name] = tasks.Task(
                server.start,
                tuple(one for one in after if one in {*names, *plan}),
            )
        api = self.services.get('nova-api')
        if isinstance(api, nova.NovaApi):
            plan['flavors'] = tasks.Task(api.add_flavors, ('nova-api',))
        return plan

    def _on_done(self, name: str, result: object) -> None:
        if result is not False:
            verb = 'are' if name in _MADE_MANY else 'is'
            self.report(f'{name} {verb} {_MADE.get(name, "up")}')

    def _stop_all(self) -> None:
        names = self.site.processes.names()
        tiers = [set(names).difference(*_STOPPED_LATE), *_STOPPED_LATE]
        for tier in tiers:
            with concurrent.futures.ThreadPoolExecutor(16) as pool:
                list(pool.map(self._stop, [n for n in names if n in tier]))
        libvirt.end_guests(self.site.state)

    def _stop(self, name: str) -> None:
        if self.site.processes.stop(name):
            self.report(f'{name} is stopped')

    def _wipe(self) -> None:
        environments = (venv.openstack(), venv.tempest().directory)
        for entry in self.directory.iterdir():
            if entry not in environments:
                _remove(entry)
        with contextlib.suppress(OSError):
            self.directory.rmdir()
        self.report('its data is removed')
        for environment in (*environments, venv.imagebuild()):
            if environment.exists():
                self.report(f'{environment} stays, for the next "up"')
        self.report('the packages that are installed stay (bindep.txt)')

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One command at a time."""
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (self.directory / '.command.lock').open('a') as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise errors.CloudError(
                    f'Another command is at work in {self.directory}.'
                ) from None
            yield


#: What is done beside starting servers; how it is reported.
_MADE = {
    'venv': 'made',
    'catalog': 'filled',
    'flavors': 'there',
    'heat-plugin': 'installed',
}
_MADE_MANY = ('flavors',)

#: They are stopped when nobody needs them any more, one set after the other.
_STOPPED_LATE = (
    # nova-compute reports to it that it stops.
    {'nova-conductor'},
    {'libvirtd', 'mariadb', 'rabbitmq'},
    {'rabbitmq-epmd', 'virtlogd'},
)

_USUALLY_AFTER = ('mariadb', 'venv', 'catalog', 'rabbitmq')

#: What must be there before, where it is less or more than usual. Who waits
#: for the catalog asks Keystone for something while it starts.
_AFTER = {
    'mariadb': (),
    'rabbitmq': (),
    'keystone': ('mariadb', 'venv'),
    'glance': ('mariadb', 'venv'),
    'heat-api': ('mariadb', 'venv', 'rabbitmq'),
    'heat-engine': ('mariadb', 'venv', 'rabbitmq', 'heat-plugin'),
    'placement': ('mariadb', 'venv'),
    'virtlogd': (),
    'libvirtd': ('virtlogd', 'venv'),
    'nova-api': ('mariadb', 'venv', 'rabbitmq'),
    'nova-conductor': ('mariadb', 'venv', 'rabbitmq'),
    'nova-scheduler': ('mariadb', 'venv', 'rabbitmq', 'catalog', 'placement'),
    'nova-compute': (
        'libvirtd',
        'nova-conductor',
        'placement',
        'neutron',
        'catalog',
    ),
    'imagebuild-api': ('mariadb', 'venv', 'rabbitmq', 'catalog'),
}


def _remove(entry: pathlib.Path) -> None:
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()
