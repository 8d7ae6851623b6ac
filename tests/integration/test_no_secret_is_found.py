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
"""Secrets of a build and of validations, looked for everywhere they could be.

The whole service as a program, with a real guest and a real sshd: everything
on its disk while it runs and afterwards, its log, its database, all answers of
its API, its notifications, the image, the machine, and the command lines and
environments of all processes of this host.
"""

import base64
import contextlib
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Iterator
from typing import Any

import asyncssh
import pytest
import yaml

from tests.functional import validation_service
from tests.integration import machines

pytestmark = pytest.mark.timeout(600)

_CONF = """
[DEFAULT]
debug = true
[oslo_messaging_notifications]
driver = log
[conductor]
drivers = guestfs
max_attempts = 1
sweep_interval = 1
[guestfs]
isolation = sandbox
[validation]
allowed_networks = 127.0.0.0/8
allowed_ports = {ports}
key_manager_endpoint = {barbican}
"""
#: Says what it was told in every way that programs have.
_SAYS = """#!/bin/bash
set -x
test -n "$secret" || exit 9
echo "plain $secret"
echo "$secret" >&2
printf %s "$secret" | base64 -w 0; echo
printf %s "user:$secret" | base64 -w 0; echo
env | grep secret
declare -p secret
trap 'echo "at the end: $secret"' EXIT
exit "$code"
"""
_MANIFEST: dict[str, Any] = {
    'arguments': {
        'secret': {'required': True, 'hidden': True},
        'code': {'default': '0'},
    },
    'validators': [
        {'script': {'says.sh': {'env_vars': ['secret', 'code']}}},
        {
            'file': {
                '/etc/digest': {
                    'content': '{{ secret|sha256 }}\n',
                    'template': True,
                }
            }
        },
    ],
}


class _Secret:
    """A value with all that programs quote, and a part that nobody else has.

    That part is in no form of it changed but by base64.
    """

    def __init__(self, purpose: str, word: str = '') -> None:
        self.purpose = purpose
        self.word = word or uuid.uuid4().hex
        self.value = f'it\'s "{self.word}" & 100%/+ü'
        self.forms = [self.word.encode(), self.word.encode().hex().encode()]
        for before in range(3):
            encoded = base64.b64encode(bytes(before) + self.word.encode())
            self.forms.append(encoded[4:-4])

    def is_in(self, content: bytes) -> bool:
        return any(form in content for form in self.forms)


class _Search:
    """Looks for secrets, while things go on and afterwards.

    :param directories: where files may be.
    """

    def __init__(
        self, secrets: list[_Secret], *directories: pathlib.Path
    ) -> None:
        self._secrets = secrets
        self._directories = directories
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._own = _namespace('self')
        self.found: set[str] = set()

    def look(self, content: bytes | str, where: str) -> None:
        if isinstance(content, str):
            content = content.encode('utf-8', 'surrogateescape')
        for secret in self._secrets:
            if secret.is_in(content):
                self.found.add(f'{secret.purpose} in {where}')

    def _watch(self) -> None:
        while not self._stopped.wait(0.05):
            self._processes()
            self._files(largest=4 * 1024**2)

    def _processes(self) -> None:
        for entry in pathlib.Path('/proc').glob('[0-9]*'):
            with contextlib.suppress(OSError):
                line = (entry / 'cmdline').read_bytes()
                self.look(line, f'the command line {line[:200]!r}')
                # What runs inside of a guest is given its variables.
                if _namespace(entry.name) == self._own:
                    found = (entry / 'environ').read_bytes()
                    self.look(found, f'the environment of {line[:200]!r}')

    def _files(self, *, largest: int) -> None:
        for directory in self._directories:
            # Directories come and go; rglob() would raise, and end the watch.
            for parent, _, names in os.walk(directory):
                for path in (pathlib.Path(parent, name) for name in names):
                    with contextlib.suppress(OSError):
                        if path.is_symlink() or not path.is_file():
                            continue
                        if path.stat().st_size <= largest:
                            self.look(path.read_bytes(), str(path))

    def everything(self) -> None:
        """Look at all files, whatever their size."""
        self._files(largest=2**40)

    def __enter__(self) -> '_Search':
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stopped.set()
        self._thread.join()


def _namespace(pid: str) -> str:
    return str(pathlib.Path(f'/proc/{pid}/ns/pid').readlink())


