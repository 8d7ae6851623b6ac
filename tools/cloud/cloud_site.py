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
"""What the services of one cloud know of each other."""

import functools
import pathlib
import threading
from collections.abc import Mapping

from tools.cloud import cloud_state
from tools.cloud import rest
from tools.cloud import venv
from tools.cloud.servers import mariadb
from tools.cloud.servers import process
from tools.cloud.servers import rabbitmq

REGION = 'RegionOne'
ADMIN = 'admin'


class Site:
    """Addresses, passwords, databases and directories of a cloud."""

    def __init__(self, directory: pathlib.Path, *, virt: str) -> None:
        #: What Nova's servers are: 'libvirt' (real ones) or 'fake'.
        self.virt = virt
        self.state = cloud_state.State(directory)
        self.processes = process.Processes(self.state)
        self._locks: dict[str, threading.Lock] = {}
        self.bin = venv.openstack() / 'bin'
        self.mariadb = mariadb.MariaDB(
            self.state.directory / 'mariadb', self.state
        )
        self.rabbitmq = rabbitmq.RabbitMQ(
            self.state.directory / 'rabbitmq', self.state
        )

    def lock(self, name: str) -> threading.Lock:
        """The one lock of this name."""
        # setdefault is one step to other threads.
        return self._locks.setdefault(name, threading.Lock())

    def url(self, service: str) -> str:
        """The root address of a service."""
        return f'http://{cloud_state.LOOPBACK}:{self.state.port(service)}'

    @property
    def auth_url(self) -> str:
        """Keystone's address."""
        return f'{self.url("keystone")}/v3'

    def password(self, user: str) -> str:
        """A user's password."""
        return self.state.secret(f'user {user}')

    def database(self, name: str, *, charset: str = 'utf8') -> str:
        """SQLAlchemy's address of a service's database."""
        self.mariadb.create(name, charset=charset)
        return self.mariadb.url(name, options=f'charset={charset}')

    @functools.cached_property
    def rest(self) -> rest.Rest:
        """Everything the administrator may ask for."""
        return rest.Rest(self.auth_url, ADMIN, self.password(ADMIN))

    def credentials(
        self, user: str, project: str = 'service'
    ) -> dict[str, str]:
        """Options of keystoneauth for a user."""
        return {
            'auth_type': 'password',
            'auth_url': self.auth_url,
            'username': user,
            'password': self.password(user),
            'user_domain_name': 'Default',
            'project_name': project,
            'project_domain_name': 'Default',
        }

    def authtoken(self, user: str) -> dict[str, object]:
        """Options of [keystone_authtoken] for a service's user."""
        return {
            'www_authenticate_uri': self.auth_url,
            'service_token_roles_required': True,
            **self.credentials(user),
        }

    def manage(
        self,
        program: str,
        *arguments: str,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Run a program of OpenStack's environment to its end."""
        self.processes.run(
            program, [str(self.bin / program), *arguments], env=env
        )
