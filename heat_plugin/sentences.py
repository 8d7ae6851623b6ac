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
"""What users read: why an image is not there.

``openstack stack failures list`` shows these texts and nothing else, and
``openstack stack event list`` their first 255 characters. So each begins with
one plain sentence that says what failed, where in the template, and whose
fault it is; what a failing step printed comes after.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from imagebuild.client import Build
from imagebuild.client import Plan
from imagebuild.client import Step
from imagebuild.client import exceptions

#: Characters of output that are shown.
TAIL = 1000

_REFUSALS = (
    exceptions.BadRequest,
    exceptions.Forbidden,
    exceptions.NotFound,
    exceptions.Conflict,
    exceptions.TooLarge,
)
#: Colours and other commands to a terminal.
_ESCAPES = re.compile(r'\x1b(\[[0-?]*[ -/]*[@-~]|[@-_])')
#: Control characters, and characters that a database with three bytes for
#: each (MySQL's utf8, which Heat may have) does not take.
_ODD = re.compile(r'[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\uffff]')


def ended(build: Build, steps: Iterable[Step] = ()) -> str:
    """Say why a build has no image.

    :param steps: those of the build, to find the failing one.
    """
    if build.status == 'cancelled':
        text = (
            f'The build of the image "{build.name}" was cancelled before it '
            'was done.'
        )
    elif build.status == 'deleting':
        text = gone(build.name)
    elif build.fault == 'service':
        text = (
            'The image build service failed, not the template: the image '
            f'"{build.name}" was not built: {_reason(build)}'
        )
    else:
        return _mistake(build, failing(steps))
    return clean(f'{text} (Build {build.id}.)')


def _mistake(build: Build, step: Step | None) -> str:
    where = ''
    if step and step.path and step.path not in build.status_reason:
        where = f', step {step.path} failed'
    text = (
        f'The image "{build.name}" could not be built{where}: '
        f'{_reason(build)} (Build {build.id}.)'
    )
    output = tail(step.output) if step else ''
    if output and output not in text:
        text += f'\nThe end of what the step printed:\n{output}'
    return clean(text)


def _reason(build: Build) -> str:
    return sentence(
        build.status_reason or f'it ended as "{build.status}" without a reason'
    )


def failing(steps: Iterable[Step]) -> Step | None:
    """Find the step that failed last, if one did."""
    failed = [step for step in steps if step.result == 'failed']
    return failed[-1] if failed else None


def gone(name: str) -> str:
    """The build was deleted while it was waited for."""
    return f'The build of the image "{name}" was deleted by somebody else.'


def refused(error: Exception, name: str) -> str:
    """Say why the service did not do as it was asked.

    :param error: what the client raised.
    :param name: of the image.
    """
    if isinstance(error, _REFUSALS):
        return clean(
            f'The image build service refused the image "{name}": '
            f'{sentence(problems(error))}'
        )
    if isinstance(error, exceptions.Unauthenticated):
        return clean(
            "The image build service did not accept Heat's credentials for "
            f'the image "{name}"; with reauthentication_auth_method = trusts '
            'in heat.conf they are renewed while an image is built: '
            f'{sentence(str(error))}'
        )
    if isinstance(error, exceptions.HttpError):
        number = f' (Request {error.request_id}.)' if error.request_id else ''
        return clean(
            'The image build service failed, not the template, at the image '
            f'"{name}": {sentence(error.message)}{number}'
        )
    return clean(
        'The image build service was not reached for the image '
        f'"{name}": {sentence(str(error))}'
    )


def problems(error: exceptions.HttpError) -> str:
    """Everything that is wrong with a request, each with its path."""
    found = [
        f'{problem.path}: {problem.message}'
        if problem.path
        else problem.message
        for problem in error.errors
    ]
    return '; '.join(found) or error.message


def planned(plan: Plan) -> str:
    """Say what a build would do, for a preview."""
    image_id = reused_image(plan)
    if image_id:
        return f'will reuse image {image_id}'
    if plan.reuse.get('build_id'):
        return (
            f'will wait for build {plan.reuse["build_id"]} of the same content'
        )
    steps = len(plan.steps)
    return f'will build {steps} {"step" if steps == 1 else "steps"}'


def reused_image(plan: Plan) -> str:
    """The image that would be reused, '' for none."""
    return str(plan.reuse.get('image_id') or '')


def too_long(timeout: int, limit: int) -> str:
    """A build is given more time than its stack."""
    return (
        f'The build may take {timeout} seconds ("timeout") but the stack '
        f'only {limit}: give the stack more time (openstack stack create '
        f'--timeout {-(-timeout // 60)} counts minutes) or the build less.'
    )


def tail(output: str, limit: int = TAIL) -> str:
    """The end of a text, whole lines if that is possible."""
    text = clean(output).strip('\n')
    if len(text) <= limit:
        return text
    text = text[-limit:]
    _, newline, lines = text.partition('\n')
    return f'...\n{lines}' if newline and lines else f'...{text}'


def sentence(text: str) -> str:
    """End a text as a sentence does."""
    text = text.strip()
    return text if text.endswith(('.', '!', '?', ':')) else f'{text}.'


def clean(text: str) -> str:
    """Leave out what a terminal or a database would stumble over."""
    text = _ESCAPES.sub('', text.replace('\r\n', '\n').replace('\r', '\n'))
    return _ODD.sub('?', text)
