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
"""Whatever is loaded, only our own errors come out."""

import json
import random

import hypothesis
import pytest
import yaml
from hypothesis import strategies as st

from imagebuild import exception
from imagebuild import manifest
from tests.unit.manifest import engine
from tests.unit.manifest import test_content_key
from tests.unit.manifest import test_sahara

pytestmark = pytest.mark.usefixtures('core_language')

RESOURCES = {
    'x': 'x',
    **test_content_key.RESOURCES,
    **dict.fromkeys(test_sahara.SCRIPTS, ''),
}
VALID = [test_content_key.BASE, test_sahara.PUBLISHED, test_sahara.LISTED]

#: The fixture is the same for every example.
bounded = hypothesis.settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)

WORDS = st.sampled_from(
    [
        *engine.CORE,
        'validators', 'arguments', 'description', 'os', 'min_disk',
        'argument_name', 'cases', 'value', 'default', 'choices', 'required',
        'hidden', 'type', 'target_variable', 'inline', 'env_vars', 'output',
        'timeout', 'version', 'x', 'debian', '', 'a b', '\n', '../x', '/x',
        '__class__', '0', 'true', 'distro', '-', '\0', '%s', '{0}',
    ]
)  # fmt: skip
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | WORDS
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(WORDS | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)
STEPS = st.lists(
    st.dictionaries(st.sampled_from(sorted(engine.CORE)), VALUES, max_size=1)
    | VALUES,
    max_size=4,
)
MANIFESTS = st.fixed_dictionaries(
    {'validators': STEPS | VALUES},
    optional={
        'arguments': VALUES | st.dictionaries(WORDS, VALUES, max_size=3),
        'os': VALUES,
        'min_disk': VALUES,
        'description': VALUES,
    },
)


def attempt(source):
    """Load; what loads can be run or says why not."""
    try:
        loaded = manifest.load(source, resources=RESOURCES)
    except exception.InvalidManifest as error:
        assert error.errors
        for problem in error.errors:
            assert problem.message
            assert '\n' not in problem.path
        return
    remote = engine.system()
    remote.when(lambda command: command.script is not None)
    try:
        loaded.content_key()
        loaded.plan(remote)
        loaded.run(remote)
    except exception.ImageBuildError as error:
        assert str(error)


@bounded
@hypothesis.given(st.text(max_size=200))
def test_random_text(text):
    attempt(text + '\n')


@bounded
@hypothesis.given(st.binary(max_size=200))
def test_random_bytes(content):
    attempt(content)


@bounded
@hypothesis.given(
    st.text(alphabet='-?:,[]{}#&*!|>\'"%@` \nab1.<=~\t\\x', max_size=60)
)
def test_random_marks(text):
    attempt(text + '\n')


@bounded
@hypothesis.given(MANIFESTS)
def test_random_structures(data):
    attempt(data)


@bounded
@hypothesis.given(MANIFESTS)
def test_random_structures_as_text(data):
    # JSON is YAML, but for numbers that are none.
    try:
        text = json.dumps(data, allow_nan=False)
    except ValueError:
        hypothesis.reject()
    attempt(text + '\n')


def replaced(data, choose, value):
    """Put a value somewhere into a tree."""
    if isinstance(data, dict) and data and choose.random() < 0.85:
        data = dict(data)
        key = choose.choice(list(data))
        data[key] = replaced(data[key], choose, value)
        return data
    if isinstance(data, list) and data and choose.random() < 0.85:
        data = list(data)
        index = choose.randrange(len(data))
        data[index] = replaced(data[index], choose, value)
        return data
    return value


@bounded
@hypothesis.given(
    st.sampled_from(VALID), st.integers(0, 2**32), st.lists(VALUES, min_size=1)
)
def test_valid_ones_with_something_else_inside(text, seed, values):
    choose = random.Random(seed)
    data = yaml.load(text, Loader=yaml.BaseLoader)
    for value in values[:3]:
        data = replaced(data, choose, value)
    attempt(data if isinstance(data, dict) else {'validators': data})


@bounded
@hypothesis.given(
    st.sampled_from(VALID),
    st.lists(
        st.tuples(
            st.integers(0, 3000), st.integers(0, 20), st.text(max_size=4)
        ),
        min_size=1,
        max_size=4,
    ),
)
def test_valid_ones_with_characters_changed(text, edits):
    for place, count, new in edits:
        place %= len(text)
        text = text[:place] + new + text[place + count :]
    attempt(text + '\n')


def test_the_valid_ones_are_valid():
    for text in VALID:
        assert engine.problems(text, resources=RESOURCES) == []
