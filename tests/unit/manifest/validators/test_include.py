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
"""Steps and arguments in a file of their own."""

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest.validators import include
from imagebuild.remotes import fake

FRAGMENT = """
arguments:
  colour: {description: Of the text., default: red, choices: [red, blue]}
validators:
  - argument_case:
      argument_name: colour
      cases:
        blue: [argument_set: {argument_name: shown, value: B}]
      default: [argument_set: {argument_name: shown, value: R}]
"""


def load(text, **resources):
    return manifest.load(
        text + '\n',
        resources={f'{name}.yaml': each for name, each in resources.items()},
    )


def errors(text, **resources):
    with pytest.raises(exception.InvalidManifest) as caught:
        load(text, **resources)
    return [str(error) for error in caught.value.errors]


def shown(loaded, values=None):
    report = loaded.run(fake.FakeRemote.of('debian', '12'), values)
    return [step.path for step in report.steps]


def test_its_steps_take_its_place():
    loaded = load('validators: [include: a.yaml]', a=FRAGMENT)
    assert [item.name for item in loaded.arguments] == ['colour']
    [path] = shown(loaded, {'colour': 'blue'})
    assert path == (
        'validators[0].include["a.yaml"].validators[0].argument_case'
        '.cases.blue[0].argument_set'
    )


def test_the_manifest_may_give_another_default():
    text = (
        'arguments: {colour: {default: blue, choices: [red, blue]}}\n'
        'validators: [include: a.yaml]'
    )
    loaded = load(text, a=FRAGMENT)
    assert [item.default for item in loaded.arguments] == ['blue']
    assert 'blue' in shown(loaded)[0]


def test_files_include_files_of_their_own():
    loaded = load(
        'validators: [{include: b.yaml}, {include: a.yaml}]',
        a=FRAGMENT,
        b='validators: [all: [include: a.yaml]]',
    )
    assert len(shown(loaded)) == 2
    assert [item.name for item in loaded.arguments] == ['colour']


def test_what_a_file_says_is_part_of_the_content_key():
    keys = {
        load('validators: [include: a.yaml]', a=text)
        .bound({'colour': 'red'})
        .content_key()
        for text in (FRAGMENT, FRAGMENT.replace('value: R', 'value: Q'))
    }
    assert len(keys) == 2


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('', 'include["a.yaml"]: None is not of type'),
        ('[]', 'include["a.yaml"]: [] is not of type'),
        ('validators: [', 'include["a.yaml"]: '),
        ('validators: x', 'validators: it is not a list of validators'),
        ('{}', '"validators" is missing'),
        ('validators: []\nos: [debian]', 'include["a.yaml"].os: unknown'),
        ('arguments: {a: {}}\nvalidators: []', 'arguments.a: it is not req'),
        ('validators: [include: a.yaml]', '"a.yaml" includes itself'),
        ('validators: [include: b.yaml]', 'there is no file "b.yaml"'),
        ('validators: [nonsense: 1]', 'unknown validator'),
    ],
)
def test_a_file_that_is_wrong(text, wrong):
    found = errors('validators: [include: a.yaml]', a=text)
    assert wrong in found[0]
    assert found[0].startswith('validators[0].include')


def test_a_name_that_is_none():
    [error] = errors('validators: [include: [a]]')
    assert "is not of type 'string'" in error
    [error] = errors('validators: [include: ../a.yaml]')
    assert 'there is no file' in error


def test_a_secret_stays_one():
    [error] = errors(
        'arguments: {key: {default: x}}\nvalidators: [include: a.yaml]',
        a='arguments: {key: {default: "", hidden: true}}\nvalidators: []',
    )
    assert 'it is hidden here' in error


def test_variables_of_all_arguments_differ():
    [error] = errors(
        'arguments: {a-b: {default: x}}\nvalidators: [include: a.yaml]',
        a='arguments: {a_b: {default: y}}\nvalidators: []',
    )
    assert 'is also that of the argument' in error


def test_their_number_is_bounded():
    deep = {
        f'f{number}': f'validators: [include: f{number + 1}.yaml]'
        for number in range(20)
    }
    [error] = errors('validators: [include: f0.yaml]', **deep)
    assert f'more than {include.MAX_DEPTH} files' in error
    # Each includes the next ten times: a thousand of them from four files.
    wide = {
        f'f{number}': 'validators: ['
        + ', '.join([f'{{include: f{number + 1}.yaml}}'] * 10)
        + ']'
        for number in range(3)
    }
    found = errors(
        'validators: [include: f0.yaml]', **wide, f3='validators: []'
    )
    assert f'more than {include.MAX_INCLUDES} files' in found[0]
    assert len(found) < 1000
