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
"""The script that looks around in a booted machine, with stand-ins there."""

import json
import os
import pathlib
import re
import socket
import subprocess
from collections.abc import Mapping

import pytest

from imagebuild.boot import expectations
from imagebuild.boot import seed

WORD = 'imagebuild-0123456789abcdef'


class Guest:
    """Runs the script on this machine, with programs that are given.

    :param directory: for what it is given.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        self._directory = directory
        self._programs = directory / 'bin'
        self._programs.mkdir()

    def has(self, name: str, text: str) -> None:
        path = self._programs / name
        path.write_text(f'#!/bin/sh\n{text}\n')
        path.chmod(0o755)

    def run(
        self, wanted: expectations.Expectations
    ) -> Mapping[str, expectations.Finding]:
        """What it says is so.

        :returns: findings by what was expected.
        """
        place = self._directory / 'seed'
        seed.write(place, WORD, wanted)
        data = (place / 'user-data').read_text().partition('\n')[2]
        start = json.loads(data)['bootcmd'][0][2]
        # Found in the command, as the machine would decode it.
        [encoded] = re.findall(r'printf %s (\S+) ', start)
        console = self._directory / 'console'
        script = subprocess.run(
            ['base64', '-d'],
            input=encoded.encode(),
            capture_output=True,
            check=True,
        ).stdout.decode()
        script = script.replace('/dev/ttyS0', '/no/console')
        script = script.replace('/dev/console', str(console))
        subprocess.run(
            ['/bin/sh', '-c', script],
            env={'PATH': f'{self._programs}:{os.defpath}'},
            check=True,
            timeout=60,
        )
        report = seed.Report(WORD)
        for line in console.read_text().splitlines():
            report.add(line)
        assert report.ended
        return {found.what: found for found in report.findings(wanted, 1.0)}


@pytest.fixture
def guest(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Guest:
    monkeypatch.setattr(seed, 'SETTLE', 1)
    made = Guest(tmp_path)
    # It is said three times, with a pause.
    made.has('sleep', 'exec /bin/sleep 0.05')
    return made


def test_all_is_well(guest: Guest) -> None:
    guest.has('cloud-init', 'echo ...; echo "status: done"')
    guest.has('systemctl', 'echo running')
    wanted = expectations.Expectations(
        cloud_init=True, systemd=True, commands=('true', 'cd / && exit 0')
    )
    found = guest.run(wanted)
    assert len(found) == 4
    assert all(each.holds for each in found.values()), found


def test_what_failed_is_named(guest: Guest) -> None:
    guest.has('cloud-init', 'echo "status: error"; echo "detail: no runcmd"')
    guest.has(
        'systemctl',
        'case $1 in is-system-running) echo degraded; exit 1;; esac\n'
        'echo "broken.service loaded failed failed Broken"\n'
        'echo "two.mount loaded failed failed Two"',
    )
    command = "printf 'first\\nno \"such\" thing \\033[31m' >&2; exit 7"
    wanted = expectations.Expectations(
        cloud_init=True, systemd=True, commands=(command,)
    )
    assert [found.message for found in guest.run(wanted).values()] == [
        'status: error detail: no runcmd',
        'degraded: broken.service two.mount',
        'first no "such" thing \ufffd[31m',
    ]


def test_programs_that_are_not_there(guest: Guest) -> None:
    guest.has('cloud-init', 'echo "sh: cloud-init: not found" >&2; exit 127')
    wanted = expectations.Expectations(cloud_init=True)
    [found] = guest.run(wanted).values()
    assert found.message == 'sh: cloud-init: not found'


def test_ports(guest: Guest) -> None:
    with (
        socket.create_server(('127.0.0.1', 0)) as one,
        socket.create_server(('::1', 0), family=socket.AF_INET6) as two,
    ):
        ports = (one.getsockname()[1], two.getsockname()[1])
        found = guest.run(expectations.Expectations(ports=ports))
        assert all(each.holds for each in found.values()), found


def test_nobody_listens(guest: Guest) -> None:
    # Bound, so that nobody else has it meanwhile.
    with socket.socket() as silent:
        silent.bind(('127.0.0.1', 0))
        port = silent.getsockname()[1]
        [found] = guest.run(expectations.Expectations(ports=(port,))).values()
    assert not found.holds


def test_a_command_is_repeated_until_it_succeeds(
    guest: Guest, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The guest's clock knows whole seconds: one may be over at once.
    monkeypatch.setattr(seed, 'SETTLE', 60)
    late = tmp_path / 'late'
    command = f'test -e {late} || {{ touch {late}; exit 1; }}'
    [found] = guest.run(
        expectations.Expectations(commands=(command,))
    ).values()
    assert found.holds
