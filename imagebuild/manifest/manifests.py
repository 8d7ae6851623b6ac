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
"""A loaded manifest."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from imagebuild import distros
from imagebuild import exception
from imagebuild.common import checkpoints
from imagebuild.common import guest_program
from imagebuild.manifest import arguments
from imagebuild.manifest import content_key
from imagebuild.manifest import contexts
from imagebuild.manifest import foresight
from imagebuild.manifest import monitors
from imagebuild.manifest import package_cache
from imagebuild.manifest import plans
from imagebuild.manifest import programs
from imagebuild.manifest import reports
from imagebuild.manifest import runnable
from imagebuild.manifest import runner
from imagebuild.manifest import step_cache
from imagebuild.manifest.validators import base
from imagebuild.remotes.base import Remote


class Manifest(runnable.Bindable):
    """What a system is to be like.

    Made by :func:`imagebuild.manifest.load`.

    :ivar arguments: the declared arguments, in order.
    :ivar description: for people, '' if none was written.
    :ivar os: names of releases, distributions or families it is for; empty
        for any.
    :ivar min_disk: GiB that the disk must have, 0 for any.
    :ivar elements: of diskimage-builder, out of which a disk for it is made.
    :ivar validators: its steps.
    """

    def __init__(
        self,
        validators: Sequence[base.Validator],
        arguments: Sequence[arguments.Argument] = (),
        *,
        description: str = '',
        os: Sequence[str] = (),
        min_disk: int = 0,
        elements: Sequence[str] = (),
    ) -> None:
        self.validators = tuple(validators)
        self.arguments = tuple(arguments)
        self.description = description
        self.os = tuple(os)
        self.min_disk = min_disk
        self.elements = tuple(elements)

    def resolve(self, values: Mapping[str, Any] | None) -> dict[str, str]:
        return arguments.resolve(self.arguments, values)

    def bound(self, values: Mapping[str, str]) -> BoundManifest:
        return BoundManifest(self, values)

    def steps_digest(self) -> str:
        """A digest of the steps alone, whatever the arguments are.

        :returns: 64 hexadecimal digits.
        """
        return content_key.digest(self.validators, {})


class BoundManifest(runnable.Runnable):
    """A manifest with the values of its arguments.

    :ivar manifest: the manifest.
    :ivar values: of every argument that has one, resolved. Secrets among
        them!
    """

    def __init__(self, manifest: Manifest, values: Mapping[str, str]) -> None:
        self.manifest = manifest
        self.values = dict(values)

    def content_key(self) -> str:
        return content_key.digest(self.manifest.validators, self.values)

    def run(
        self,
        remote: Remote,
        *,
        reconcile: bool = True,
        monitor: monitors.Monitor | None = None,
        cache: step_cache.StepCache | None = None,
    ) -> reports.Report:
        if not reconcile:
            cache = None
        context = self._context(
            remote, monitor, reconcile=reconcile, cache=cache
        )
        start = time.monotonic()
        report = context.report
        context.monitor.run_started(context.counter.total)
        try:
            runner.run(self.manifest.validators, context, cache)
            if context.failures:
                raise exception.NotConforming(context.failures)
        except (exception.ImageBuildError, exception.Interrupted) as error:
            error.report = report
            if isinstance(error, exception.ImageBuildError):
                _undo(context)
            raise
        finally:
            report.seconds = time.monotonic() - start
            _remove(context)
            context.monitor.run_finished(report)
        return report

    def foreseen(self) -> list[plans.PlannedStep]:
        """The steps, as far as they are known without a system.

        :returns: them in order, each named as a run names it. A case that
            the system or an earlier step decides counts as one.
        """
        return foresight.steps(
            self.manifest.validators, self._declared(), self.values
        )

    def program(self) -> guest_program.GuestProgram:
        """Say it in shell, for a guest that nobody reaches from outside.

        :raises InvalidManifest: it cannot be said so, each step with its
            path.
        """
        return programs.compiled(
            self.manifest.validators,
            self._declared(),
            self.values,
            self.manifest.os,
        )

    def cached(
        self, checkpoint: checkpoints.Checkpoint, *, operators: bool = False
    ) -> step_cache.StepCache:
        """See :meth:`runnable.Runnable.cached`.

        :param operators: its steps are an operator's, not a user's.
        """
        cache = step_cache.StepCache(
            checkpoint,
            self.manifest.validators,
            self._declared(),
            self.values,
            operators=operators,
        )
        cache.look_up()
        return cache

    def plan(
        self,
        remote: Remote,
        *,
        cache: step_cache.StepCache | None = None,
    ) -> list[plans.PlannedStep]:
        context = self._context(remote, None, reconcile=False, cache=cache)
        planned = cache.plan(context) if cache else []
        left = cache.left() if cache else self.manifest.validators
        return [
            dataclasses.replace(
                step,
                description=context.counter.name(step.path, step.description),
            )
            for step in [*planned, *_plan(left, context)]
        ]

    def _context(
        self,
        remote: Remote,
        monitor: monitors.Monitor | None,
        *,
        reconcile: bool,
        cache: step_cache.StepCache | None = None,
    ) -> contexts.Context:
        facts = cache.facts() if cache else None
        # A step may have changed what the system calls itself.
        distro = (
            distros.for_release(facts.os_release)
            if facts
            else distros.detect(remote)
        )
        self._check_accepted(distro)
        packages = package_cache.PackageCache(distro, remote, self._packages())
        release = distro.os_release
        context = contexts.Context(
            remote=remote,
            distro=distro,
            declared=self._declared(),
            # A copy: steps set further ones.
            values=dict(self.values),
            packages=packages,
            monitor=monitor or monitors.Monitor(),
            report=reports.Report(
                distro=release.id,
                release=release.version_id,
                reconcile=reconcile,
            ),
            counter=contexts.StepCounter(),
            reconcile=reconcile,
        )
        context.counter.total = runner.count(self.manifest.validators, context)
        return context

    def _declared(self) -> dict[str, arguments.Argument]:
        return {item.name: item for item in self.manifest.arguments}

    def _packages(self) -> list[distros.Package]:
        return [
            package
            for step in base.walk(self.manifest.validators)
            for package in step.packages()
        ]

    def _check_accepted(self, distro: distros.Distro) -> None:
        names = distro.names()
        accepted = self.manifest.os
        if accepted and not any(name.lower() in names for name in accepted):
            raise exception.DistroNotAccepted(
                accepted=', '.join(accepted),
                found=distro.os_release.pretty_name or names[0],
            )


def _plan(
    validators: Sequence[base.Validator], context: contexts.Context
) -> list[plans.PlannedStep]:
    planned: list[plans.PlannedStep] = []
    for validator in validators:
        inside = validator.expand(context)
        if inside is None:
            planned.extend(validator.plan(context))
            # What follows may depend on what this one would set.
            validator.foresee(context)
        else:
            planned.extend(_plan(inside, context))
    return planned


def _undo(context: contexts.Context) -> None:
    """As well as it goes: the failure itself is what is reported."""
    for action in reversed(context.undo):
        with contextlib.suppress(exception.ImageBuildError):
            action()


def _remove(context: contexts.Context) -> None:
    """Remove what copy_script placed; a broken way in was reported before."""
    for path in context.temporary:
        with contextlib.suppress(exception.ImageBuildError):
            context.remote.remove_file(path)
