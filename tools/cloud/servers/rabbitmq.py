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
"""RabbitMQ, and the Erlang port mapper that it cannot do without."""

import pathlib
import shutil
import socket

from tools.cloud import cloud_state
from tools.cloud import errors
from tools.cloud.servers import base
from tools.cloud.servers import process

# Not the wrapper on PATH, which changes to a user that could not read the
# directory of another.
_PROGRAM = '/usr/lib/rabbitmq/bin/rabbitmq-server'
_USER = 'imagebuild'

_CONFIG = """\
listeners.tcp.1 = {host}:{port}
default_user = {user}
default_pass = {password}
loopback_users = none
vm_memory_high_watermark.absolute = 512MB
disk_free_limit.absolute = 200MB
log.console = true
log.console.level = warning
log.file = false
"""


class RabbitMQ(base.Server):
    """One broker of one node; about 5 s to start."""

    name = 'rabbitmq'

    @property
    def transport_url(self) -> str:
        """What oslo.messaging's [DEFAULT] transport_url wants."""
        password = self.state.secret(self.name)
        return f'rabbit://{_USER}:{password}@{self.host}:{self.port}/'

    def prepare(self) -> None:
        if not pathlib.Path(_PROGRAM).exists():
            raise errors.CloudError('rabbitmq-server is not installed.')
        for name in ('mnesia', 'log', 'home'):
            (self.directory / name).mkdir(parents=True, exist_ok=True)
        (self.directory / 'enabled_plugins').write_text('[].\n')
        config = self.directory / 'rabbitmq.conf'
        config.touch(mode=0o600)
        config.write_text(
            _CONFIG.format(
                host=self.host,
                port=self.port,
                user=_USER,
                password=self.state.secret(self.name),
            )
        )

    def program(self) -> process.Program:
        return process.Program(
            name=self.name,
            argv=[_PROGRAM],
            env=self._environment(),
            directory=self.directory,
            ready=self._answers,
            ready_within=300,
            files=[self.directory / 'rabbitmq.conf'],
        )

    def start(self) -> bool:
        # Erlang would start a mapper of its own which outlives it and which
        # nobody has recorded.
        self.processes.start(self._mapper())
        return super().start()

    def stop(self) -> None:
        super().stop()
        self.processes.stop(self._mapper_name)

    def kill(self) -> None:
        super().kill()
        self.processes.kill(self._mapper_name)

    @property
    def _mapper_name(self) -> str:
        return f'{self.name}-epmd'

    def _mapper(self) -> process.Program:
        port = self.state.port(self._mapper_name)
        program = shutil.which('epmd')
        if program is None:
            raise errors.CloudError('rabbitmq-server is not installed.')
        return process.Program(
            name=self._mapper_name,
            argv=[program, '-address', self.host, '-port', str(port)],
            ready=lambda: _connects(port),
            stop_within=2,
        )

    def _environment(self) -> dict[str, str]:
        directory = self.directory
        return {
            'HOME': str(directory / 'home'),
            'ERL_EPMD_ADDRESS': self.host,
            'ERL_EPMD_PORT': str(self.state.port(self._mapper_name)),
            'RABBITMQ_NODENAME': 'rabbit@localhost',
            'RABBITMQ_NODE_IP_ADDRESS': self.host,
            'RABBITMQ_DIST_PORT': str(self.state.port(f'{self.name}-dist')),
            'RABBITMQ_CONF_ENV_FILE': '/dev/null',
            'RABBITMQ_CONFIG_FILE': str(directory / 'rabbitmq.conf'),
            'RABBITMQ_ENABLED_PLUGINS_FILE': str(
                directory / 'enabled_plugins'
            ),
            'RABBITMQ_MNESIA_BASE': str(directory / 'mnesia'),
            'RABBITMQ_LOG_BASE': str(directory / 'log'),
            'RABBITMQ_PID_FILE': str(directory / 'pid'),
            'RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS': (
                '-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none'
            ),
            # The script becomes the server instead of watching over it.
            'RUNNING_UNDER_SYSTEMD': 'true',
        }

    def _answers(self) -> bool:
        """Whether it greets a client of AMQP 0-9-1."""
        with socket.create_connection((self.host, self.port), 2) as client:
            client.sendall(b'AMQP\x00\x00\x09\x01')
            return client.recv(1) == b'\x01'


def _connects(port: int) -> bool:
    with socket.create_connection((cloud_state.LOOPBACK, port), 2):
        return True


running = RabbitMQ.running
