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
import pytest

from imagebuild.distros import base
from imagebuild.distros import dpkg_state

DUMP = (
    'ii \tdpkg\t1.21.22\tamd64\t\n'
    'ii \tnginx\t1.22.1-9\tamd64\thttpd, httpd-cgi\n'
    'rc \tapache2\t2.4.57-2\tamd64\thttpd-removed\n'
    'iU \thalf-unpacked\t1\tamd64\t\n'
    'iF \thalf-configured\t1\tamd64\t\n'
    'iHR\thalf-installed\t1\tamd64\t\n'
    'un \tunknown\t\t\t\n'
    'hi \theld\t3\tamd64\t\n'
    'it \ttriggered\t4\tamd64\t\n'
    'ii \tlibc6\t2.36-9\tamd64\t\n'
    'ii \tlibc6\t2.36-9\ti386\t\n'
    'ii \ttzdata\t2024a\tall\t\n'
    'ii \tlib32z1\t1:1.2\ti386\t\n'
    'ii \tg++\t4:12.2.0-3\tamd64\tc++-compiler\n'
    'ii \tpython3\t3.11.2\tamd64\tpython3-profiler (= 3.11.2), a:any (=2)\n'
    'not a line\n'
)


@pytest.mark.parametrize(
    ('name', 'version', 'expected'),
    [
        ('nginx', None, True),
        ('nginx', '1.22.1-9', True),
        ('nginx', '1.22.1', False),
        ('nginx', '1.22.*', True),
        ('nginx', '1.2?.1-9', True),
        ('httpd', None, True),
        ('httpd-cgi', None, True),
        ('httpd', '1.22.1-9', False),
        ('apache2', None, False),
        ('httpd-removed', None, False),
        ('half-unpacked', None, False),
        ('half-configured', None, False),
        ('half-installed', None, False),
        ('unknown', None, False),
        ('held', None, True),
        ('triggered', None, True),
        ('libc6:i386', None, True),
        ('libc6:arm64', None, False),
        ('nginx:native', None, True),
        ('nginx:any', None, True),
        ('nginx:i386', None, False),
        ('lib32z1:native', None, False),
        ('lib32z1', '1:1.2', True),
        ('lib32z1', '1.2', False),
        ('tzdata:i386', None, True),
        ('nginx/bookworm-backports', None, True),
        ('g++', None, True),
        ('python3-profiler', '3.11.2', True),
        ('python3-profiler', '3.12', False),
        ('a', '2', True),
        ('nothing', None, False),
    ],
)
def test_what_satisfies(
    name: str, version: str | None, expected: bool
) -> None:
    state = dpkg_state.DpkgState(DUMP)
    assert state.satisfies(base.Package(name, version)) is expected


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('nginx', '1.22.1-9'),
        ('apache2', None),
        ('httpd', None),
        ('python3-profiler', '3.11.2'),
        ('libc6:i386', '2.36-9'),
    ],
)
def test_versions(name: str, expected: str | None) -> None:
    assert dpkg_state.DpkgState(DUMP).version(name) == expected


def test_missing_keeps_the_order() -> None:
    wanted = [base.Package(name) for name in ('z', 'nginx', 'a1')]
    assert [str(p) for p in dpkg_state.DpkgState(DUMP).missing(wanted)] == [
        'z',
        'a1',
    ]
