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
"""Mistaken command lines of every program: one message, and which help."""

import json
import sys

import pytest

from imagebuild.cmd import launch

MANIFEST = """\
arguments:
  greeting: {description: What the page says., required: true}
  number: {type: integer, default: 1}
validators:
  - package: nginx
"""
PACK = '"imagebuild-pack --help"'
REDIS = '"imagebuild-pack redis 7 --help"'
MINE = '"imagebuild-pack --manifest m.yaml --help"'
BOOTSTRAP = '"imagebuild-bootstrap --help"'
MANAGE = '"imagebuild-manage{} --help"'
STANDALONE = '"imagebuild-standalone --help"'
CONDUCTOR = '"imagebuild-conductor --help"'
STATUS = '"imagebuild-status --help"'

#: The command line, and words of the one sentence that it gets.
LINES = [
    ('pack', '--image is required', PACK),
    ('pack --image', 'expected one argument', PACK),
    ('pack --image x', 'RECIPE VERSION or --manifest FILE is required', PACK),
    ('pack --im x redis 7', 'unrecognized arguments: --im;', PACK),
    ('pack --image x reds 7', "invalid choice: 'reds'", PACK),
    (
        'pack --image x --port 5 redis 7',
        'unrecognized arguments: --port',
        PACK,
    ),
    ('pack --image x redis', 'required: VERSION', 'redis --help'),
    ('pack --image x redis 8', "invalid choice: '8'", 'redis --help'),
    ('pack --image x redis 7 --port', 'expected one argument', REDIS),
    ('pack --image x redis 7 --port many', 'arguments.port: "many"', REDIS),
    ('pack --image x redis 7 --port 70000', 'from 1 to 65535', REDIS),
    ('pack --image x redis 7 --bind "', "of type words", REDIS),
    ('pack --image x redis 7 --data-directory ../..', 'absolute', REDIS),
    ('pack --image x redis 7 --developer-key x', 'public key', REDIS),
    ('pack --image x --copy-in x redis 7', 'is not DIRECTORY:PATH', ''),
    ('pack --image x --copy-in x:/y redis 7', 'x is not a directory', ''),
    (
        'pack --image x --copy-in .:/y --cache c redis 7',
        '--copy-in and --cache exclude each other',
        '',
    ),
    ('pack --image x redis 7 --appendonly maybe', 'yes, no', REDIS),
    ('pack --image x redis 7 --prt 5', 'arguments: --prt 5', REDIS),
    ('pack --image x redis 7 extra', 'arguments: extra', REDIS),
    ('pack --image x --manifest m.yaml', 'greeting: a value is', MINE),
    ('pack --image x --manifest m.yaml --greetin x', '--greetin x', MINE),
    (
        'pack --image x --manifest m.yaml --greeting x --number a',
        'arguments.number: "a"',
        MINE,
    ),
    ('pack --image x --manifest m.yaml redis 7', 'redis 7', MINE),
    # Whoever means a version of something else is not told that it is done.
    (
        'pack --manifest v.yaml --version 99',
        '"version" is the name of a global option',
        '',
    ),
    ('pack --manifest m.yaml --version 99', '--version stands', PACK),
    ('pack --image x redis 7 --version 99', '--version stands', PACK),
    ('pack --version 99', '--version stands', PACK),
    ('pack --image x redis 7 --version=99', '--version stands', PACK),
    ('validate --manifest m.yaml --version 99', '--version stands', ''),
    ('pack --image x --manifest none.yaml', 'none.yaml', ''),
    ('pack --image x --manifest .', '. cannot be read: Is a directory', ''),
    ('pack --image x --manifest bad.yaml', 'not valid', ''),
    ('pack --image x --memory 1 redis 7', '--memory: 1 is not from', ''),
    ('pack --image x --cpus 999 redis 7', '--cpus: 999 is not from', ''),
    ('pack --image x --timeout nan redis 7', '--timeout: it must be', ''),
    ('pack --image x --timeout 0 redis 7', '--timeout: it must be', ''),
    ('pack --image x --manifest dib.yaml', 'works on a disk that is', ''),
    ('pack --image x --plan --manifest dib.yaml', 'elements of disk', ''),
    ('pack --image none redis 7', 'no such file', ''),
    ('pack --image . redis 7', 'not an image file', ''),
    ('pack --image x --config-file none redis 7', 'none', ''),
    ('pack --image x --config-file bad.conf redis 7', 'memory', ''),
    ('pack --image x --plan --test-only redis 7', 'not allowed with', PACK),
    ('bootstrap', 'required: --os, --output', BOOTSTRAP),
    ('bootstrap --os debian-12', 'required: --output', BOOTSTRAP),
    ('bootstrap --os windows --output y', "'windows' is not known", ''),
    ('bootstrap --os debian-12 --output /none/y', '/none', ''),
    ('bootstrap --os debian-12 --output x', 'use --force', ''),
    ('bootstrap --os debian-12 --output . --force', 'is not a file', ''),
    ('bootstrap --os debian-12 --output y --size x', "'x'", BOOTSTRAP),
    ('bootstrap --os debian-12 --output y --size 0', 'size: 0', ''),
    ('bootstrap --os debian-12 --output y extra', 'extra', BOOTSTRAP),
    ('manage', 'required: AREA', MANAGE.format('')),
    ('manage db', 'required: COMMAND', MANAGE.format(' db')),
    ('manage dbb sync', "invalid choice: 'dbb'", MANAGE.format('')),
    ('manage db sync a b', 'arguments: b', MANAGE.format('')),
    ('manage db purge --older-than x', '"x"', MANAGE.format(' db purge')),
    ('manage db version --config-file none', 'none', ''),
    ('manage build prioritize b 1001', '"1001"', 'build prioritize --help'),
    ('manage quota set p nonsense 1', "'nonsense'", 'set --help'),
    ('standalone extra', 'arguments: extra', STANDALONE),
    ('standalone --port x', '"x" is not an integer', STANDALONE),
    ('standalone --port 65536', '"65536" is not an integer', STANDALONE),
    ('standalone --drain -1', '"-1" is not a number', STANDALONE),
    ('standalone --drain nan', '"nan" is not a number', STANDALONE),
    ('standalone --state-dir s --config-file none', 'none', ''),
    ('standalone --state-dir s --host 192.0.2.1', '192.0.2.1', ''),
    ('conductor --nonsense', 'arguments: --nonsense', CONDUCTOR),
    ('conductor extra', 'arguments: extra', CONDUCTOR),
    ('conductor --config-file none', 'none', ''),
    ('conductor --config-file m.yaml', 'm.yaml', ''),
    ('status', 'required: command', STATUS),
    ('status upgrade', 'required: check', STATUS),
    ('status upgrade chek', 'upgrade chek', STATUS),
    ('status --config-file none upgrade check', 'none', ''),
]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'm.yaml').write_text(MANIFEST)
    (tmp_path / 'v.yaml').write_text(MANIFEST.replace('greeting', 'version'))
    (tmp_path / 'bad.yaml').write_text('validators: [\x1b[2J')
    (tmp_path / 'dib.yaml').write_text('elements: [vm]\nvalidators: []\n')
    (tmp_path / 'bad.conf').write_text('[guestfs]\nmemory = many\n')
    (tmp_path / 'x').write_bytes(bytes(512))


