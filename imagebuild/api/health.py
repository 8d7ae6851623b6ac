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
"""Health of this API server: database, bus, disk."""

from __future__ import annotations

import dataclasses
import logging
import shutil
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from imagebuild import exception
from imagebuild.api.api_call import Service

LOG = logging.getLogger(__name__)

#: No build has this id. A conductor that answers so has shown that calls over
#: the bus work.
NO_BUILD = '00000000-0000-0000-0000-000000000000'


@dataclasses.dataclass(frozen=True)
class Check:
    """Result of one check.

    :ivar reason: why it failed, or why it says little; '' for none. Shown
        to anybody, so it holds no name, path or address.
    """

    ok: bool
    reason: str = ''


def check(service: Service) -> dict[str, Check]:
    """Check everything the API needs; takes a few seconds at most.

    Only one thread checks, others return the last result meanwhile: the call
    needs no token, and must not occupy the API's threads while the bus or the
    database is down.
    """
    found: dict[str, Check] | None = service.health.get(
        lambda: {name: function(service) for name, function in _CHECKS.items()}
    )
    return found or {
        name: Check(ok=False, reason='not known: it is still being looked at')
        for name in _CHECKS
    }


def _database(service: Service) -> Check:
    try:
        service.database.ping()
        service.database.check_tables()
    except exception.TablesMissing as error:
        LOG.error('%s', error)
        return Check(
            ok=False,
            reason='its tables are not those of this release: run '
            '"imagebuild-manage db sync"',
        )
    except exception.ImageBuildError as error:
        LOG.warning('The database does not answer: %s', error)
        return Check(ok=False, reason='it does not answer')
    return Check(ok=True)


def _bus(service: Service) -> Check:
    try:
        if not service.conductors():
            return Check(ok=True, reason='no conductor is up to answer')
        service.bus_probe.read_log(NO_BUILD, 0, 1)
    except exception.NotFound:
        pass
    except exception.DatabaseUnavailable:
        return Check(ok=True, reason='not known without the database')
    except exception.ImageBuildError as error:
        LOG.warning('No conductor answers over the bus: %s', error)
        return Check(ok=False, reason='no conductor answers over it')
    return Check(ok=True)


def _disk(service: Service) -> Check:
    needed = service.conf.api.min_free_disk
    try:
        free = shutil.disk_usage(service.conf.state_path).free // 1024**2
    except OSError as error:
        LOG.warning('[DEFAULT] state_path cannot be read: %s', error)
        return Check(ok=False, reason='the state directory cannot be read')
    if free < needed:
        return Check(
            ok=False, reason=f'{free} MiB are free, {needed} are needed'
        )
    return Check(ok=True)


_CHECKS: dict[str, Callable[[Service], Check]] = {
    'database': _database,
    'bus': _bus,
    'disk': _disk,
}


def view(found: Mapping[str, Check]) -> dict[str, Any]:
    """Return the outcome as JSON."""
    return {
        'status': _word(ok=all(each.ok for each in found.values())),
        'checks': {
            name: {'status': _word(ok=each.ok), 'reason': each.reason}
            for name, each in found.items()
        },
    }


def text(found: Mapping[str, Check]) -> str:
    """Return the outcome as one line for all, and one for each check."""
    lines = ['OK' if all(each.ok for each in found.values()) else 'ERROR']
    lines += [
        f'{name}: {_word(ok=each.ok)}'
        + (f' ({each.reason})' if each.reason else '')
        for name, each in found.items()
    ]
    return '\n'.join(lines) + '\n'


def _word(*, ok: bool) -> str:
    return 'ok' if ok else 'error'
