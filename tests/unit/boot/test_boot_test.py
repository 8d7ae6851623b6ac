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
"""When a boot test ends, and what it says then."""

from collections.abc import Iterable
from typing import Any

import pytest

from imagebuild.boot import boot_test
from imagebuild.boot import expectations
from imagebuild.boot import machine


class Told:
    """Stands in for a machine: says what it is told to."""

    lag = 0.0

    def __init__(self, said: Iterable[bytes | None]) -> None:
        self._said = list(said)
        self.reads = 0

    def read(self, timeout: float) -> bytes | None:
        self.reads += 1
        return self._said.pop(0) if self._said else b''

    def check(self) -> None:
        pass


def watched(
    wanted: expectations.Expectations, *said: bytes | None, timeout: float = 9
) -> boot_test.Outcome:
    spec = boot_test.BootSpec(
        wanted=wanted, timeout=timeout, settings=machine.MachineSettings()
    )
    test = boot_test._BootTest(spec, lambda _line: None)
    told: Any = Told(
        each and each.replace(b'WORD', test.word.encode()) for each in said
    )
    test.watch(told, None)
    return test.outcome()


NOTHING = expectations.Expectations()
PORT = expectations.Expectations(ports=(22,))


def test_a_login_prompt_by_default() -> None:
    outcome = watched(NOTHING, b'Debian\n\ndebian lo', b'gin: ')
    assert outcome.passed
    assert outcome.describe() == ''
    assert [finding.what for finding in outcome.findings] == [
        '"login:" on the console'
    ]


def test_all_texts_are_waited_for() -> None:
    wanted = expectations.Expectations(console=('one', 'two'))
    assert watched(wanted, b'two\n', b'one\n').passed
    outcome = watched(wanted, b'two\n', None)
    assert not outcome.passed
    assert outcome.describe() == (
        'the machine switched itself off ("one" on the console: it was not '
        'there)'
    )


def test_inside() -> None:
    outcome = watched(
        PORT, b'\nWORD port-22 holds -\nWORD end holds -\n', timeout=5
    )
    assert outcome.passed
    assert 'imagebuild-' not in outcome.console
    outcome = watched(PORT, b'WORD port-22 fails -\nWORD end holds -\n')
    assert outcome.describe() == 'port 22 is listened on: it does not'
    assert not outcome.reason


def test_a_report_that_is_not_whole_yet(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    outcome = watched(PORT, b'WORD port-22 holds -\nWORD end holds -', None)
    assert outcome.reason == 'the machine switched itself off'


def test_a_fatal_sign_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(boot_test, '_AFTERMATH', 0.05)
    outcome = watched(
        NOTHING,
        b'Kernel panic - not syncing: no init\n',
        b'VFS: Cannot open root device\n',
    )
    assert outcome.reason == 'the kernel panicked: no init'
    assert outcome.telling == (
        'Kernel panic - not syncing: no init',
        'VFS: Cannot open root device',
    )
    assert not outcome.passed


def test_nobody_runs_the_script() -> None:
    outcome = watched(PORT, b'debian login: ', timeout=0.01)
    assert (
        'the time of 0.01 seconds is up, and there is a login'
        in outcome.reason
    )
    assert 'no cloud-init' in outcome.reason
