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
import pytest

from heat_plugin import messages
from imagebuild import client
from imagebuild import exception
from imagebuild.client import exceptions


def build(**values):
    return client.Build(**{'id': 'b1', 'name': 'web', **values})


def failed(path='', output=''):
    return client.Step(path=path, result='failed', output=output)


def error(reason='It broke', **values):
    return build(status='error', status_reason=reason, **values)


@pytest.mark.parametrize(
    'ended, steps, expected',
    [
        (
            error(fault='user'),
            [client.Step(path='a', result='ok'), failed('packages')],
            'The image "web" could not be built, step packages failed: It '
            'broke. (Build b1.)',
        ),
        (
            error('packages: no such package.', fault='user'),
            [failed('packages')],
            'The image "web" could not be built: packages: no such package. '
            '(Build b1.)',
        ),
        (
            error(fault='user'),
            [failed('files[0]', 'No space left')],
            'The image "web" could not be built, step files[0] failed: It '
            'broke. (Build b1.)\nThe end of what the step printed:\n'
            'No space left',
        ),
        (
            # The service names what is missing; it is not said twice.
            error(
                "packages[0]: package 'nginxx' is not known to apt of this "
                'image (debian-12)',
                fault='user',
            ),
            [failed('packages[0]', 'E: Unable to locate package nginxx')],
            'The image "web" could not be built: packages[0]: package '
            "'nginxx' is not known to apt of this image (debian-12). (Build "
            'b1.)\nThe end of what the step printed:\n'
            'E: Unable to locate package nginxx',
        ),
        (
            error('E: nothing', fault='user'),
            [failed('packages', 'E: nothing')],
            'The image "web" could not be built, step packages failed: E: '
            'nothing. (Build b1.)',
        ),
        (
            error('', fault='user'),
            [],
            'The image "web" could not be built: it ended as "error" without '
            'a reason. (Build b1.)',
        ),
        (
            error('No disk', fault='service'),
            [],
            'The image build service failed, not the template: the image '
            '"web" was not built: No disk. (Build b1.)',
        ),
        (
            build(status='cancelled'),
            [],
            'The build of the image "web" was cancelled before it was done. '
            '(Build b1.)',
        ),
        (
            build(status='deleting'),
            [],
            'The build of the image "web" was deleted by somebody else. '
            '(Build b1.)',
        ),
        (
            build(status='unheard of'),
            [],
            'The image "web" could not be built: it ended as "unheard of" '
            'without a reason. (Build b1.)',
        ),
    ],
)
def test_ended(ended, steps, expected):
    assert messages.build_failed(ended, steps) == expected


@pytest.mark.parametrize(
    'values, expected',
    [
        (
            {'status': 'failed', 'results': [{'name': 'a', 'reason': 'b'}]},
            'The machines are not as described: a: b. (Validation v1.)',
        ),
        (
            {
                'status': 'failed',
                'results': [
                    {'name': 'a', 'reason': 'b\n\nc\nd\ne'},
                    {'name': 'well', 'reason': ''},
                    {'name': 'f', 'reason': 'g'},
                ],
            },
            'The machines are not as described. (Validation v1.)\na: b\nc\n'
            'd (and 1 more)\nf: g',
        ),
        (
            {'status': 'error', 'status_reason': 'a: away\nb: away'},
            'The machines could not be looked at. (Validation v1.)\na: away\n'
            'b: away',
        ),
        (
            {'status': 'cancelled', 'status_reason': 'It was cancelled.'},
            'The validation was ended as "cancelled": It was cancelled. '
            '(Validation v1.)',
        ),
        (
            {'status': 'failed'},
            'The machines are not as described. (Validation v1.)',
        ),
    ],
)
def test_machines(values, expected):
    validation = client.Validation(id='v1', **values)
    assert messages.machines_failed(validation) == expected


def test_what_a_list_of_failures_shows():
    """heatclient shows the last ten lines of a reason."""
    reason = (
        "packages[0]: package 'nginxx' is not known to apt of this image "
        '(debian-12)'
    )
    output = '\n'.join(f'line {number}' for number in range(60))
    text = messages.build_failed(
        error(reason, fault='user'), [failed('packages[0]', output)]
    )
    shown = text.splitlines()[-10:]
    assert reason in shown[0]
    assert shown[-1] == 'line 59'
    assert len(shown) <= 2 + messages.TAIL_LINES


