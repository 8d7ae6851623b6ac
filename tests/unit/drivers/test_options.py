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

import json
import re
from typing import Any

import pytest

from imagebuild.drivers import base
from imagebuild.drivers import bootstrap
from imagebuild.drivers import registry
from imagebuild.drivers.bootstrap import releases


@pytest.mark.parametrize(
    ('options', 'minimal', 'size'),
    [
        ({'os': 'debian-12'}, False, 4),
        ({'os': 'debian-12', 'size': None}, False, 4),
        ({'os': 'debian-12', 'minimal': True}, True, 3),
        ({'os': 'debian-12', 'minimal': True, 'size': 1}, True, 1),
        ({'os': 'debian-12', 'size': 8192}, False, 8192),
    ],
)
def test_good_ones(options: dict[str, Any], minimal: bool, size: int) -> None:
    parsed = bootstrap.BootstrapOptions.parse(options)
    assert (parsed.minimal, parsed.size) == (minimal, size)
    assert parsed.release.codename == 'bookworm'


@pytest.mark.parametrize(
    ('options', 'paths'),
    [
        ({}, ['os']),
        ({'os': 'debian-3'}, ['os']),
        ({'os': ['debian-12']}, ['os']),
        ({'os': 'debian-12', 'size': 1}, ['size']),
        ({'os': 'debian-12', 'minimal': True, 'size': 0}, ['size']),
        ({'os': 'debian-12', 'size': 8193}, ['size']),
        ({'os': 'debian-12', 'size': '4'}, ['size']),
        ({'os': 'debian-12', 'partition_table': 'dos'}, ['partition_table']),
        (
            {'os': 'debian-12', 'partition_table': 'mbr', 'size': 2048},
            ['size'],
        ),
        ({'os': 'debian-12', 'size': True}, ['size']),
        ({'os': 'debian-12', 'minimal': 'yes'}, ['minimal']),
        (
            {'os': 'x', 'minimal': 1, 'size': -1, 'colour': 'red'},
            ['colour', 'minimal', 'os', 'size'],
        ),
    ],
)
def test_bad_ones(options: dict[str, Any], paths: list[str]) -> None:
    with pytest.raises(base.InvalidDriverOptions) as caught:
        bootstrap.BootstrapDriver().validate(options)
    assert [problem.path for problem in caught.value.errors] == paths
    assert caught.value.exit_code == 2


def test_an_mbr_counts_sectors_by_32_bits() -> None:
    options = {'os': 'debian-12', 'partition_table': 'mbr', 'size': 2047}
    driver = bootstrap.BootstrapDriver()
    driver.validate(options)
    with pytest.raises(base.InvalidDriverOptions, match='with an MBR cannot'):
        driver.validate({**options, 'size': 2048})
    # Another disk, and that of before has the identity of before.
    plain = driver.identity({'os': 'debian-12'})
    gpt = {'os': 'debian-12', 'partition_table': 'gpt'}
    assert driver.identity(gpt) == plain
    assert '"partition_table":"mbr"' in driver.identity(
        {'os': 'debian-12', 'partition_table': 'mbr'}
    )


def test_an_unknown_system_names_the_known_ones() -> None:
    with pytest.raises(base.InvalidDriverOptions) as caught:
        bootstrap.BootstrapOptions.parse({'os': 'debian-3'})
    for name in releases.RELEASES:
        assert name in str(caught.value)


def test_patterns_are_those_of_every_language() -> None:
    """Clients check requests by ECMA 262, which refuses what Python adds."""
    of_python = re.compile(r'\\\\[AZ]|\(\?(?:P|#|[aiLmsux])')
    for name, driver in registry.drivers().items():
        schema = json.dumps(driver.options.published())
        assert not of_python.search(schema), name
