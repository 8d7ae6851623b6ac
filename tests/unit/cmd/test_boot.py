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
"""The command line of imagebuild-boot."""

import io
import json
import pathlib
import sys
from collections.abc import Callable
from typing import Any

import pytest

from imagebuild.boot import boot_test
from imagebuild.boot import expectations
from imagebuild.cmd import boot
from imagebuild.cmd import live_line


@pytest.fixture
def image(tmp_path: pathlib.Path) -> pathlib.Path:
    path = tmp_path / 'image.raw'
    path.write_bytes(bytes(1024 * 1024))
    return path


@pytest.mark.parametrize(
    'options, message',
    [
        ([], 'required: --image'),
        (['--image', 'x', '--port', '0'], '"0" is not a port from 1 to 65535'),
        (['--image', 'x', '--port', 'ssh'], '"ssh" is not a port'),
        (['--image', 'x', '--memory', '-1'], 'number of MiB from 1'),
        (['--image', 'x', '--timeout', '1e3'], 'is not a number of seconds'),
        (['--image', 'x', '--expect', ' '], 'must have 1 to 4096'),
        (['--image', 'x', '--command', 'a\x1b'], 'control characters'),
        (['--image', 'x', '--firmware', 'efi'], 'invalid choice'),
        (['--image', '/no/image'], '/no/image'),
    ],
)
def test_bad_usage(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert boot.main(options) == 2
    assert message in capsys.readouterr().err


def test_no_work_directory(
    image: pathlib.Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = boot.main(['--image', str(image), '--work-dir', '/no/where'])
    assert code == 2
    assert 'There is no directory /no/where.' in capsys.readouterr().err


@pytest.mark.parametrize('option', ['--console', '--screenshot'])
def test_the_image_is_not_written_to(
    image: pathlib.Path, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    image.with_name('link').symlink_to(image)
    link = str(image.with_name('link'))
    assert boot.main(['--image', str(image), option, link]) == 2
    assert 'is the image itself.' in capsys.readouterr().err
    assert image.stat().st_size


def outcome(**changes: Any) -> boot_test.Outcome:
    values: dict[str, Any] = {
        'findings': (expectations.Finding('port 22', True, '', 1.0),),
        'reason': '',
        'telling': (),
        'console': 'one\ntwo\n',
        'seconds': 12.3,
    }
    return boot_test.Outcome(**(values | changes))


@pytest.fixture
def ending(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the boot test answers, and what it was asked."""
    told: dict[str, Any] = {'outcome': outcome(), 'lines': ()}

    def run(
        _image: object,
        spec: boot_test.BootSpec,
        *_more: object,
        on_line: Callable[[str], None],
        **_: object,
    ) -> boot_test.Outcome:
        told['spec'] = spec
        for line in told['lines']:
            on_line(line)
        found: boot_test.Outcome = told['outcome']
        return found

    monkeypatch.setattr(boot.boot_test, 'run', run)
    return told


def test_it_boots(
    image: pathlib.Path,
    ending: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ['--port', '22', '--port', '22', '--disk-size', '8']
    options += ['--accelerator', 'tcg', '--command', 'true', '--systemd']
    assert boot.main(['--image', str(image), *options]) == 0
    assert capsys.readouterr().out == f'{image} boots (12 s).\n'
    assert ending['spec'].wanted == expectations.Expectations(
        systemd=True, ports=(22,), commands=('true',)
    )
    assert ending['spec'].settings.disk_size == 8 * 1024**3


def test_it_does_not(
    image: pathlib.Path,
    ending: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    failed = expectations.Finding('port 22', False, 'it does not', 1.0)
    ending['outcome'] = outcome(findings=(failed,), reason='it is off')
    options = ['--image', str(image), '--accelerator', 'tcg']
    assert boot.main(options) == 1
    assert capsys.readouterr().err.splitlines() == [
        'Booting image.raw, which may take 600 s ...',
        f'{image} does not boot as expected: it is off (port 22: it does '
        'not).',
        'The end of the console:',
        '    one',
        '    two',
    ]
    ending['outcome'] = outcome(
        findings=(failed,), reason='it is off', telling=('\x1b[FAILED] x',)
    )
    assert boot.main(options) == 1
    assert capsys.readouterr().err.splitlines()[2:] == [
        'The console says:',
        '    \\x1b[FAILED] x',
    ]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What the live line was asked to show."""
    shown: list[tuple[str, str]] = []
    show = live_line.LiveLine.show

    def noted(self: live_line.LiveLine, what: str, detail: str = '') -> None:
        shown.append((what, detail))
        show(self, what, detail)

    monkeypatch.setattr(live_line.LiveLine, 'show', noted)
    return shown


def test_on_a_terminal_the_console_is_a_live_line(
    image: pathlib.Path,
    ending: dict[str, Any],
    lines: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ending['lines'] = ['[  OK  ] Started ssh.\x1b[2J', 'login:']
    screen = Terminal()
    monkeypatch.setattr(sys, 'stderr', screen)
    monkeypatch.setenv('TERM', 'xterm')
    options = ['--image', str(image), '--accelerator', 'tcg']
    assert boot.main([*options, '--timeout', '90']) == 0
    what = 'Booting image.raw, which may take 90 s'
    assert lines == [(what, ''), (what, ending['lines'][0]), (what, 'login:')]
    # It is drawn, and taken away; no line is left.
    assert what in screen.getvalue()
    assert f'{what} ...' not in screen.getvalue()
    assert '\x1b[2J' not in screen.getvalue()


def test_verbose_shows_the_console_instead(
    image: pathlib.Path,
    ending: dict[str, Any],
    lines: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ending['lines'] = ['login:']
    screen = Terminal()
    monkeypatch.setattr(sys, 'stderr', screen)
    monkeypatch.setenv('TERM', 'xterm')
    options = ['--image', str(image), '--accelerator', 'tcg', '--verbose']
    assert boot.main(options) == 0
    assert lines == []
    assert screen.getvalue().splitlines() == [
        'Booting image.raw, which may take 600 s ...',
        '  | login:',
    ]


def test_json(
    image: pathlib.Path,
    ending: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ['--image', str(image), '--accelerator', 'tcg', '--json']
    assert boot.main(options) == 0
    document = json.loads(capsys.readouterr().out)
    assert document['result'] == 'boots'
    assert document['findings'][0]['what'] == 'port 22'
    assert document['changed'] is False