def test_last_failing_step_counts():
    # An earlier attempt failed elsewhere.
    steps = [failed('a'), client.Step(path='b', result='ok'), failed('c')]
    assert messages.failed_step(steps).path == 'c'
    assert messages.failed_step([]) is None


def test_what_an_event_shows_has_the_step():
    # 255 characters of it.
    text = messages.build_failed(
        error('x' * 1000), [failed('manifest[3]', 'y')]
    )
    assert 'manifest[3]' in text[:255]


def test_tail_is_bounded_and_of_whole_lines():
    output = '\n'.join(f'line {number}' for number in range(1000))
    text = messages.tail(output)
    assert text.startswith('...\nline ')
    assert text.endswith('line 999')
    assert len(text.splitlines()) == messages.TAIL_LINES
    assert messages.tail('x' * 5000) == 'x' * messages.TAIL_WIDTH + '...'
    assert messages.tail('\n\nshort\n') == 'short'


@pytest.mark.parametrize(
    'text, expected',
    [
        ('\x1b[31mred\x1b[0m', 'red'),
        ('50%\r100%', '50%\n100%'),
        ('a\x00b\x07', 'a?b?'),
        ('tab\tnew\n', 'tab\tnew\n'),
        ('Größe – 日本', 'Größe – 日本'),
        # Four bytes in UTF-8.
        ('done \U0001f389', 'done ?'),
        ('\ud800', '?'),
    ],
)
def test_clean(text, expected):
    assert messages.clean(text) == expected
    messages.clean(text).encode()


def bad_request():
    problems = [
        exception.Problem('packages[1]', 'it is empty'),
        exception.Problem('', 'it is odd'),
    ]
    return exceptions.BadRequest('Not valid.', errors=problems)


@pytest.mark.parametrize(
    'raised, expected',
    [
        (
            bad_request(),
            'The image build service refused the image "web": packages[1]: '
            'it is empty; it is odd.',
        ),
        (
            exceptions.BadRequest('Not valid.'),
            'The image build service refused the image "web": Not valid.',
        ),
        (
            exceptions.QuotaExceeded('You have 5 builds'),
            'The image build service refused the image "web": You have 5 '
            'builds.',
        ),
        (
            exceptions.ServerError('It broke', request_id='req-1'),
            'The image build service failed, not the template, at the image '
            '"web": It broke. (Request req-1.)',
        ),
        (
            exceptions.ConnectionFailed('Connection refused.'),
            'The image build service was not reached for the image "web": '
            'Connection refused.',
        ),
        (
            exceptions.EndpointNotFound('There is no endpoint'),
            'The image build service was not reached for the image "web": '
            'There is no endpoint.',
        ),
        (
            exceptions.IdentityRefused(
                'The identity service refused: No role at http://10.0.0.5:5000'
            ),
            'There is no token to ask for the image "web" with: The identity '
            'service refused: No role at its address.',
        ),
    ],
)
def test_refused(raised, expected):
    assert messages.request_failed(raised, 'web') == expected


def test_refused_credentials_say_what_to_set():
    text = messages.request_failed(
        exceptions.Unauthenticated('Expired'), 'web'
    )
    assert 'reauthentication_auth_method = trusts' in text


@pytest.mark.parametrize(
    'plan, expected',
    [
        (client.Plan(reuse={'image_id': 'i'}), 'will reuse image i'),
        (
            client.Plan(reuse={'image_id': None, 'build_id': 'b'}),
            'will wait for build b of the same content',
        ),
        (client.Plan(steps=[{}]), 'will build 1 step'),
        (client.Plan(steps=[{}, {}]), 'will build 2 steps'),
    ],
)
def test_planned(plan, expected):
    assert messages.plan_summary(plan) == expected


def test_too_long():
    text = messages.timeout_too_long(3601, 3600)
    assert '--timeout 61' in text
