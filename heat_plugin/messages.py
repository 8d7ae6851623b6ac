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
"""Messages to users: why there is no image, or a machine is not as it should.

``openstack stack failures list`` shows the last ten lines of these texts and
nothing else, and ``openstack stack event list`` their first 255 characters.
So each begins with one plain sentence that says what failed, where in the
template, and whose fault it is; what a failing step printed comes after, and
all of it is ten lines at most.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence

from imagebuild import exception
from imagebuild.client import Build
from imagebuild.client import Pipeline
from imagebuild.client import Plan
from imagebuild.client import Step
from imagebuild.client import Validation
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
#: Without the punctuation after it, as in "to http://10.0.0.5:9393/v1:".
_URL = re.compile(r'https?://[^\s,;()<>"\']*[^\s,;()<>"\'.:]')
#: Escape sequences: colours and other commands to a terminal.
_ESCAPES = re.compile(r'\x1b(\[[0-?]*[ -/]*[@-~]|[@-_])')
#: Control characters, and characters beyond three bytes of UTF-8, which
#: MySQL's "utf8" does not store; Heat's database may have that.
_ODD = re.compile(r'[^\t\n\x20-\x7e\xa0-\ud7ff\ue000-\uffff]')


def build_failed(build: Build, steps: Iterable[Step] = ()) -> str:
    """Return why a build has no image.

    :param steps: those of the build, to find the failed one.
    """
    if build.status == 'cancelled':
        text = (
            f'The build of the image "{build.name}" was cancelled before it '
            'was done.'
        )
    elif build.status == 'deleting':
        text = build_deleted(build.name)
    elif build.fault == 'service':
        text = (
            'The image build service failed, not the template: the image '
            f'"{build.name}" was not built: {_reason(build)}'
        )
    else:
        return _user_fault(build, failed_step(steps))
    return clean(f'{text} (Build {build.id}.)')


def _user_fault(build: Build, step: Step | None) -> str:
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
    return with_full_stop(
        text or f'it ended as "{build.status}" without a reason'
    )


def failed_step(steps: Iterable[Step]) -> Step | None:
    """Return the step that failed last, None if no step failed."""
    failed = [step for step in steps if step.result == 'failed']
    return failed[-1] if failed else None


def build_deleted(name: str) -> str:
    """Return that somebody deleted the build during the wait for it."""
    return f'The build of the image "{name}" was deleted by somebody else.'


def pipeline_failed(found: Pipeline) -> str:
    """Return why a pipeline has no new image."""
    reason = with_full_stop(
        shortened(found.status_reason, REASON_LINES, REASON_WIDTH)
        or 'the reason is not known'
    )
    text = f'The pipeline "{found.name}" has built no image: {reason}'
    if found.last_build_id:
        text += f' (Build {found.last_build_id}.)'
    return clean(text)


def pipeline_cancelled(found: Pipeline) -> str:
    """Return that somebody ended the build during the wait for it."""
    return clean(
        f'The build of the pipeline "{found.name}" was cancelled or deleted '
        f'by somebody else. (Build {found.last_build_id}.)'
    )


def pipeline_superseded(name: str) -> str:
    """Return that nobody waits for a pipeline's image any more."""
    return clean(
        f'A newer template came before the pipeline "{name}" had its image, '
        'and wants another one.'
    )


def machines_failed(found: Validation) -> str:
    """Return why a validation has not passed.

    Of each machine that is not as described the first steps are named, of so
    many machines as there is room for.
    """
    how = {
        'failed': 'The machines are not as described',
        'error': 'The machines could not be looked at',
    }.get(found.status, f'The validation was ended as "{found.status}"')
    bad = [
        (f'{each.get("name")}: ', str(each.get('reason')))
        for each in (found.results if found.status == 'failed' else ())
        if each.get('reason')
    ]
    shown = _machines(bad or [('', found.status_reason)])
    if len(shown) == 1:
        how = f'{how}: {shown.pop()}'
    text = f'{with_full_stop(how)} (Validation {found.id}.)'
    return clean('\n'.join([text, *shown]))


