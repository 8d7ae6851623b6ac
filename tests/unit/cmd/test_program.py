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
"""What is around every program: nothing printed acts, --json is printed."""

import ast
import importlib
import json
import logging
import os
import pathlib
import signal
import sys
import types
from importlib import metadata

import pytest

from imagebuild import exception
from imagebuild.cmd import json_report
from imagebuild.cmd import launch
from imagebuild.cmd import program

HOSTILE = 'a\x1b[2Jb\x9bc\u202ed\r'
SHOWN = r'a\x1b[2Jb\x9bc\u202ed\r'
ROOT = pathlib.Path(launch.__file__).parents[1]
PROGRAMS = {
    point.name: point
    for point in metadata.entry_points(group='console_scripts')
    if point.name.startswith('imagebuild-')
}


def print_it():
    print(HOSTILE)
    print(HOSTILE, file=sys.stderr)
    sys.stdout.writelines([HOSTILE, '\n'])
    logging.lastResort.handle(
        logging.makeLogRecord({'msg': HOSTILE, 'levelno': logging.ERROR})
    )
    raise exception.InvalidInput(HOSTILE)


def test_every_program_is_started_by_launch():
    assert len(PROGRAMS) == 9
    for name, point in PROGRAMS.items():
        short = name.removeprefix('imagebuild-')
        assert point.value == f'imagebuild.cmd.launch:{short}'


@pytest.mark.parametrize('name', PROGRAMS)
def test_nothing_that_a_program_prints_acts(monkeypatch, capsys, name):
    """Whatever a program prints goes through the same two streams."""
    module = types.SimpleNamespace(main=print_it)
    monkeypatch.setattr(importlib, 'import_module', lambda _: module)
    monkeypatch.setattr(sys, 'argv', [name, '--debug'])
    assert PROGRAMS[name].load()() == 2
    out, err = capsys.readouterr()
    assert out == f'{SHOWN}\n{SHOWN}\n'
    assert '\x1b' not in err and '\u202e' not in err and '\r' not in err
    # print, log, traceback, sentence.
    assert err.count(SHOWN) >= 4


def test_no_module_goes_around_the_streams():
    """By a descriptor, the interpreter's own streams, or a terminal's."""
    # The job, the network's helper and the sandbox speak to programs of ours;
    # a console draws, and escapes what it draws (see their tests).
    allowed = {
        'appliance/restricted.py': {'os.write'},
        'job/channel.py': {'os.write'},
        'sandbox/commands.py': {'os.write'},
        'sandbox/network.py': {'os.write'},
        'sandbox/running.py': {'os.write'},
        # To files of the guest.
        'sandbox/tree.py': {'os.write'},
        'cmd/live_line.py': {'rich'},
        'client/osc/progress.py': {'rich'},
    }
    found = {}
    for path in ROOT.rglob('*.py'):
        used = set()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                text = ast.unparse(node)
                if text in ('os.write', 'sys.__stdout__', 'sys.__stderr__'):
                    used.add(text)
            elif isinstance(node, ast.ImportFrom | ast.Import):
                names = [getattr(node, 'module', None) or '']
                names += [each.name for each in node.names]
                if any(n.partition('.')[0] == 'rich' for n in names):
                    used.add('rich')
        if used:
            found[str(path.relative_to(ROOT))] = used
    assert found == allowed


# -- --json -----------------------------------------------------------------


@pytest.fixture
def report():
    made = json_report.JsonReport()
    made.document['notices'] = ['one']
    return made


@pytest.mark.parametrize(
    'error, code, message',
    [
        (exception.EnvironmentFault('No appliance.'), 3, 'No appliance.'),
        (exception.InvalidInput('No.'), 2, 'No.'),
        (OSError(28, 'No space left on device', 'x'), 3, 'No space left'),
        (MemoryError(), 3, 'MemoryError'),
        (RecursionError('deep'), 3, 'deep'),
        (BrokenPipeError(), 3, 'was closed'),
        (exception.Interrupted(signal='SIGINT'), 3, 'SIGINT'),
    ],
)
def test_json_of_every_failure(report, capsys, error, code, message):
    def work():
        raise error

    assert program.run(work, report=report) == code
    document = json.loads(capsys.readouterr().out)
    assert document['result'] == 'failed'
    assert document['changed'] is False
    assert message in document['error']
    assert document['notices'] == ['one']
    assert document['seconds'] >= 0


@pytest.mark.parametrize(
    'stop, code, shown',
    [(None, 0, ''), (0, 0, ''), (2, 2, ''), ('a\x1bb', 1, 'a\\x1bb\n')],
)
def test_what_ends_a_program_by_itself(capsys, stop, code, shown):
    assert program.run(lambda: sys.exit(stop)) == code
    assert capsys.readouterr() == ('', shown)


def test_json_when_a_signal_comes_while_modules_are_imported(
    monkeypatch, capsys
):
    def slow(_name):
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError('not stopped')

    monkeypatch.setattr(importlib, 'import_module', slow)
    monkeypatch.setattr(sys, 'argv', ['imagebuild-pack', '--json'])
    assert launch.pack() == 3
    out, err = capsys.readouterr()
    assert 'SIGINT' in json.loads(out)['error']
    assert len(err.splitlines()) == 1


def test_json_when_a_requirement_is_not_installed(monkeypatch, capsys):
    def absent(_name):
        raise ModuleNotFoundError('no', name='rich')

    monkeypatch.setattr(importlib, 'import_module', absent)
    monkeypatch.setattr(sys, 'argv', ['imagebuild-pack', '--json'])
    assert launch.pack() == 3
    out, err = capsys.readouterr()
    assert json.loads(out)['error'] == (
        'imagebuild-pack needs rich, which is not installed; install '
        '"openstack-imagebuild".'
    )
    assert err.startswith('imagebuild-pack needs rich')
