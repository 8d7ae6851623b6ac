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
"""What a newcomer, a template author and Sahara's users ran into."""

import argparse
import types

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.cmd import pack
from imagebuild.cmd import validate
from imagebuild.manifest import arguments
from imagebuild.manifest import hiding
from imagebuild.recipes import plugin as plugins
from imagebuild.remotes import fake
from tests.unit.manifest import engine

pytestmark = pytest.mark.usefixtures('core_language')

Answer = fake.Answer


def load(text, **kwargs):
    return manifest.load(text + '\n', **kwargs)


# -- packages ---------------------------------------------------------------


@pytest.mark.parametrize(
    'written, version',
    [
        ('1.10', '1.10'),
        ('5:20.10', '5:20.10'),
        ('22', '22'),
        ('1e3', '1e3'),
        ('"1.20"', '1.20'),
        ('010', '010'),
    ],
)
def test_a_version_is_as_written(written, version):
    loaded = load(
        f'validators: [package: {{kubelet: {{version: {written}}}}}]'
    )
    [package] = loaded.validators[0].packages()
    assert package.version == version


@pytest.mark.parametrize('version', [1.1, 320, -1.5])
def test_a_version_that_lost_its_writing_is_refused(version):
    spec = {'validators': [{'package': {'kubelet': {'version': version}}}]}
    [told] = engine.problems(spec)
    place, sentence = told.split(': ', 1)
    assert place == 'validators[0].package.kubelet.version'
    assert sentence.startswith('write the version of "kubelet" in quotation')


@pytest.mark.parametrize('written', ['-1.5', '.inf', 'true', '[1]'])
def test_what_is_no_version(written):
    text = f'validators: [package: [{{a: {{version: {written}}}}}]]\n'
    assert len(engine.problems(text)) == 1


@pytest.mark.parametrize('name', ['/opt/localpkg.deb', 'x-1.0.rpm', '/a.rpm'])
@pytest.mark.parametrize('form', ['%s', '[%s]', '{%s: {version: "1"}}'])
def test_a_package_file_is_no_name(name, form):
    text = 'validators: [package: ' + form % name + ']\n'
    [told] = engine.problems(text)
    assert f'"{name}" is a package file, not a package name' in told


# -- scripts ----------------------------------------------------------------


@pytest.mark.parametrize('first', ['#!/bin/bash\r\n', '', 'exit\r'])
def test_windows_line_ends_are_seen_before_a_run(first):
    text = first or 'set -e\r\necho x\r\n'
    for form in (
        'crlf.sh',
        {'crlf.sh': {'output': 'X'}},
        {'crlf.sh': {'inline': text}},
        {'crlf.sh': [{'inline': text}, {'timeout': 5}]},
    ):
        [told] = engine.problems(
            {'validators': [{'script': form}]}, resources={'crlf.sh': text}
        )
        assert 'the script "crlf.sh" has Windows line ends' in told


def test_a_script_may_hold_windows_line_ends():
    text = '#!/bin/sh\nprintf "a\r\n"\n# \r\n'
    spec = {'validators': [{'script': {'s': {'inline': text}}}]}
    assert engine.problems(spec) == []


CHOICES = """
arguments: {flavour: {description: x, default: a, choices: [a, b]}}
validators:
- argument_case: {argument_name: flavour, cases: {c: [package: other]}}
"""


def test_a_case_over_what_a_script_prints():
    [told] = engine.problems(CHOICES)
    assert 'can never have this value' in told
    found = CHOICES.replace(
        'validators:\n',
        'validators:\n- script: {s: {inline: x, output: flavour}}\n',
    )
    loaded = load(found)
    remote = engine.system(available=['other'])
    remote.on_script('s', Answer('c\n'))
    loaded.run(remote)
    assert 'other' in remote.installed


# -- files ------------------------------------------------------------------


def test_a_large_file_and_a_large_script(monkeypatch, tmp_path):
    monkeypatch.undo()  # every validator
    (tmp_path / 'large').write_bytes(b'x' * (2 * 1024 * 1024 + 1))
    text = 'validators: [file: {/srv/large: {source: large}}]\n'
    loaded = load(text, resource_roots=[tmp_path])
    assert len(loaded.content_key()) == 64
    (tmp_path / 'large').write_bytes(b'y' * (2 * 1024 * 1024 + 1))
    other = load(text, resource_roots=[tmp_path])
    assert other.content_key() != loaded.content_key()
    [told] = engine.problems(
        'validators: [script: large]\n', resource_roots=[tmp_path]
    )
    assert 'is larger than 2 MiB' in told
    with (tmp_path / 'large').open('wb') as file:
        file.truncate(64 * 1024 * 1024 + 1)
    [told] = engine.problems(text, resource_roots=[tmp_path])
    assert 'is larger than 64 MiB' in told


# -- names of arguments -----------------------------------------------------


