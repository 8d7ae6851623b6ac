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
from imagebuild.distros import rpm_state

DUMP = (
    'package\tdemo-tool\t0\t2.0\t1.el9\tnoarch\n'
    'package\tbind\t32\t9.16.23\t14.el9\tx86_64\n'
    'package\tkernel\t0\t5.14.0\t1.el9\tx86_64\n'
    'package\tkernel\t0\t5.14.0\t2.el9\tx86_64\n'
    'package\tglibc\t0\t2.34\t60.el9\ti686\n'
    'no package provides nothing\n'
    'provide\tvirtual-demo\t\n'
    'provide\tperl(Foo::Bar)\t1.5-2\n'
    'provide\tlibx.so.1()(64bit)\t\n'
    'provide\tpattern()\tbase\n'
    'file\t/usr/bin/demo\n'
    'group Installed Groups:\n'
    'group    Development Tools (development)\n'
    'group web-server   Basic Web Server   yes\n'
)


@pytest.mark.parametrize(
    ('name', 'version', 'expected'),
    [
        ('demo-tool', None, True),
        ('demo-tool', '2.0', True),
        ('demo-tool', '2.0-1.el9', True),
        ('demo-tool', '2.0-1.el9.noarch', True),
        ('demo-tool', '0:2.0', True),
        ('demo-tool', '2.*', True),
        ('demo-tool', '2', False),
        ('demo-tool', '1.0', False),
        ('demo-tool.noarch', '2.0', True),
        ('demo-tool.i686', None, False),
        ('demo-tool-2.0', None, True),
        ('demo-tool-2.0-1.el9.noarch', None, True),
        ('demo-tool-1.0', None, False),
        ('bind', '9.16.23', True),
        ('bind', '32:9.16.23', True),
        ('bind', '32:9.16.23-14.el9.x86_64', True),
        ('bind', '31:9.16.23', False),
        ('kernel', '5.14.0-1.el9', True),
        ('kernel', '5.14.0-2.el9', True),
        ('virtual-demo', None, True),
        ('virtual-demo', '1', False),
        ('perl(Foo::Bar)', '1.5', True),
        ('perl(Foo::Bar)', '1.6', False),
        ('libx.so.1()(64bit)', None, True),
        ('/usr/bin/demo', None, True),
        ('/usr/bin/other', None, False),
        ('@development', None, True),
        ('@Development Tools', None, True),
        ('@web-server', None, True),
        ('@base', None, True),
        ('@minimal', None, False),
        ('nothing', None, False),
    ],
)
def test_what_satisfies(
    name: str, version: str | None, expected: bool
) -> None:
    state = rpm_state.RpmState(DUMP)
    assert state.satisfies(base.Package(name, version)) is expected


@pytest.mark.parametrize(
    ('name', 'expected'),
    [
        ('demo-tool', '2.0-1.el9'),
        ('bind', '32:9.16.23-14.el9'),
        ('kernel', '5.14.0-2.el9'),
        ('perl(Foo::Bar)', '1.5-2'),
        ('virtual-demo', None),
        ('nothing', None),
    ],
)
def test_versions(name: str, expected: str | None) -> None:
    assert rpm_state.RpmState(DUMP).version(name) == expected


def test_groups_are_asked_for_only_when_there_are_some() -> None:
    demo, group = base.Package('demo', '1'), base.Package('@web')
    assert rpm_state.arguments([demo, demo]) == ('demo', '')
    names, groups = rpm_state.arguments([group, demo])
    assert names.splitlines() == ['demo', 'pattern()']
    assert groups
