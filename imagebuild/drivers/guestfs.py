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

    def possible_isolations(self, context: base.BuildContext) -> Sequence[str]:
        """See :meth:`base.Driver.possible_isolations`."""
        return overlay_disk.possible_isolations(
            context.settings,
            overlay_disk.Options.parse(context.options).isolation,
            trusted=isolations.is_trusted(context.base_image),
        )

    @contextlib.contextmanager
    def open(self, context: base.BuildContext) -> Iterator[base.OpenDisk]:
        """See :meth:`base.Driver.open`."""
        parsed = overlay_disk.Options.parse(context.options)
        image = context.base_image
        if image.kind == 'none':
            raise exception.InvalidInput(
                'The driver "guestfs" needs a base image.'
            )
        with contextlib.ExitStack() as stack:
            with context.monitor.step('get the base image'):
                info = stack.enter_context(
                    base_files.opened(image, context.settings, context.monitor)
                )
            with base_files.translate_errors(image):
                disk = stack.enter_context(
                    overlay_disk.opened(
                        info,
                        base_files.shown(image),
                        parsed,
                        context.workspace,
                        trusted=isolations.is_trusted(image),
                        settings=context.settings,
                        monitor=context.monitor,
                    )
                )
            yield disk