class _Service:
    """imagebuild-standalone; all that its API says is looked at."""

    def __init__(self, directory: pathlib.Path, search: _Search) -> None:
        self.directory = directory
        self._search = search
        self.process: subprocess.Popen[bytes] | None = None
        self.url = ''
        self.token = ''

    def start(self) -> None:
        (self.directory / 'tmp').mkdir()
        with self.log.open('wb') as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, '-m', 'imagebuild.cmd.standalone'),
                    *('--port', '0', '--state-dir', self.directory / 'state'),
                    *('--config-file', self.directory / 'service.conf'),
                ],
                stdout=log,
                stderr=log,
                env={
                    'PATH': '/usr/sbin:/usr/bin:/sbin:/bin',
                    'HOME': str(self.directory / 'tmp'),
                    'TMPDIR': str(self.directory / 'tmp'),
                    'LANG': 'C.UTF-8',
                },
            )
        pattern = re.compile(r'http://127\.0\.0\.1:[0-9]+')
        end = time.monotonic() + 120
        while not (found := pattern.search(self.log.read_text())):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < end
            time.sleep(0.1)
        self.url = found[0]
        path = self.directory / 'state' / 'token'
        self.token = path.read_text().strip()

    @property
    def log(self) -> pathlib.Path:
        return self.directory / 'service.log'

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f'{self.url}{path}',
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                'Content-Type': 'application/json',
                'X-Auth-Token': self.token,
            },
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                content, headers = answer.read(), str(answer.headers)
        except urllib.error.HTTPError as error:
            content, headers = error.read(), str(error.headers)
        self._search.look(content + headers.encode(), f'{method} {path}')
        try:
            return json.loads(content)
        except ValueError:
            return content.decode()

    def ended(self, kind: str, id: str) -> dict[str, Any]:
        end = time.monotonic() + 300
        while time.monotonic() < end:
            found: dict[str, Any] = self.ask('GET', f'/v1/{kind}/{id}')
            if found['status'] in ('active', 'passed', 'failed', 'error'):
                return found
            time.sleep(0.3)
        raise AssertionError(found)

    def wait_for_report(self) -> None:
        """Wait until the log has one: the last group of its options."""
        end = time.monotonic() + 120
        while '\nvalidation: ' not in self.log.read_text():
            assert self.process and self.process.poll() is None
            assert time.monotonic() < end, 'there is no report'
            time.sleep(0.1)

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(180)


@pytest.fixture
def machine(
    machine_tree: pathlib.Path, tmp_path: pathlib.Path
) -> Iterator[machines.Machine]:
    with machines.Machine(machine_tree, tmp_path / 'machine') as running:
        yield running


def test_no_secret_is_found(
    machine: machines.Machine,
    minimal_image: pathlib.Path,
    tmp_path: pathlib.Path,
) -> None:
    build = _Secret('the argument of a build')
    broken = _Secret('the argument of a build that fails')
    validation = _Secret('the argument of a validation')
    unmet = _Secret('the argument of a validation that fails')
    wrong = _Secret('the argument of a request that is refused')
    password = _Secret('the password of a machine')
    # Without what chpasswd or a terminal takes for the end of a line.
    machine.run('sh', '-c', f'echo \'plain:{password.word}\' | chpasswd')
    password.value = password.word
    key = asyncssh.generate_private_key('ssh-ed25519')
    text = key.export_private_key().decode()
    private = _Secret('the private key', text.splitlines()[4])
    machine.run('mkdir', '/home/plain/.ssh')
    (machine.directory / 'upper/home/plain/.ssh/authorized_keys').write_bytes(
        key.export_public_key()
    )
    canary = _Secret('what is put there to be found')
    every = [build, broken, validation, unmet, wrong, password, private]
    every.append(canary)
    directory = tmp_path / 'service'
    directory.mkdir()
    upper = machine.directory / 'upper'
    search = _Search(every, directory, upper / 'tmp', upper / 'var')
    service = _Service(directory, search)
    with contextlib.ExitStack() as stack:
        cloud = stack.enter_context(
            validation_service.cloud(password.value, text)
        )
        (directory / 'service.conf').write_text(
            _CONF.format(
                ports=machine.port,
                barbican=f'http://127.0.0.1:{cloud.server_port}',
            )
        )
        (directory / 'state').mkdir()
        (directory / 'state' / 'operating-systems.yaml').write_text(
            yaml.safe_dump({'base': {'image': {'path': str(minimal_image)}}})
        )
        stack.enter_context(search)
        stack.enter_context(_planted(canary, directory))
        stack.callback(service.stop)
        service.start()
        _builds(service, build, broken, wrong)
        _validations(service, machine, validation, unmet, wrong)
        service.ask('GET', '/v1/builds')
        for path in (
            '/v1/validations', '/v1/uploads', '/v1/conductors', '/metrics',
            '/healthcheck', '/v1/pipelines',
        ):  # fmt: skip
            service.ask('GET', path)
        assert service.process is not None
        # A report of all threads and options, as operators ask for it.
        service.process.send_signal(signal.SIGUSR2)
        service.wait_for_report()
    search.everything()
    _look_at_the_images(search, directory)
    search.look(
        (upper / 'var/log/sudo.log').read_bytes()
        if (upper / 'var/log/sudo.log').exists()
        else b'',
        "sudo's log",
    )
    # What was left for it is found, and nothing else.
    planted = {each for each in search.found if canary.purpose in each}
    assert search.found - planted == set()
    for where in ('the command line', 'the environment', str(directory)):
        assert any(where in each for each in planted), where
    assert 'image_build.build.end' in service.log.read_text()


