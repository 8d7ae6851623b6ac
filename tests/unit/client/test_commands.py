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
"""The commands, with a service that is made up."""

import importlib
import io
import json
import logging
import pathlib
import sys
import types

import pytest
from keystoneauth1 import exceptions as ksa_exceptions
from keystoneauth1 import noauth
from keystoneauth1 import session as ksa_session
from openstackclient import shell
from osc_lib import exceptions as osc_exceptions
from osc_lib.command import command
from rich import cells as rich_cells
from rich import console as rich_console
from rich import text as rich_text

from imagebuild.client import exceptions
from imagebuild.client import records
from imagebuild.client.osc import builds
from imagebuild.client.osc import catalogue
from imagebuild.client.osc import create
from imagebuild.client.osc import plugin
from imagebuild.client.osc import progress
from imagebuild.client.osc import terminal
from imagebuild.client.osc import wait

BASE = 'http://images.example:9797/v1'
URL = f'{BASE}/builds'


@pytest.fixture
def run(builder):
    """Run a command; returns what cliff would format."""

    def call(command, *line, **options):
        app = types.SimpleNamespace(
            client_manager=types.SimpleNamespace(image_build=builder),
            options=types.SimpleNamespace(**options),
        )
        made = command(app, None)
        return made.take_action(made.get_parser('x').parse_args(line))

    call.builder = builder
    return call


def shown(result):
    names, values = result
    return dict(zip(names, values, strict=True))


def human(value):
    return getattr(value, 'human_readable', lambda: value)()


def test_create(run, requests_mock, body):
    requests_mock.post(URL, json=body(size=5))
    found = shown(run(create.CreateBuild, 'web', '--os', 'debian-12'))
    assert requests_mock.last_request.json() == {
        'name': 'web',
        'os': 'debian-12',
    }
    assert found['status'] == 'queued'
    assert found['size'] == 5
    assert human(found['progress']) == ''


@pytest.mark.parametrize(
    'line',
    [
        ['image', 'build', 'create', 'web', '--os', 'debian-12'],
        ['image', 'build', 'create', '--os=debian-12', 'web'],
        # Not only ours: it is nobody's global option.
        ['os', 'thing', '--os', 'x'],
    ],
)
def test_the_program_leaves_os_to_commands(line):
    parser = shell.OpenStackShell().parser
    options, rest = parser.parse_known_args(['--os-clou', 'c', *line])
    assert rest == line
    assert options.cloud == 'c', 'other abbreviations are as they were'


def test_the_service_decides_which_values_are_shown(run, requests_mock, body):
    request = {'arguments': {'port': '6379', 'key': '***'}}
    requests_mock.post(URL, json=body(request=request))
    found = shown(run(create.CreateBuild, 'web'))
    assert found['request'].machine_readable() == request


@pytest.fixture
def quick(builder, monkeypatch):
    """Looks follow each other at once."""
    monkeypatch.setattr('time.sleep', lambda seconds: None)


def answers(requests_mock, body, build_id, *stages):
    requests_mock.post(URL, json=body(id=build_id))
    requests_mock.get(
        f'{URL}/{build_id}',
        [{'json': body(id=build_id, **stage)} for stage in stages],
    )


def at(done, total=2, step='x [y]'):
    return {'done': done, 'total': total, 'step': step}


def test_wait(run, quick, requests_mock, body, capsys):
    answers(
        requests_mock, body, 'b',
        {'status': 'queued'},
        {'status': 'building', 'progress': at(0)},
        {'status': 'building', 'progress': at(0)},
        {'status': 'building', 'progress': at(1)},
        {'status': 'active', 'image_id': 'i', 'progress': at(2, step='')},
    )  # fmt: skip
    found = shown(run(create.CreateBuild, 'web', '--wait'))
    assert found['image_id'] == 'i'
    out, err = capsys.readouterr()
    assert out == ''
    assert err.splitlines() == [
        'queued',
        'building [0/2] x [y]',
        'building [1/2] x [y]',
        'active [2/2]',
    ]


def test_wait_for_an_image_that_is_there(run, requests_mock, body, capsys):
    answers(requests_mock, body, 'b', {'status': 'active', 'image_id': 'i'})
    assert shown(run(create.CreateBuild, 'web', '--wait'))['image_id'] == 'i'


