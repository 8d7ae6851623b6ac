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

from imagebuild import exception
from imagebuild import manifest

pytestmark = pytest.mark.usefixtures('core_language')

BASE = """
description: A server
arguments:
  a: {default: x, description: one}
  b: {default: y}
validators:
- package: [p, q: {version: "1"}]
- script: {run.sh: {env_vars: [a], output: o}}
- copy_script: lib.sh
- os_case: [debian: [package: d], redhat: [package: r]]
- argument_case: {argument_name: a, cases: {x: [package: x]}, default: []}
- argument_set: {argument_name: b, value: z}
- all: [package: s]
- any: [package: t, package: u]
"""
RESOURCES = {'run.sh': 'run', 'lib.sh': 'lib'}


def key(text=BASE, values=None, **resources):
    given = RESOURCES | {
        name.replace('_sh', '.sh'): content
        for name, content in resources.items()
    }
    return manifest.load(text, resources=given).content_key(values)


def changed(old, new):
    assert old in BASE
    return BASE.replace(old, new)


def test_it_is_64_hexadecimal_digits_and_stays():
    assert len(key()) == 64
    assert int(key(), 16)
    assert key() == key()


@pytest.mark.parametrize(
    'old, new',
    [
        ('description: A server', 'description: Another'),
        ('description: one', 'description: two'),
        ('description: A server', '# a comment'),
        ('{default: y}', '{default: "y"}'),
        ('{env_vars: [a], output: o}', '{output: o, arguments: [a]}'),
        ('{env_vars: [a], output: o}', '[{env_vars: [a]}, {output: o}]'),
        (
            '  a: {default: x, description: one}\n  b: {default: y}',
            '  b: {default: y}\n  a: {default: x}',
        ),
        ('[p, q: {version: "1"}]', '[p, {q: {version: "1"}}]'),
        ('package: d', 'package: [d]'),
    ],
)  # fmt: skip
def test_what_does_not_decide_the_result(old, new):
    assert key(changed(old, new)) == key()


def test_the_name_of_a_script_does_not_decide():
    text = changed('run.sh', 'other.sh')
    assert key(text, other_sh='run') == key()


@pytest.mark.parametrize(
    'old, new',
    [
        ('[p, q', '[p2, q'),
        ('version: "1"', 'version: "2"'),
        ('env_vars: [a]', 'env_vars: [a, b]'),
        ('output: o', 'output: o2'),
        ('default: x', 'default: x2'),
        ('redhat: [package: r]', 'suse: [package: r]'),
        ('cases: {x:', 'cases: {y:'),
        ('default: []', 'default: [package: w]'),
        ('value: z', 'value: zz'),
        ('any: [package: t, package: u]', 'any: [package: u, package: t]'),
        ('all: [package: s]', 'any: [package: s]'),
    ],
)
def test_what_decides_the_result(old, new):
    assert key(changed(old, new)) != key()


@pytest.mark.parametrize('name', ['run_sh', 'lib_sh'])
def test_contents_of_files_decide(name):
    assert key(**{name: 'something else'}) != key()


def test_values_decide():
    assert key(values={'b': 'other'}) != key()
    assert key(values={'b': 'y'}) == key()
    with pytest.raises(exception.InvalidArguments):
        key(values={'c': 1})
