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
"""The driver ``fake``: builds that cost nothing, for tests and benchmarks.

There is no guest: whatever the manifest asks for is answered as if it had
been done, and the image that comes out is an empty disk. So a conductor
offers it only when it is named in ``[conductor] drivers``; never do that
where people expect images.

========================= =================================================
option                    meaning
========================= =================================================
``seconds``               how long the build takes (0)
``output_lines``          lines that each script prints (0)
``size``                  MiB of the disk (1)
``fail``                  a message: the build fails with it at its end
``fault``                 whose fault that is: ``user``, ``service``, or
                          ``crash``: the process kills itself
``console``               what the disk writes to its serial console when it
                          is booted; '' for an empty disk
``then``                  what it does then: ``wait``, switch itself ``off``,
                          or ``repeat`` it
``artifact``              ``image``: what comes out is an image in Glance, as
                          if a cloud had made a snapshot (``file``)
``linger``                how long the build goes on after it has made that
                          image, and has told nobody (0)
========================= =================================================
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pathlib
import signal
import time
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.common import phases
from imagebuild.disks import convert
from imagebuild.disks import create
from imagebuild.disks import image_file
from imagebuild.disks import workspaces
from imagebuild.drivers import attempt_images
from imagebuild.drivers import base
from imagebuild.drivers import boot_sector
from imagebuild.drivers import isolations
from imagebuild.drivers import option_schema
from imagebuild.drivers import overlay_disk
from imagebuild.remotes import always_succeeds
from imagebuild.remotes.base import Remote

_MIB = 1024 * 1024
#: Properties that Nova gives to its snapshots, some of them.
_OF_A_SNAPSHOT = {
    'base_image_ref': '9a0b7e0c-5a0e-4f9b-8c3c-0d2f6f0e7b11',
    'boot_roles': 'member,reader',
    'image_type': 'snapshot',
    'image_state': 'available',
    'instance_uuid': '2f1d3c55-61d5-4b0f-9d5e-7c3f6c9a1b22',
    'owner_user_name': 'imagebuild',
    'user_id': 'f00',
    # Of the base image, and good for the snapshot.
    'hw_disk_bus': 'virtio',
}


@dataclasses.dataclass(frozen=True)
class Options(base.Options):
    """What a fake build does; see the module."""

    seconds: float = dataclasses.field(
        default=0.0,
        metadata=option_schema.described(
            'Seconds that the build takes.',
            {'type': 'number', 'minimum': 0, 'maximum': 86400},
        ),
    )
    output_lines: int = dataclasses.field(
        default=0,
        metadata=option_schema.described(
            'Lines that each script prints.',
            option_schema.integer(0, 1_000_000),
        ),
    )
    size: int = dataclasses.field(
        default=1,
        metadata=option_schema.described(
            'MiB of the disk.', option_schema.integer(1, 1024 * 1024, 'MiB')
        ),
    )
    fail: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            'A message: the build fails with it at its end.',
            option_schema.TEXT,
        ),
    )
    artifact: artifacts.Kind = dataclasses.field(
        default='file',
        metadata=option_schema.described(
            'What comes out: a file, or an image in Glance, as if a cloud '
            'had made a snapshot.',
            {'enum': ['file', 'image']},
        ),
    )
    linger: float = dataclasses.field(
        default=0.0,
        metadata=option_schema.described(
            'Seconds that the build goes on after it has made that image.',
            {'type': 'number', 'minimum': 0, 'maximum': 86400},
        ),
    )
    console: str = dataclasses.field(
        default='',
        metadata=option_schema.described(
            'What its disk writes to the serial console when it is booted.',
            {
                'type': 'string',
                'maxLength': boot_sector.LONGEST,
                'pattern': r'^[\t\n\r -~]*$(?!\n)',
                'x-message': 'is not a text of ASCII characters',
            },
        ),
    )
    then: boot_sector.Then = dataclasses.field(
        default='wait',
        metadata=option_schema.described(
            'What it does then.', {'enum': ['wait', 'off', 'repeat']}
        ),
    )
    fault: str = dataclasses.field(
        default='user',
        metadata=option_schema.described(
            'Whose fault that is; crash: the process kills itself.',
            {'enum': ['user', 'service', 'crash']},
        ),
    )


class FakeDriver(base.Driver):
    """Builds without a guest.

    :param sleep: waits for some seconds.
    """

    name: ClassVar[str] = 'fake'
    wants_base: ClassVar[bool] = False
    options: ClassVar[type[base.Options]] = Options
    by_default: ClassVar[bool] = False

    def __init__(self, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep

    def missing(
        self, isolation: isolations.Setting = 'appliance'
    ) -> Sequence[str]:
        """See :meth:`base.Driver.missing`: nothing ever is."""
        return ()

    def disk_size(self, options: Mapping[str, Any]) -> int:
        """See :meth:`base.Driver.disk_size`."""
        return Options.parse(options).size * _MIB

    def makes(self, options: Mapping[str, Any]) -> artifacts.Kind:
        """See :meth:`base.Driver.makes`."""
        return 'image' if options.get('artifact') == 'image' else 'file'

    def works_in_cloud(
        self, sections: Mapping[str, Mapping[str, Any]]
    ) -> bool:
        """See :meth:`base.Driver.works_in_cloud`: where there is a Glance."""
        keystone = sections.get('keystone', {})
        return bool(keystone.get('auth_url') or keystone.get('endpoint'))

    def reap(self, stamp: base.AttemptStamp, settings: base.Settings) -> int:
        """See :meth:`base.Driver.reap`."""
        return attempt_images.reap(settings.glance(), stamp)

    def left_behind(
        self, service: str, settings: base.Settings
    ) -> Iterable[tuple[str, int]]:
        """See :meth:`base.Driver.left_behind`."""
        return attempt_images.left(settings.glance(), service)

    @contextlib.contextmanager
    def open(self, context: base.BuildContext) -> Iterator[base.OpenDisk]:
        """See :meth:`base.Driver.open`; the base image is not looked at."""
        parsed = Options.parse(context.options)
        context.settings.check_size(parsed.size * _MIB)
        with (
            context.monitor.step(
                'start the appliance', phase=phases.APPLIANCE
            ),
            contextlib.ExitStack() as stack,
        ):
            remote = always_succeeds.AlwaysSucceedsRemote(parsed.output_lines)
            disk = FakeDisk(remote, parsed, context, self._sleep)
            stack.callback(remote.close)
            kept = stack.pop_all()
        with kept:
            yield disk


class _Content(io.BytesIO):
    """What is sent to Glance."""

    def __len__(self) -> int:
        return len(self.getbuffer())


class FakeDisk(base.OpenDisk):
    """A disk that does not exist."""

    def __init__(
        self,
        remote: Remote,
        options: Options,
        context: base.BuildContext,
        sleep: Callable[[float], None],
    ) -> None:
        self.remote = remote
        self.virtual_size = options.size * _MIB
        self._options = options
        self._context = context
        self._sleep = sleep

    def finish(
        self, output: pathlib.Path, disk_format: base.OutputFormat
    ) -> base.Artifact:
        """See :meth:`base.OpenDisk.finish`."""
        monitor, made = self._context.monitor, self._options.artifact
        if made == 'image':
            with monitor.step('make a snapshot'):
                self._sleep(self._options.seconds)
                return self._snapshot(output, disk_format)
        with monitor.step(f'write the {disk_format} file'):
            self._sleep(self._options.seconds)
            self._fail()
            self._write(output, disk_format)
        self.remote.close()
        return base.FileArtifact(output, disk_format, self.virtual_size)

    def _write(
        self, output: pathlib.Path, disk_format: base.OutputFormat
    ) -> None:
        if not self._options.console:
            create.empty_image(output, disk_format, self.virtual_size)
            return
        sector = boot_sector.content(self._options.console, self._options.then)
        with workspaces.Workspace(output) as workspace:
            raw = workspace.path / 'disk'
            create.empty_image(raw, 'raw', self.virtual_size)
            with os_errors.on_write(raw), raw.open('r+b') as file:
                file.write(sector)
            convert.convert(
                image_file.inspect(raw),
                output,
                overlay_disk.FORMATS[disk_format],
            )

    def _snapshot(
        self, path: pathlib.Path, disk_format: base.OutputFormat
    ) -> base.ImageArtifact:
        """Have an image in Glance, as Nova would have made it."""
        client, stamp = self._context.settings.glance(), self._context.stamp()
        create.empty_image(path, disk_format, self.virtual_size)
        content = _Content(path.read_bytes())
        path.unlink()
        image = client.create(
            name=stamp.name,
            disk_format=disk_format,
            container_format='bare',
            min_disk=1,
            **_OF_A_SNAPSHOT,
            **stamp.properties(),
        )
        client.send(image.id, content)
        self._sleep(self._options.linger)
        self._fail()
        self.remote.close()
        return base.ImageArtifact(image.id, stamp)

    def _fail(self) -> None:
        if self._options.fault == 'crash' and self._options.fail:
            os.kill(os.getpid(), signal.SIGKILL)
        if self._options.fail and self._options.fault == 'user':
            raise exception.StepFailed(self._options.fail)
        if self._options.fail:
            raise exception.EnvironmentFault(self._options.fail)