def test_failure(run, quick, requests_mock, body, capsys):
    answers(
        requests_mock, body, 'b',
        {'status': 'error', 'fault': 'user', 'status_reason': 'It failed.'},
    )  # fmt: skip
    output = '\n'.join(f'line {number}' for number in range(50))
    step = {'number': 2, 'path': 'packages[0]', 'validator': 'package'}
    requests_mock.get(
        f'{URL}/b/steps',
        json={
            'steps': [
                {**step, 'attempt': 1, 'result': 'failed', 'message': 'old'},
                {**step, 'attempt': 2, 'result': 'ok', 'number': 1},
                {
                    **step,
                    'attempt': 2,
                    'result': 'failed',
                    'message': 'exit code 3',
                    'output': output,
                },
            ]
        },
    )
    with pytest.raises(osc_exceptions.CommandError) as caught:
        run(create.CreateBuild, 'web', '--wait')
    lines = str(caught.value).splitlines()
    assert lines == [
        'The end of what step 2 printed:',
        *(f'    line {number}' for number in range(44, 50)),
        'Step 2, packages[0] (package), failed: exit code 3',
        'The build b ("web") ended in error (fault: user): It failed.',
        'The whole log: openstack image build log b',
    ]


def test_a_reason_is_not_said_twice(run, quick, requests_mock, body):
    reason = (
        "packages[0]: package 'nginxx' is not known to apt of this image "
        '(debian-12)'
    )
    answers(
        requests_mock, body, 'b', {'status': 'error', 'status_reason': reason}
    )  # fmt: skip
    step = {'number': 1, 'path': 'packages[0]', 'result': 'failed'}
    message = reason.partition(': ')[2]
    requests_mock.get(
        f'{URL}/b/steps', json={'steps': [{**step, 'message': message}]}
    )
    with pytest.raises(osc_exceptions.CommandError) as caught:
        run(create.CreateBuild, 'web', '--wait')
    assert str(caught.value).splitlines() == [
        f'The build b ("web") ended in error: {reason}',
        'The whole log: openstack image build log b',
    ]


@pytest.mark.parametrize(
    'steps', [{'status_code': 404}, {'json': {'steps': []}}]
)
def test_failure_without_details(run, requests_mock, body, steps):
    answers(requests_mock, body, 'b', {'status': 'error'})
    requests_mock.get(f'{URL}/b/steps', **steps)
    with pytest.raises(osc_exceptions.CommandError, match='in error'):
        run(create.CreateBuild, 'web', '--wait')


def test_cancelled_is_a_failure(run, requests_mock, body):
    answers(requests_mock, body, 'b', {'status': 'cancelled'})
    with pytest.raises(osc_exceptions.CommandError, match='in cancelled'):
        run(create.CreateBuild, 'web', '--wait')


def test_follow(run, quick, requests_mock, body, capsys):
    answers(
        requests_mock, body, 'b',
        {'status': 'building'},
        {'status': 'active', 'image_id': 'i'},
    )  # fmt: skip
    requests_mock.get(
        f'{URL}/b/log', [{'text': part} for part in ('one\n', '', 'two\n', '')]
    )
    assert shown(run(create.CreateBuild, 'web', '--follow'))['image_id'] == 'i'
    out, err = capsys.readouterr()
    assert (out, err) == ('', 'queued\none\ntwo\n')


def test_interrupt_says_that_the_build_goes_on(
    run, requests_mock, body, capsys
):
    requests_mock.post(URL, json=body(id='b'))
    requests_mock.get(f'{URL}/b', exc=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        run(create.CreateBuild, 'web', '--wait')
    err = capsys.readouterr().err
    assert 'The build b goes on' in err
    assert 'openstack image build cancel b' in err


def test_live_line(builder, requests_mock, body, capsys, monkeypatch):
    monkeypatch.setenv('FORCE_COLOR', '1')
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '200')
    requests_mock.get(f'{URL}/b', json=body(status='building', progress=at(1)))
    with progress.Display(live=True) as display:
        display.show(builder.builds.get('b'))
        display.show(builder.builds.get('b'))
    # Words of the service are no markup.
    assert 'x [y]' in capsys.readouterr().err


def test_the_bar_is_full_only_at_the_end():
    with progress.Display(live=True) as display:
        task = display._bar.tasks[0]
        for status, percent, full in (
            ('building', None, False),
            ('building', 100, False),
            ('uploading', 100, False),
            ('active', 100, True),
        ):
            display.show(
                records.Build(
                    id='b',
                    status=status,
                    progress=records.Progress(
                        done=3, total=3, step='x' * 500, percent=percent
                    ),
                )
            )
            assert (task.percentage == 100) is full, status
            assert task.fields['count'] == '[3/3]'


def drawn(display, width):
    """The live line as a terminal of that width shows it."""
    screen = rich_console.Console(
        file=io.StringIO(), force_terminal=True, width=width
    )
    screen.print(display._bar.get_renderable())
    return text_of(screen.file.getvalue())


def text_of(drawing):
    return rich_text.Text.from_ansi(drawing).plain.rstrip('\n')


