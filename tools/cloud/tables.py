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
"""Empty tables of OpenStack's services, made once for all clouds.

Migrations take a minute and more of a new cloud's first start, and always end
alike. What they made is kept in OpenStack's environment, with which it goes.
"""

import os
import pathlib
from collections.abc import Callable

from tools.cloud import venv
from tools.cloud.servers import mariadb


def make(
    server: mariadb.MariaDB,
    databases: list[str],
    migrate: Callable[[], None],
    *,
    like: str = '',
) -> bool:
    """Bring databases to the versions of OpenStack's environment.

    :param databases: they are there; what is in them stays.
    :param like: another database that has the same tables; '' for none.
    :param migrate: does it by the service's own program.
    :returns: whether that was needed.
    """
    if any(not server.is_empty(database) for database in databases):
        migrate()
        return True
    files = {database: _kept(like or database) for database in databases}
    if all(file.exists() for file in files.values()):
        for database, file in files.items():
            server.load(database, file)
        return False
    migrate()
    for database, file in files.items():
        file.parent.mkdir(exist_ok=True)
        # Another cloud may be doing the same.
        part = file.with_suffix(f'.{os.getpid()}')
        server.dump(database, part)
        part.replace(file)
    return True


def _kept(database: str) -> pathlib.Path:
    # A name of its own for each content: an environment is made in place.
    name = f'{database}-{venv.version()[:16]}.sql'
    return venv.openstack() / 'tables' / name
