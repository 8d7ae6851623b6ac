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
"""Versions are compared as the rules of each ecosystem have it."""

import itertools
import re
import sys

import pytest

from imagebuild.sbom import versions

RPM = [
    '0', '1', '1.0', '1.0.1', '1.0a', '1.0~rc1', '1.0~rc1^git', '1.0^',
    '1.0^git1', '1.0^git1~pre', '10', '1.10', '1.9', '1.09', 'a', '1.a',
    '1.a1', '1_0', '1.0.', '2', '5.5p10', '5.5p1', '10xyz', 'xyz.4', '1.0rc1',
]  # fmt: skip


def sign(number):
    return (number > 0) - (number < 0)


RPM_ORDER = [
    ('1.0', '1.0', 0), ('1.0', '2.0', -1), ('2.0.1', '2.0', 1),
    ('2.0.1a', '2.0.1', 1), ('5.5p1', '5.5p2', -1), ('5.5p10', '5.5p1', 1),
    ('10xyz', '10.1xyz', -1), ('xyz10', 'xyz10.1', -1), ('xyz.4', '8', -1),
    ('8', 'xyz.4', 1), ('xyz.4', '2', -1), ('5.5p2', '5.6p1', -1),
    ('5.6p1', '6.5p1', -1), ('6.0.rc1', '6.0', 1), ('10b2', '10a1', 1),
    ('1.0aa', '1.0a', 1), ('10.0001', '10.1', 0), ('10.0039', '10.39', 0),
    ('4.999.9', '5.0', -1), ('20101121', '20101122', -1),
    ('2_0', '2.0', 0), ('a+', 'a_', 0), ('+a', '_a', 0),
    ('1.0~rc1', '1.0', -1), ('1.0~rc1', '1.0~rc2', -1),
    ('1.0~rc1~git123', '1.0~rc1', -1), ('1.0~rc1', '1.0arc1', -1),
    ('1.0^', '1.0', 1), ('1.0^git1', '1.0^git2', -1),
    ('1.0^git1', '1.01', -1), ('1.0^20160101', '1.0.1', -1),
    ('1.0^20160101^git1', '1.0^20160102', -1),
    ('1.0~rc1^git1', '1.0~rc1', 1), ('1.0^git1~pre', '1.0^git1', -1),
]  # fmt: skip


@pytest.mark.parametrize(('one', 'other', 'order'), RPM_ORDER)
def test_rpm_versions(one, other, order):
    """The cases of rpm's own tests (tests/rpmvercmp.at)."""
    if re.match('[0-9a-z]', one):
        assert sign(versions.compare_rpm(one, other)) == order
        assert sign(versions.compare_rpm(other, one)) == -order


def test_the_order_of_rpm_is_one():
    for one, other, third in itertools.product(RPM, repeat=3):
        first = versions.compare_rpm(one, other)
        assert sign(first) == -sign(versions.compare_rpm(other, one))
        if first < 0 and versions.compare_rpm(other, third) < 0:
            assert versions.compare_rpm(one, third) < 0


@pytest.mark.parametrize(
    ('type', 'version', 'asked', 'holds'),
    [
        ('deb', '3.0.14-1~deb12u1', '<3.0.15', True),
        ('deb', '3.0.15-1~deb12u1', '<3.0.15', False),
        ('deb', '3.0.15-1~deb12u1', '<3.0.15-1', True),
        ('deb', '3.0.9-1', '<3.0.15', True),
        ('deb', '1:1.0', '<2', False),
        ('deb', '1:1.0', '<1:2', True),
        ('deb', '1.0', '1.0', True),
        ('deb', '1.0-1', '=1.0', False),
        ('deb', '1.0-0', '==1.0', True),
        ('deb', '1.5', '>=1.0,<2', True),
        ('deb', '2.5', '>=1.0, <2', False),
        ('rpm', '3.0.7-27.el9', '<3.0.15', True),
        ('rpm', '3.0.7-27.el9', '=3.0.7', True),
        ('rpm', '3.0.7-27.el9', '<3.0.7-28.el9', True),
        ('rpm', '1:3.0.7-27.el9', '<3.0.15', False),
        ('rpm', '1:3.0.7-27.el9', '<1:3.0.15', True),
        ('pypi', '1.0rc1', '<1.0', True),
        ('pypi', '1.0', '=1.0.0', True),
        ('pypi', '2.10', '>2.9', True),
        ('pypi', '1.0.post1', '<=1.0', False),
        ('pypi', 'no-version', '<1', False),
        ('pypi', '1.0', '<1:2.0', False),
        ('deb', 'x:1', '<9', False),
    ],
)
def test_conditions(type, version, asked, holds):
    assert versions.Conditions.parse(asked).hold(type, version) is holds


@pytest.mark.parametrize(
    'text', ['', '<', '<<1', '!=1', '1 2', '<1,', ',', '~=1', '<1\n2', 'ü',
             '1,' * 10 + '1', f'<{"1" * 256}'],
)  # fmt: skip
def test_what_is_no_condition(text):
    with pytest.raises(versions.InvalidCondition):
        versions.Conditions.parse(text)


def test_versions_of_any_length():
    long = '9' * 250
    assert versions.compare_deb(long, '1') > 0
    assert versions.compare_rpm(f'{long}:1', '2:1') > 0


def test_versions_made_to_take_long_take_little():
    """They are what guests say, and conditions what users ask."""
    long = '1' + '.1a~' * 60
    conditions = versions.Conditions.parse(','.join([f'>={long}'] * 10))
    calls = []

    def note(_frame, event, _arg):
        calls.append(event)

    sys.setprofile(note)
    try:
        for number in range(10):
            assert conditions.hold('deb', f'{long}{number}')
    finally:
        sys.setprofile(None)
    # It was 67000.
    assert calls.count('call') < 7000
