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
"""The job as the conductor sees it: a process with pipes."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest

from imagebuild import description
from imagebuild import job as jobs
from imagebuild.job import termination
from tests.functional import job_process

STEP = 'manifest.validators[0].script'


@pytest.fixture
def start(tmp_path):
    """Start a job; by default one with the stub driver."""
    jobs = []

    def start(document=None, program=None):
        stub = [sys.executable, '-m', 'tests.functional.stub_job']
        job = job_process.Job(
            program or stub, tmp_path / f'stderr-{len(jobs)}'
        )
        jobs.append(job)
        if document is not None:
            job.send(document)
        return job

    yield start
    for job in jobs:
        job.close()


@pytest.fixture
def document(tmp_path):
    """Make a document for a build by the stub driver."""
    workspace = tmp_path / 'workspace'
    workspace.mkdir()

    def document(script='slow', timeout=None, arguments=None, **options):
        names = list(arguments or {})
        return {
            'action': 'build',
            'build_id': 'b1',
            'attempt': 1,
            'workspace': str(workspace),
            'request': {
                'manifest': {
                    'arguments': {
                        name: {'required': True, 'hidden': name != 'plain'}
                        for name in names
                    },
                    'validators': [{'script': {script: {'env_vars': names}}}],
                },
                'resources': {script: 'true'},
                'arguments': arguments or {},
            },
            'base': {'kind': 'none', 'driver': 'stub'},
            'driver': 'stub',
            'driver_options': options,
            'timeout': timeout,
            'output': str(workspace / 'image'),
            'disk_format': 'qcow2',
            'config': {'disks': {'cache_dir': str(tmp_path / 'cache')}},
        }

    return document


def kinds(job):
    return [event['event'] for event in job.events]


def running(start, document, **options):
    """Start a job that sleeps in a step, with a child of its own."""
    job = start(document(sleep=60, child=True, **options))
    child = job.until(lambda event: 'child' in event.get('message', ''))
    job.until(lambda event: event['event'] == 'step_started')
    return job, int(child['message'].split()[1])


def test_a_good_build(start, document, tmp_path):
    job = start(document())
    assert job.wait() == 0
    assert job.events[0] == {'event': 'started', 'pid': job.process.pid}
    assert [kind for kind in kinds(job) if kind != 'notice'] == [
        'started',
        'phase',
        'phase',
        'progress',
        'progress',
        'phase',
        'plan',
        'step_started',
        'output',
        'step_finished',
        'phase',
        'phase',
        'finished',
    ]
    told = [event for event in job.events if event['event'] == 'phase']
    assert [(event['phase'], event['what']) for event in told] == [
        ('base_image', ''),
        ('base_image', 'fetch the base image'),
        ('steps', ''),
        ('steps', 'tidying up'),
        ('convert', ''),
    ]
    [step] = [item for item in job.events if item['event'] == 'step_finished']
    assert (step['number'], step['path'], step['result']) == (1, STEP, 'ran')
    result = job.events[-1]['result']
    report = result.pop('report')
    assert [item['path'] for item in report['steps']] == [STEP]
    assert result == {
        'path': str(tmp_path / 'workspace' / 'image'),
        'size': 6,
        'virtual_size': 2 * 1024**3,
        'disk_format': 'qcow2',
    }


def test_nothing_else_writes_to_the_stream(start, document):
    job = start(document(print='not an event'))
    assert job.wait() == 0
    assert job.stderr.count('not an event') == 2
    assert kinds(job)[-1] == 'finished'


def test_a_failing_script(start, document):
    job = start(document('bad'))
    assert job.wait() == 1
    assert job.events[-1] == {
        'event': 'failed',
        'fault': 'user',
        'reason': f'{STEP}: command failed with exit code 3: bad',
        'step': {
            'path': STEP,
            'validator': 'script',
            'command': 'bad',
            'exit_code': 3,
            'output': 'no good: ',
        },
        'lacks_room': False,
    }
    assert 'Traceback' not in job.stderr


def test_a_command_that_takes_too_long(start, document):
    job = start(document('hung'))
    assert job.wait() == 1
    last = job.events[-1]
    assert last['fault'] == 'user'
    assert last['step']['path'] == STEP
    assert last['step']['output'] == 'half'


@pytest.mark.parametrize(
    'options',
    [{'script': 'late'}, {'sleep': 60, 'time_up': 0.1}],
)
def test_the_time_of_the_build_is_up(start, document, monkeypatch, options):
    job = start(document(timeout=60, **options))
    assert job.wait() == 1
    last = job.events[-1]
    assert last['fault'] == 'user'
    assert 'limit of 60 seconds was up during: ' + STEP in last['reason']
    assert last['step']['path'] == STEP


def test_a_slow_reader_does_not_hold_up_the_end(start, document):
    job = start()
    job.pause = 0.04
    job.send(document('flood', timeout=60, time_up=1))
    # This reader would take hours for all of it.
    code = job.process.wait(60)
    job.pause = 0.0
    assert (code, job.wait()) == (1, 1)
    last = job.events[-1]
    assert (last['event'], last['fault']) == ('failed', 'user')
    assert 'seconds was up during: ' + STEP in last['reason']
    assert 'printed faster than' in job.events[-2]['message']


def test_the_environment_fails_in_a_step(start, document):
    job = start(document('broken'))
    assert job.wait() == 1
    last = job.events[-1]
    assert (last['fault'], last['step']['path']) == ('service', STEP)
    assert last['reason'] == 'The libguestfs appliance failed: it is gone.'


@pytest.mark.parametrize(
    'kind, lacks_room',
    [
        ('NoSpace', True),
        ('DiskFull', True),
        ('ChecksumMismatch', False),
        ('StepError', False),
    ],
)
def test_what_lacks_room_says_so(start, document, kind, lacks_room):
    job = start(document(**{'raise': kind}))
    assert job.wait() == 1
    assert job.events[-1]['lacks_room'] is lacks_room


@pytest.mark.parametrize(
    'options, fault, words, has_traceback',
    [
        (
            {'raise': 'ChecksumMismatch', 'message': 'It is another.'},
            'service',
            'It is another.',
            False,
        ),
        (
            {'raise': 'InvalidInput', 'message': 'It cannot be.'},
            'user',
            'It cannot be.',
            False,
        ),
        ({'wrong': 1}, 'user', 'driver options are not valid: wrong', False),
        (
            {'raise': 'RuntimeError', 'message': 'a\nb'},
            'service',
            'Unexpected RuntimeError during: opening the disk: a b.',
            True,
        ),
        (
            {'raise': 'OSError', 'message': 'a'},
            'service',
            'The system refused during: opening the disk: a.',
            True,
        ),
        ({'raise': 'MemoryError'}, 'service', 'memory of the conductor', True),
    ],
)
def test_failures_before_the_run(
    start, document, options, fault, words, has_traceback
):
    job = start(document(**options))
    assert job.wait() == 1
    last = job.events[-1]
    assert (last['event'], last['fault']) == ('failed', fault)
    assert words in last['reason']
    assert last['step'] is None
    assert ('Traceback' in job.stderr) is has_traceback


def test_a_request_that_only_the_api_accepts(start, document):
    wrong = document()
    wrong['request'] = {'recipe': 'only-there'}
    job = start(wrong)
    assert job.wait() == 1
    assert job.events[-1]['fault'] == 'service'
    assert 'refuses what the API accepted' in job.events[-1]['reason']


def test_other_steps_than_were_accepted(start, document):
    wrong = document()
    loaded = description.load(wrong['request'])
    wrong['steps_digest'] = loaded.steps_digest()
    assert start(wrong).wait() == 0
    [script] = wrong['request']['resources']
    wrong['request']['resources'][script] = 'false'
    job = start(wrong)
    assert job.wait() == 1
    assert job.events[-1]['fault'] == 'service'
    assert 'the steps are not the same' in job.events[-1]['reason']


def test_a_disk_that_is_too_small(start, document):
    wanted = document()
    wanted['request']['manifest']['min_disk'] = 5
    job = start(wanted)
    assert job.wait() == 1
    assert job.events[-1]['fault'] == 'user'
    assert 'needs a disk of 5 GiB' in job.events[-1]['reason']


@pytest.mark.parametrize(
    'change',
    [
        {'action': 'dance'},
        {'base': 5},
        {'config': None},
        {'request': 'x'},
        {'workspace': None},
    ],
)
def test_a_wrong_document(start, document, change):
    job = start(document() | change)
    assert job.wait() == 1
    last = job.events[-1]
    assert (last['event'], last['fault']) == ('failed', 'service')
    assert 'wrong document' in last['reason']


@pytest.mark.parametrize('text', [b'x\n', b'[]\n', b'\xff\n', b'5\n'])
def test_not_a_document(start, text):
    job = start()
    job.process.stdin.write(text)
    job.process.stdin.flush()
    assert job.wait() == 1
    assert kinds(job) == ['failed']


def test_no_document(start):
    job = start()
    job.process.stdin.close()
    assert job.wait() == 1
    assert job.events == []


# -- secrets ----------------------------------------------------------------

SECRET = "it's a \"s3cret\" & more"


@pytest.mark.parametrize('script', ['say', 'bad', 'slow'])
def test_a_secret_is_in_nothing_that_leaves_the_job(start, document, script):
    options = {'says': SECRET}
    if script == 'slow':
        options |= {'raise': 'RuntimeError', 'message': f'{SECRET}\n'}
    job = start(
        document(script, arguments={'key': SECRET, 'plain': 'x'}, **options)
    )
    job.wait()
    everything = b''.join(job.lines).decode() + job.stderr
    assert '***' in everything
    assert 's3cret' not in everything


def test_a_short_secret_does_not_break_the_protocol(start, document):
    job = start(document('say', arguments={'key': 'e', 'other': 'started'}))
    assert job.wait() == 0
    assert kinds(job)[0] == 'started'
    result = job.events[-1]['result']
    assert pathlib.Path(result['path']).exists()


# -- the end ----------------------------------------------------------------


def test_the_conductor_is_gone(start, document):
    job, child = running(start, document)
    job.process.stdin.close()
    assert job.wait() == -signal.SIGKILL
    job_process.wait_until_gone(child)
    assert kinds(job)[-1] == 'step_started'


def test_the_conductor_is_gone_and_its_guest_is_killed(start, document):
    job = start(document(guest=True))
    job.until(lambda event: event['event'] == 'step_started')
    while not termination.descendants(job.process.pid):
        assert job.process.poll() is None
    job.process.stdin.close()
    # Not by itself, with the guest's end as the build's failure.
    assert job.wait() == -signal.SIGKILL
    assert kinds(job)[-1] == 'step_started'


def test_sigterm(start, document, tmp_path):
    job, child = running(start, document)
    assert (tmp_path / 'workspace' / 'open').exists()
    job.process.terminate()
    assert job.wait() == jobs.STOPPED
    job_process.wait_until_gone(child)
    assert kinds(job)[-1] == 'step_started'
    assert not (tmp_path / 'workspace' / 'open').exists()


def test_nobody_reads_any_more(document, tmp_path):
    process = subprocess.Popen(
        [sys.executable, '-m', 'tests.functional.stub_job'],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        cwd=pathlib.Path(__file__).parents[2],
    )
    wanted = document(hold=str(tmp_path / 'go-on'), child=True)
    process.stdin.write(json.dumps(wanted).encode() + b'\n')
    process.stdin.flush()
    for line in process.stdout:
        event = json.loads(line)
        if 'child' in event.get('message', ''):
            child = int(event['message'].split()[1])
        if event['event'] == 'step_started':
            break
    process.stdout.close()
    # What it says now is the first that nobody reads.
    (tmp_path / 'go-on').touch()
    assert process.wait(60) == -signal.SIGKILL
    process.stdin.close()
    job_process.wait_until_gone(child)


def test_the_job_is_the_leader_of_its_group(start, document):
    job, _child = running(start, document)
    assert os.getpgid(job.process.pid) == job.process.pid


def test_events_are_sent_at_once(start, document, tmp_path):
    """And not with those that come after them."""
    job = start(document(hold=str(tmp_path / 'go-on')))
    job.until(lambda event: event['event'] == 'step_started')
    assert kinds(job)[-1] == 'step_started'
    assert job.process.poll() is None
    (tmp_path / 'go-on').touch()
    assert job.wait() == 0


def test_every_line_is_one_object_of_ascii(start, document):
    job = start(document('bad', says='\u2028 \x85 ü \ud7ff'))
    job.wait()
    for line in job.lines:
        assert line.isascii()
        assert line.count(b'\n') == 1
        assert isinstance(json.loads(line), dict)


def test_the_command(start):
    job = start({'action': 'none'}, program=jobs.command())
    assert job.wait() == 1
    assert kinds(job) == ['failed']
