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
"""What can be said in shell, and what is refused."""

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest import validators as installed


def program(validators, values=None, **more):
    text = {'validators': validators, **more}
    return manifest.load(text).bind(values or {}).program()


@pytest.mark.parametrize(
    ('validators', 'more', 'path', 'reason'),
    [
        (
            [{'user': {'bob': {}}}],
            {},
            'validators[0].user',
            '"user bob" cannot be run by the guest alone',
        ),
        (
            [{'script': {'s': {'inline': 'x', 'output': 'found'}}}],
            {},
            'validators[0].script',
            'keeps what it prints',
        ),
        (
            [{'any': [{'package': 'a'}, {'package': 'b'}]}],
            {},
            'validators[0].any',
            'cannot be run by the guest alone',
        ),
        (
            [
                {
                    'os_case': [
                        {
                            'debian': [
                                {
                                    'argument_set': {
                                        'argument_name': 'a',
                                        'value': 'b',
                                    }
                                }
                            ]
                        }
                    ]
                }
            ],
            {},
            'validators[0].os_case[0].debian[0].argument_set',
            'on some systems only',
        ),
        (
            [{'pip': {'requirements': ['x @ https://me:pw@host/x.whl']}}],
            {},
            'validators[0].pip',
            'with a login',
        ),
        (
            [{'package': 'apt-'}],
            {},
            'validators[0].package',
            'is not a package name',
        ),
        (
            [{'file': {'/a': {'content': '{{ distro }}', 'template': True}}}],
            {},
            'validators[0].file',
            'whose value is not known before the guest runs',
        ),
        (
            [
                {
                    'os_case': [
                        {'x' * 2**19: []},
                        {'debian': [{'package': 'a'}] * 8},
                    ]
                }
            ],
            {},
            'validators[0].os_case[1].debian[7].package',
            'comes with too long a list of systems',
        ),
    ],
)
def test_what_cannot_be_said(validators, more, path, reason):
    with pytest.raises(exception.InvalidManifest) as caught:
        program(validators, **more)
    [problem] = caught.value.errors
    assert problem.path == path
    assert reason in problem.message
    assert 'me:pw' not in problem.message


def test_a_branch_is_for_what_no_other_is_for():
    branches = [{name: [{'package': 'a'}]} for name in ('debian', 'b c', 'd')]
    [*several, after] = program(
        [{'os_case': branches}, {'package': 'b'}]
    ).steps
    assert [step.condition for step in several] == [
        'imagebuild_is debian',
        "! imagebuild_is debian && imagebuild_is 'b c'",
        "! imagebuild_is debian && ! imagebuild_is 'b c' && imagebuild_is d",
    ]
    assert after.condition == 'true'


def test_hidden_values_do_not_get_there():
    arguments = {'password': {'hidden': True, 'default': ''}}
    validators = [{'script': {'s': {'inline': 'x', 'env_vars': ['password']}}}]
    with pytest.raises(exception.InvalidManifest, match='hidden') as caught:
        program(validators, {'password': 'tr0ub4dor'}, arguments=arguments)
    assert 'tr0ub4dor' not in str(caught.value)
    # Without a value there is none to hide.
    assert program(validators, arguments=arguments)


def test_every_validator_answers():
    """A new one is refused, or says its step; it does not come to nothing."""
    for kind in installed.types().values():
        assert callable(kind.in_shell)
