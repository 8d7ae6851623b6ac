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
"""Builds by the job program over a real disk, as a conductor starts them."""

import datetime
import json
import pathlib
import signal
import subprocess
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import pytest
from spdx_tools.spdx.parser.jsonlikedict import json_like_dict_parser
from spdx_tools.spdx.validation import document_validator

from imagebuild import job as jobs
from imagebuild import sbom
from imagebuild.common import phases
from imagebuild.drivers import base as drivers
from imagebuild.drivers import isolations
from tests.functional import job_process

pytestmark = pytest.mark.timeout(1800)

SECRET = 'hush-hush-4711'
MANIFEST: dict[str, Any] = {
    'arguments': {'password': {'required': True, 'hidden': True}},
    'validators': [
        {'script': {'greet.sh': {'env_vars': ['password'], 'output': 'said'}}},
        {'file': {'/etc/said': {'content': '{{ said }}\n', 'template': True}}},
    ],
}
GREET = f"""#!/bin/sh
# Only its value is a secret.
[ "$password" = {SECRET} ] || exit 9
echo "the password is $password" >&2
test -x /usr/bin/tree && test -f /etc/motd.d/ours && echo all before
"""
FAIL = """#!/bin/sh
echo one step
echo it does not work >&2
exit 7
"""
HANG = """#!/bin/sh
echo sleeping
sleep 750
"""


@pytest.fixture
def directory(tmp_path: pathlib.Path) -> pathlib.Path:
    made = tmp_path / 'build'
    made.mkdir()
    return made


@pytest.fixture
def document(
    isolation: isolations.Isolation,
    minimal_image: pathlib.Path,
    directory: pathlib.Path,
    tmp_path: pathlib.Path,
) -> Callable[..., dict[str, Any]]:
    def document(**request: Any) -> dict[str, Any]:
        return {
            'action': 'build',
            'build_id': 'b1',
            'attempt': 1,
            'workspace': str(directory),
            'request': {'name': 'ours', 'os': 'debian-12'} | request,
            'base': {
                'driver': 'guestfs',
                'kind': 'path',
                'location': str(minimal_image),
                'disk_format': 'qcow2',
                'os': 'debian-12',
            },
            'driver': 'guestfs',
            'driver_options': {'compress': False},
            'timeout': 800,
            'output': str(directory / 'image.qcow2'),
            'disk_format': 'qcow2',
            'config': {
                'disks': {'cache_dir': str(tmp_path / 'cache')},
                'guestfs': {
                    'isolation': isolation,
                    'launch_timeout': 700,
                    'cpus': None,
                },
                'DEFAULT': {'recipe_path': []},
            },
        }

    return document


@pytest.fixture
def start(
    tmp_path: pathlib.Path,
) -> Iterator[Callable[[dict[str, Any]], job_process.Job]]:
    started: list[job_process.Job] = []

    def start(document: dict[str, Any]) -> job_process.Job:
        job = job_process.Job(jobs.command(), tmp_path / 'stderr')
        started.append(job)
        return job.send(document)

    yield start
    for job in started:
        job.close()
    # It is in the conductor's log; what the library says is not.
    assert 'libguestfs: ' not in (tmp_path / 'stderr').read_text()


def script(text: str) -> dict[str, Any]:
    return {
        'manifest': {'validators': [{'package': 'dash'}, {'script': 'x.sh'}]},
        'resources': {'x.sh': text},
    }


def processes_that_name(directory: pathlib.Path) -> list[str]:
    """Command lines of living processes, such as a qemu's."""
    found = []
    for path in pathlib.Path('/proc').glob('[0-9]*/cmdline'):
        try:
            line = path.read_bytes()
        except OSError:
            continue
        alive = job_process.is_alive(int(path.parent.name))
        if str(directory).encode() in line and alive:
            found.append(line.decode().replace('\0', ' '))
    return found


class Inside:
    """Files of an image, read with tools that are none of ours.

    Not virt-cat: under emulation it takes two minutes.
    """

    def __init__(self, image: pathlib.Path, directory: pathlib.Path) -> None:
        raw = directory / 'image.raw'
        subprocess.run(
            ['qemu-img', 'convert', '-O', 'raw', image, raw], check=True
        )
        table = json.loads(run('sfdisk', '-J', raw))['partitiontable']
        start = table['partitions'][-1]['start'] * table['sectorsize']
        self._device = f'{raw}?offset={start}'

    def cat(self, path: str) -> str:
        return run('debugfs', '-R', f'cat {path}', self._device)

    def stat(self, path: str) -> str:
        return run('debugfs', '-R', f'stat {path}', self._device)

    def check(self) -> None:
        """Fail unless the file system is whole."""
        run('e2fsck', '-f', '-n', self._device)


def run(*argv: object) -> str:
    done = subprocess.run(
        [str(word) for word in argv], check=True, capture_output=True
    )
    return done.stdout.decode()


def told_by_dpkg(status: str, directory: pathlib.Path) -> set[str]:
    """What dpkg-query lists of a database."""
    (directory / 'status').write_text(status)
    form = '${Package} ${Version} ${Architecture}\n'
    listed = run('dpkg-query', f'--admindir={directory}', '-W', '-f', form)
    return set(listed.splitlines())


def in_sbom(path: pathlib.Path) -> set[str]:
    """The same of the document that is made of what the job has left."""
    contents = sbom.Contents.from_document(json.loads(path.read_text()))
    subject = sbom.Subject('x', str(uuid.uuid4()), datetime.datetime.now())
    made = sbom.document(contents, subject)
    found = json_like_dict_parser.JsonLikeDictParser().parse(made)
    assert document_validator.validate_full_spdx_document(found) == []
    assert len(found.packages) == len(contents.packages) + 1 > 50
    return {
        f'{each.name} {each.version} {each.architecture}'
        for each in contents.packages
        if each.type == 'deb'
    }


