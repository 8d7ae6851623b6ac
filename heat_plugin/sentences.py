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

``openstack stack failures list`` shows the last ten lines of these texts and
nothing else, and ``openstack stack event list`` their first 255 characters.
So each begins with one plain sentence that says what failed, where in the
template, and whose fault it is; what a failing step printed comes after, and
all of it is ten lines at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from imagebuild import exception
from imagebuild.client import Build
from imagebuild.client import Plan
from imagebuild.client import Step
from imagebuild.client import exceptions

#: Lines of output that are shown, and characters of each.
TAIL_LINES = 6
TAIL_WIDTH = 200
#: The same of a reason that the service gives.
REASON_LINES = 3
REASON_WIDTH = 600

_REFUSALS = (
    exceptions.BadRequest,
    exceptions.Forbidden,
    exceptions.NotFound,
    exceptions.Conflict,
    exceptions.TooLarge,
)
#: With the colon or bracket around it, such as "to http://10.0.0.5:9393/v1:".
_URL = re.compile(r'https?://[^\s,;()<>"\']*[^\s,;()<>"\'.:]')
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
    if output and output not in build.status_reason:
        text += f'\nThe end of what the step printed:\n{output}'
    return clean(text)


def _reason(build: Build) -> str:
    text = shortened(build.status_reason, REASON_LINES, REASON_WIDTH)
    return sentence(text or f'it ended as "{build.status}" without a reason')


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
            f'{without_urls(sentence(str(error)))}'
        )
    if isinstance(error, exceptions.HttpError):
        number = f' (Request {error.request_id}.)' if error.request_id else ''
        return clean(
            'The image build service failed, not the template, at the image '
            f'"{name}": {without_urls(sentence(error.message))}{number}'
        )
    return clean(
        'The image build service was not reached for the image '
        f'"{name}": {without_urls(sentence(str(error)))}'
    )


def not_looked_up(error: exceptions.ClientError) -> str:
    """Say why it is not known which names the service has."""
    message = getattr(error, 'message', str(error))
    return clean(
        'the image build service did not say which names it has: '
        f'{without_urls(sentence(message))}'
    )


def glance_refused(what: str, error: Exception) -> str:
    """Say why it is not known whether there is an image.

    :param what: was looked up, such as 'the image 5'.
    """
    return clean(
        f'Glance did not say whether it has {what}: '
        f'{without_urls(sentence(str(error)))}'
    )


def glance_failed(what: str, error: Exception) -> str:
    """Glance, or Keystone before it, answered that it is out of order."""
    return clean(
        f'Glance failed, not the template, when {what} was looked up: '
        f'{without_urls(sentence(str(error)))}'
    )


def glance_away(what: str) -> str:
    """Nobody answered; the client's words are addresses, mostly."""
    return clean(
        "Glance was not reached, which is not the template's fault: "
        f'{what} could not be looked up. Try again later.'
    )


def without_urls(text: str) -> str:
    """Leave out where services are: that is the operator's own affair."""
    return _URL.sub('its address', text)


def problems(
    error: exceptions.HttpError,
    told: Iterable[exception.Problem] | None = None,
) -> str:
    """Everything that is wrong with a request, each with its path.

    :param told: those of its problems that are to be named; all of them by
        default.
    """
    found = [
        f'{problem.path}: {problem.message}'
        if problem.path
        else problem.message
        for problem in (error.errors if told is None else told)
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


def tail(output: str) -> str:
    """The last lines of a text, none of them long."""
    lines = [line for line in _lines(output) if line.strip()]
    cut = [_cut(line, TAIL_WIDTH) for line in lines]
    if len(cut) <= TAIL_LINES:
        return '\n'.join(cut)
    return '\n'.join(['...', *cut[1 - TAIL_LINES :]])


def shortened(text: str, lines: int, width: int) -> str:
    """The beginning of a text; its other lines are left out."""
    found = _lines(text.strip())
    kept = [_cut(line, width) for line in found[:lines]]
    if len(found) > lines:
        kept[-1] += ' ...'
    return '\n'.join(kept)


def _lines(text: str) -> list[str]:
    # As the command splits them: at form feeds, for instance, too.
    return clean(text).splitlines()


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f'{line[:width]}...'


def sentence(text: str) -> str:
    """End a text as a sentence does."""
    text = text.strip()
    return text if text.endswith(('.', '!', '?', ':')) else f'{text}.'


def clean(text: str) -> str:
    """Leave out what a terminal or a database would stumble over."""
    text = _ESCAPES.sub('', text.replace('\r\n', '\n').replace('\r', '\n'))
    return _ODD.sub('?', text)
