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
"""What the machine is given, and what it says."""

import json
import pathlib

import pytest

from imagebuild.boot import expectations
from imagebuild.boot import seed

ALL = expectations.Expectations(
    cloud_init=True, systemd=True, ports=(22, 443), commands=('true', 'x y')
)


def test_files(tmp_path: pathlib.Path) -> None:
    seed.write(tmp_path / 'seed', 'word', ALL)
    data = (tmp_path / 'seed' / 'user-data').read_text()
    first, _, rest = data.partition('\n')
    assert first == '#cloud-config'
    [[shell, option, script]] = json.loads(rest)['bootcmd']
    assert (shell, option) == ('/bin/sh', '-c')
    assert '@' not in script
    # Another instance at each test: an image that was booted before, too.
    assert (tmp_path / 'seed' / 'meta-data').read_text() == (
        'instance-id: word\n'
    )


def said(*lines: str) -> list[tuple[str, bool, str]]:
    report = seed.Report('word')
    for line in lines:
        report.add(line)
    return [
        (found.what, found.holds, found.message)
        for found in report.findings(ALL, 1.0)
    ]


def test_findings() -> None:
    assert said(
        'word cloud_init holds -',
        'word systemd fails ZGVncmFkZWQ6IGEuc2VydmljZSA=',
        'word port-22 holds -',
        'word port-443 fails -',
        'word command-0 holds ',
        '[ 12.1] word command-1 fails bm8bWzMxbQ==',
    ) == [
        ('cloud-init ended without an error', True, ''),
        ('every unit of systemd started', False, 'degraded: a.service'),
        ('port 22 is listened on', True, ''),
        ('port 443 is listened on', False, 'it does not'),
        ('"true" succeeds', True, ''),
        ('"x y" succeeds', False, 'no\ufffd[31m'),
    ]


@pytest.mark.parametrize(
    'line',
    [
        'word port-22 hol',
        'other port-22 holds -',
        'word port-22 holds - and more',
        'word  port-22 holds -',
    ],
)
def test_what_is_no_line_of_the_report(line: str) -> None:
    report = seed.Report('word')
    assert not report.add(line)


def test_a_message_that_was_cut() -> None:
    findings = said('word command-0 fails bm8', 'word port-22 fails ====')
    assert findings[4] == ('"true" succeeds', False, 'it does not')


def test_the_end() -> None:
    report = seed.Report('word')
    assert not report.ended
    report.add('word end holds -')
    assert report.ended
