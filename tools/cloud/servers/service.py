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
"""What OpenStack's services have in common."""

import abc
import pathlib
import urllib.error
import urllib.request
from collections.abc import Callable

from tools.cloud import cloud_site
from tools.cloud import ini
from tools.cloud import tables
from tools.cloud import venv
from tools.cloud.servers import base
from tools.cloud.servers import process

#: Answers of a service that works, whatever it thinks of the question.
_SERVES = (200, 204, 300, 401, 404)

#: Less of what repeats itself in every log.
LOG_LEVELS = ','.join(
    f'{name}=WARN'
    for name in (
        'amqp',
        'keystonemiddleware',
        'sqlalchemy',
        'stevedore',
        'urllib3',
    )
)


class Service(base.Server):
    """A service of OpenStack: a part of a cloud, never alone.

    ``etc/<project>`` in the cloud's directory holds its configuration.
    """

    #: Its project: keystone, heat; several services may share one.
    project: str

    def __init__(self, site: cloud_site.Site) -> None:
        super().__init__(site.state.directory / self.project, site.state)
        self.site = site
        self.etc = site.state.directory / 'etc' / self.project

    @property
    def config_file(self) -> pathlib.Path:
        """Its main configuration file."""
        return self.etc / f'{self.project}.conf'

    @property
    def config_files(self) -> list[pathlib.Path]:
        """All that a change of wants it started again."""
        return [self.config_file]

    def prepare(self) -> None:
        """Write the configuration and bring the database up to date."""
        # Services of one project are started side by side.
        with self.site.lock(self.project):
            self._prepare()

    def _prepare(self) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.etc.mkdir(parents=True, exist_ok=True)
        ini.write(self.etc / 'policy.yaml', '{}\n')
        ini.write(self.config_file, ini.text(self.config()))
        self.copy_shipped()
        # Done again with other versions, not at every start.
        key, version = f'{self.etc.name} database', self.version()
        if self.state.get('done', key) != version:
            self.sync_database()
            self.state.set('done', key, version)

    @abc.abstractmethod
    def config(self) -> ini.Sections:
        """The main configuration file."""

    def copy_shipped(self) -> None:
        """Copy configuration files that the project ships."""

    def sync_database(self) -> None:
        """Make the tables."""

    def make_tables(
        self, migrate: Callable[[], None], *databases: str, like: str = ''
    ) -> None:
        """Bring databases to this version, the project's own by default.

        :param migrate: does it, unless other clouds have had it done.
        :param like: another database that has the same tables; '' for none.
        """
        tables.make(
            self.site.mariadb,
            list(databases) or [self.project],
            migrate,
            like=like,
        )

    def version(self) -> str:
        """Another one wants the database brought up to date."""
        return venv.version()

    def since(self) -> str:
        """The start of this life, in UTC, as an SQL expression."""
        record = self.state.get('processes', self.name) or {}
        return f"'1970-01-01' + INTERVAL {int(record['number'])} SECOND"

    def shipped(self, *names: str) -> None:
        """Copy files from the project's own etc directory."""
        for name in names:
            source = venv.openstack() / 'etc' / self.project / name
            files = source.rglob('*') if source.is_dir() else [source]
            for file in files:
                if file.is_file():
                    target = self.etc / file.relative_to(source.parent)
                    ini.write(target, file.read_text())

    def policy(self) -> dict[str, object]:
        """Options of [oslo_policy]: the policy that the code has."""
        return {'policy_file': self.etc / 'policy.yaml'}


class DaemonService(Service):
    """A program of OpenStack's environment that listens to the bus.

    Its table of services shows when it has begun to.
    """

    #: The database with a table "services" or the like, and a condition.
    reports: tuple[str, str]

    def arguments(self) -> list[str]:
        """Its command line, after its name."""
        return [f'--config-file={self.config_file}']

    def program(self) -> process.Program:
        return process.Program(
            name=self.name,
            argv=[str(self.site.bin / self.name), *self.arguments()],
            directory=self.directory,
            ready=self.reported,
            ready_within=300,
            files=self.config_files,
        )

    def reported(self) -> bool:
        """Whether it has reported itself alive in this life."""
        database, condition = self.reports
        answer = self.site.mariadb.query(
            f'SELECT COUNT(*) FROM {condition} >= {self.since()}',  # noqa: S608
            database=database,
        )
        return answer.strip() != '0'


class WsgiService(Service):
    """A service that uwsgi serves."""

    #: The module with the application.
    module: str
    threads = 4

    @property
    def url(self) -> str:
        """Its root address."""
        return self.site.url(self.name)

    @property
    def programs(self) -> pathlib.Path:
        """The directory of the uwsgi that runs it."""
        return self.site.bin

    def arguments(self) -> list[str]:
        """More arguments of uwsgi."""
        return []

    def environment(self) -> dict[str, str]:
        """More of its environment."""
        return {}

    def program(self) -> process.Program:
        return process.Program(
            name=self.name,
            argv=[
                str(self.programs / 'uwsgi'),
                # No router process in between.
                f'--http-socket={self.host}:{self.port}',
                f'--module={self.module}',
                '--master',
                '--processes=1',
                f'--threads={self.threads}',
                '--enable-threads',
                '--lazy-apps',
                '--need-app',
                '--die-on-term',
                '--no-orphans',
                '--buffer-size=65535',
                # python-glanceclient sends larger chunks than uwsgi takes.
                '--chunked-input-limit=16777216',
                '--wsgi-disable-file-wrapper',
                # keystoneauth would use connections again that are closed.
                '--add-header=Connection: close',
                '--log-date',
                *self.arguments(),
            ],
            env=self.environment(),
            directory=self.directory,
            ready=self.serves,
            ready_within=300,
            files=self.config_files,
        )

    def serves(self) -> bool:
        """Whether it answers."""
        # It listens before it has loaded the application.
        return answers(f'{self.url}/healthcheck')


def answers(url: str) -> bool:
    """Whether a page is there, or is refused by one who knows."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310
            return answer.status in _SERVES
    except urllib.error.HTTPError as error:
        return error.code in _SERVES
