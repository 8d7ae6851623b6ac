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
"""Recipes that are Python, from the entry points ``imagebuild.recipes``.

An entry point names a module, a class or an object with::

    get_versions()
    get_image_arguments(version)
    pack_image(version, remote, reconcile=True, image_arguments=None)
    validate_images(version, remotes, reconcile=True, image_arguments=None)

and, if it likes, ``description`` and ``content_key(version, values)``. Of
the last two one is enough: ``pack_image`` is for images, ``validate_images``
for machines that run, and each stands in for the other where that is missing.
The entry point's name is the recipe's.

A plugin of OpenStack Sahara, whose ``pack_image`` takes ``test_only``, will
do as it is (:mod:`imagebuild.recipes.sahara`).
"""

from __future__ import annotations

import hashlib
import inspect
import json
import time
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import stevedore

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest import arguments
from imagebuild.recipes import base
from imagebuild.recipes import sahara
from imagebuild.recipes import watching

NAMESPACE = 'imagebuild.recipes'

VALIDATOR = 'plugin'


class PluginRecipe(base.Recipe):
    """One version of what an entry point offers.

    :ivar plugin: the entry point's object.
    :ivar code: identifies the code: entry point and package version.
    """

    def __init__(
        self, name: str, version: str, plugin: Any, code: str = ''
    ) -> None:
        super().__init__(name, version)
        self.plugin = plugin
        self.code = code

    @property
    def origin(self) -> str:
        return f'entry point {self.code or self.name}'

    @property
    def package(self) -> str:
        """The Python package that the plugin is in."""
        return self.code.partition(':')[0].partition('.')[0] or self.name

    def _description(self) -> str:
        try:
            own = getattr(self.plugin, 'description', '')
        # A property of the plugin's; lists of recipes show it.
        except Exception as error:
            raise self._broken('its description', error) from error
        return own if isinstance(own, str) else ''

    def _broken(
        self, what: str, error: BaseException
    ) -> exception.InvalidRecipe:
        return exception.InvalidRecipe(
            name=self,
            reason=f'{what} cannot be read ({type(error).__name__}: {error})',
        )

    def arguments(self) -> Sequence[manifest.Argument]:
        found = self.call('get_image_arguments', self.version)
        if found is None or found is NotImplemented:
            raise exception.InvalidRecipe(
                name=self, reason='the plugin makes no images of this version'
            )
        try:
            declared = [_argument(item) for item in found]
            problems = arguments.check(declared)
        except Exception as error:
            raise self._broken(
                'what get_image_arguments() returns', error
            ) from error
        if problems:
            raise exception.InvalidRecipe(
                name=self, reason='; '.join(map(str, problems))
            )
        return declared

    def bound(self, values: Mapping[str, str]) -> manifest.Runnable:
        secrets = [
            values[argument.name]
            for argument in self.arguments()
            # What the plugin itself declares is no secret.
            if argument.hidden
            and values.get(argument.name, argument.default) != argument.default
        ]
        return BoundPlugin(self, values, secrets)

    def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of the plugin.

        :raises InvalidRecipe: it has no such method.
        :raises StepFailed: it raised something that is not ours, or wanted
            to end the program.
        """
        function = getattr(self.plugin, method, None)
        if not callable(function):
            raise exception.InvalidRecipe(
                name=self, reason=f'the plugin has no {method}()'
            )
        try:
            return function(*args, **kwargs)
        except exception.ImageBuildError:
            raise
        # Third party code: whatever it raises is its own failure, and one
        # that the caller can report as a step. sys.exit(0) would end with
        # success what has not been done.
        except (Exception, SystemExit) as error:
            raise exception.StepFailed(
                f'{method}() of the plugin failed: '
                f'{type(error).__name__}: {error}',
                path=str(self),
                validator=VALIDATOR,
            ) from error


class BoundPlugin(manifest.Runnable):
    """A plugin with the values of its arguments; to the engine one step.

    :param recipe: the plugin.
    :param values: of its arguments, resolved.
    :param secrets: those of them that are not shown.
    """

    def __init__(
        self,
        recipe: PluginRecipe,
        values: Mapping[str, str],
        secrets: Sequence[str] = (),
    ) -> None:
        self._recipe = recipe
        self._values = dict(values)
        self._secrets = tuple(secrets)

    def run(
        self,
        remote: base.Remote,
        *,
        reconcile: bool = True,
        monitor: manifest.Monitor | None = None,
        cache: manifest.StepCache | None = None,
    ) -> manifest.Report:
        monitor = monitor or manifest.Monitor()
        report = manifest.Report(reconcile=reconcile)
        start = time.monotonic()
        step = manifest.RunningStep(
            str(self._recipe), VALIDATOR, str(self._recipe), 1, 1
        )
        monitor.run_started(1)
        monitor.step_started(step)
        output = watching.Output(monitor, step, self._secrets)
        failure: exception.ImageBuildError | exception.Interrupted | None = (
            None
        )
        try:
            theirs = self._pack(remote, output, reconcile=reconcile)
            if isinstance(theirs, manifest.Report):
                report = theirs
        except (exception.ImageBuildError, exception.Interrupted) as error:
            failure = self._shown(error, output)
            if isinstance(error.report, manifest.Report):
                report = error.report
            failure.report = report
        report.seconds = time.monotonic() - start
        done = self._step_report(report, failure)
        if not report.steps:
            report.steps.append(done)
        monitor.step_finished(step, done)
        monitor.run_finished(report)
        if failure is not None:
            raise failure
        return report

    def _pack(
        self,
        remote: base.Remote,
        output: watching.Output,
        *,
        reconcile: bool,
    ) -> Any:
        watched = watching.WatchedRemote(remote, output)
        target: base.Remote = watched
        plugin = self._recipe.plugin
        method = 'pack_image'
        if not hasattr(plugin, method) or (
            # A machine that runs is more than the image it was made of.
            getattr(remote, 'runs', False)
            and hasattr(plugin, 'validate_images')
        ):
            method, target = 'validate_images', [watched]
        with output.collecting(self._recipe.package):
            return self._recipe.call(
                method,
                self._recipe.version,
                target,
                reconcile=reconcile,
                image_arguments=dict(self._values),
            )

    def _shown(
        self,
        error: exception.ImageBuildError | exception.Interrupted,
        output: watching.Output,
    ) -> exception.ImageBuildError | exception.Interrupted:
        """An error with the end of the output, and without secrets."""
        hidden = output.mask(str(error)) != str(error)
        if type(error) is exception.StepFailed:
            return exception.StepFailed(
                output.mask(error.reason),
                path=error.path or str(self._recipe),
                validator=error.validator or VALIDATOR,
                command=output.mask(error.command),
                command_exit_code=error.command_exit_code,
                output=output.mask(error.output) or output.tail,
            )
        if isinstance(error, exception.StepError) and hidden:
            return exception.StepFailed(
                output.mask(str(error)),
                path=str(self._recipe),
                validator=VALIDATOR,
                output=output.tail,
            )
        return error

    def _step_report(
        self,
        report: manifest.Report,
        failure: BaseException | None,
    ) -> manifest.StepReport:
        if failure is not None:
            result = manifest.Result.FAILED
        elif report.steps:
            result = (
                manifest.Result.CHANGED
                if report.changed
                else manifest.Result.OK
            )
        else:
            result = (
                manifest.Result.RAN if report.reconcile else manifest.Result.OK
            )
        return manifest.StepReport(
            path=str(self._recipe),
            validator=VALIDATOR,
            description=str(self._recipe),
            result=result,
            seconds=report.seconds,
            message=str(failure) if failure else '',
        )

    def plan(
        self,
        remote: base.Remote,
        *,
        cache: manifest.StepCache | None = None,
    ) -> list[manifest.PlannedStep]:
        name = str(self._recipe)
        return [
            manifest.PlannedStep(
                name, VALIDATOR, f'{name} (what it does, only it knows)'
            )
        ]

    def content_key(self) -> str:
        recipe = self._recipe
        content: Any = recipe.code
        if hasattr(recipe.plugin, 'content_key'):
            content = recipe.call(
                'content_key', recipe.version, dict(self._values)
            )
        try:
            text = json.dumps(
                [recipe.name, recipe.version, content, self._values],
                sort_keys=True,
            )
        except (TypeError, ValueError) as error:
            raise exception.StepFailed(
                f'content_key() of the plugin returned no text ({error})',
                path=str(recipe),
                validator=VALIDATOR,
            ) from error
        return hashlib.sha256(text.encode()).hexdigest()


def find() -> tuple[list[PluginRecipe], dict[str, str]]:
    """Load every entry point and ask it for its versions.

    :returns: the recipes, and the reason for each name that gave none.
    """
    broken: dict[str, str] = {}

    def note(_manager: object, entry_point: Any, error: BaseException) -> None:
        broken[entry_point.name] = f'it does not load ({error})'

    recipes: list[PluginRecipe] = []
    manager: stevedore.ExtensionManager[Any] = stevedore.ExtensionManager(
        NAMESPACE, on_load_failure_callback=note
    )
    for extension in manager:
        try:
            recipes.extend(_recipes(extension))
        # Whatever a plugin raises, it must not hide the others, nor end a
        # service that lists them.
        except (Exception, SystemExit) as error:
            broken[extension.name] = (
                f'its versions are not known ({type(error).__name__}: {error})'
            )
    return recipes, broken


def _recipes(extension: Any) -> Iterator[PluginRecipe]:
    plugin = extension.plugin
    if inspect.isclass(plugin):
        plugin = plugin()
    if sahara.is_one(plugin):
        plugin = sahara.Plugin(plugin)
    entry_point = extension.entry_point
    code = entry_point.value
    if getattr(entry_point, 'dist', None) is not None:
        code = f'{code} of {entry_point.dist.name} {entry_point.dist.version}'
    for version in plugin.get_versions():
        yield PluginRecipe(extension.name, str(version), plugin, code)


def _argument(item: Any) -> manifest.Argument:
    """Take an argument as ours, also Sahara's ``ImageArgument``."""
    if isinstance(item, manifest.Argument):
        return item
    default = getattr(item, 'default', None)
    return manifest.Argument(
        name=item.name,
        description=getattr(item, 'description', None) or '',
        default=None if default is None else str(default),
        required=bool(getattr(item, 'required', False)),
        choices=tuple(map(str, getattr(item, 'choices', None) or ())),
        target_variable=getattr(item, 'target_variable', None) or None,
        hidden=bool(getattr(item, 'hidden', False)),
    )
