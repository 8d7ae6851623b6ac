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

import importlib.util
import pathlib
import sys
import types

import pytest

RUN = pathlib.Path(__file__).parents[2] / 'benchmarks' / 'pack' / 'run.py'


@pytest.fixture(scope='module')
def run() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location('benchmarks_pack_run', RUN)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules[spec.name]
    return module


def test_defaults(run: types.ModuleType) -> None:
    options = run.make_parser().parse_args([])
    assert options.base is None
    assert options.packages == ['nginx']
    assert options.runs == 3
    assert options.json is None


def test_options(run: types.ModuleType) -> None:
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
def test_bad_options(run: types.ModuleType, argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        run.make_parser().parse_args(argv)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ('runs', 'over', 'under', 'expected'),
    [
        ([], 'A', 'B', []),
        ([('A', 6.0)], 'A', 'B', []),
        ([('A', 6.0), ('B', 10.0)], 'A', 'B', [0.6]),
        ([('A', 6.0), ('C', 2.0)], 'A', 'C', [3.0]),
        # Turn by turn, and a turn that is not complete does not count.
        (
            [('A', 1.0), ('B', 2.0), ('A', 9.0), ('B', 10.0), ('A', 5.0)],
            'A',
            'B',
            [0.5, 0.9],
        ),
    ],
)
def test_ratios(
    run: types.ModuleType,
    runs: list[tuple[str, float]],
    over: str,
    under: str,
    expected: list[float],
) -> None:
    assert run.ratios(runs, over, under) == pytest.approx(expected)


def test_summary_is_the_median_of_ratios(run: types.ModuleType) -> None:
    # The second turn was disturbed: a ratio of medians would be another.
    seconds = [('A', 5), ('B', 10), ('A', 60), ('B', 80), ('A', 6), ('B', 10)]
    found = run.summary(seconds)
    assert found['median'] == {'A': 6, 'B': 10}
    assert list(found['ratios']) == ['A/B']
    assert found['ratios']['A/B']['pairs'] == pytest.approx([0.5, 0.75, 0.6])
    assert found['ratios']['A/B']['median'] == pytest.approx(0.6)