@pytest.mark.parametrize('width', [80, 120, 40])
@pytest.mark.parametrize('step', ['x' * 500, '日本語' * 60, 'short'])
def test_a_line_is_never_longer_than_the_terminal(width, step):
    with progress.Display(live=True) as display:
        display.show(
            records.Build(
                id='b',
                status='building',
                progress=records.Progress(
                    done=3, total=4, step=step, phase='base_image',
                    bytes_done=2**21, bytes_total=2**22, percent=12,
                    elapsed=75, remaining=130,
                ),
            )
        )  # fmt: skip
        line = drawn(display, width)
    assert '\n' not in line
    assert rich_cells.cell_len(line) <= width
    if width >= 120:
        assert 'building (base image)' in line
        assert '12 % 1:15 about 2 min left [3/4] 2.0 of 4.0 MiB' in line


def test_the_clock_runs_while_nothing_is_said(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(progress.time, 'monotonic', lambda: now[0])

    with progress.Display(live=True) as display:
        # How long one waits, and then how long the build runs.
        display.show(records.Build(id='b', status='queued'))
        now[0] += 1.9
        assert '0:01' in drawn(display, 120)
        display.show(
            records.Build(
                id='b',
                status='building',
                progress=records.Progress(elapsed=0),
            )
        )
        assert '0:00' in drawn(display, 120)

    def build(**values):
        return records.Build(
            id='b', status='building', progress=records.Progress(**values)
        )

    with progress.Display(live=True) as display:
        display.show(build(phase='convert', elapsed=60, remaining=125))
        assert '1:00 about 2 min left' in drawn(display, 120)
        now[0] += 70
        assert '2:10 less than a minute left' in drawn(display, 120)
        now[0] += 100
        assert 'left' not in drawn(display, 120)
        # The service counts whole seconds; the clock does not go back.
        display.show(build(phase='convert', elapsed=229))
        assert '3:50' in drawn(display, 120)
        display.show(build(phase='convert', elapsed=300))
        assert '5:00' in drawn(display, 120)


PHASED = {
    **at(1, 4, 'package nginx'),
    'phase': 'steps',
    'percent': 41,
    'phases': [
        {'name': 'base_image', 'seconds': 62.3},
        # In the sandbox, too.
        {'name': 'appliance', 'seconds': 3.4},
        {'name': 'steps', 'seconds': 5.0},
    ],
    'elapsed': 75,
    'remaining': 130,
}


def test_lines_of_phases(run, quick, requests_mock, body, capsys):
    download = {
        **at(0, 0, 'download base image'),
        'phase': 'base_image',
        'percent': 3,
        'bytes_total': 100,
    }
    upload = {
        **at(4, 4, 'uploading to glance'),
        'phase': 'upload',
        'percent': 97,
    }
    answers(
        requests_mock, body, 'b',
        {'status': 'building', 'progress': {**download, 'bytes_done': 1}},
        # Bytes alone are not worth a line.
        {'status': 'building', 'progress': {**download, 'bytes_done': 2}},
        {'status': 'building', 'progress': PHASED},
        {'status': 'uploading', 'progress': upload},
        {'status': 'active', 'progress': {**at(4, 4, ''), 'percent': 100}},
    )  # fmt: skip
    run(create.CreateBuild, 'web', '--wait')
    assert capsys.readouterr().err.splitlines() == [
        'queued',
        'building (base image) 3 % download base image',
        'building (steps) 41 % [1/4] package nginx, about 2 min left',
        'uploading 97 % [4/4] uploading to glance',
        'active [4/4]',
    ]


def test_show_has_the_phases(run, requests_mock, body):
    build = body(status='building', progress=PHASED)
    requests_mock.get(f'{URL}/{build["id"]}', json=build)
    found = shown(run(builds.ShowBuild, build['id']))['progress']
    assert found.human_readable() == (
        '41 % steps [1/4] package nginx, about 2 min left\n'
        'base image 1:02, opening the disk 0:03, steps 0:05'
    )
    assert found.machine_readable() == {
        **PHASED,
        'bytes_done': None,
        'bytes_total': None,
    }


def test_a_log_and_a_live_line(builder, capsys, monkeypatch):
    """The line is away while the log is printed, and not amid its lines."""
    with progress.Display(live=True) as display:
        display.write('half a', sys.stdout)
        assert not display._bar.live.is_started
        display.write(' line\n', sys.stdout)
        assert display._bar.live.is_started
    assert capsys.readouterr().out == 'half a line\n'


def test_plan(run, requests_mock):
    requests_mock.post(
        f'{URL}/plan',
        json={
            'would_build': True,
            'reuse': {'image_id': None, 'build_id': None},
            'steps': [{'description': 'package nginx'}, {'path': 'files[0]'}],
            'conductors': ['b', 'a'],
        },
    )
    found = shown(run(create.PlanBuild, 'web'))
    assert human(found['steps']) == '1. package nginx\n2. files[0]'
    assert human(found['conductors']) == 'a, b'
    assert human(found['reused_image_id']) == ''
    assert found['reused_image_id'].machine_readable() is None


def test_list(run, requests_mock, body):
    requests_mock.get(URL, json={'builds': [body(image_id='i')]})
    names, [row] = run(builds.ListBuild)
    assert names == ('ID', 'Name', 'Status', 'OS', 'Image ID', 'Created At')
    assert [human(cell) for cell in row[1:5]] == ['web', 'queued', '', 'i']
    assert row[3].machine_readable() is None
    assert requests_mock.last_request.qs == {}


def test_list_long(run, requests_mock, body):
    requests_mock.get(URL, json={'builds': [body(project_id='p')]})
    names, [row] = run(
        builds.ListBuild, '--long', '--all-projects', '--status', 'error',
        '--status', 'queued', '--os', 'a', '--os', 'b', '--driver', 'd',
        '--content-key', 'k',
        '--name', 'web', '--sort', 'name:asc', '--limit', '5', '--marker', 'm',
    )  # fmt: skip
    found = dict(zip(names, row, strict=True))
    assert found['Project'] == 'p'
    assert found['Fault'].machine_readable() is None
    assert requests_mock.last_request.qs == {
        'all_projects': ['true'],
        'status': ['error', 'queued'],
        'os': ['a', 'b'],
        'driver': ['d'],
        'content_key': ['k'],
        'name': ['web'],
        'sort': ['name:asc'],
        'limit': ['5'],
        'marker': ['m'],
    }


def test_show(run, requests_mock, body):
    whole = body(
        status='error',
        fault='service',
        status_reason='No room.',
        checksum={'os_hash_algo': 'a', 'os_hash_value': 'b'},
        images=[{'image_id': 'i'}],
        boot_test={'passed': False, 'findings': [{'what': 'port 22'}]},
        request={'packages': ['nginx']},
    )
    # As lists have it.
    short = {**whole, 'request': {}, 'boot_test': {'passed': False}}
    requests_mock.get(URL, json={'builds': [short]})
    requests_mock.get(f'{URL}/{whole["id"]}', json=whole)
    found = shown(run(builds.ShowBuild, 'web'))
    assert found['fault'] == 'service'
    assert found['status_reason'] == 'No room.'
    assert found['checksum'] == 'a:b'
    assert '"image_id": "i"' in human(found['images'])
    assert 'port 22' in human(found['boot_test'])
    assert 'nginx' in human(found['request'])
    assert found['progress'].machine_readable() == {
        **dict.fromkeys(
            (
                *('phase', 'percent', 'bytes_done', 'bytes_total'),
                *('elapsed', 'remaining'),
            )
        ),
        'phases': [],
        'done': 0,
        'total': 0,
        'step': '',
    }


@pytest.mark.parametrize(
    'command, method, path',
    [
        (builds.DeleteBuild, 'DELETE', ''),
        (builds.CancelBuild, 'POST', '/cancel'),
    ],
)
def test_several_at_once(run, requests_mock, body, command, method, path):
    def find(request, context):
        name = request.qs['name'][0]
        return {'builds': [] if name == 'b' else [body(id=name)]}

    requests_mock.get(URL, json=find)
    requests_mock.register_uri(method, f'{URL}/a{path}', status_code=409)
    requests_mock.register_uri(method, f'{URL}/c{path}', status_code=202)
    with pytest.raises(osc_exceptions.CommandError) as caught:
        run(command, 'a', 'b', 'c')
    first, second = str(caught.value).splitlines()
    assert first.startswith('a: ')
    assert second == 'b: There is no build "b".'
    assert requests_mock.last_request.path == f'/v1/builds/c{path}'


def test_set(run, requests_mock, body):
    requests_mock.get(URL, json={'builds': [body(id='a')]})
    requests_mock.patch(f'{URL}/a', json=body(id='a', name='new'))
    found = shown(
        run(
            builds.SetBuild,
            *('a', '--name', 'new', '--tag', 'x', '--property', 'a=1'),
            '--unprotected',
        )
    )
    assert found['name'] == 'new'
    assert requests_mock.last_request.json() == {
        'name': 'new',
        'tags': ['x'],
        'properties': {'a': '1'},
        'protected': False,
    }


@pytest.mark.parametrize(
    ('line', 'changes'),
    [
        ('--no-tag', {'tags': []}),
        ('--no-member', {'members': []}),
        ('--no-property', {'properties': {}}),
        (
            '--no-tag --no-member --no-property --min-disk 0',
            {'tags': [], 'members': [], 'properties': {}, 'min_disk': 0},
        ),
        # As openstack has it elsewhere: what was there goes first.
        ('--no-tag --tag x', {'tags': ['x']}),
        ('--member p --no-member', {'members': ['p']}),
        ('--no-property --property a=1', {'properties': {'a': '1'}}),
    ],
)
def test_set_empties(run, requests_mock, body, line, changes):
    requests_mock.get(URL, json={'builds': [body(id='a')]})
    requests_mock.patch(f'{URL}/a', json=body(id='a'))
    run(builds.SetBuild, 'a', *line.split())
    assert requests_mock.last_request.json() == changes


def test_set_nothing(run, requests_mock, body):
    with pytest.raises(osc_exceptions.CommandError, match='Nothing'):
        run(builds.SetBuild, 'a')


def test_log(run, quick, requests_mock, body, capsys):
    requests_mock.get(URL, json={'builds': [body(id='b')]})
    requests_mock.get(
        f'{URL}/b/log', [{'text': part} for part in ('one\n', 'two\n', '')]
    )
    run(builds.LogBuild, 'web', '--offset', '7')
    assert capsys.readouterr().out == 'one\ntwo\n'
    offsets = [
        item.qs['offset'][0] for item in requests_mock.request_history[1:]
    ]
    assert offsets == ['7', '11', '15']


def test_log_follow(run, quick, requests_mock, body, capsys):
    requests_mock.get(URL, json={'builds': [body(id='b')]})
    requests_mock.get(f'{URL}/b', json=body(id='b', status='active'))
    requests_mock.get(f'{URL}/b/log', [{'text': 'one\n'}, {'text': ''}])
    run(builds.LogBuild, 'web', '--follow')
    assert capsys.readouterr().out == 'one\n'


def test_log_follow_ends_as_the_build_did(
    run, quick, requests_mock, body, capsys
):
    requests_mock.get(URL, json={'builds': [body(id='b')]})
    ended = body(id='b', status='error', status_reason='No such package.')
    requests_mock.get(f'{URL}/b', json=ended)
    requests_mock.get(f'{URL}/b/log', [{'text': 'one\n'}, {'text': ''}])
    requests_mock.get(f'{URL}/b/steps', json={'steps': []})
    with pytest.raises(osc_exceptions.CommandError, match='No such package'):
        run(builds.LogBuild, 'web', '--follow')
    assert capsys.readouterr().out == 'one\n'


@pytest.fixture
def ended(builder, quick, capsys):
    """Run the whole command, as cliff does; its exit code and what it said."""

    def call(command, *line):
        errors = []
        app = types.SimpleNamespace(
            client_manager=types.SimpleNamespace(image_build=builder),
            options=types.SimpleNamespace(debug=False),
            stdout=sys.stdout,
            LOG=types.SimpleNamespace(error=lambda e: errors.append(str(e))),
        )
        made = command(app, None)
        code = made.run(made.get_parser('x').parse_args([*line]))
        out, err = capsys.readouterr()
        return code, out, '\n'.join([err, *errors])

    return call


def builds_that_end(requests_mock, body, **ends):
    requests_mock.get(URL, json={'builds': []})
    for name, end in ends.items():
        here = body(id=name, name=name)
        requests_mock.get(f'{URL}?name={name}', json={'builds': [here]})
        requests_mock.get(
            f'{URL}/{name}',
            [
                {'json': body(id=name, name=name, status='building')},
                {'json': body(id=name, name=name, **end)},
            ],
        )
        requests_mock.get(f'{URL}/{name}/steps', json={'steps': []})


GOOD = {'status': 'active', 'image_id': 'i'}
BAD = {'status': 'error', 'fault': 'user', 'status_reason': 'No nginx.'}
AWAY = {'status': 'error', 'fault': 'service', 'status_reason': 'No disk.'}


@pytest.mark.parametrize(
    'ends, code',
    [
        ([GOOD], 0),
        ([BAD], 1),
        ([AWAY], 3),
        ([{'status': 'cancelled'}], 1),
        ([GOOD, GOOD], 0),
        ([AWAY, BAD, GOOD], 3),
        ([GOOD, BAD], 1),
    ],
)
def test_wait_ends_with_the_worst_code(ended, requests_mock, body, ends, code):
    named = {f'build{number}': end for number, end in enumerate(ends)}
    builds_that_end(requests_mock, body, **named)
    found, out, err = ended(wait.WaitBuild, *named, '-f', 'json')
    assert found == code
    rows = json.loads(out)
    assert [row['ID'] for row in rows] == list(named)
    assert [row['Status'] for row in rows] == [each['status'] for each in ends]
    assert [row['Image ID'] for row in rows] == [
        each.get('image_id') for each in ends
    ]
    for each in ends:
        assert each.get('status_reason', '') in err


def test_wait_no_longer_for_any(ended, requests_mock, body):
    builds_that_end(
        requests_mock, body, slow={'status': 'building'}, done=GOOD
    )
    requests_mock.get(f'{URL}/done', json=body(id='done', name='done', **GOOD))
    code, out, err = ended(
        wait.WaitBuild, 'slow', 'done', 'done', '--timeout', '0', '-f', 'json'
    )
    assert code == 1
    assert [row['Status'] for row in json.loads(out)] == ['building', 'active']
    assert 'slow is still building after 0 seconds' in err


def test_wait_for_one_that_is_deleted_meanwhile(ended, requests_mock, body):
    builds_that_end(requests_mock, body, gone=GOOD, done=GOOD)
    requests_mock.get(f'{URL}/gone', status_code=404)
    code, out, err = ended(wait.WaitBuild, 'gone', 'done', '-f', 'json')
    assert code == 1
    assert [row['Status'] for row in json.loads(out)] == ['deleted', 'active']
    assert 'gone was deleted meanwhile' in err


def test_wait_for_none_if_a_name_is_wrong(run, requests_mock, body):
    builds_that_end(requests_mock, body, web=GOOD)
    with pytest.raises(exceptions.NotFound, match='wbe'):
        run(wait.WaitBuild, 'web', 'wbe')
    assert f'{URL}/web' not in [
        each.url for each in requests_mock.request_history
    ]


@pytest.mark.parametrize('end, code', [(GOOD, 0), (BAD, 1), (AWAY, 3)])
def test_follow_ends_with_the_code_of_the_build(
    ended, requests_mock, body, end, code
):
    builds_that_end(requests_mock, body, web=end)
    requests_mock.get(f'{URL}/web/log', [{'text': 'one\n'}, {'text': ''}])
    found, out, err = ended(builds.LogBuild, 'web', '--follow')
    assert (found, out) == (code, 'one\n')
    assert end.get('status_reason', '') in err


def test_steps(run, requests_mock, body):
    requests_mock.get(URL, json={'builds': [body(id='b')]})
    step = {
        'attempt': 1,
        'number': 2,
        'path': 'x',
        'validator': 'package',
        'result': 'failed',
        'seconds': 1.26,
        'output': 'E: no',
    }
    requests_mock.get(f'{URL}/b/steps', json={'steps': [step]})
    names, [row] = run(builds.ListStep, 'web')
    assert row[:6] == (1, 2, 'x', 'package', 'failed', 1.3)
    assert 'Output' not in names
    names, [row] = run(builds.ListStep, 'web', '--long')
    assert dict(zip(names, row, strict=True))['Output'] == 'E: no'


def test_delete_and_wait(run, quick, requests_mock, body, capsys):
    requests_mock.get(URL, json={'builds': [body(id='b')]})
    requests_mock.delete(f'{URL}/b', status_code=202)
    looks = requests_mock.get(
        f'{URL}/b',
        [{'json': body(id='b', status='deleting')}, {'status_code': 404}],
    )
    run(builds.DeleteBuild, 'web', '--wait')
    assert looks.call_count == 2
    assert capsys.readouterr().err == 'deleting web (b)\n'


def test_live_line_of_what_is_no_build():
    with progress.Display(live=True) as display:
        display.tell('deleting', 'web [x]\x1b[2J (b)')
        shown = drawn(display, 80)
    assert r'deleting web [x]\x1b[2J (b)' in shown


def test_a_reused_build_says_so(run, requests_mock, body, capsys):
    requests_mock.post(URL, json=body(status='active', reused_from='other'))
    run(create.CreateBuild, 'web')
    assert 'image of the build other' in capsys.readouterr().err


def test_wait_says_that_an_image_is_reused(ended, requests_mock, body):
    """A build that had to wait for another one of its content, too."""
    builds_that_end(
        requests_mock, body, web=GOOD | {'reused_from': 'other'}, new=GOOD
    )
    code, out, err = ended(wait.WaitBuild, 'web', 'new', '-f', 'json')
    assert code == 0
    assert [row['Reused From'] for row in json.loads(out)] == ['other', None]
    assert err.count('Nothing was built') == 1
    assert 'image of the build other has the same content' in err


def test_follow_says_that_an_image_is_reused(ended, requests_mock, body):
    builds_that_end(requests_mock, body, web=GOOD | {'reused_from': 'other'})
    requests_mock.get(f'{URL}/web/log', text='')
    code, out, err = ended(builds.LogBuild, 'web', '--follow')
    assert (code, out) == (0, '')
    assert 'image of the build other has the same content' in err


HOSTILE = 'a\x1b[2Jb\u202ec\r'


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_control_characters_do_not_reach_a_terminal(
    run, quick, requests_mock, body, capsys, monkeypatch
):
    requests_mock.get(URL, json={'builds': [body(id='b', name=HOSTILE)]})
    app = types.SimpleNamespace(stdout=Terminal())

    class Shown(terminal.SafeOutput, command.Command):
        def take_action(self, parsed_args):
            self.app.stdout.write(f'{HOSTILE}\n\t')

    Shown(app, None).run(types.SimpleNamespace())
    escaped = r'a\x1b[2Jb\u202ec\r'
    assert app.stdout.getvalue() == f'{escaped}\n\t'

    build = records.Build(id='b', name=HOSTILE, status_reason=HOSTILE)
    requests_mock.get(f'{URL}/b/steps', json={'steps': []})
    told = progress.failure(run.builder.builds, build)
    assert '\x1b' not in told and told.count(escaped) == 2
    with progress.Display(live=False) as display:
        display.show(build)
        display.show(
            records.Build(id='b', progress=records.Progress(step=HOSTILE))
        )
    assert '\x1b' not in capsys.readouterr().err
    assert '\x1b' not in str(exceptions.BadRequest(HOSTILE))

    monkeypatch.setattr('sys.stdout', Terminal())
    requests_mock.get(f'{URL}/b/log', [{'text': HOSTILE}, {'text': ''}])
    run(builds.LogBuild, 'web')
    assert sys.stdout.getvalue() == escaped


def test_a_log_in_a_pipe_is_as_it_was_written(
    run, requests_mock, body, capsys
):
    requests_mock.get(URL, json={'builds': [body(id='b')]})
    requests_mock.get(f'{URL}/b/log', [{'text': HOSTILE}, {'text': ''}])
    run(builds.LogBuild, 'web')
    assert capsys.readouterr().out == HOSTILE


def test_recipes(run, requests_mock):
    listed = [
        {'name': 'redis', 'version': '7'},
        {'name': 'web', 'version': '1'},
        {'name': 'web', 'version': '2'},
    ]
    requests_mock.get(f'{BASE}/recipes', json={'recipes': listed})
    requests_mock.get(
        f'{BASE}/recipes/redis/7',
        json={
            **listed[0],
            'arguments': {
                'type': 'object',
                'required': ['password'],
                'properties': {
                    'port': {
                        'type': 'integer',
                        'default': 6379,
                        'description': 'Where it listens.',
                    },
                    'password': {'type': 'string', 'enum': ['a', 'b']},
                },
            },
        },
    )
    _, rows = run(catalogue.ListRecipe)
    assert [row[:2] for row in rows][-1] == ('web', '2')
    for line in (['redis'], ['redis', '7']):
        found = shown(run(catalogue.ShowRecipe, *line))
        assert human(found['arguments']).splitlines() == [
            'port (integer; default: 6379): Where it listens.',
            'password (string; one of a, b; required)',
        ]
        assert found['arguments'].machine_readable()['type'] == 'object'
    with pytest.raises(osc_exceptions.CommandError, match='1, 2'):
        run(catalogue.ShowRecipe, 'web')
    with pytest.raises(osc_exceptions.CommandError, match='no recipe "x"'):
        run(catalogue.ShowRecipe, 'x')


def test_operating_systems_and_builders(run, requests_mock):
    requests_mock.get(
        f'{BASE}/operating-systems',
        json={'operating_systems': [{'name': 'debian-12', 'driver': 'd'}]},
    )
    requests_mock.get(
        f'{BASE}/conductors',
        json={
            'conductors': [
                {
                    'name': 'c',
                    'drivers': ['b', 'a'],
                    'isolations': {
                        'appliance': [],
                        'sandbox': ['no root', 'no fuse'],
                    },
                    'destinations': ['east', 'west'],
                    'accelerator': 'tcg',
                    'free_disk': 5 * 10**9,
                    'cached_bases': ['sha256:a'],
                    'cached_layers': {'sha256:a': 2, 'sha256:b': 3},
                }
            ]
        },
    )
    _, [row] = run(catalogue.ListOperatingSystem)
    assert row[0] == 'debian-12'
    _, [row] = run(catalogue.ListBuilder)
    assert human(row[5]) == 'a, b'
    assert human(row[8]) == 'appliance, no sandbox (no root; no fuse)'
    names, [row] = run(catalogue.ListBuilder, '--long')
    found = dict(zip(names, row, strict=True))
    assert human(found['Destinations']) == 'east, west'
    assert found['Accelerator'] == 'tcg'
    assert 'G' in found['Free Disk'].human_readable()
    # A service of the release before does not say.
    assert found['Free Memory'].machine_readable() is None
    assert (found['Cached Bases'], found['Cached Layers']) == (1, 5)


def test_drivers_and_destinations(run, requests_mock):
    requests_mock.get(
        f'{BASE}/drivers',
        json={
            'drivers': [
                {
                    'name': 'bootstrap',
                    'options': {
                        'type': 'object',
                        'required': ['os'],
                        'properties': {
                            'os': {
                                'enum': ['a', 'b'],
                                'description': 'Which.',
                            },
                            'size': {'type': 'integer', 'default': 4},
                        },
                    },
                }
            ]
        },
    )
    requests_mock.get(
        f'{BASE}/destinations',
        json={
            'destinations': [
                {
                    'name': 'west',
                    'description': 'Ours',
                    'disk_format': 'raw',
                    'container_format': 'bare',
                    'max_image_size': 0,
                },
                {'name': 'east', 'max_image_size': 10**10},
            ]
        },
    )
    _, [row] = run(catalogue.ListDriver)
    assert row[0] == 'bootstrap'
    assert human(row[1]) == (
        'os (one of a, b; required): Which.\nsize (integer; default: 4)'
    )
    assert row[1].machine_readable()['required'] == ['os']
    _, [west, east] = run(catalogue.ListDestination)
    assert west[:4] == ('west', 'Ours', 'raw', 'bare')
    assert west[4].machine_readable() is None
    assert east[4].machine_readable() == 10**10


# -- what the program asks the plugin for -----------------------------------


def test_every_entry_point_is_a_command():
    found = {}
    for line in pathlib.Path('setup.cfg').read_text().splitlines():
        name, _, target = line.strip().partition(' = imagebuild.client.osc.')
        if name.startswith('image_') and ':' in target:
            module, _, command = target.partition(':')
            found[name] = getattr(
                importlib.import_module(f'imagebuild.client.osc.{module}'),
                command,
            )
    assert len(found) == 41
    assert all(
        issubclass(each, terminal.SafeOutput) for each in found.values()
    )
    assert all(command.__doc__ for command in found.values())


@pytest.mark.parametrize('version', ['1', '1.0', '1.12'])
def test_version(version):
    assert plugin.check_api_version(version)


@pytest.mark.parametrize('version', ['2', 'x', '1.', '1.latest', ''])
def test_wrong_version(version):
    with pytest.raises(osc_exceptions.CommandError):
        plugin.check_api_version(version)


@pytest.mark.parametrize('version, sent', [('1', '1.0'), ('1.5', '1.5')])
def test_client_of_the_program(
    session, requests_mock, body, monkeypatch, version, sent
):
    requests_mock.get('http://other.example/v1/builds/x', json=body())
    instance = types.SimpleNamespace(
        session=session,
        region_name='one',
        interface='internal',
        _api_version={'image_build': version},
        get_configuration=lambda: {
            'image_build_endpoint_override': 'http://other.example'
        },
    )
    plugin.make_client(instance).builds.get('x')
    header = requests_mock.last_request.headers['OpenStack-API-Version']
    assert header == f'image-build {sent}'


@pytest.mark.parametrize(
    'line, logged',
    [
        ('image list', 'image list'),
        ('create x --argument a=geheim', 'create x --argument ***'),
        ('create --argument a=gehe --im x', 'create --argument ***'),
        ('create --argument=a=geheim', 'create --argument ***'),
        (
            'create --arguments-file x --argument a=geheim',
            'create --argument ***',
        ),
    ],
)
def test_logged_command_line(line, logged):
    record = logging.LogRecord('x', 20, 'x', 1, 'START: %s', (line,), None)
    assert plugin.hide_arguments(record)
    assert record.getMessage() == f'START: {logged}'


def test_retries_are_logged_in_one_line(caplog):
    """What keystoneauth says when nobody listens."""
    session = ksa_session.Session(noauth.NoAuth(endpoint='http://127.0.0.1:1'))
    manager = types.SimpleNamespace(
        _api_version={plugin.API_NAME: '1'},
        get_configuration=dict,
        session=session,
        region_name=None,
        interface='public',
    )
    plugin.make_client(manager)
    with pytest.raises(ksa_exceptions.ConnectFailure):
        session.get('http://127.0.0.1:1/', connect_retries=1)
    assert [record.getMessage() for record in caplog.records] == [
        'The service cannot be reached; the next attempt is in 0.5 s.'
    ]