@contextlib.contextmanager
def _planted(canary: _Secret, directory: pathlib.Path) -> Iterator[None]:
    encoded = base64.b64encode(f'x:{canary.value}'.encode())
    (directory / 'canary').write_bytes(encoded)
    with (
        subprocess.Popen(
            ['sleep', '600'], env={'PATH': '/bin:/usr/bin', 'X': canary.value}
        ) as one,
        subprocess.Popen(
            ['sh', '-c', 'read -r x', json.dumps(canary.value)],
            stdin=subprocess.PIPE,
        ) as other,
    ):
        yield
        one.kill()
        other.kill()


def _request(secret: _Secret, code: int = 0) -> dict[str, Any]:
    return {
        'manifest': _MANIFEST,
        'resources': {'says.sh': _SAYS},
        'arguments': {'secret': secret.value, 'code': str(code)},
    }


def _builds(
    service: _Service, good: _Secret, broken: _Secret, wrong: _Secret
) -> None:
    made = {}
    for secret, code in ((good, 0), (broken, 3)):
        body = {'name': 'x', 'os': 'base', **_request(secret, code)}
        service.ask('POST', '/v1/builds/plan', body)
        made[code] = service.ask('POST', '/v1/builds', body)
    refused = {'name': 'x', 'os': 'base', **_request(wrong), 'colour': 'red'}
    refused['arguments'] = {**refused['arguments'], 'size': wrong.value}
    assert 'error' in service.ask('POST', '/v1/builds', refused)
    for code, status in ((0, 'active'), (3, 'error')):
        found = service.ended('builds', made[code]['id'])
        assert found['status'] == status, found
        log = service.ask('GET', f'/v1/builds/{found["id"]}/log')
        assert 'plain ***' in log
        assert 'at the end: ***' in log
        service.ask('GET', f'/v1/builds/{found["id"]}/steps')


def _validations(
    service: _Service,
    machine: machines.Machine,
    good: _Secret,
    unmet: _Secret,
    wrong: _Secret,
) -> None:
    def body(secret: _Secret, code: int = 0, **more: Any) -> dict[str, Any]:
        return {
            'hosts': [
                {
                    'address': '127.0.0.1',
                    'port': machine.port,
                    'user': 'plain',
                    'host_key': machine.fingerprint,
                }
            ],
            'credential': {
                'secret': validation_service.KEY,
                'sudo_password_secret': validation_service.SECRET,
            },
            **_request(secret, code),
            **more,
        }

    refused = body(wrong, colour='red')
    refused['arguments'] = {**refused['arguments'], 'size': wrong.value}
    assert 'error' in service.ask('POST', '/v1/validations', refused)
    for secret, code, status in ((good, 0, 'passed'), (unmet, 3, 'failed')):
        made = service.ask(
            'POST', '/v1/validations', body(secret, code, reconcile=True)
        )
        found = service.ended('validations', made['id'])
        assert found['status'] == status, found
        assert found['results'][0]['steps']


def _look_at_the_images(search: _Search, directory: pathlib.Path) -> None:
    """As a disk: a compressed file would hide them."""
    images = [*directory.rglob('*.qcow2'), *directory.rglob('images/*/*')]
    looked = 0
    for image in images:
        with contextlib.suppress(subprocess.CalledProcessError):
            raw = directory / 'raw'
            subprocess.run(
                ['qemu-img', 'convert', '-O', 'raw', str(image), str(raw)],
                check=True,
                capture_output=True,
            )
            with raw.open('rb') as file:
                before = b''
                while piece := file.read(16 * 1024**2):
                    search.look(before + piece, f'the disk of {image}')
                    before = piece[-4096:]
            raw.unlink()
            looked += 1
    assert looked
