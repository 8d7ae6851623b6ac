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
"""imagebuild-standalone: the whole service in one process.

The same API and conductor as everywhere, with parts that need no setting up:
a bus in memory, a SQLite file, images in a directory, and no Keystone. For one
machine and one person: everyone who has the token is an operator, so that is
in a file of its owner's, and only the loopback interface is listened on.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any
from typing import NoReturn

import waitress.server
from oslo_config import cfg
from oslo_log import log

import imagebuild.conf
from imagebuild import catalogue
from imagebuild import db
from imagebuild import exception
from imagebuild import extension_options
from imagebuild import sealing
from imagebuild.api import app
from imagebuild.api import local_token
from imagebuild.cmd import configuration
from imagebuild.cmd import guru_meditation
from imagebuild.cmd import program
from imagebuild.cmd import service_log
from imagebuild.conductor import service
from imagebuild.db import engine
from imagebuild.db import migration
from imagebuild.messaging import bus
from imagebuild.messaging import notifications
from imagebuild.messaging import rpcapi

_PROGRAM = 'imagebuild-standalone'
#: Threads that answer requests; logs that are followed are polled for, so
#: none is held.
_THREADS = 8
#: Seconds.
_SIGNAL_CHECK_SECONDS = 1.0
_LONGEST_DRAIN = 7 * 24 * 3600
#: What the catalogue holds until it is edited.
_RELEASES = {
    'debian-13': 'Debian 13 (trixie)',
    'debian-12': 'Debian 12 (bookworm)',
    'debian-11': 'Debian 11 (bullseye)',
}
_CATALOGUE_HEAD = """\
# The operating systems that builds can ask for (--os). Written once by
# imagebuild-standalone and yours from then on; a change holds at once.
"""


def default_state() -> pathlib.Path:
    """Where the state is kept unless an option names another place."""
    base = os.environ.get('XDG_STATE_HOME') or pathlib.Path.home().joinpath(
        '.local', 'state'
    )
    return pathlib.Path(base, 'imagebuild')


def configure(
    state: pathlib.Path,
    *,
    host: str | None = None,
    port: int | None = None,
    config_files: Sequence[str] = (),
) -> cfg.ConfigOpts:
    """The configuration of an embedded service.

    :param state: directory of everything it keeps; made if it is not there.
    :param host: address to listen on.
    :param port: 0 takes any that is free.
    :param config_files: read over the embedded settings, so that they can
        change any of them.
    :raises InvalidInput: a file cannot be used.
    :raises UnwritablePath: the directory cannot be.
    """
    state = state.absolute()
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        entries = _catalogue(state)
        key = _key(state)
    except OSError as error:
        raise exception.UnwritablePath(
            path=state, reason=error.strerror or error
        ) from None
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf, extension_options.pairs())
    log.register_options(conf)
    guru_meditation.register_options(conf)
    log.set_defaults(
        default_log_levels=[
            *log.get_default_log_levels(),
            *('stevedore=WARN', 'alembic=WARN', 'oslo=WARN', 'waitress=WARN'),
        ]
    )
    _embed(conf, state, entries, key)
    configuration.read(
        conf,
        [],
        _PROGRAM,
        pairs=extension_options.pairs(),
        stores=extension_options.of_stores(),
        default_config_files=list(config_files),
        default_config_dirs=[],
    )
    # The command line is nearer than any file. It is checked there: an
    # option's own limits are a ValueError here.
    if host is not None:
        conf.set_override('bind_host', host, 'api')
    if port is not None:
        conf.set_override('bind_port', port, 'api')
    return conf


def _embed(
    conf: cfg.ConfigOpts,
    state: pathlib.Path,
    entries: pathlib.Path,
    key: str,
) -> None:
    """Other defaults than a service with parts of its own has."""
    conf.set_default('state_path', str(state))
    conf.set_default('operating_systems_file', str(entries))
    conf.set_default('encryption_keys', [key])
    conf.set_default('auth_strategy', 'noauth', 'api')
    conf.set_default('store', 'file', 'conductor')
    # One person's service: nobody else's base images.
    conf.set_default('isolation', 'auto', 'guestfs')


def _catalogue(state: pathlib.Path) -> pathlib.Path:
    path = state / 'operating-systems.yaml'
    if not path.exists():
        entries = [
            f'{name}:\n'
            f'  description: {description}, from packages\n'
            '  driver: bootstrap\n'
            f'  driver_options: {{os: {name}}}\n'
            for name, description in _RELEASES.items()
        ]
        path.write_text('\n'.join([_CATALOGUE_HEAD, *entries]))
    return path


def _key(state: pathlib.Path) -> str:
    path = state / 'encryption-key'
    if not path.exists():
        # Never readable by others, not even for a moment.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o600)
        with open(descriptor, 'w') as stream:
            stream.write(sealing.new_key())
    return path.read_text().strip()


class Standalone:
    """API and conductor in this process.

    :param conf: of :func:`configure`.
    :ivar url: where the API answers, once started.
    """

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._conf = conf
        url = imagebuild.conf.database.connection(conf)
        migration.upgrade(url)
        self.database = db.Database(
            url,
            pool=engine.PoolSettings(**imagebuild.conf.database.pool(conf)),
        )
        transport = bus.get_transport(conf, 'fake://')
        notifier = notifications.Notifier(conf, 'imagebuild-standalone')
        self.conductor = service.Conductor(
            conf, self.database, transport, notifier=notifier
        )
        application = app.create_app(
            conf,
            database=self.database,
            conductor_api=rpcapi.ConductorAPI(
                transport, timeout=conf.api.check_timeout
            ),
            notifier=notifier,
        )
        self._server = _listen(conf, application)
        self.url = f'http://{conf.api.bind_host}:{_port(self._server)}'
        self._thread = threading.Thread(
            # A daemon: it ends with the program, whatever it waits for.
            target=self._server.run,
            name='api',
            daemon=True,
        )

    def start(self) -> None:
        """Start; requests are answered when this returns."""
        self.conductor.start()
        self._thread.start()

    def stop(self, grace: float) -> None:
        """Finish what runs, then stop.

        :param grace: seconds that running builds are given; what is not
            done by then is requeued by the next start.
        """
        self.conductor.drain()
        try:
            self.conductor.wait(grace)
        finally:
            self.conductor.stop()
            self._server.close()
            self.database.close()


def _listen(conf: cfg.ConfigOpts, application: Any) -> Any:
    host, port = conf.api.bind_host, conf.api.bind_port
    try:
        return waitress.server.create_server(
            application,
            host=host,
            port=port,
            threads=_THREADS,
            # Beyond the API's own limit, which answers with a message.
            max_request_body_size=2 * conf.api.max_request_size,
            ident='imagebuild',
        )
    except OSError as error:
        raise exception.EnvironmentFault(
            f'Port {port} of {host} cannot be listened on: '
            f'{error.strerror or error}.'
        ) from None


def _port(server: Any) -> int:
    return int(server.effective_port)


# -- the program ------------------------------------------------------------


def make_parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = program.Parser(
        prog='imagebuild-standalone',
        description='The image build service for one machine and one '
        'person: API and conductor in one process, without Keystone, '
        'Glance, a message broker or a database server.',
    )
    add = parser.add_argument
    add(
        '--state-dir',
        type=pathlib.Path,
        metavar='DIR',
        default=default_state(),
        help='directory of everything it keeps, images included '
        '(default: %(default)s)',
    )
    add('--host', help='loopback address to listen on (default: 127.0.0.1)')
    add('--port', type=_port_number, help='port to listen on (default: 9797)')
    add(
        '--config-file',
        metavar='FILE',
        action='append',
        default=[],
        help='a configuration file; later ones take precedence',
    )
    add(
        '--drain',
        type=_seconds,
        metavar='SECONDS',
        default=0.0,
        help='how long running builds may go on after a signal '
        '(default: they are stopped, and start again at the next start)',
    )
    add('--debug', action='store_true', help='log more, print tracebacks')
    program.add_version(parser)
    return parser


def _port_number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not an integer from 0 to 65535'
        )
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < _LONGEST_DRAIN:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not a number of seconds from 0 to {_LONGEST_DRAIN}'
        )
    return seconds


def _work(options: argparse.Namespace) -> int:
    conf = configure(
        options.state_dir,
        host=options.host,
        port=options.port,
        config_files=options.config_file,
    )
    if options.debug:
        conf.set_override('debug', True)
    service_log.set_up(conf)
    guru_meditation.set_up(conf, _PROGRAM)
    _check_catalogue(conf.operating_systems_file)
    standalone = Standalone(conf)
    standalone.start()
    if conf.api.auth_strategy == 'noauth':
        print(f'The token is in {local_token.path(conf)}')
    print(f'imagebuild answers at {standalone.url}', flush=True)
    try:
        _wait_for_signal()
    except exception.Interrupted:
        standalone.stop(options.drain)
    return 0


def _check_catalogue(path: str) -> None:
    """Report at the start what every request would fail with.

    :raises InvalidManifest: the catalogue has problems.
    """
    if os.path.exists(path):
        catalogue.load(path)


def _wait_for_signal() -> NoReturn:
    # In short pieces: Python handles a signal when this thread goes on, and
    # one that another thread was given does not end a wait.
    while True:
        time.sleep(_SIGNAL_CHECK_SECONDS)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program.

    :returns: exit code; a signal is how it is stopped, and no failure.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    return program.run(
        lambda: _work(make_parser().parse_args(arguments)),
        debug='--debug' in arguments,
    )


if __name__ == '__main__':
    sys.exit(main())
