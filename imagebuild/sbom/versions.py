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
"""Compares versions as each ecosystem does.

Debian's rules are those of deb-version(7), rpm's those of rpm-version(7);
Python's, PEP 440, has a library. The tests compare with the real ``dpkg
--compare-versions`` and ``rpm``.
"""

from __future__ import annotations

import dataclasses
import functools
import operator
import re
from collections.abc import Callable
from collections.abc import Mapping
from typing import Self

from packaging import version as pep440

_OPERATORS: Mapping[str, Callable[[int, int], bool]] = {
    '<': operator.lt,
    '<=': operator.le,
    '=': operator.eq,
    '==': operator.eq,
    '>=': operator.ge,
    '>': operator.gt,
}
_CONDITION = re.compile(
    r'\s*(?:(?P<operator><=|>=|==|<|>|=)\s*)?'
    r'(?P<version>[A-Za-z0-9][A-Za-z0-9.+:~^_!-]{0,254})\s*'
)
_MOST = 10


class InvalidCondition(ValueError):
    """A text says nothing about versions."""


@dataclasses.dataclass(frozen=True)
class Conditions:
    """What a version is to be, such as ``>=3.0,<3.0.15``.

    :ivar each: operator and version; all must hold.
    """

    each: tuple[tuple[str, str], ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read conditions that are separated by commas.

        :raises InvalidCondition: with a message for users.
        """
        found = []
        for part in text.split(','):
            match = _CONDITION.fullmatch(part)
            if match is None:
                raise InvalidCondition(
                    'is not a version, or an operator (<, <=, =, >=, >) and '
                    'a version, such as "<3.0.15"; in a URL a plus sign is '
                    '"%2B"'
                )
            found.append((match['operator'] or '=', match['version']))
        if len(found) > _MOST:
            raise InvalidCondition(f'has more than {_MOST} conditions')
        return cls(tuple(found))

    def hold(self, type: str, version: str) -> bool:
        """Whether a version of that ecosystem fulfils all of them.

        False when one of the two cannot be compared, as it is none there.
        """
        compare = _COMPARE[type]
        try:
            return all(
                _OPERATORS[sign](compare(version, wanted), 0)
                for sign, wanted in self.each
            )
        except ValueError:
            return False


# -- Debian -----------------------------------------------------------------


def compare_deb(left: str, right: str) -> int:
    """Compare two versions of Debian's; below 0, 0 or above.

    :raises ValueError: one is none.
    """
    one, other = _deb_key(left), _deb_key(right)
    return (one > other) - (one < other)


# A question compares one of few with many, each many times.
@functools.lru_cache(maxsize=64)
def _deb_key(version: str) -> tuple[object, ...]:
    """What sorts as the version does.

    :raises ValueError: it is none.
    """
    epoch, upstream, revision = _split_deb(version)
    return _number(epoch), _deb_part(upstream), _deb_part(revision)


def _split_deb(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(':')
    if not colon:
        epoch, rest = '0', version
    if not epoch.isdecimal():
        raise ValueError(version)
    upstream, _, revision = rest.rpartition('-')
    return (epoch, upstream or revision, revision if upstream else '')


_DEB_PART = re.compile('([^0-9]*)([0-9]*)')


def _deb_part(text: str) -> tuple[object, ...]:
    # Non-digits, and then digits, up to the end, which is none of both.
    found = [
        ((*map(_deb_weight, letters), 0), _number(digits))
        for letters, digits in _DEB_PART.findall(text)
    ]
    # "" is "0".
    return tuple(found if len(found) > 1 else found * 2)


def _deb_weight(character: str) -> int:
    """A tilde is before the end (0), which is before letters and the rest."""
    if character == '~':
        return -1
    return ord(character) + (0 if character.isalpha() else 256)


# -- rpm --------------------------------------------------------------------

_SEGMENT = re.compile(r'[0-9]+|[A-Za-z]+|~|\^')


def compare_rpm(left: str, right: str) -> int:
    """Compare two ``[epoch:]version[-release]``; below 0, 0 or above.

    Releases are compared only where both have one, as rpm does with what
    packages require.

    :raises ValueError: one is none.
    """
    (e1, v1, r1), (e2, v2, r2) = _split_rpm(left), _split_rpm(right)
    order = _numbers(e1, e2) or _rpm_part(v1, v2)
    return order or (_rpm_part(r1, r2) if r1 and r2 else 0)


def _split_rpm(version: str) -> tuple[str, str, str]:
    epoch, colon, rest = version.partition(':')
    if not colon:
        epoch, rest = '0', version
    if not epoch.isdecimal():
        raise ValueError(version)
    name, dash, release = rest.rpartition('-')
    return (epoch, name, release) if dash else (epoch, rest, '')


def _rpm_part(left: str, right: str) -> int:
    mine, theirs = _SEGMENT.findall(left), _SEGMENT.findall(right)
    for place in range(max(len(mine), len(theirs))):
        one = mine[place] if place < len(mine) else ''
        other = theirs[place] if place < len(theirs) else ''
        if order := _rpm_segment(one, other):
            return order
    return 0


def _rpm_segment(one: str, other: str) -> int:
    """Compare two segments, '' after the last one."""
    if one == other:
        return 0
    for special, weight in (('~', -1), ('^', 1)):
        if special in (one, other):
            mine, theirs = one == special, other == special
            # A caret is after the end, and before whatever goes on.
            if special == '^' and one and other:
                weight = -1
            return weight * (mine - theirs)
    if not one or not other:
        return -1 if not one else 1
    if one.isdecimal() != other.isdecimal():
        return 1 if one.isdecimal() else -1
    if one.isdecimal():
        return _numbers(one, other)
    return -1 if one < other else 1


# -- Python -----------------------------------------------------------------


def compare_pypi(left: str, right: str) -> int:
    """Compare two versions of PEP 440; below 0, 0 or above.

    :raises ValueError: one is none.
    """
    one, other = pep440.Version(left), pep440.Version(right)
    return (one > other) - (one < other)


# ---------------------------------------------------------------------------


def _number(digits: str) -> tuple[int, str]:
    """What sorts as a row of digits, of any length, does; '' is 0."""
    found = digits.lstrip('0')
    return len(found), found


def _numbers(left: str, right: str) -> int:
    one, other = _number(left), _number(right)
    return (one > other) - (one < other)


_COMPARE: Mapping[str, Callable[[str, str], int]] = {
    'deb': compare_deb,
    'pypi': compare_pypi,
    'rpm': compare_rpm,
}