@pytest.mark.parametrize('program', [pack, validate])
def test_every_option_is_a_reserved_name(program):
    parser = argparse.ArgumentParser()
    program._add_options(parser)
    options = {
        option.lstrip('-')
        for action in parser._actions
        for option in action.option_strings
    }
    assert {'version', 'help', 'manifest'} <= options
    assert options <= arguments.RESERVED_NAMES


def test_an_argument_named_version():
    text = 'arguments: {version: {default: 1}}\nvalidators: []\n'
    [told] = engine.problems(text)
    assert told == (
        'arguments.version: "version" is the name of a global option'
    )


@pytest.mark.parametrize(
    'names, told',
    [
        (['version'], '"version" is the name of a global option'),
        (['image'], '"image" is the name of a global option'),
        (['a', 'a'], 'the argument "a" is a duplicate'),
        (['a-b', 'a_b'], 'the variable "a_b" is also that of'),
        (['distro'], 'is set for every script'),
        (['a b'], 'is not a name'),
    ],
)
def test_a_python_recipe_is_checked_too(names, told):
    declared = [types.SimpleNamespace(name=name) for name in names]
    plugin = types.SimpleNamespace(get_image_arguments=lambda _: declared)
    recipe = plugins.PluginRecipe('it', '1', plugin)
    with pytest.raises(exception.InvalidRecipe, match=told) as caught:
        recipe.arguments()
    assert 'The recipe "it 1" cannot be used: arguments' in str(caught.value)


def test_a_python_recipe_may_hide():
    declared = [
        types.SimpleNamespace(name='a', hidden=True, target_variable='AA')
    ]
    plugin = types.SimpleNamespace(get_image_arguments=lambda _: declared)
    [argument] = plugins.PluginRecipe('it', '1', plugin).arguments()
    assert (argument.hidden, argument.target_variable) == (True, 'AA')


# -- hidden values ----------------------------------------------------------


HIDDEN = """
arguments:
  plugin_version: {default: 1, hidden: true}
validators: [script: {s: {inline: x, env_vars: [plugin_version]}}]
"""


@pytest.mark.parametrize(
    'value, line, shown',
    [
        # The declared default is public.
        ('1', 'step 1 of 10', 'step 1 of 10'),
        ('2', '2 of 22, v2 and 2.', '*** of 22, v2 and ***.'),
        ('hush', 'a hush, hushhush', 'a ***, ******'),
    ],
)
def test_hidden_values(value, line, shown):
    remote = engine.system()
    remote.on_script('s', Answer(line + '\n'))
    report = load(HIDDEN).run(remote, {'plugin_version': value})
    assert report.steps[0].output == shown


def test_longer_secrets_win_and_none_masks_a_mask():
    assert hiding.hide('abcd ab *', ['ab', 'abcd', '*']) == '*** *** ***'
    assert hiding.hide('abc', ['']) == 'abc'


# -- any --------------------------------------------------------------------


ALL_IN_ANY = """
validators:
- any:
  - all:
    - package: tool
    - script: {uses-tool: {inline: x}}
  - script: {second: {inline: y}}
"""


@pytest.mark.parametrize('reconcile', [True, False])
def test_a_trial_stops_at_its_first_failure(reconcile):
    """As Sahara's: a script never runs without the package above it."""
    remote = engine.system(available=['tool'])

    def uses(command):
        assert 'tool' in remote.installed
        return Answer()

    remote.on_script('uses-tool', uses)
    remote.on_script('second', Answer(exit_code=1))
    loaded = load(ALL_IN_ANY)
    if reconcile:
        loaded.run(remote)
        assert remote.ran('second', 'uses-tool') == ['second', 'uses-tool']
    else:
        with pytest.raises(exception.NotConforming):
            loaded.run(remote, reconcile=False)
        assert remote.ran('second', 'uses-tool') == ['second']


@pytest.mark.parametrize('code', [0, 1])
def test_a_script_that_looks_may_have_changed_the_packages(code):
    """It is free to disobey, and runs over the real image in a trial."""
    text = (
        'validators:\n- package: tool\n'
        '- any: [{script: {s: {inline: x}}}, {script: {t: {inline: x}}}]\n'
        '- package: tool\n'
    )
    remote = engine.system(installed=['tool'], available=['tool'])

    def removes(command):
        remote.installed.pop('tool', None)
        return Answer(exit_code=code)

    remote.on_script('s', removes)
    remote.on_script('t')
    load(text).run(remote)
    assert 'tool' in remote.installed


# -- names of steps ---------------------------------------------------------


def test_two_steps_never_carry_the_same_name():
    text = 'validators: [{package: a}, {package: a}, {package: b}]\n'
    remote = engine.system(installed=['a', 'b'])
    loaded = load(text)
    names = ['package a', 'package a (2)', 'package b']
    report = loaded.run(remote)
    assert [step.description for step in report.steps] == names
    assert [step.description for step in loaded.plan(remote)] == names
