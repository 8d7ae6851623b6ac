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
"""The API as one process of a deployment: its files, database and bus."""

from __future__ import annotations

import os
import pathlib
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING

from oslo_config import cfg
from oslo_log import log

import imagebuild.conf
from imagebuild import db
from imagebuild import exception
from imagebuild.api import app
from imagebuild.db import engine
from imagebuild.messaging import bus
from imagebuild.messaging import notifications
from imagebuild.messaging import rpcapi

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

CONFIG_VARIABLE = 'IMAGEBUILD_CONFIG'
CONFIG_FILE = '/etc/imagebuild/imagebuild.conf'

#: Seconds that /healthcheck waits for a conductor.
PROBE_TIMEOUT = 3.0


def load_conf(environ: Mapping[str, str] | None = None) -> cfg.ConfigOpts:
    """Read the configuration; a WSGI server's command line is its own.

    :param environ: :data:`CONFIG_VARIABLE` in it names the files, separated
        as PATH is; without it, :data:`CONFIG_FILE` is read. Default: the
        process's.
    :raises InvalidInput: one of the files is not there or is not valid.
    """
    environ = os.environ if environ is None else environ
    files = environ.get(CONFIG_VARIABLE, CONFIG_FILE).split(os.pathsep)
    for name in files:
        if not pathlib.Path(name).is_file():
            raise exception.InvalidInput(
                f'There is no configuration file {name}; '
                f'{CONFIG_VARIABLE} names the files to read.'
            )
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    log.register_options(conf)
    try:
        conf([], project='imagebuild', default_config_files=files)
    except cfg.Error as error:
        raise exception.InvalidInput(
            f'The configuration cannot be read: {error}'
        ) from error
    return conf


def load_app(conf: cfg.ConfigOpts) -> WSGIApplication:
    """Make the application with the database and bus of the configuration.

    Nothing is connected to before the first request, so that a server may
    fork afterwards.

    :raises ImageBuildError: the configuration cannot be used.
    """
    database = db.Database(
        imagebuild.conf.database.connection(conf),
        pool=engine.PoolSettings(**imagebuild.conf.database.pool(conf)),
        retries=db.transaction.Retries(conf.database.retry_for),
    )
    transport = bus.get_transport(conf)
    return app.create_app(
        conf,
        database=database,
        conductor_api=rpcapi.ConductorAPI(
            transport, timeout=conf.api.check_timeout
        ),
        notifier=notifications.Notifier(
            conf, f'imagebuild-api.{socket.gethostname()}'
        ),
        bus_probe=rpcapi.ConductorAPI(transport, timeout=PROBE_TIMEOUT),
    )
