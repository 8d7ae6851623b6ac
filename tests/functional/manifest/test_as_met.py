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
"""What the host's shell does with the first line of a script."""

import subprocess

import pytest

from imagebuild.common import guest_scripts


def by_shebang(tmp_path, content):
    path = tmp_path / 'it'
    path.write_text(content)
    path.chmod(0o700)
    return guest_shell(['-c', guest_scripts.BY_SHEBANG, 'it', str(path)])


def guest_shell(arguments):
    return subprocess.run(
        ['/bin/sh', *arguments], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize('line', ['#!/no/python3', '#! /no/python3 -u *'])
def test_a_missing_interpreter_is_named(tmp_path, line):
    done = by_shebang(tmp_path, f'{line}\nexit 0\n')
    assert done.returncode == 127
    assert 'its first line names /no/python3, which is not in' in done.stderr


@pytest.mark.parametrize('line', ['#!/bin/sh', '#!/usr/bin/env sh', 'true'])
def test_windows_line_ends_are_named(tmp_path, line):
    done = by_shebang(tmp_path, f'{line}\r\nexit 0\r\n')
    assert (done.returncode, done.stdout) == (127, '')
    assert done.stderr.startswith('it has Windows line ends (CRLF)')


@pytest.mark.parametrize(
    'line', ['#!/bin/sh', '#! /bin/sh -u', '#!/usr/bin/env sh', 'true']
)
def test_an_interpreter_that_is_there(tmp_path, line):
    done = by_shebang(tmp_path, f'{line}\necho "$0"\n')
    assert (done.returncode, done.stdout) == (0, f'{tmp_path}/it\n')
