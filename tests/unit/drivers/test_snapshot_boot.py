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
"""The console of a server that boots an image, as Nova shows it."""

import base64
import gzip
import hashlib
import time
from typing import Any

import pytest

from imagebuild import exception
from imagebuild.boot import boot_test
from imagebuild.boot import expectations
from imagebuild.drivers.snapshot import boot
from imagebuild.drivers.snapshot import server


class Nova:
    """Stands in for a server, and is its own clock.

    :param looks: (console, status) of each look; the last one stays.
    """

    def __init__(self, *looks: tuple[str | None, str]) -> None:
        self._looks = list(looks)
        self.now = 100.0
        self.looks = 0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def console(self, lines: int) -> str | None:
        self.looks += 1
        return self._looks[0][0]

    def look(self) -> dict[str, Any]:
        status = self._looks[0][1]
        self._looks = self._looks[1:] or self._looks
        return {'status': status}

    def booted(self) -> boot.Booted:
        told: Any = self
        return boot.Booted(told, 5.0, lambda: self.now, self.sleep)


def test_only_what_is_new() -> None:
    nova = Nova(('a\n', 'ACTIVE'), ('a\nb\n', 'ACTIVE'), ('a\nb\n', 'ACTIVE'))
    booted = nova.booted()
    said = [booted.read(1.0) for _ in range(11)]
    assert [each for each in said if each] == [b'a\n', b'b\n']
    # Nova is asked as often as the operator wants it, and nobody spins.
    assert nova.looks == 3
    assert nova.now == 110.0


def test_off() -> None:
    nova = Nova(('a', 'ACTIVE'), (None, 'SHUTOFF'))
    booted = nova.booted()
    assert booted.read(9.0) == b'a'
    assert booted.read(9.0) == b''
    assert booted.read(9.0) is None
    booted.check()


@pytest.mark.parametrize('status', ['PAUSED', 'SUSPENDED', 'SHELVED', 'None'])
def test_stopped_from_outside(status: str) -> None:
    """Its system has no part in that: it is no fault of the image."""
    booted = Nova(('a', status)).booted()
    with pytest.raises(server.ServerFailed, match=status):
        booted.read(1.0)
    assert issubclass(server.ServerFailed, exception.EnvironmentFault)


@pytest.mark.parametrize(
    ('texts', 'said'),
    [
        # The end alone is shown.
        (['12\n34\n56\n', '2\n34\n56\n7\n', '6\n7\n9'], '12\n34\n56\n7\n9'),
        # More has come than is shown.
        (['12\n34\n', '7\n89\n'], '12\n34\n89\n'),
        # It repeats itself.
        (['x\nx\nx\n', 'x\nx\nx\nx\n'], 'x\nx\nx\nx\n'),
        # Nothing is shown for a while.
        (['12\n', '', '12\n3'], '12\n3'),
        # Colours, half of one at the end; Nova leaves their first byte out.
        (['[[0;1', '[[0;1;31mFAILED[0m] x\n'], '[FAILED] x\n'),
        (['\x1b[2J\x1b[01;01Hx\x1b', '\x1b[2J\x1b[01;01Hx\x1b[0my'], 'xy'),
        (['[K[[0;32mOK[0m] [Kern] [H', '[K[[0;32mOK[0m] [Kern] [Ha'],
         '[OK] [Kern] [Ha'),
        (['[ 0.5] a [3', '[ 0.5] a [3] b'], '[ 0.5] a [3] b'),
        # Characters of several bytes, cut.
        (['\ufffdé a\nb\n', 'é a\nb\nc\ufffd', 'a\nb\ncé'], 'é a\nb\ncé'),
        # Half of a pair is none of UTF-8.
        (['a\ud800\n'], 'a?\n'),
    ],
)  # fmt: skip
def test_what_nova_shows(texts: list[str], said: str) -> None:
    console = boot.Console()
    assert b''.join(map(console.new, texts)).decode() == said


@pytest.mark.parametrize(
    ('before', 'now', 'length'),
    [
        ('', 'abc', 0),
        ('abc', '', 0),
        ('abc', 'abcd', 3),
        ('abc', 'bcd', 2),
        ('abc', 'xyz', 0),
        ('aabaab', 'aabaabaab'[3:] + 'c', 6),
        ('ababab', 'abac', 2),
        ('xabab', 'ababc', 4),
        ('abcabc', 'abc', 3),
    ],
)
def test_overlap(before: str, now: str, length: int) -> None:
    assert boot.overlap(before, now) == length


def test_a_hostile_console_takes_no_time() -> None:
    """What compares every beginning with every end would need a minute."""
    size = 100_000
    before, now = 'a' * size + 'b', 'a' * (size // 2) + 'c' + 'a' * size
    start = time.process_time()
    assert boot.overlap(before, now) == 0
    assert time.process_time() - start < 20


def test_user_data() -> None:
    nothing = gzip.decompress(base64.b64decode(boot.packed('')))
    assert nothing == b'#cloud-config\n{}\n'
    with pytest.raises(exception.InvalidInput, match='commands of the boot'):
        boot.packed(
            ''.join(
                hashlib.sha256(b'%d' % number).hexdigest()
                for number in range(2000)
            )
        )


def test_boots_as_expected() -> None:
    nova = Nova(
        ('Linux\n', 'ACTIVE'),
        (None, 'ACTIVE'),
        ('Linux\nlogin: ', 'ACTIVE'),
    )
    test = boot_test._BootTest(boot_test.BootSpec(), lambda _line: None)
    test.watch(nova.booted(), None)
    assert test.outcome().passed


def test_dies() -> None:
    """What follows the line that tells it is waited for."""
    nova = Nova(
        ('Kernel panic - not syncing: no init\n', 'ACTIVE'),
        (
            'Kernel panic - not syncing: no init\nEXT4-fs error: bad\n',
            'ACTIVE',
        ),
        (None, 'SHUTOFF'),
    )
    spec = boot_test.BootSpec(
        wanted=expectations.Expectations(ports=(22,)), seed='user data'
    )
    test = boot_test._BootTest(spec, lambda _line: None)
    test.watch(nova.booted(), None)
    outcome = test.outcome()
    assert outcome.reason == 'the kernel panicked: no init'
    assert outcome.telling[-1] == 'EXT4-fs error: bad'
