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
"""The protocol of jobs, held by the stand-in and by the real job alike."""

import hashlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

import imagebuild.job
from imagebuild import repository
from imagebuild.job import specs
from tests.functional import conductors

REAL_JOB = (sys.executable, '-W', 'ignore', '-m', 'imagebuild.job')
JOBS = {'stand-in': conductors.SCRIPTED_JOB, 'real': REAL_JOB}
BUILD_ID = '00000000-0000-4000-8000-000000000001'


@pytest.fixture(params=JOBS)
def command(request):
    return JOBS[request.param]


def document(tmp_path, **options):
    return {
        'action': 'build',
        'build_id': BUILD_ID,
        'attempt': 1,
        'workspace': str(tmp_path),
        'request': {
            'name': 'n',
            'os': 'fake-os',
            'packages': ['nginx'],
        },
        'base': {'kind': 'none', 'identity': 'fake', 'driver': 'fake'},
        'driver': 'fake',
        'driver_options': options,
        'timeout': 60,
        'output': str(tmp_path / 'image.qcow2'),
        'disk_format': 'qcow2',
        'config': {
            'DEFAULT': {'recipe_path': []},
            'guestfs': {},
            'disks': {'cache_dir': str(tmp_path / 'cache')},
            'keystone': {},
            'glance': {},
            'file_store': {'folder': str(tmp_path / 'images')},
        },
    }


def start(command, directory, said):
    process = subprocess.Popen(
        command,
        cwd=directory,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={
            **os.environ,
            'PYTHONPATH': str(pathlib.Path(__file__).parents[2]),
        },
    )
    process.stdin.write(json.dumps(said).encode() + b'\n')
    process.stdin.flush()
    return process


def run(command, directory, said):
    """Run a job, its input open until it ends.

    :returns: exit code and events.
    """
    process = start(command, directory, said)
    events = [json.loads(line) for line in process.stdout]
    code = process.wait(60)
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()
    return code, events


def test_a_build(command, tmp_path):
    code, events = run(command, tmp_path, document(tmp_path))
    assert code == 0, events
    names = [event['event'] for event in events]
    assert names[0] == 'started' and isinstance(events[0]['pid'], int)
    assert names[-1] == 'finished'
    for name in ('plan', 'step_started', 'step_finished'):
        assert name in names
    result = events[-1]['result']
    data = pathlib.Path(result['path']).read_bytes()
    assert result['path'] == str(tmp_path / 'image.qcow2')
    assert result['size'] == len(data)
    assert result['virtual_size'] >= 0 and 'report' in result


def test_steps_are_numbered(command, tmp_path):
    _, events = run(command, tmp_path, document(tmp_path))
    for event in events:
        if event['event'] == 'step_started':
            assert set(event) >= {
                'number', 'total', 'path', 'validator', 'description',
            }  # fmt: skip
        if event['event'] == 'step_finished':
            assert event['number'] >= 1
            assert set(event) >= {
                'path', 'validator', 'description', 'result', 'seconds',
                'message', 'output',
            }  # fmt: skip


def test_an_upload(command, tmp_path):
    image = tmp_path / 'disk'
    image.write_bytes(b'x' * 512)
    images = repository.Repository(tmp_path / 'repository')
    facts = repository.Facts(BUILD_ID, conductors.PROJECT, 'k', 'qcow2', 512)
    made = images.put(image, facts)
    said = specs.UploadSpec(
        upload_id='00000000-0000-4000-8000-000000000002',
        build_id=BUILD_ID,
        project_id=conductors.PROJECT,
        destination='',
        store='file',
        repository=images.directory,
        artifact=made.id,
        disk_format='qcow2',
        container_format='bare',
        image={'name': 'n', 'owner': conductors.PROJECT, 'tags': ['t']},
        content_key='k',
        config=document(tmp_path)['config'],
    ).to_document()
    ids = set()
    for _ in range(2):
        code, events = run(command, tmp_path, said)
        assert code == 0, events
        result = events[-1]['result']
        assert result['size'] == 512
        digest = hashlib.sha512(b'x' * 512).hexdigest()
        assert result['os_hash_value'] == digest
        ids.add(result['image_id'])
    assert len(ids) == 1


def test_the_parent_death_watch(command, tmp_path):
    said = document(tmp_path, seconds=600)
    process = start(command, tmp_path, said)
    process.stdout.readline()
    process.stdin.close()
    assert process.wait(60) != 0
    conductors.wait_until(lambda: not conductors.processes_with(str(tmp_path)))


def test_sigterm(command, tmp_path):
    said = document(tmp_path, seconds=600)
    process = start(command, tmp_path, said)
    process.stdout.readline()
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(60) != 0
    process.stdin.close()


@pytest.mark.parametrize('delay', [0.02 * number for number in range(15)])
def test_sigterm_while_its_drivers_are_loaded(delay, tmp_path):
    process = start(REAL_JOB, tmp_path, document(tmp_path, seconds=600))
    process.stdout.readline()
    time.sleep(delay)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.wait(60) == imagebuild.job.STOPPED
    process.stdin.close()


@pytest.mark.parametrize(
    'command, options',
    [
        (JOBS['stand-in'], {'end': 'service'}),
        (JOBS['real'], {'fail': 'It went wrong.', 'fault': 'service'}),
    ],
    ids=list(JOBS),
)
def test_a_failure(command, options, tmp_path):
    code, events = run(command, tmp_path, document(tmp_path, **options))
    assert code == 1
    assert events[-1]['event'] == 'failed'
    assert events[-1]['fault'] == 'service'
    assert events[-1]['reason'].endswith('.')
    assert 'step' in events[-1]