def run(monkeypatch, capsys, line):
    program, *words = line.split()
    monkeypatch.setattr(sys, 'argv', [f'imagebuild-{program}', *words])
    code = getattr(launch, program)()
    return code, *capsys.readouterr()


@pytest.mark.parametrize('line, words, help_of', LINES)
def test_one_message(monkeypatch, capsys, tmp_path, line, words, help_of):
    before = sorted(tmp_path.iterdir())
    code, out, err = run(monkeypatch, capsys, line)
    assert (code, out) == (2, '')
    assert len(err.splitlines()) == 1, err
    assert words in err
    assert help_of in err
    assert '\x1b' not in err
    after = sorted(tmp_path.iterdir())
    assert [path for path in after if path.name != 's'] == before


@pytest.mark.parametrize(
    'line, words',
    [
        (line, words)
        for line, words, _ in LINES
        if line.split()[0] in ('pack', 'bootstrap')
    ],
)
def test_json_of_a_mistake(monkeypatch, capsys, line, words):
    program, *rest = line.split()
    line = ' '.join([program, '--json', *rest])
    code, out, err = run(monkeypatch, capsys, line)
    document = json.loads(out)
    assert code == 2
    assert document['result'] == 'failed'
    assert document['changed'] is False
    assert document['error'] == err.rstrip('\n')
    assert words in err


def test_several_wrong_arguments(monkeypatch, capsys):
    line = 'pack --image x redis 7 --port many --appendonly maybe'
    code, _, err = run(monkeypatch, capsys, line)
    assert code == 2
    assert err.splitlines()[-1] == f'  see {REDIS}.'


@pytest.mark.parametrize(
    'program',
    ['bootstrap', 'conductor', 'manage', 'pack', 'standalone', 'status'],
)
@pytest.mark.parametrize('option', ['--help', '--version'])
def test_help_is_no_mistake(monkeypatch, capsys, program, option):
    code, out, err = run(monkeypatch, capsys, f'{program} {option} --json')
    if program in ('bootstrap', 'pack'):
        assert (code, err) == (0, '')
        assert f'imagebuild-{program}' in out
        with pytest.raises(json.JSONDecodeError):
            json.loads(out)
    else:
        code, out, err = run(monkeypatch, capsys, f'{program} {option}')
        assert (code, err) == (0, '')
        assert f'imagebuild-{program}' in out


@pytest.mark.parametrize(
    'text, programs, words',
    [
        (
            '[api]\nbind_port = many\n',
            ['conductor', 'standalone', 'status'],
            '[api] bind_port: ',
        ),
        (
            '[quota]\nrunning = many\n',
            ['conductor', 'manage', 'standalone', 'status'],
            '[quota] running: ',
        ),
        (
            '[guestfs]\nmemory = many\n',
            ['conductor', 'pack', 'standalone', 'status'],
            '[guestfs] memory: ',
        ),
        (
            '[DEFAULT]\ntransport_url = nonsense://user:secret@host\n',
            ['conductor'],
            'transport_url cannot be used: its kind "nonsense"',
        ),
        (
            '[DEFAULT]\nlog_file = /none/x.log\n',
            ['conductor', 'standalone'],
            'The options of the log cannot be used',
        ),
        (
            '[DEFAULT]\ndebug = perhaps\n',
            ['conductor', 'standalone'],
            'Invalid Boolean value: perhaps',
        ),
        ('[database]\nconnection = nonsense://\n', ['manage'], 'nonsense://'),
    ],
)
def test_a_value_of_a_file(
    monkeypatch, capsys, tmp_path, text, programs, words
):
    """Told by every program that uses it, before it begins."""
    (tmp_path / 'wrong.conf').write_text(text)
    file = '--config-file wrong.conf'
    lines = {
        'conductor': f'conductor {file}',
        'manage': f'manage {file} quota show p',
        'pack': f'pack --image x {file} redis 7',
        'standalone': f'standalone {file} --state-dir s --port 0',
        'status': f'status {file} upgrade check',
    }
    for program in programs:
        code, _, err = run(monkeypatch, capsys, lines[program])
        assert code == 2, program
        assert len(err.splitlines()) == 1, err
        assert words in err
        assert 'secret' not in err
