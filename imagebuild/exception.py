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
"""The one exception tree.

Three kinds of failure are distinguished everywhere, because three different
people can fix them:

========================  ===================================  =========
base class                who can fix it                       exit code
========================  ===================================  =========
:class:`InvalidInput`     the author of the request            2
:class:`StepError`        the author of the recipe, the image  1
:class:`EnvironmentFault` the operator of this machine         3
========================  ===================================  =========

``code`` is the HTTP status the API answers with, ``fault`` is what a build
record says (``user`` or ``service``), ``exit_code`` is what the local
programs exit with. All three are decided by the base class, so a new
exception needs a message and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Literal

#: A limit, with the digits that it has: "%d" would show half a second as 0.
_SECONDS = '%(seconds).10g second%(s)s'


@dataclasses.dataclass(frozen=True, order=True)
class Problem:
    """One thing that is wrong, and where.

    :ivar path: where, such as ``validators[2].package[0]``; '' for the whole
        document.
    :ivar message: one plain sentence without the path.
    """

    path: str
    message: str

    def __str__(self) -> str:
        return f'{self.path}: {self.message}' if self.path else self.message


class ImageBuildError(Exception):
    """Base of every error that imagebuild raises on purpose.

    :param message: the sentence shown to the user; without it ``msg_fmt`` is
        filled in from the keyword arguments.
    """

    msg_fmt: ClassVar[str] = 'An unknown error occurred.'
    code: ClassVar[int] = 500
    fault: ClassVar[Literal['user', 'service']] = 'service'
    exit_code: ClassVar[int] = 3

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        self.kwargs = kwargs
        #: What a manifest run did until then
        #: (imagebuild.manifest.Report), None outside of a run.
        self.report: Any = None
        s = '' if kwargs.get('seconds') == 1 else 's'
        super().__init__(message or self.msg_fmt % {'s': s, **kwargs})


class InvalidInput(ImageBuildError):
    """The request is wrong; nothing was touched."""

    code = 400
    fault = 'user'
    exit_code = 2


class StepError(ImageBuildError):
    """A step of the manifest failed, or the image does not conform."""

    code = 409
    fault: ClassVar[Literal['user', 'service']] = 'user'
    exit_code = 1


class EnvironmentFault(ImageBuildError):
    """The machine, its disk, its network or its credentials failed."""

    code = 503
    fault = 'service'
    exit_code = 3


# -- the request is wrong ---------------------------------------------------


class InvalidManifest(InvalidInput):
    """A manifest breaks the rules of the language.

    :param problems: everything that is wrong with it, at least one.
    """

    subject: ClassVar[str] = 'The manifest is not valid'

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.errors: Sequence[Problem] = tuple(problems)
        lines = [str(problem) for problem in self.errors]
        super().__init__(
            f'{self.subject}: {lines[0]}'
            if len(lines) == 1
            else '\n  '.join([f'{self.subject}:', *lines])
        )


class InvalidArguments(InvalidManifest):
    """The values given for a manifest's arguments are not acceptable."""

    subject = 'The arguments are not valid'


class InvalidRequest(InvalidManifest):
    """A request to the service breaks its rules; paths are the request's."""

    subject = 'The request is not valid'


class NotFound(InvalidInput):
    """What was asked for does not exist, or not for this project."""

    msg_fmt = 'There is no %(what)s %(id)s.'
    code = 404


class Unauthenticated(InvalidInput):
    msg_fmt = 'This needs a token of the identity service.'
    code = 401


class Forbidden(InvalidInput):
    msg_fmt = 'You may not do this (%(rule)s).'
    code = 403


class QuotaExceeded(InvalidInput):
    """A project has used up what it may (403, as Nova and Glance answer)."""

    msg_fmt = (
        'The quota of project %(project)s for %(resource)s is %(limit)s, '
        'and %(used)s are used%(remedy)s.'
    )
    code = 403
    #: Resource -> what its users can do.
    _REMEDIES: ClassVar[dict[str, str]] = {
        'queued': ': wait until some have begun, or cancel some',
        'stored_bytes': ': delete builds whose images are not needed',
        'builds': ': delete builds that are not needed',
        'channels': ': delete channels that are not needed',
        'request_bytes': ': ask for less, or delete builds',
    }

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        remedy = self._REMEDIES.get(str(kwargs.get('resource')), '')
        super().__init__(
            message or self.msg_fmt % {**kwargs, 'remedy': remedy}, **kwargs
        )


