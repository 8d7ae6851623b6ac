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
"""imagebuild-conductor as a real process: killed, stopped, told things."""

import contextlib
import pathlib
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.functional import conductors
from tests.functional.conductors import add_build
from tests.functional.conductors import images_in
from tests.functional.conductors import processes_with
from tests.functional.conductors import running
from tests.functional.conductors import wait_for
from tests.functional.conductors import wait_until
from tests.functional.conductors import workspaces_in
from tools.cloud import cloud_state

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def database(tmp_path):
    return conductors.make_database(tmp_path)


@contextlib.contextmanager
def program(
    directory,
    name='p1',
    *,
    module='tests.functional.conductor_program',
    **options,
):
    """A conductor in a process of its own; killed at the end."""
    conf = conductors.write_conf(directory, name, **options)
    command = [
        sys.executable,
        '-W',
        'ignore',
        '-m',
        module,
        '--config-file',
        str(conf),
    ]
    with (directory / f'{name}.log').open('wb') as log:
        started = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
    try:
        wait_until(
            lambda: 'is up' in log_of(directory, name) or started.poll(),
            what=f'the start: {log_of(directory, name)}',
        )
        assert started.poll() is None, log_of(directory, name)
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait()


def log_of(directory, name='p1'):
    return (directory / f'{name}.log').read_text()


@pytest.mark.parametrize('when', ['build', 'upload', 'a deaf job'])
def test_killed_and_taken_over(tmp_path, database, when):
    mended = str(tmp_path / 'mended')
    do = {
        'build': {'options': {'hold': mended}},
        'upload': {'tags': [f'hold:{mended}']},
        'a deaf job': {'options': {'end': 'hang', 'until': mended}},
    }
    status = 'uploading' if when == 'upload' else 'building'
    with program(tmp_path) as conductor:
        build_id = add_build(database, **do[when])
        wait_for(database, build_id, status)
        job = build_id
        if when == 'upload':
            [upload] = database.list_uploads(build_id=build_id)
            job = upload.id
        wait_until(lambda: processes_with(f'{job}-1'))
        if when == 'a deaf job':
            wait_until(lambda: len(processes_with(f'{build_id}-1')) >= 2)
        conductor.kill()
        conductor.wait()
        (tmp_path / 'mended').touch()
        with running(tmp_path, 'c2'):
            wait_until(lambda: f'{job}-1' not in workspaces_in(tmp_path))
            assert processes_with(f'{job}-1') == []
            build = wait_for(database, build_id, 'active')
    # What was built is not built again.
    done = database.get_job(job)
    assert (done.conductor, done.attempt) == ('c2', 2)
    assert build.attempt == (1 if when == 'upload' else 2)
    assert [image['id'] for image in images_in(tmp_path)] == [build.image_id]
    assert workspaces_in(tmp_path) == []
    names = {each.name: each.status for each in database.list_conductors()}
    assert names['p1'] == 'down'


def test_a_pipeline_outlives_many_kills(tmp_path, database):
    """Killed again and again, anywhere: nothing doubled, lost or leaked."""
    id = database.create_pipeline(
        {
            'project_id': conductors.PROJECT,
            'name': 'web',
            'os': 'fake-os',
            'request': {'name': 'web', 'os': 'fake-os'},
            'max_age': 1,
            'max_failures': 0,
            'current_tag': 'current',
        }
    ).id

    def tagged():
        return [
            image['id']
            for image in images_in(tmp_path)
            if 'current' in image['tags']
        ]

    was_there = False
    for number in range(3):
        with program(tmp_path, max_attempts=100) as conductor:
            time.sleep(0.7 + number * 0.6)
            conductor.kill()
            conductor.wait()
        # Whoever looks for the tag finds it, once it was there.
        assert tagged() or not was_there
        was_there = bool(tagged())
    with running(tmp_path, 'p1', max_attempts=100):
        wait_until(lambda: len(database.builds_of_pipeline(id)) == 2)
        database.update_pipeline(id, {}, paused=True)
        wait_until(
            lambda: (
                (found := database.get_pipeline(id)).is_settled
                and not found.running_build_id
            )
        )
        active = database.builds_of_pipeline(id)
        wait_until(lambda: len(images_in(tmp_path)) == len(active))
    found = database.get_pipeline(id)
    assert found.failures == 0
    assert tagged() == [found.current_image_id]
    assert len(active) == 2
    assert {image['id'] for image in images_in(tmp_path)} == {
        build.image_id for build in active
    }
    assert {build.status for build in database.list_builds()} == {'active'}


