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
"""What a step is called where people read it."""

from collections.abc import Mapping

import pytest

from imagebuild import manifest
from imagebuild.manifest import contexts
from imagebuild.manifest import placeholders
from imagebuild.manifest.validators import service
from imagebuild.manifest.validators import target_files
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

MANIFEST = """
arguments:
  start: {default: enabled}
  secret: {required: true, hidden: true}
  long: {default: ''}
validators:
  - service: {a: '{{ start }}', b: enabled}
  - file:
      '/etc/{{ distro }}/{{ secret }}.conf': {content: text}
      '/etc/{{ long }}.conf': {content: text}
"""


def described(values: Mapping[str, str]) -> list[str]:
    remote = guest.debian()
    guest.answer(
        remote,
        service.LOOK,
        fake.Answer('a.service enabled\nb.service enabled\n'),
    )
    guest.answer(remote, target_files.LOOK, fake.Answer('absent\nabsent\n'))
    loaded = manifest.load(MANIFEST)
    bound = loaded.bound(loaded.resolve(values))
    return [step.description for step in bound.plan(remote)]


def test_a_step_is_named_with_its_values() -> None:
    [first, second] = described({'secret': 'hush-hush', 'long': 'longer'})
    assert first == 'service a.service enabled, b.service enabled'
    assert second == 'file /etc/debian/{{ secret }}.conf, /etc/longer.conf'


def test_what_is_no_short_line_stays_a_name() -> None:
    for value in ('x' * 81, 'two\nlines', 'a\x1b[31mred'):
        _, second = described({'secret': 'hush-hush', 'long': value})
        assert second.endswith('/etc/{{ long }}.conf'), value


@pytest.mark.parametrize(
    'text, shown',
    [
        ('{{ a }} and {{a}}', 'one and one'),
        ('{{ unknown }}', '{{ unknown }}'),
        ('{{ a|sha256 }}', '{{ a|sha256 }}'),
        ('{{ nested }}', '{{ a }}'),
    ],
)
def test_shown(text: str, shown: str) -> None:
    values = {'a': 'one', 'nested': '{{ a }}'}
    assert placeholders.show(text, values.get) == shown


def test_equal_steps_are_told_apart() -> None:
    counter = contexts.StepCounter()
    for path, name in (('0', 'x'), ('1', 'x (2)'), ('0', 'x'), ('2', 'x (3)')):
        assert counter.name(path, 'x') == name
    assert counter.name('3', 'y') == 'y'


class _Path(str):
    """Counts with how many others it is compared."""

    __slots__ = ()
    compared = 0

    def __eq__(self, other: object) -> bool:
        _Path.compared += 1
        return super().__eq__(other)

    __hash__ = str.__hash__


def test_thousands_of_equal_steps_take_no_time() -> None:
    _Path.compared = 0
    counter = contexts.StepCounter()
    for number in range(1000):
        counter.name(_Path(number), 'x')
    assert counter.name('1000', 'x') == 'x (1001)'
    assert _Path.compared < 10_000