class Conflict(InvalidInput):
    """The thing is in a state in which this cannot be done."""

    msg_fmt = '%(what)s %(id)s is %(status)s: %(reason)s.'
    code = 409


class UnknownRecipe(InvalidInput):
    msg_fmt = (
        'There is no recipe "%(name)s" version "%(version)s"; '
        'found: %(found)s.'
    )


class InvalidRecipe(InvalidInput):
    msg_fmt = 'The recipe "%(name)s" cannot be used: %(reason)s.'


class InvalidImage(InvalidInput):
    """The disk image is not one that can be packed."""

    msg_fmt = '%(path)s cannot be used: %(reason)s.'


class UnsafeImage(InvalidImage):
    """The image refers to files of this host that the user did not name."""


class NotForSandbox(InvalidInput):
    """The disk image can only be opened in an appliance."""

    msg_fmt = '%(path)s cannot be opened in the sandbox: %(reason)s.'


class AmbiguousRoot(InvalidInput):
    msg_fmt = (
        '%(image)s holds several operating systems; choose one with '
        '%(option)s: %(found)s.'
    )

    def __init__(self, message: str | None = None, **kwargs: Any) -> None:
        # As imagebuild-pack says it; what opens a disk for others says so.
        super().__init__(
            message,
            **{'image': 'The image', 'option': '--root-filesystem', **kwargs},
        )


class UnknownRoot(InvalidInput):
    msg_fmt = (
        '%(device)s is not the root filesystem of an operating system in '
        'the image; found: %(found)s.'
    )


class NoOperatingSystem(InvalidInput):
    msg_fmt = 'No operating system was found in %(path)s.'


class UnsupportedDistro(InvalidInput):
    msg_fmt = (
        'The operating system "%(distro)s" belongs to none of the supported '
        'families: %(families)s.'
    )


class DistroNotAccepted(InvalidInput):
    msg_fmt = (
        'The manifest is for %(accepted)s, and the operating system found '
        'is %(found)s.'
    )


# -- a step failed ----------------------------------------------------------


class RemoteCommandFailed(StepError):
    """A command ran in the guest and exited with a code other than 0.

    :ivar argv: the command, as a list.
    :ivar exit_code_of_command: its exit code, 1 to 255.
    :ivar stdout: what it printed.
    :ivar stderr: what it complained of.
    :param reason: why, where that is known; '' for the exit code.
    """

    def __init__(
        self,
        argv: Sequence[str],
        exit_code: int,
        stdout: str = '',
        stderr: str = '',
        *,
        reason: str = '',
    ) -> None:
        self.argv = tuple(argv)
        self.exit_code_of_command = exit_code
        self.stdout = stdout
        self.stderr = stderr
        super().__init__(
            reason
            or f'command failed with exit code {exit_code}: {self.argv[0]}'
        )


class RemoteCommandTimeout(StepError):
    """A command was stopped because its time was up."""

    msg_fmt = f'%(command)s was stopped after {_SECONDS}.'


class BuildTimeout(StepError):
    """A build used up the time that its request gives it."""

    msg_fmt = (
        f'The build was stopped: its limit of {_SECONDS} was up '
        'during: %(what)s.'
    )


class UploadTimeout(EnvironmentFault):
    """An upload used up the time that its destination is given."""

    msg_fmt = (
        f'The upload was stopped: its limit of {_SECONDS} was up '
        'during: %(what)s.'
    )


class RemoteFileNotFound(StepError):
    msg_fmt = 'There is no file %(path)s in the image.'


class StepFailed(StepError):
    """A validator could not bring its part of the image into its state.

    :ivar path: the manifest path of the step.
    :ivar validator: the validator's type name.
    :ivar command: what was run, '' if nothing was.
    :ivar command_exit_code: its exit code, None if nothing was run.
    :ivar output: the tail of what it printed.
    """

    def __init__(
        self,
        reason: str,
        *,
        path: str = '',
        validator: str = '',
        command: str = '',
        command_exit_code: int | None = None,
        output: str = '',
    ) -> None:
        self.reason = reason
        self.path = path
        self.validator = validator
        self.command = command
        self.command_exit_code = command_exit_code
        self.output = output
        super().__init__(f'{path}: {reason}' if path else reason)


class BootTestFailed(StepError):
    """The finished image does not boot as it is expected to."""

    msg_fmt = 'The image does not boot as expected: %(reason)s'


