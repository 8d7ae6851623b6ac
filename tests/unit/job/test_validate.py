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
"""What came out for a machine, as the database keeps it."""

import json

import pytest

from imagebuild import manifest
from imagebuild.job import validate
from imagebuild.machines import checks

LARGE = '\U0001f600' * 9000


def outcome(steps: int, text: str = LARGE) -> checks.Outcome:
    failed = manifest.Result.FAILED
    made = [
        manifest.StepReport(
            path=f'validators[{number}].script',
            validator='script',
            description=text,
            # Those at the end: they are seen first.
            result=manifest.Result.OK if number < steps - 3 else failed,
            seconds=1.0,
            message=f'{number} {text}',
            output=f'{text} {number}',
        )
        for number in range(steps)
    ]
    report = manifest.Report('debian', '12', reconcile=False, steps=made)
    result = checks.Result.DOES_NOT_CONFORM
    return checks.Outcome('web', result, f'why: {text}', report, 2.0)


@pytest.mark.parametrize('most', [2 * 1024**2, 40_000, 20_000, 4_000])
def test_machines_that_say_much_share_what_there_is(most: int) -> None:
    result = validate.result_of(outcome(200), most)
    assert len(json.dumps(result)) <= most
    assert result['reason'].startswith('why: ')
    assert [step['result'] for step in result['steps'][:3]] == [
        'failed' for _ in result['steps'][:3]
    ]


def test_all_of_what_is_usual() -> None:
    result = validate.result_of(outcome(20, 'some text'), 40_000)
    assert len(result['steps']) == 20
    assert result['steps'][0]['message'] == '0 some text'
    assert result['steps'][0]['output'] == 'some text 0'
    assert result['reason'] == 'why: some text'


def test_nothing_was_begun() -> None:
    outcome = checks.Outcome('web', checks.Result.UNREACHABLE, 'it is down')
    result = validate.result_of(outcome, 4_000)
    assert (result['steps'], result['reason']) == ([], 'it is down')
