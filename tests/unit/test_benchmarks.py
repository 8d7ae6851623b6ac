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
"""The benchmarks' command line and arithmetic; not what they measure."""

import argparse
import datetime
import math
import pathlib

import pytest

from benchmarks import figures
from benchmarks import generated
from benchmarks.api import run as api
from benchmarks.pack import edit
from benchmarks.pack import run
from benchmarks.queue import crowd
from benchmarks.queue import dispatch
from benchmarks.queue import fates
from benchmarks.queue import run as queue
from benchmarks.user_data import run as user_data


def test_defaults() -> None:
    options = run.make_parser().parse_args([])
    assert options.base is None
    assert options.packages == ['nginx']
    assert options.runs == 3
    assert options.json is None


def test_options() -> None:
    options = run.make_parser().parse_args(
        '--base b.qcow2 --packages nginx g++ --runs 2 --json r.json'.split()
    )
    assert options.base == pathlib.Path('b.qcow2')
    assert options.packages == ['nginx', 'g++']
    assert options.runs == 2
    assert options.json == pathlib.Path('r.json')


@pytest.mark.parametrize(
    'argv',
    [
        ['--runs', '0'],
        ['--runs', 'x'],
        ['--packages'],
        ['--packages', 'a,b'],
        ['--packages', 'A b'],
        ['--packages', 'a\n'],
    ],
)
def test_bad_options(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run.make_parser().parse_args(argv)
    assert caught.value.code == 2


def test_summary_is_the_median_of_ratios() -> None:
    # The second turn was disturbed: a ratio of medians would be another.
    seconds = []
    for own, other in ((5, 10), (60, 80), (6, 10)):
        seconds += [('sandbox', own), ('virt-customize', other)]
    found = run.summary(seconds)
    assert found['median'] == {'sandbox': 6, 'virt-customize': 10}
    assert list(found['ratios']) == ['sandbox/virt-customize']
    ratio = found['ratios']['sandbox/virt-customize']
    assert ratio['pairs'] == pytest.approx([0.5, 0.75, 0.6])
    assert ratio['median'] == pytest.approx(0.6)


def test_report_names_the_goals() -> None:
    found = run.summary(
        [('sandbox', 6.0), ('appliance', 20.0), ('virt-customize', 60.0)]
    )
    lines = run.report(found, 'wall time').splitlines()
    assert ['sandbox', '6.00'] in [line.split() for line in lines]
    [line] = [line for line in lines if line.startswith('sandbox / virt')]
    assert line.split()[3:] == ['0.10', 'at', 'most', '0.15', '0.10']
    assert not any('native' in line for line in lines)


def test_edit_changes_the_last_of_ten_steps_only() -> None:
    first = edit.manifest('first')['validators']
    second = edit.manifest('second')['validators']
    assert len(first) == 10
    assert first[:-1] == second[:-1]
    assert first[-1] != second[-1]


def test_edit_report() -> None:
    edits = [
        edit.Edit('sandbox', 40.0, 4.0, 1.0, 9),
        edit.Edit('sandbox', 42.0, 5.0, 1.0, 9),
        edit.Edit('sandbox', 44.0, 9.0, 1.0, 8),
    ]
    *_, line = edit.report(edits).splitlines()
    expected = 'sandbox 42.00 5.00 4.00 at most 5 8'
    assert line.split() == expected.split()


def test_generated_part(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'README.rst'
    path.write_text(
        'before\n\n.. generated: packing\n\nold\n\n'
        '.. end of packing\n\nafter\n'
    )
    for _ in range(2):
        generated.write(path, 'packing', 'a  b \n\n1  2')
        assert path.read_text() == (
            'before\n\n.. generated: packing\n\n::\n\n    a  b\n\n'
            '    1  2\n\n.. end of packing\n\nafter\n'
        )
    with pytest.raises(ValueError, match='no part "edit"'):
        generated.write(path, 'edit', '')


# -- what the benchmarks of the service share -------------------------------


@pytest.mark.parametrize(
    ('values', 'percent', 'expected'),
    [
        ([7.0], 50, 7.0),
        ([7.0], 100, 7.0),
        ([4.0, 1.0, 3.0, 2.0], 50, 2.0),
        ([4.0, 1.0, 3.0, 2.0], 51, 3.0),
        ([4.0, 1.0, 3.0, 2.0], 0, 1.0),
        (range(1, 101), 95, 95),
        (range(1, 101), 99, 99),
        (range(1, 101), 100, 100),
    ],
)
def test_percentile(values, percent, expected) -> None:
    assert figures.percentile(values, percent) == expected


def test_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match='nothing was measured'):
        figures.percentile([], 50)


def test_distribution() -> None:
    assert figures.distribution(range(1, 201)) == {
        'p50': 100,
        'p95': 190,
        'p99': 198,
        'max': 200,
    }
    assert figures.distribution([]) == {}


def test_ratios_turn_by_turn() -> None:
    assert figures.ratios([1.0, 9.0, 5.0], [2.0, 10.0]) == [0.5, 0.9]


def test_median() -> None:
    assert figures.median([3.0, 1.0, 2.0]) == 2.0
    assert math.isnan(figures.median([]))


def test_table() -> None:
    text = figures.table(
        ['what', 'rate', 'n'], [['list of 20', 1.234, 7], ['show', 123.0, 10]]
    )
    assert text.splitlines() == [
        'what          rate   n',
        'list of 20    1.23   7',
        'show        123.00  10',
    ]


@pytest.mark.parametrize('text', ['0', '-1'])
def test_positive(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        figures.positive(text)


# -- the API ----------------------------------------------------------------


def turn(kind: str, who: str, rate: float) -> api.Turn:
    return api.Turn(kind, who, rate, 1000 / rate, 2000 / rate, 1, 2, 0)


def test_api_defaults() -> None:
    options = api.make_parser().parse_args([])
    assert (options.clients, options.threads) == (4, 4)
    assert (options.requests, options.rounds) == (200, 5)


@pytest.mark.parametrize('argv', [['--clients', '0'], ['--rounds', 'x']])
def test_api_bad_options(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        api.make_parser().parse_args(argv)
    assert caught.value.code == 2


def test_api_summary() -> None:
    # The second turns were disturbed: the ratio of medians would be another.
    rates = [('A', 50), ('B', 25), ('A', 10), ('B', 20), ('A', 60), ('B', 20)]
    rows = api.summary([turn('show', who, rate) for who, rate in rates])
    assert [row[:2] for row in rows] == [
        ['show', 'A'],
        ['show', 'B'],
        ['show', 'A/B'],
    ]
    assert [row[2] for row in rows] == [50, 20, 2.0]
    assert rows[0][3] == pytest.approx(20)
    assert rows[2][5] == 1


# -- the queue --------------------------------------------------------------

START = datetime.datetime(2026, 1, 1)


def at(seconds: float) -> datetime.datetime:
    return START + datetime.timedelta(seconds=seconds)


def fate(*claims: fates.Claim, **values) -> fates.Fate:
    return fates.Fate(
        **{
            'id': 'a',
            'project': 'p',
            'status': 'active',
            'attempt': len(claims),
            'created': at(0),
            'finished': at(10),
            'claims': claims,
            'images': 1,
            **values,
        }
    )


ONCE = fates.Claim(at(2), 1, 'c1')
AGAIN = fates.Claim(at(6), 2, 'c2')


def test_claim() -> None:
    assert fates.claim(at(6), 'attempt 2 by conductor c2') == AGAIN
    assert fates.claim(at(6), 'Conductor c1 died.') is None


@pytest.mark.parametrize(
    ('build', 'expected'),
    [
        (fate(ONCE), []),
        (fate(ONCE, status='error'), ['a']),
        (fate(status='queued', finished=None, images=0), ['a']),
        (fate(ONCE, images=0), ['a']),
    ],
)
def test_lost(build: fates.Fate, expected: list[str]) -> None:
    assert fates.lost([build]) == expected


@pytest.mark.parametrize(
    ('build', 'killed', 'expected'),
    [
        (fate(ONCE), '', []),
        (fate(), '', []),
        (fate(ONCE, images=2), '', ['a']),
        # The row says one attempt, the events say two.
        (fate(ONCE, ONCE, attempt=1), '', ['a']),
        (fate(ONCE, AGAIN), '', ['a']),
        (fate(ONCE, AGAIN), 'c1', []),
        (fate(ONCE, AGAIN), 'c2', ['a']),
        (fate(ONCE, AGAIN, images=2), 'c1', ['a']),
    ],
)
def test_doubled(build: fates.Fate, killed: str, expected: list[str]) -> None:
    assert fates.doubled([build], killed) == expected


def test_waits_for_the_first_claim() -> None:
    assert fates.waits([fate(ONCE, AGAIN), fate()]) == [2.0]


def test_throughput() -> None:
    later = fate(ONCE, created=at(1), finished=at(20))
    assert fates.throughput([fate(ONCE), later]) == pytest.approx(0.1)
    assert fates.throughput([fate(finished=None)]) == 0


def test_occupancy() -> None:
    # From 2 to 10 and from 6 to 12, of 10 seconds of 2 places.
    found = [fate(ONCE), fate(ONCE, AGAIN, finished=at(12))]
    assert fates.occupancy(found, 2) == pytest.approx(14 / 20)
    assert fates.occupancy([], 2) == 0


def test_shares() -> None:
    assert fates.shares([fate(ONCE), fate(ONCE, AGAIN), fate()]) == {
        'c1': 1,
        'c2': 1,
    }


def test_halfway() -> None:
    found = [
        fate(fates.Claim(at(number), 1, 'c'), project=project)
        for number, project in enumerate('abababbb')
    ]
    assert fates.halfway(found) == {'a': 2, 'b': 2}


def test_queue_defaults() -> None:
    options = queue.make_parser().parse_args([])
    assert (options.builds, options.conductors) == (2000, 8)
    assert (options.job, options.kill) == ('scripted', False)


def test_queue_verdict() -> None:
    found = queue.judged([fate(ONCE), fate(ONCE, AGAIN)], 'c1')
    assert found == {
        'builds': 2,
        'lost': 0,
        'doubled': 0,
        'retried': 1,
        'builds/s': 0.2,
        'wait': {'p50': 2, 'p95': 2, 'p99': 2, 'max': 2},
    }


def turned(way: str, serves: float, build: float = 0.0) -> user_data.Turn:
    return user_data.Turn(
        way=way, complete=9, serves=serves, guest=50, build=build, load=1
    )


def test_user_data_options() -> None:
    options = user_data.make_parser().parse_args(['--state', '/x'])
    assert (options.runs, options.within) == (1, 1800)
    assert options.state == pathlib.Path('/x')


def test_user_data_templates() -> None:
    for name in user_data.WAYS.values():
        assert (user_data.TEMPLATES / name).is_file()


def test_user_data_summary() -> None:
    turns = [
        turned('user data', 300),
        turned('built', 250, 70),
        turned('reused', 100),
        turned('user data', 400),
        turned('built', 240, 80),
        turned('reused', 90),
    ]
    assert user_data.summary(turns) == [
        ['user data', 9, 350, 50, 0],
        ['built', 9, 245, 50, 75],
        ['reused', 9, 95, 50, 0],
    ]
    assert user_data.saved(turns) == {'built': 105, 'reused': 255}


def test_what_a_hundred_conductors_cost_is_told_for_a_build() -> None:
    counts = crowd.Counts(
        claiming=500, ending=900, taken=100, lost=150, idle=[0.001, 0.25]
    )
    paced = crowd.Counts(claiming=700, lost=2)
    row = dispatch.Row('sqlite', 100, 10.0, counts, [0.004], paced)
    cells = row.cells()
    assert cells == (
        'sqlite', 100, '10.0', '250', '5.0', '9.0', '1.50', 0, '4', '4', '4',
        '700', '2.00',
    )  # fmt: skip
    slower = dispatch.Row(
        'sqlite', 1000, 150.0, crowd.Counts(), [], crowd.Counts()
    )
    assert slower.cells()[-3:] == ('-', '0', '0.00')
    text = dispatch.report([row, slower])
    assert (
        'sqlite: a build takes 1.50 times as long with 1000 queued as with '
        '100' in text
    )


def test_the_dispatch_is_measured_over_all_databases() -> None:
    options = dispatch.make_parser().parse_args([])
    assert options.database == ['sqlite', 'mariadb', 'postgresql']
    assert options.builds == [1000, 10_000]
    assert options.conductors == 100
    with pytest.raises(SystemExit):
        dispatch.make_parser().parse_args(['--builds', '0'])
