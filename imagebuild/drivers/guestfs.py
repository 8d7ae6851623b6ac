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
"""The driver ``guestfs``: a base image, changed in the appliance.

Options: ``size``, ``root_filesystem``, ``isolation``, ``compress`` and
``compression_type``, see :class:`imagebuild.drivers.overlay_disk.Options`.
"""

from __future__ import annotations

import contextlib
import pathlib
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild import exception
from imagebuild.common import space
from imagebuild.drivers import base
from imagebuild.drivers import base_files
from imagebuild.drivers import isolations
from imagebuild.drivers import overlay_disk


class GuestfsDriver(base.Driver):
    """Puts an overlay over a cached base image; nothing boots."""

    name: ClassVar[str] = 'guestfs'
    wants_base: ClassVar[bool] = True
    options: ClassVar[type[base.Options]] = overlay_disk.Options

    def missing(
        self, isolation: isolations.Setting = 'appliance'
    ) -> Sequence[str]:
        """See :meth:`base.Driver.missing`."""
        return overlay_disk.missing(isolation)

    def disk_size(self, options: Mapping[str, Any]) -> int:
        """See :meth:`base.Driver.disk_size`."""
        return overlay_disk.Options.parse(options).size * space.GIB

    def possible_isolations(
        self,
        base_image: base.BaseImage,
        options: Mapping[str, Any],
        settings: base.Settings,
    ) -> Sequence[str]:
        """See :meth:`base.Driver.possible_isolations`."""
        return overlay_disk.possible_isolations(
            settings,
            overlay_disk.Options.parse(options).isolation,
            trusted=isolations.is_trusted(base_image),
        )

    @contextlib.contextmanager
    def open(
        self,
        base_image: base.BaseImage,
        options: Mapping[str, Any],
        workspace: pathlib.Path,
        *,
        settings: base.Settings,
        monitor: base.DiskMonitor | None = None,
    ) -> Iterator[base.OpenDisk]:
        """See :meth:`base.Driver.open`."""
        parsed = overlay_disk.Options.parse(options)
        monitor = monitor or base.DiskMonitor()
        if base_image.kind == 'none':
            raise exception.InvalidInput(
                'The driver "guestfs" needs a base image.'
            )
        with contextlib.ExitStack() as stack:
            with monitor.step('get the base image'):
                info = stack.enter_context(
                    base_files.opened(base_image, settings, monitor)
                )
            with base_files.translate_errors(base_image):
                disk = stack.enter_context(
                    overlay_disk.opened(
                        info,
                        base_files.shown(base_image),
                        parsed,
                        workspace,
                        trusted=isolations.is_trusted(base_image),
                        settings=settings,
                        monitor=monitor,
                    )
                )
            yield disk