class NotConforming(StepError):
    """The image is not in the described state (test only).

    :ivar failures: every step that does not hold, in manifest order.
    """

    def __init__(self, failures: Sequence[StepFailed]) -> None:
        self.failures = tuple(failures)
        lines = [str(failure) for failure in self.failures]
        super().__init__(
            f'The image does not conform: {lines[0]}'
            if len(lines) == 1
            else '\n  '.join(['The image does not conform:', *lines])
        )


class GuestBroken(ImageBuildError):
    """What ran in an image broke what it ran in; it would do so again.

    Not a step's error, which an alternative of ``any`` may follow: there is
    nothing left that could run it.
    """

    code = 409
    fault = 'user'
    exit_code = 1
    msg_fmt = '%(what)s broke the run: %(reason)s.'


# -- the environment failed -------------------------------------------------


class RunTimeout(EnvironmentFault):
    """The whole run used up its time."""

    msg_fmt = f'The run was stopped: its limit of {_SECONDS} is up.'


class ServiceUnavailable(EnvironmentFault):
    """Another service that is needed does not answer, or says no."""

    msg_fmt = 'The %(service)s service cannot be used: %(reason)s.'


class NoConductor(EnvironmentFault):
    """No conductor that is up can do what is asked for."""

    msg_fmt = 'No conductor can do this now: %(reason)s.'


class DatabaseUnavailable(EnvironmentFault):
    msg_fmt = 'The database cannot be used: %(reason)s.'


class TablesMissing(DatabaseUnavailable):
    """Waiting does not help: somebody has to make or upgrade the tables."""

    msg_fmt = (
        'The database has not the tables of this release (%(reason)s): run '
        '"imagebuild-manage db sync".'
    )


class ChecksumMismatch(EnvironmentFault):
    """A file that was fetched is not the one that was described."""

    msg_fmt = (
        '%(what)s has the checksum %(found)s, and %(expected)s is expected.'
    )


class ArtifactUnusable(EnvironmentFault):
    """A finished image cannot be had from the repository (any more)."""

    msg_fmt = (
        'The image file %(id)s in the repository is unusable: %(reason)s.'
    )


class ApplianceFailed(EnvironmentFault):
    msg_fmt = 'The libguestfs appliance failed: %(reason)s.'


class DiskServerFailed(EnvironmentFault):
    """The program that holds a build's disk open."""

    msg_fmt = 'The disk server (qemu-storage-daemon) failed: %(reason)s.'


class SandboxFailed(EnvironmentFault):
    msg_fmt = 'The sandbox failed: %(reason)s.'


class MissingDependency(EnvironmentFault):
    msg_fmt = '%(what)s is not installed on this machine; %(remedy)s.'


class ImageBusy(EnvironmentFault):
    msg_fmt = '%(path)s is in use by another program%(by)s.'


class SourceUnusable(EnvironmentFault):
    """An image that should give its file back does not."""

    msg_fmt = 'The image in %(where)s does not give its file back: %(reason)s.'


class LackOfRoom(EnvironmentFault):
    """A disk of this host has no room: later, or elsewhere, there may be."""


class NoSpace(LackOfRoom):
    msg_fmt = (
        'There is not enough room in %(path)s: %(needed)s are needed, '
        '%(free)s are free.'
    )


class DiskFull(LackOfRoom):
    msg_fmt = 'The disk that holds %(path)s is full.'


class UnwritablePath(EnvironmentFault):
    """A file or directory that must be written to refuses it."""

    msg_fmt = '%(path)s cannot be written: %(reason)s.'


class HostCommandFailed(EnvironmentFault):
    """A program of this host (qemu-img, mmdebstrap) failed."""

    msg_fmt = '%(program)s failed (exit code %(exit_code)s): %(reason)s'


class Interrupted(BaseException):  # noqa: N818
    """Somebody asked to stop (SIGINT, SIGTERM), or the time is up.

    No Exception, as KeyboardInterrupt is none: it is raised wherever the main
    thread is then. What goes on without a part that fails, a driver that does
    not load, must not go on after it.

    :param signal: what asked for it, for the message.
    :param state: what is left, for the message.
    """

    exit_code: ClassVar[int] = EnvironmentFault.exit_code

    def __init__(
        self, *, signal: str, state: str = 'nothing was changed'
    ) -> None:
        self.signal = signal
        #: As of :class:`ImageBuildError`.
        self.report: Any = None
        super().__init__(f'Interrupted by {signal}; {state}.')