def _machines(bad: Sequence[tuple[str, str]]) -> list[str]:
    """Return the beginnings of texts, in TAIL_LINES lines and one.

    :param bad: what a text's first line begins with, and the text.
    """
    share = max(1, TAIL_LINES // len(bad))
    shown: list[str] = []
    for name, reason in bad[:TAIL_LINES]:
        lines = [line for line in _lines(reason) if line.strip()]
        kept = [_cut(line, TAIL_WIDTH) for line in lines[:share]]
        if not kept:
            continue
        kept[0] = f'{_cut(name, TAIL_WIDTH)}{kept[0]}'
        if len(lines) > share:
            kept[-1] += f' (and {len(lines) - share} more)'
        shown += kept
    if more := bad[TAIL_LINES:]:
        kind = 'machine' if len(more) == 1 else 'machines'
        shown.append(f'... and {len(more)} more {kind}')
    return shown


def request_failed(error: Exception, name: str) -> str:
    """Return why a request to the service failed.

    :param error: of the client.
    :param name: of the image.
    """
    if isinstance(error, _REFUSALS):
        return clean(
            f'The image build service refused the image "{name}": '
            f'{with_full_stop(problems(error))}'
        )
    if isinstance(error, exceptions.Unauthenticated):
        return clean(
            "The image build service did not accept Heat's credentials for "
            f'the image "{name}"; with reauthentication_auth_method = trusts '
            'in heat.conf they are renewed while an image is built: '
            f'{without_urls(with_full_stop(str(error)))}'
        )
    if isinstance(error, exceptions.IdentityRefused):
        return clean(
            f'There is no token to ask for the image "{name}" with: '
            f'{without_urls(with_full_stop(error.message))}'
        )
    if isinstance(error, exceptions.HttpError):
        ending = f' (Request {error.request_id}.)' if error.request_id else ''
        return clean(
            'The image build service failed, not the template, at the image '
            f'"{name}": {without_urls(with_full_stop(error.message))}{ending}'
        )
    return clean(
        'The image build service was not reached for the image '
        f'"{name}": {without_urls(with_full_stop(str(error)))}'
    )


def lookup_failed(error: exceptions.ClientError) -> str:
    """Return why it is not known which names the service has."""
    message = getattr(error, 'message', str(error))
    return clean(
        'the image build service did not say which names it has: '
        f'{without_urls(with_full_stop(message))}'
    )


def glance_refused(what: str, error: Exception) -> str:
    """Return why it is not known whether an image exists.

    :param what: was looked up, such as 'the image 5'.
    """
    return clean(
        f'Glance did not say whether it has {what}: '
        f'{without_urls(with_full_stop(str(error)))}'
    )


def glance_failed(what: str, error: Exception) -> str:
    """Return that Glance, or Keystone before it, answered with an error."""
    return clean(
        f'Glance failed, not the template, when {what} was looked up: '
        f'{without_urls(with_full_stop(str(error)))}'
    )


def glance_unavailable(what: str) -> str:
    """Return that Glance did not answer.

    Without the client's message, which is mostly URLs of services.
    """
    return clean(
        "Glance was not reached, which is not the template's fault: "
        f'{what} could not be looked up. Try again later.'
    )


def without_urls(text: str) -> str:
    """Replace URLs of services, which are not a user's business."""
    return _URL.sub('its address', text)


def problems(
    error: exceptions.HttpError,
    reported: Iterable[exception.Problem] | None = None,
) -> str:
    """Return all problems of a request, each with its path.

    :param reported: those of its problems to report; all by default.
    """
    found = [
        f'{problem.path}: {problem.message}'
        if problem.path
        else problem.message
        for problem in (error.errors if reported is None else reported)
    ]
    return '; '.join(found) or error.message


def plan_summary(plan: Plan) -> str:
    """Return what a build would do, for a preview."""
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
    """Return the id of the image that would be reused, '' for none."""
    return str(plan.reuse.get('image_id') or '')


def timeout_too_long(timeout: int, limit: int) -> str:
    """Return that a build has a longer time limit than its stack."""
    return (
        f'The build may take {timeout} seconds ("timeout") but the stack '
        f'only {limit}: give the stack more time (openstack stack create '
        f'--timeout {-(-timeout // 60)} counts minutes) or the build less.'
    )


def tail(output: str) -> str:
    """Return the last lines of an output, each shortened."""
    lines = [line for line in _lines(output) if line.strip()]
    cut = [_cut(line, TAIL_WIDTH) for line in lines]
    if len(cut) <= TAIL_LINES:
        return '\n'.join(cut)
    return '\n'.join(['...', *cut[1 - TAIL_LINES :]])


def shortened(text: str, lines: int, width: int) -> str:
    """Return the beginning of a text.

    :param lines: to keep.
    :param width: characters of each line to keep.
    """
    found = _lines(text.strip())
    short = [_cut(line, width) for line in found[:lines]]
    if len(found) > lines:
        short[-1] += ' ...'
    return '\n'.join(short)


def _lines(text: str) -> list[str]:
    # As "openstack stack failures list" splits them: at form feeds, too.
    return clean(text).splitlines()


def _cut(line: str, width: int) -> str:
    return line if len(line) <= width else f'{line[:width]}...'


def with_full_stop(text: str) -> str:
    """Add a full stop where a text does not end as a sentence."""
    text = text.strip()
    return text if text.endswith(('.', '!', '?', ':')) else f'{text}.'


def clean(text: str) -> str:
    """Remove what a terminal would obey or a database would refuse."""
    text = _ESCAPES.sub('', text.replace('\r\n', '\n').replace('\r', '\n'))
    return _ODD.sub('?', text)
