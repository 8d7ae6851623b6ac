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
"""What the local programs show while they work."""

import io
import json
import re
import sys

import pytest
from rich import cells as rich_cells
from rich import console as rich_console
from rich import text as rich_text

from imagebuild import manifest
from imagebuild.cmd import bootstrap
from imagebuild.cmd import console
from imagebuild.cmd import live_line
from imagebuild.drivers import bootstrap as drivers


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    monkeypatch.setenv('TERM', 'xterm')
    monkeypatch.setenv('COLUMNS', '80')

    def begin():
        # Here, since pytest puts its own in place before each test.
        made = Terminal()
        monkeypatch.setattr(sys, 'stderr', made)
        return made

    return begin


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(live_line.time, 'monotonic', lambda: now[0])
    return now


def drawn(line, width=80):
    screen = rich_console.Console(
        file=io.StringIO(), force_terminal=True, width=width
    )
    screen.print(line._progress.get_renderable())
    drawing = rich_text.Text.from_ansi(screen.file.getvalue())
    return drawing.plain.strip()


def step(number, description):
    return manifest.RunningStep(
        'a[0]', 'script', description, number, 3, False
    )


def test_the_clock_runs_for_each_step(terminal, clock):
    terminal()
    monitor = console.ConsoleMonitor()
    monitor.doing('Starting the appliance')
    clock[0] += 75
    assert drawn(monitor._line).endswith('1:15 Starting the appliance')
    monitor.step_started(step(1, 'package nginx'))
    clock[0] += 5
    assert '0:05 [1/3] package nginx' in drawn(monitor._line)
    # What it prints does not restart the clock.
    monitor.output(step(1, 'package nginx'), 'stdout', 'Unpacking [x]\x1b[2J')
    clock[0] += 5
    assert '0:10 [1/3] package nginx  Unpacking [x]' in drawn(monitor._line)
    monitor.close()


def test_how_much_is_fetched(terminal, clock):
    terminal()
    monitor = console.ConsoleMonitor()
    what = 'Fetching https://cloud.example/' + 'x' * 99
    monitor.doing(what)
    clock[0] += 7
    monitor.moved(what, 3 * 1024**2, 0)
    assert '0:07 3.0 MiB Fetching' in drawn(monitor._line)
    monitor.moved(what, 3 * 1024**2, 300 * 1024**2)
    # Whatever is cut on a narrow terminal.
    assert '0:07 3.0 of 300.0 MiB Fetching' in drawn(monitor._line, 40)
    monitor.close()


def test_bytes_are_not_worth_a_line(capsys):
    monitor = console.ConsoleMonitor()
    monitor.moved('Fetching x', 1, 2)
    monitor.close()
    assert capsys.readouterr().err == ''


@pytest.mark.parametrize('name', ['x' * 500, '日本語' * 99])
def test_long_names_are_cut(terminal, name):
    terminal()
    monitor = console.ConsoleMonitor()
    monitor.step_started(step(2, name))
    line = drawn(monitor._line, 60)
    monitor.close()
    assert '\n' not in line
    assert rich_cells.cell_len(line) <= 60


def test_a_terminal_that_cannot_go_back(terminal, monkeypatch):
    monkeypatch.setenv('TERM', 'dumb')
    screen = terminal()
    monitor = console.ConsoleMonitor()
    monitor.doing('Starting the appliance')
    monitor.close()
    assert screen.getvalue() == 'Starting the appliance ...\n'


def test_without_a_terminal_there_are_lines(capsys):
    monitor = console.ConsoleMonitor()
    monitor.doing('Starting the appliance')
    monitor.step_started(step(1, 'package nginx'))
    monitor.close()
    assert capsys.readouterr().err == 'Starting the appliance ...\n'


class Driver:
    """Makes nothing, in two steps."""

    def validate(self, options):
        pass

    def create_disk(self, options, path, *, disk_format, monitor):
        with monitor.step('install packages'):
            monitor.notice('A mirror is slow.')
        with monitor.step('write the tree'):
            path.write_bytes(b'x')
        return drivers.FileArtifact(path, disk_format, 1)


@pytest.fixture
def made(monkeypatch, tmp_path):
    monkeypatch.setattr(drivers, 'BootstrapDriver', Driver)
    return ['--os', 'debian-12', '--output', str(tmp_path / 'x.img'), '--json']


def test_bootstrap_on_a_terminal(made, terminal, capsys):
    screen = terminal()
    assert bootstrap.main(made) == 0
    report = json.loads(capsys.readouterr().out)
    assert [each['name'] for each in report['steps']] == [
        'install packages',
        'write the tree',
    ]
    shown = screen.getvalue()
    assert 'A mirror is slow.' in shown
    assert 'write the tree: done (' in shown
    # The live line is taken away.
    assert 'install packages ...' not in shown


def test_bootstrap_elsewhere(made, capsys):
    assert bootstrap.main(made) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)['result'] == 'done'
    # However long it took.
    assert re.sub(r'[0-9]+[.][0-9] s', 'N s', err).splitlines() == [
        'install packages ...',
        'A mirror is slow.',
        'install packages: done (N s)',
        'write the tree ...',
        'write the tree: done (N s)',
    ]
