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
"""What hidden values cost, however many lines they have."""

import random
import re
import tracemalloc

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest import hiding
from imagebuild.remotes import fake
from tests.unit.manifest import engine

pytestmark = pytest.mark.usefixtures('core_language')

_HIDDEN = """
arguments:
  a: {default: '', hidden: true}
  b: {default: '', hidden: true}
  shown: {default: ''}
validators: [script: {s: {inline: x, output: a}}]
"""


def _by_alternatives(text, forms):
    """One regular expression of all forms, the longest first."""
    alternatives = [
        re.escape(form)
        if len(form) >= hiding.SHORTEST
        else rf'(?<!\w){re.escape(form)}(?!\w)'
        for form in sorted(forms, key=len, reverse=True)
        if form
    ]
    pattern = '|'.join(alternatives)
    return re.sub(pattern, hiding.MASK, text) if pattern else text


def test_it_finds_what_one_regular_expression_would():
    some = random.Random(8)

    def word(size):
        return ''.join(some.choices('ab1 -"\'ü_', k=some.randint(0, size)))

    masked = 0
    for _ in range(1500):
        forms = [word(9) for _ in range(some.randint(1, 12))]
        text = f'{word(20)}{some.choice(forms)}{word(20)}'
        wanted = _by_alternatives(text, forms)
        assert hiding.hide(text, forms) == wanted, (text, forms)
        masked += wanted != text
    assert masked > 500


@pytest.mark.parametrize(
    'value',
    [
        ''.join(f'{number:x}\n' for number in range(hiding.MAX_LINES)),
        '\n'.join('x' * (number // 4) for number in range(1020)),
        '🔑' * hiding.MAX_CHARACTERS,
    ],
)
def test_the_most_that_may_be_hidden(value):
    assert not hiding.excess([value])
    tracemalloc.start()
    try:
        secrets = hiding.Secrets([value])
        line = value.splitlines()[-1]
        assert secrets.hide(f'it is {line}!') == 'it is ***!'
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 64 * 1024**2
    assert len(secrets) < 30 * hiding.MAX_LINES


@pytest.mark.parametrize(
    'values, path',
    [
        ({'a': 'x\n' * 2001}, 'arguments.a'),
        ({'a': 'x' * 70_000, 'b': 'y' * 70_000}, 'arguments.b'),
    ],
)
def test_more_is_refused_before_anything_runs(values, path):
    loaded = manifest.load(_HIDDEN)
    with pytest.raises(exception.InvalidArguments) as caught:
        loaded.resolve(values)
    [problem] = caught.value.errors
    assert problem.path == path
    assert problem.message.startswith(
        'hidden values may have 131072 characters and 2000 lines together'
    )
    # Of what is not hidden there may be more.
    assert loaded.resolve({'shown': 'x\n' * 2001, 'a': 'x\n' * 2000})


def test_a_step_cannot_set_more():
    remote = engine.system()
    remote.on_script('s', fake.Answer('x\n' * 2002))
    with pytest.raises(exception.StepFailed) as caught:
        manifest.load(_HIDDEN).run(remote)
    assert '"a" cannot be set: hidden values may have' in str(caught.value)
