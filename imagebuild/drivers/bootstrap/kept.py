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
"""Made base images, kept for the builds that come after."""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Callable
from collections.abc import Iterator

from imagebuild.drivers import base
from imagebuild.drivers.bootstrap import options as driver_options

_HOUR = 3600


@contextlib.contextmanager
def opened(
    make: Callable[[pathlib.Path], object],
    identity: str,
    options: driver_options.BootstrapOptions,
    workspace: pathlib.Path,
    *,
    settings: base.Settings,
    monitor: base.Monitor,
    now: float,
) -> Iterator[pathlib.Path]:
    """Have a base image that is new enough.

    It is made once per host in each period of ``refresh`` hours, counted
    from 1970 on: what was made yesterday is not asked how old it is.

    :param make: makes one at the path given.
    :param identity: what decides its content, but for the time.
    :param workspace: where one goes that is made for this build only.
    :param now: seconds since 1970.
    :returns: its path, as long as the block lasts.
    """
    if not options.refresh:
        path = workspace / 'base.qcow2'
        try:
            make(path)
            yield path
        finally:
            path.unlink(missing_ok=True)
        return
    period = int(now // (options.refresh * _HOUR))
    with settings.cache.make(
        f'{identity}@{options.refresh}*{period}',
        make,
        what=f'the base image of {options.release.name}',
        on_notice=monitor.notice,
    ) as path:
        yield path
