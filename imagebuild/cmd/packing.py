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
"""Pack, check or plan one image file."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Sequence

from imagebuild import exception
from imagebuild import layers
from imagebuild import manifest
from imagebuild.cmd import console
from imagebuild.cmd import pack_layers
from imagebuild.cmd import pack_sbom
from imagebuild.disks import image_file
from imagebuild.disks import in_place
from imagebuild.drivers import isolations
from imagebuild.drivers import open_disk
from imagebuild.drivers import openings
from imagebuild.manifest import cleanup
from imagebuild.remotes import guest_settings

_GIB = 1024**3
_START: dict[isolations.Isolation, str] = {
    'appliance': 'Starting the appliance for {name}',
    'sandbox': 'Opening {name} in the sandbox',
}


@dataclasses.dataclass(frozen=True)
class PackSpec:
    """What is to be done to an image.

    :ivar image: its path.
    :ivar what: the manifest or recipe, with values.
    :ivar mode: ``pack``, ``test`` or ``plan``.
    :ivar min_disk: GiB that the disk must have at least.
    :ivar backing_files: files that the image may refer to.
    :ivar settings: which system is meant, limits, the appliance's settings.
    :ivar isolation: in what it is opened.
    :ivar space_reserve: bytes to be left free beside the image.
    :ivar keep_cache: leave the package manager's caches.
    :ivar generalize: remove what must differ between machines.
    :ivar sparsify: make the file as small as it can be.
    :ivar cache: where layers are kept, None for nowhere.
    :ivar made: the file that it becomes, for messages; None if it is one.
    :ivar sbom: where the list of what is in it goes, None for nowhere.
    """

    image: pathlib.Path
    what: manifest.Runnable
    mode: str
    min_disk: int
    backing_files: Sequence[pathlib.Path]
    settings: guest_settings.GuestSettings
    isolation: isolations.Setting
    space_reserve: int
    keep_cache: bool
    generalize: bool
    sparsify: bool
    cache: pack_layers.CacheSpec | None = None
    made: pathlib.Path | None = None
    sbom: pathlib.Path | None = None

    @property
    def shown(self) -> pathlib.Path:
        """The image as it is called in messages."""
        return self.made or self.image


@dataclasses.dataclass
class Outcome:
    """What was done.

    :ivar result: ``packed``, ``unchanged``, ``conforms`` or ``planned``.
    :ivar report: of the run, None for a plan.
    :ivar planned: the steps of a plan.
    """

    result: str
    report: manifest.Report | None = None
    planned: Sequence[manifest.PlannedStep] = ()


def pack(spec: PackSpec, monitor: console.ConsoleMonitor) -> Outcome:
    """Do it: all of it, or nothing.

    :raises InvalidInput: before anything is touched.
    :raises StepError: the image is as it was.
    :raises EnvironmentFault: the image is as it was.
    """
    if spec.cache is None or spec.mode == 'test':
        return _once(spec, None, monitor)
    with pack_layers.PackLayers(spec.cache, spec.what) as kept:
        try:
            return _once(spec, kept, monitor)
        except _DoesNotOpen as error:
            if not kept.give_up():
                raise error.reason from error
            monitor.notice(
                'The layers of earlier packs cannot be used; every step is '
                f'run ({error.reason})'
            )
            return _once(spec, kept, monitor)


class _DoesNotOpen(Exception):
    """A disk over layers does not open."""

    def __init__(self, reason: exception.ImageBuildError) -> None:
        super().__init__()
        self.reason = reason


def _once(
    spec: PackSpec,
    kept: pack_layers.PackLayers | None,
    monitor: console.ConsoleMonitor,
) -> Outcome:
    # Whoever runs this names a file that they answer for.
    choice = isolations.choose(spec.isolation, trusted=True)

    def under(image: image_file.ImageInfo) -> image_file.ImageInfo:
        monitor.doing(f'Reading {spec.shown.name}')
        return kept.look_up(image, choice) if kept else image

    disk = in_place.InPlaceImage(
        spec.image,
        allowed_backing=spec.backing_files,
        read_only=spec.mode != 'pack',
        scratch=in_place.Scratch(reserve=spec.space_reserve),
        under=under if kept else None,
    )
    try:
        with disk:
            return _with_disk(spec, disk, choice, kept, monitor)
    except exception.Interrupted:
        if disk.committed:
            # It came after the rename: the image is packed.
            return Outcome('packed')
        raise


def _with_disk(
    spec: PackSpec,
    disk: in_place.InPlaceImage,
    choice: isolations.Choice,
    kept: pack_layers.PackLayers | None,
    monitor: console.ConsoleMonitor,
) -> Outcome:
    if disk.info.virtual_size < spec.min_disk * _GIB:
        raise exception.InvalidImage(
            path=spec.shown,
            reason=f'the manifest needs a disk of {spec.min_disk} GiB',
        )
    session = kept.session if kept else None
    steps = kept.steps if kept else None
    with contextlib.ExitStack() as stack:
        try:
            opened = stack.enter_context(
                _open(spec, disk, choice, session, monitor)
            )
            stack.enter_context(opened.attached_to(session))
        except layers.NEVER_BY_LAYERS:
            raise
        except exception.ImageBuildError as error:
            if kept:
                raise _DoesNotOpen(error) from error
            raise
        if spec.mode == 'plan':
            planned = spec.what.plan(opened.remote, cache=steps)
            return Outcome('planned', planned=planned)
        if spec.mode == 'test':
            report = spec.what.run(
                opened.remote, reconcile=False, monitor=monitor
            )
            with _sbom(spec, opened, monitor):
                return Outcome('conforms', report)
        return _pack(spec, disk, opened, steps, monitor)


def _open(
    spec: PackSpec,
    disk: in_place.InPlaceImage,
    choice: isolations.Choice,
    session: layers.Session | None,
    monitor: console.ConsoleMonitor,
) -> contextlib.AbstractContextManager[open_disk.OpenedDisk]:
    if choice.reason:
        monitor.notice(
            'The appliance is used, as this host has no sandbox: '
            f'{choice.reason}.'
        )
    opening = openings.Opening(
        disk.disk,
        str(spec.shown),
        disk.workspace,
        spec.settings,
        choice=choice.for_layers(session),
        served=session is not None,
    )

    def start(
        kind: isolations.Isolation,
    ) -> contextlib.AbstractContextManager[None]:
        monitor.doing(_START[kind].format(name=spec.shown.name))
        return contextlib.nullcontext()

    return open_disk.opened(opening, start=start, notices=monitor)


def _pack(
    spec: PackSpec,
    disk: in_place.InPlaceImage,
    opened: open_disk.OpenedDisk,
    steps: manifest.StepCache | None,
    monitor: console.ConsoleMonitor,
) -> Outcome:
    report = cleanup.run(
        spec.what,
        opened.remote,
        monitor=monitor,
        keep_cache=spec.keep_cache,
        generalize=spec.generalize,
        before_cleanup=lambda: monitor.doing('Tidying up'),
        cache=steps,
    )
    with _sbom(spec, opened, monitor):
        if not report.changed and not spec.generalize:
            # Not even a mount's trace in a journal is written back.
            return Outcome('unchanged', report)
        monitor.doing('Closing the disk')
        opened.close(trim=spec.sparsify)
        monitor.doing(f'Writing {spec.shown.name}')
        disk.commit(sparsify=spec.sparsify, disk=opened.top)
        return Outcome('packed', report)


def _sbom(
    spec: PackSpec,
    opened: open_disk.OpenedDisk,
    monitor: console.ConsoleMonitor,
) -> contextlib.AbstractContextManager[None]:
    """Write down what is in the image, if that was asked for."""
    if spec.sbom:
        monitor.doing('Listing the packages')
    return pack_sbom.written(spec.sbom, opened.remote, spec.shown.name)