@pytest.mark.both_isolations
def test_build(
    start: Callable[..., job_process.Job],
    document: Callable[..., dict[str, Any]],
    directory: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    job = start(
        document(
            packages=['tree'],
            files=[
                {
                    'path': '/etc/motd.d/ours',
                    'content': 'welcome\n',
                    'mode': '0600',
                }
            ],
            manifest=MANIFEST,
            resources={'greet.sh': GREET.replace(SECRET, '$password')},
            arguments={'password': SECRET},
        )
    )
    assert job.wait(800) == 0, (job.events[-3:], job.stderr)
    result = job.events[-1]['result']
    assert [
        (step['path'], step['result']) for step in result['report']['steps']
    ] == [
        ('packages', 'changed'),
        ('files', 'changed'),
        ('manifest.validators[0].script', 'ran'),
        ('manifest.validators[1].file', 'changed'),
    ]
    told = [e['phase'] for e in job.events if e['event'] == 'phase']
    assert list(dict.fromkeys(told)) == [
        'base_image',
        'appliance',
        'steps',
        'convert',
    ]
    assert told == sorted(told, key=phases.ORDER.index)
    lines = [e['line'] for e in job.events if e['event'] == 'output']
    assert 'the password is ***' in lines
    assert SECRET not in repr(job.events) + job.stderr
    # Two files are left, and the image is what was told.
    image, packages = sorted(directory.iterdir())
    assert str(image) == result['path']
    assert image.stat().st_size == result['size']
    content = image.read_bytes()
    assert content[:4] == b'QFI\xfb'
    inside = Inside(image, tmp_path)
    assert inside.cat('/etc/said') == 'all before\n'
    assert inside.cat('/etc/motd.d/ours') == 'welcome\n'
    assert 'Mode:  0600' in inside.stat('/etc/motd.d/ours')
    status = inside.cat('/var/lib/dpkg/status')
    assert 'Package: tree\n' in status
    assert in_sbom(packages) == told_by_dpkg(status, tmp_path)
    assert inside.cat('/etc/machine-id').strip() in ('', 'uninitialized')
    assert 'Size: 0' in inside.stat('/var/log/dpkg.log')


def test_failing_script(
    start: Callable[..., job_process.Job],
    document: Callable[..., dict[str, Any]],
    directory: pathlib.Path,
) -> None:
    job = start(document(**script(FAIL)))
    assert job.wait(800) == 1
    last = job.events[-1]
    assert last['event'] == 'failed'
    assert last['fault'] == 'user'
    assert last['step'] == {
        'path': 'manifest.validators[1].script',
        'validator': 'script',
        'command': 'x.sh',
        'exit_code': 7,
        'output': 'one step\nit does not work',
    }
    assert list(directory.iterdir()) == []
    assert processes_that_name(directory) == []


def running(
    start: Callable[..., job_process.Job],
    document: dict[str, Any],
    directory: pathlib.Path,
) -> job_process.Job:
    """Start a build and wait until its script runs."""
    job = start(document)
    job.until(lambda event: event.get('line') == 'sleeping', 800)
    assert processes_that_name(directory)
    return job


def wait_until_none(directory: pathlib.Path) -> None:
    end = time.monotonic() + 90
    while found := processes_that_name(directory):
        assert time.monotonic() < end, found
        time.sleep(0.1)


def test_the_conductor_dies(
    start: Callable[..., job_process.Job],
    document: Callable[..., dict[str, Any]],
    directory: pathlib.Path,
) -> None:
    job = running(start, document(**script(HANG)), directory)
    job.process.stdin.close()
    assert job.wait(180) == -signal.SIGKILL
    wait_until_none(directory)
    drivers.sweep(directory)
    assert list(directory.iterdir()) == []


@pytest.mark.both_isolations
def test_the_build_is_cancelled(
    start: Callable[..., job_process.Job],
    document: Callable[..., dict[str, Any]],
    directory: pathlib.Path,
) -> None:
    job = running(start, document(**script(HANG)), directory)
    begin = time.monotonic()
    job.process.terminate()
    assert job.wait(180) == jobs.STOPPED
    assert time.monotonic() - begin < 60
    wait_until_none(directory)
    assert list(directory.iterdir()) == []
    assert 'failed' not in [event['event'] for event in job.events]


def test_edit_of_the_last_step(
    start: Callable[..., job_process.Job],
    document: Callable[..., dict[str, Any]],
    directory: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    """What was done before it is not done again, and the image has it all."""

    def build(last: str) -> list[str]:
        steps = {'a.sh': 'one', 'b.sh': 'two', 'c.sh': last}
        request = document(
            manifest={'validators': [{'script': name} for name in steps]},
            resources={
                name: f'#!/bin/sh\necho {text} | tee -a /srv/said\n'
                for name, text in steps.items()
            },
        )
        request['base']['identity'] = 'sha256:of-the-base'
        request['project_id'] = 'p1'
        request['config']['layers'] = {
            'enabled': True,
            'directory': str(tmp_path / 'layers'),
            'max_size': 1,
            'min_seconds': 0,
        }
        job = start(request)
        assert job.wait(800) == 0, job.stderr
        return [
            event['result']
            for event in job.events
            if event['event'] == 'step_finished'
        ]

    assert build('three') == ['ran', 'ran', 'ran']
    assert build('four') == ['cached', 'cached', 'ran']
    [image] = directory.glob('*.qcow2')
    described = run('qemu-img', 'info', image)
    assert 'backing file' not in described
    inside = Inside(image, tmp_path)
    assert inside.cat('/srv/said') == 'one\ntwo\nfour\n'
    inside.check()
