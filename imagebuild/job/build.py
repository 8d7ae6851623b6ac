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
"""The build: a driver's disk, the description run over it, one file."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import json
import logging
import pathlib
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

from imagebuild import description
from imagebuild import exception
from imagebuild import layers
from imagebuild import manifest
from imagebuild import sbom
from imagebuild.common import guest_program
from imagebuild.common import os_errors
from imagebuild.common import phases
from imagebuild.drivers import base as drivers
from imagebuild.drivers import registry
from imagebuild.job import boot
from imagebuild.job import build_layers
from imagebuild.job import channel
from imagebuild.job import failure
from imagebuild.job import job_monitor
from imagebuild.job import limits
from imagebuild.job import specs
from imagebuild.manifest import cleanup

LOG = logging.getLogger(__name__)

_GIB = 1024**3


def run(
    spec: specs.BuildSpec,
    events: channel.Events,
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> dict[str, Any]:
    """Build an image.

    :returns: ``result`` of the last event.
    :raises ImageBuildError: it could not be built.
    """
    described = _load(spec)
    events.hide(described.secrets())
    driver = registry.get(spec.driver)
    driver.validate(spec.driver_options)
    make = _by_program if driver.runs_program(spec.driver_options) else _made
    made, report = make(spec, described, driver, monitor, deadline)
    start = _start(spec, driver, made, monitor, deadline)
    # When nothing holds memory for the disk any more.
    boot.run(spec, made, events, monitor, deadline, start)
    return _result(made, report)


def _start(
    spec: specs.BuildSpec,
    driver: drivers.Driver,
    made: drivers.Artifact,
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> boot.Start | None:
    """Have the image booted by its driver, if that does so."""
    if not driver.boots:
        return None
    return lambda data: driver.boot(
        _context(spec, monitor, deadline), made, data
    )


def _made(
    spec: specs.BuildSpec,
    described: description.Description,
    driver: drivers.Driver,
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> tuple[drivers.Artifact, manifest.Report]:
    """Make the image of a disk that is opened here."""
    context = _context(spec, monitor, deadline)
    monitor.enter(phases.BASE_IMAGE)
    monitor.turn_to('opening the disk')
    with driver.prepared(context) as base:
        context = dataclasses.replace(context, base_image=base)
        with (
            build_layers.session(
                driver, context, config=spec.config, request=spec.request
            ) as session,
            _opened(driver, context, session, described, monitor) as (
                disk,
                cache,
            ),
        ):
            report = _apply(described, disk, monitor, cache)
            _keep_packages(
                functools.partial(sbom.read, disk.remote),
                monitor,
                spec.output.parent,
            )
            monitor.enter(phases.CONVERT)
            monitor.turn_to('writing the image')
            return disk.finish(spec.output, spec.disk_format), report


def _by_program(
    spec: specs.BuildSpec,
    described: description.Description,
    driver: drivers.Driver,
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> tuple[drivers.Artifact, manifest.Report]:
    """Make the image of a system that configures itself.

    Nothing of it is kept as a layer: nobody sees its disk.
    """
    # Before anything is begun.
    program = dataclasses.replace(described.program(), listing=sbom.script())
    listed = _Listed()
    context = _context(spec, monitor, deadline)
    monitor.enter(phases.BASE_IMAGE)
    monitor.turn_to('opening the disk')
    with driver.prepared(context) as base:
        context = dataclasses.replace(context, base_image=base)
        with driver.open(context) as disk:
            _check_size(described, disk)
            report = manifest.followed(
                program,
                functools.partial(listed.follow, disk, program),
                monitor,
            )
            _keep_packages(listed.contents, monitor, spec.output.parent)
            monitor.enter(phases.CONVERT)
            monitor.turn_to('making the image')
            return disk.finish(spec.output, spec.disk_format), report


class _Listed:
    """What a system that configures itself has said of what is in it."""

    def __init__(self) -> None:
        self._text: str | None = None

    def follow(
        self,
        disk: drivers.OpenDisk,
        program: guest_program.GuestProgram,
        listener: guest_program.Listener,
    ) -> None:
        """Have the program run, and take its list out of what is told."""

        def hear(event: guest_program.Event) -> None:
            if isinstance(event, guest_program.Listed):
                self._text = event.text
            listener(event)

        disk.run_program(program, hear)

    def contents(self) -> sbom.Contents:
        """The list.

        :raises Unreadable: there is none that can be read.
        """
        if self._text is None:
            raise sbom.Unreadable(
                reason='its system has not said it, or not in so few '
                'characters as a console holds'
            )
        return sbom.told(self._text)


def _context(
    spec: specs.BuildSpec,
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> drivers.BuildContext:
    return drivers.BuildContext(
        base_image=spec.base,
        options=spec.driver_options,
        workspace=spec.workspace,
        settings=drivers.Settings.from_config(
            spec.config, run_timeout=deadline.left()
        ),
        monitor=job_monitor.DriverMonitor(monitor),
        build_id=spec.build_id,
        attempt=spec.attempt,
        project_id=spec.project_id,
    )


@contextlib.contextmanager
def _opened(
    driver: drivers.Driver,
    context: drivers.BuildContext,
    session: layers.Session | None,
    described: description.Description,
    monitor: job_monitor.JobMonitor,
) -> Iterator[tuple[drivers.OpenDisk, manifest.StepCache | None]]:
    """Open the disk, over the layers of earlier builds if there are any."""

    def opened() -> AbstractContextManager[drivers.OpenDisk]:
        return driver.open(
            dataclasses.replace(
                context,
                settings=dataclasses.replace(context.settings, layers=session),
            )
        )

    cache = described.cached(session) if session else None
    with contextlib.ExitStack() as stack:
        try:
            disk = stack.enter_context(opened())
        except layers.NEVER_BY_LAYERS:
            raise
        except exception.ImageBuildError as error:
            if session is None or not session.tried:
                raise
            LOG.warning('Opening the disk over layers failed: %s', error)
            monitor.notice(
                'The layers of earlier builds cannot be used; every step is '
                'run.'
            )
            session.discard()
            cache = described.cached(session)
            disk = stack.enter_context(opened())
        yield disk, cache


def _load(spec: specs.BuildSpec) -> description.Description:
    paths = spec.config.get('DEFAULT', {}).get('recipe_path') or ()
    try:
        described = description.load(spec.request, recipe_paths=paths)
    except exception.InvalidRequest as error:
        raise failure.NotAccepted(reason=error) from error
    if spec.steps_digest not in (None, described.steps_digest()):
        # Its image would be given to whoever asks for what was accepted.
        raise failure.NotAccepted(reason='the steps are not the same')
    return described


def _apply(
    described: description.Description,
    disk: drivers.OpenDisk,
    monitor: job_monitor.JobMonitor,
    cache: manifest.StepCache | None,
) -> manifest.Report:
    _check_size(described, disk)
    monitor.turn_to('the start of the run')
    return cleanup.run(
        described,
        disk.remote,
        monitor=monitor,
        before_cleanup=lambda: monitor.begin('tidying up'),
        keep_cache=description.CLEANUP['keep_cache'],
        generalize=description.CLEANUP['generalize'],
        cache=cache,
    )


def _keep_packages(
    read: Callable[[], sbom.Contents],
    monitor: job_monitor.JobMonitor,
    directory: pathlib.Path,
) -> None:
    """Write down what is in the image, if its system can say it.

    An image without such a list is an image nevertheless.

    :param read: lists them.
    :param directory: where the conductor looks for the list.
    """
    monitor.turn_to('listing the packages')
    try:
        contents = read()
    except exception.BuildTimeout:
        raise
    except exception.StepError as error:
        monitor.notice(f'There will be no list of packages. {error}')
        return
    path = directory / sbom.FILE_NAME
    with os_errors.on_write(path):
        path.write_text(json.dumps(contents.to_document()))


def _check_size(
    described: description.Description, disk: drivers.OpenDisk
) -> None:
    if disk.virtual_size < described.min_disk * _GIB:
        raise exception.InvalidInput(
            f'The recipe or manifest needs a disk of {described.min_disk} '
            f'GiB, and that of the base image has '
            f'{disk.virtual_size / _GIB:.1f}.'
        )


def _result(made: drivers.Artifact, report: manifest.Report) -> dict[str, Any]:
    if isinstance(made, drivers.ImageArtifact):
        return {'image': made.to_document(), 'report': report.to_dict()}
    # Without a checksum: the upload computes that of what it sends.
    return {
        'path': str(made.path),
        'size': made.path.stat().st_size,
        'virtual_size': made.virtual_size,
        'disk_format': made.format,
        'report': report.to_dict(),
    }
