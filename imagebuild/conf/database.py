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
"""Options of the service's database.

Those that oslo.db has too have its names. oslo.db's own list is not
registered: half of it would be settings that nothing here reads.
"""

from __future__ import annotations

from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'database',
    title='Database',
    help='Where the API servers and conductors keep what they share.',
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'connection',
        secret=True,
        sample_default='mysql+pymysql://imagebuild:PASSWORD@HOST/imagebuild',
        help="""
The URL of the database, as SQLAlchemy writes them.

Known are ``mysql+pymysql://user:password@host/name`` (MariaDB too),
``postgresql+psycopg://user:password@host/name`` and
``sqlite:////absolute/path/of/a/file``. Without it, a SQLite file
``imagebuild.sqlite`` in ``[DEFAULT] state_path`` is used.

SQLite is for one host; its file must not be on a network file system. Every
API server and conductor of one deployment has the same database. The tables
are made and upgraded by ``imagebuild-manage db sync``. The hosts' clocks
have to agree within a few seconds, because conductors that are not heard of
are found by the time of their last word.
""",
    ),
    cfg.IntOpt(
        'max_pool_size',
        default=10,
        min=1,
        help="""
Connections that one process keeps open.

Raise it when a process answers more requests at once than this; the server
has to allow this number plus ``max_overflow`` for each process.
""",
    ),
    cfg.IntOpt(
        'max_overflow',
        default=20,
        min=0,
        help="""
Connections that one process opens beyond ``max_pool_size`` for a moment.

They are closed when they are no longer needed. Lower it when the server
refuses connections because there are too many; requests then wait for each
other.
""",
    ),
    cfg.IntOpt(
        'pool_timeout',
        default=30,
        min=1,
        help="""
Seconds that a request waits for a free connection of the pool.

After that it is answered with 503. Raise the size of the pool rather than
this when it happens.
""",
    ),
    cfg.IntOpt(
        'connection_recycle_time',
        default=3600,
        min=1,
        help="""
Seconds after which a connection is closed and replaced.

It has to be less than the time after which the server, or a firewall or
proxy on the way to it, drops idle connections (``wait_timeout`` of MariaDB).
A dropped connection is noticed and replaced in any case, at the cost of one
round trip.
""",
    ),
    cfg.FloatOpt(
        'retry_for',
        default=20,
        min=0,
        help="""
Seconds for which a failed database call is retried.

Calls are retried after a deadlock, a lock that was not given in time, a
lost connection or a server that restarts. When the time is up, the API
answers 503, and conductors keep their builds and go on retrying. Raise it if
your database takes longer to fail over; clients then wait longer for their
503 when it is really down. 0 means one attempt.
""",
    ),
    cfg.StrOpt(
        'mysql_sql_mode',
        default='TRADITIONAL',
        help="""
The SQL mode of MySQL and MariaDB sessions.

The default refuses values that do not fit instead of cutting them silently.
Set it to nothing to use the server's mode.
""",
    ),
    cfg.IntOpt(
        'mysql_wsrep_sync_wait',
        help="""
Galera only: which statements wait until their node has caught up.

Set it to 1 when the calls of one process may go to several nodes of a
cluster, so that a build is found by the request after the one that made it.
It costs a little on each read. By default nothing is set.
""",
    ),
]


def connection(conf: cfg.ConfigOpts) -> str:
    """The URL of the database: the one configured, or the SQLite file.

    :raises cfg.RequiredOptError: there is none, and no state_path either.
    """
    url: str | None = conf.database.connection
    if url:
        return url
    state_path: str | None = conf.get('state_path')
    if not state_path:
        raise cfg.RequiredOptError('connection', GROUP)
    return f'sqlite:///{state_path}/imagebuild.sqlite'


def pool(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """The arguments of db.engine.PoolSettings."""
    section = conf.database
    return {
        'size': section.max_pool_size,
        'overflow': section.max_overflow,
        'timeout': section.pool_timeout,
        'recycle': section.connection_recycle_time,
        'mysql_sql_mode': section.mysql_sql_mode or None,
        'mysql_wsrep_sync_wait': section.mysql_wsrep_sync_wait,
    }