def test_job_dies_with_its_conductor(tmp_path, database):
    # Without anybody to sweep: the parent-death watch alone.
    with program(tmp_path) as conductor:
        hold = str(tmp_path / 'never')
        build_id = add_build(database, options={'hold': hold})
        wait_until(lambda: processes_with(f'{build_id}-1'))
        conductor.kill()
        conductor.wait()
        wait_until(lambda: not processes_with(f'{build_id}-1'))


def test_without_tables(tmp_path):
    """It says what to do and ends, instead of waiting for ever."""
    (tmp_path / 'operating-systems.yaml').write_text('')
    conf = conductors.write_conf(tmp_path, 'p1')
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', '-m', 'imagebuild.cmd.conductor']
        + ['--config-file', str(conf)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3, done.stderr
    assert 'run "imagebuild-manage db sync"' in done.stderr.splitlines()[-1]
    assert 'Traceback' not in done.stderr
    assert not (tmp_path / 'imagebuild.sqlite').exists()


def test_sigterm_finishes_short_builds(tmp_path, database):
    go_on = tmp_path / 'go-on'
    with program(tmp_path) as conductor:
        build_id = add_build(database, options={'hold': str(go_on)})
        wait_for(database, build_id, 'building')
        conductor.terminate()
        wait_until(lambda: 'Draining' in log_of(tmp_path))
        go_on.touch()
        assert conductor.wait(60) == 0
    assert database.get_build(build_id).status == 'active'
    assert database.list_conductors()[0].status == 'down'


@pytest.mark.parametrize('how', ['time is up', 'second signal'])
def test_sigterm_hands_back_the_rest(tmp_path, database, how):
    seconds = 1 if how == 'time is up' else 600
    with program(tmp_path, graceful_shutdown_timeout=seconds) as conductor:
        hold = str(tmp_path / 'never')
        build_id = add_build(database, options={'hold': hold})
        wait_until(lambda: processes_with(f'{build_id}-1'))
        conductor.terminate()
        if how == 'second signal':
            wait_until(lambda: 'Draining' in log_of(tmp_path))
            conductor.terminate()
        assert conductor.wait(60) == 0
    build = database.get_build(build_id)
    assert (build.status, build.conductor) == ('queued', None)
    assert 'p1 stops' in build.status_reason
    assert workspaces_in(tmp_path) == []
    assert processes_with(f'{build_id}-1') == []


def test_sighup_reads_the_mutable_options(tmp_path, database):
    with program(tmp_path, max_builds=1) as conductor:
        conductors.write_conf(tmp_path, 'p1', max_builds=7)
        conductor.send_signal(signal.SIGHUP)
        wait_until(lambda: database.list_conductors()[0].slots == 7)
        conductors.write_conf(tmp_path, 'p1', max_builds='many')
        conductor.send_signal(signal.SIGHUP)
        wait_until(lambda: 'not reloaded' in log_of(tmp_path))
        assert conductor.poll() is None


def test_sigusr2_prints_a_report_without_secrets(tmp_path, database):
    with program(tmp_path) as conductor:
        conductor.send_signal(signal.SIGUSR2)
        wait_until(lambda: 'Guru Meditation' in log_of(tmp_path))
        wait_until(lambda: 'max_builds' in log_of(tmp_path))
    assert conductors.KEY not in log_of(tmp_path)


def test_log_lines_have_the_request_id(tmp_path, database):
    with program(tmp_path):
        build_id = add_build(
            database,
            options={'end': 'crash'},
            request_id='req-of-this-build',
        )
        wait_for(database, build_id, 'error')
    lines = [
        line
        for line in log_of(tmp_path).splitlines()
        if 'Starting build' in line or 'Segmentation' in line
    ]
    assert len(lines) >= 2
    assert all('[req-of-this-build]' in line for line in lines)


def test_metrics_are_shown(tmp_path, database, unused_port):
    with program(tmp_path, metrics_port=unused_port):
        build_id = add_build(database)
        wait_for(database, build_id, 'active')
        url = f'http://127.0.0.1:{unused_port}/metrics'
        with urllib.request.urlopen(url) as answer:
            text = answer.read().decode()
    assert 'imagebuild_step_seconds_count{validator="script"} 1.0' in text
    assert 'imagebuild_upload_bytes_total 4096.0' in text


@pytest.fixture
def unused_port():
    # Of a range from which the kernel gives nobody any: what it gave us and
    # we gave back could be somebody else's next.
    return cloud_state.free_port()
