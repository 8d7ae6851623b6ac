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
"""What a request says of its boot test, and what the operator does."""

import pytest

from imagebuild.common import boot_tests
from imagebuild.common import json_schema

DEFAULTS = {
    'firmware': 'bios',
    'memory': 1024,
    'cpus': 2,
    'disk_size': 0,
    'timeout': 600,
    'console': [],
    'cloud_init': False,
    'systemd': True,
    'ports': [22],
    'commands': [],
}


def rules(*, enabled=True, required=False):
    return boot_tests.Rules(
        enabled,
        required,
        DEFAULTS,
        {'memory': 2048, 'cpus': 4, 'timeout': 900},
    )


def test_it_names_everything():
    assert set(DEFAULTS) == set(boot_tests.FIELDS)
    for asked in (True, {}):
        assert rules().normalized(asked) == DEFAULTS
    given = {'ports': [80, 80.0, 22], 'memory': 512.0, 'systemd': False}
    found = rules().normalized(given)
    assert found == {
        **DEFAULTS, 'ports': [80, 22], 'memory': 512, 'systemd': False,
    }  # fmt: skip
    assert type(found['memory']) is int
    # What is stored may be asked for again.
    assert rules().normalized(found) == found
    assert json_schema.check(found, boot_tests.SCHEMA, 'boot_test') == []


@pytest.mark.parametrize('asked', [None, False])
def test_none(asked):
    assert rules().normalized(asked) is None
    assert list(rules(enabled=False).problems(asked)) == []


def test_one_that_is_required():
    required = rules(required=True)
    assert required.normalized(None) == DEFAULTS
    assert list(required.problems(None)) == []
    [problem] = required.problems(False)
    assert problem.message == 'this service boots every image that it makes'


def test_more_than_the_operator_allows():
    found = list(rules().problems({'memory': 4096, 'timeout': 901, 'cpus': 4}))
    assert [(each.path, each.message) for each in found] == [
        (
            'boot_test.memory',
            'this service boots images with at most 2048 MiB of memory',
        ),
        (
            'boot_test.timeout',
            'this service boots images with at most 900 seconds',
        ),
    ]
    [problem] = rules(enabled=False).problems(True)
    assert problem.message == 'this service boots no images'


@pytest.mark.parametrize(
    ('asked', 'path'),
    [
        ('yes', 'boot_test'),
        ({'port': 22}, 'boot_test.port'),
        ({'ports': [0]}, 'boot_test.ports[0]'),
        ({'ports': [22] * 65}, 'boot_test.ports'),
        ({'commands': ['a\nb']}, 'boot_test.commands[0]'),
        ({'commands': ['x' * 1025]}, 'boot_test.commands[0]'),
        ({'console': ['']}, 'boot_test.console[0]'),
        ({'memory': 10**9}, 'boot_test.memory'),
        ({'firmware': 'coreboot'}, 'boot_test.firmware'),
        ({'systemd': 'yes'}, 'boot_test.systemd'),
    ],
)
def test_what_is_none(asked, path):
    [problem] = json_schema.check(asked, boot_tests.SCHEMA, 'boot_test')
    assert problem.path == path


def test_all_commands_fit_in_one_word_of_a_command_line():
    script = boot_tests.MOST_TEXTS * boot_tests._LONGEST_TEXT * 4
    assert (script * 4 / 3 + 8192) * 4 / 3 < 128 * 1024


def test_what_boots_it():
    assert boot_tests.need({}, 'snapshot') == ''
    assert boot_tests.need({'boot_test': None}, 'snapshot') == ''
    request = {'boot_test': DEFAULTS, 'name': 'web'}
    assert boot_tests.need(request, 'snapshot') == 'bios'
    left = boot_tests.left_to_driver(request)
    assert boot_tests.need(left, 'snapshot') == 'snapshot'
    assert left['name'] == 'web'
    assert left['boot_test'].keys() == DEFAULTS.keys() - {*boot_tests.MACHINE}
    assert boot_tests.left_to_driver({'name': 'x'}) == {'name': 'x'}


@pytest.mark.parametrize('asked', [None, True, {}, {'timeout': 5}])
def test_what_a_cloud_can_be_asked(asked):
    assert boot_tests.machine_problems(asked, 'snapshot') == []


def test_what_a_cloud_cannot_be_asked():
    # 0 is what there is without it.
    asked = {'memory': 512, 'firmware': 'bios', 'disk_size': 0}
    found = boot_tests.machine_problems(asked, 'snapshot')
    assert [each.path for each in found] == [
        'boot_test.firmware', 'boot_test.memory'
    ]  # fmt: skip
    assert 'the driver "snapshot" has this cloud boot' in found[0].message


@pytest.mark.parametrize(
    ('tested', 'unmet'),
    [
        ({'systemd': True, 'ports': [22, 80], 'console': ['x']}, []),
        ({'console': ['GRUB']}, ['ports 22', 'systemd']),
        ({}, ['ports 22', 'systemd']),
        (None, ['ports 22', 'systemd']),
        ({'systemd': True, 'ports': [80]}, ['ports 22']),
    ],
)
def test_what_the_operator_expects(tested, unmet):
    assert rules().unmet(tested) == unmet


@pytest.mark.parametrize(
    ('tested', 'unmet'),
    [
        # A login prompt is.
        ({}, []),
        ({'console': ['login:', 'x']}, []),
        ({'cloud_init': True}, []),
        ({'commands': ['true'], 'console': ['GRUB']}, []),
        ({'console': ['GRUB']}, ['console login:']),
    ],
)
def test_nothing_is_expected(tested, unmet):
    nothing = {**DEFAULTS, 'systemd': False, 'ports': []}
    found = boot_tests.Rules(True, False, nothing, {})
    assert found.unmet(tested) == unmet
