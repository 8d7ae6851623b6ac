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
"""OpenStack's upper constraints allow what we require.

devstack installs every project, Tempest's plugins among them, with
``pip install -c upper-constraints.txt``. The constraints agree among
themselves; so ours can be installed with them exactly when each of our
requirements takes the version that is pinned, and when what is not pinned
requires nothing that the pins refuse.
"""

import configparser
import pathlib
from importlib import metadata

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = pathlib.Path(__file__).parents[2]
DIRECTORY = ROOT / 'tests' / 'upper_constraints'
SERIES = sorted(path.stem for path in DIRECTORY.glob('*.txt'))

#: Ours that OpenStack's requirements do not know. A new one is a decision:
#: OpenStack's own projects could not have it.
UNKNOWN = {'asyncssh', 'psycopg', 'python-hcl2'}
#: Where the newest needs more than is pinned pip takes an older one: what the
#: oldest that we allow needs.
OLDER = {
    'asyncssh': ['cryptography>=39.0', 'typing_extensions>=4.0.0'],
}


def without_comment(line: str) -> str:
    return line.partition('#')[0].strip()


def requirements(text: str) -> list[Requirement]:
    lines = (without_comment(line) for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


def ours() -> dict[str, list[Requirement]]:
    """What a package of ours requires: its extra, '' for none, to them."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / 'setup.cfg')
    found = {'': requirements((ROOT / 'requirements.txt').read_text())}
    for extra, text in setup['extras'].items():
        found[extra] = requirements(text)
    return found


def applies(requirement: Requirement, extra: str = '') -> bool:
    environment = {**default_environment(), 'extra': extra}
    return requirement.marker is None or requirement.marker.evaluate(
        environment
    )


def pins(series: str) -> dict[str, str]:
    """The version that this interpreter gets, by canonical name."""
    found = {}
    for line in (DIRECTORY / f'{series}.txt').read_text().splitlines():
        requirement = line.partition('#')[0].strip()
        if requirement:
            parsed = Requirement(requirement)
            if applies(parsed):
                name = canonicalize_name(parsed.name)
                found[name] = str(parsed.specifier).removeprefix('===')
    return found


def refused(
    wanted: list[Requirement], pinned: dict[str, str], by: str
) -> list[str]:
    return [
        f'{by}: {requirement} against {version}'
        for requirement in wanted
        for version in [pinned.get(canonicalize_name(requirement.name))]
        if version is not None
        and not requirement.specifier.contains(version, prereleases=True)
    ]


def test_all_supported_series_are_here():
    assert SERIES == ['2025.1', '2025.2', '2026.1', 'master']


@pytest.mark.parametrize('series', SERIES)
def test_our_requirements_take_what_is_pinned(series):
    pinned = pins(series)
    assert len(pinned) > 500
    found = []
    for extra, wanted in ours().items():
        found += refused(wanted, pinned, extra or 'requirements.txt')
    assert found == []


@pytest.mark.parametrize('series', SERIES)
def test_what_is_not_pinned_takes_what_is(series):
    pinned = pins(series)
    missing = {}
    for wanted in ours().values():
        for requirement in wanted:
            name = canonicalize_name(requirement.name)
            if name not in pinned:
                missing[name] = requirement.extras
    assert set(missing) == UNKNOWN
    found = []
    for name, extras in missing.items():
        lines = OLDER.get(name) or metadata.requires(name) or []
        needs = [Requirement(line) for line in lines]
        needs = [
            need
            for need in needs
            if any(applies(need, extra) for extra in ('', *extras))
        ]
        found += refused(needs, pinned, name)
    assert found == []


def test_a_requirement_that_is_refused_is_named():
    wanted = requirements('pyOpenSSL>=24.3.0 # Apache-2.0\n')
    assert refused(wanted, pins('master'), 'it') == [
        'it: pyOpenSSL>=24.3.0 against 24.2.1'
    ]
