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
import os

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.manifest import resource_files
from tests.unit.manifest import engine

pytestmark = pytest.mark.usefixtures('core_language')

RESOURCES = {'setup.sh': '#!/bin/sh\n', 'lib/functions': 'x() { :; }\n'}


def check(text):
    return engine.problems(text + '\n', resources=RESOURCES)


@pytest.mark.parametrize(
    'text',
    [
        'validators: []',
        'validators: []\narguments:',
        'validators: []\ndescription:',
        'validators: []\ndescription: x\nos: [debian]\nmin_disk: 4',
        'validators: []\nmin_disk: 0',
        'validators: [package: a]',
        'validators: [package: [a, b: {version: 1.3.3-8}, c: ]]',
        'validators: [package: {a: {version: "1"}, b: {}}]',
        'validators: [package: "@development-tools"]',
        'validators: [package: libc6:amd64]',
        'validators: [package: [g++, libstdc++6, python3.11, java-1.8.0-x]]',
        'validators: [script: setup.sh]',
        'validators: [script: lib/functions]',
        'validators: [script: {setup.sh: }]',
        'validators: [script: {setup.sh: {env_vars: [a-b, C], output: d-e}}]',
        'validators: [script: {setup.sh: {arguments: [a]}}]',
        'validators: [script: {setup.sh: {timeout: 1.5}}]',
        'validators: [script: {any label: {inline: id}}]',
        'validators: [script: {label: [inline: id, output: x]}]',
        'validators: [script: {setup.sh: []}]',
        'validators: [copy_script: lib/functions]',
        'validators: [copy_script: {lib/functions: }]',
        'validators: [copy_script: {lib/functions: {}}]',
        'validators: [os_case: [debian: [], redhat: [package: a]]]',
        'validators: [all: [package: a, any: [package: b, package: c]]]',
        'validators: [argument_set: {argument_name: a, value: 1}]',
        'validators: [argument_set: {argument_name: a, value: }]',
        'arguments: {a: {default: 8}}\n'
        'validators: [argument_case: {argument_name: a, cases: {8: []}}]',
        'arguments: {a: {default: 8, target_variable: A}}\n'
        'validators: [argument_case: {argument_name: A, cases: {8: []}}]',
        'validators:\n- script: {x: {inline: id, output: o-p}}\n'
        '- argument_case: {argument_name: o_p, cases: {"": []}, default: []}',
    ],
)
def test_good_forms(text):
    assert check(text) == []


V = 'validators[0].'


@pytest.mark.parametrize(
    'text, expected',
    [
        # the root
        ('[]', ['it is not a mapping']),
        ('', ['it is not a mapping']),
        ('just words', ['it is not a mapping']),
        ('{}', ['"validators" is missing']),
        ('validators:', ['validators: it is not a list of validators']),
        ('validators: {}', ['validators: it is not a list of validators']),
        (
            'validators: []\nvalidator: []',
            [
                'validator: unknown key; known are: arguments, description, '
                'elements, min_disk, os, validators'
            ],
        ),
        ('validators: []\nos: debian', ["os: 'debian' is not of type"]),
        ('validators: []\nos: []', ['os: it must not be empty']),
        ('validators: []\nos: [1]', ['os[0]: 1 is not of type']),
        (
            'validators: []\nmin_disk: -1',
            ['min_disk: -1 is not an integer (GiB)'],
        ),
        (
            'validators: []\nmin_disk: 4G',
            ["min_disk: '4G' is not an integer (GiB)"],
        ),
        ('validators: []\ndescription: [x]', ['description: ']),
        ('validators: []\nelements: vm', ['elements: ']),
        (
            'validators: []\nelements: [vm, "a b", -x]',
            [
                "elements[1]: 'a b' is not the name of an element",
                "elements[2]: '-x' is not the name of an element",
            ],
        ),
        # any validator
        ('validators: [x]', ['validators[0]: it is not a mapping with']),
        ('validators: [{}]', ['validators[0]: it is not a mapping with']),
        (
            'validators: [{script: a, package: b}]',
            ['validators[0]: it is not a mapping with exactly one key'],
        ),
        (
            'validators: [pakage: a]',
            [
                V + 'pakage: unknown validator; known are: all, any, '
                'argument_case, argument_set, copy_script, os_case, '
                'package, script'
            ],
        ),
        (
            'validators: [{a/b/c: {inline: x}}]',
            [
                'validators[0]["a/b/c"]: unknown validator; a script is '
                'written {script: {a/b/c: {...}}}; known are: '
            ],
        ),
        (
            'validators: [{greet: {output: said, inline: echo}}]',
            [V + 'greet: unknown validator; a script is written {script: '],
        ),
        # package
        ('validators: [package: ]', [V + 'package: None is none of: ']),
        ('validators: [package: []]', [V + 'package: it must not be empty']),
        ('validators: [package: 3]', [V + 'package: 3 is none of: ']),
        (
            'validators: [package: [a, --purge]]',
            [V + "package[1]: '--purge' is not a package name"],
        ),
        (
            'validators: [package: "a b"]',
            [V + "package: 'a b' is not a package name"],
        ),
        (
            'validators: [package: "a\\n"]',
            [V + "package: 'a\\n' is not a package name"],
        ),
        (
            'validators: [package: [{a: {versoin: "1"}}]]',
            [V + 'package[0].a.versoin: unknown key; known are: version'],
        ),
        (
            'validators: [package: [a: {version: true}]]',
            [V + 'package[0].a.version: '],
        ),
        (
            'validators: [package: [a: {version: "1 --force"}]]',
            [V + "package[0].a.version: '1 --force' is not of the accepted"],
        ),
        (
            'validators: [package: [a, a: {version: "1"}]]',
            [V + 'package: "a" is wanted at two different versions'],
        ),
        # script
        (
            'validators: [script: nothing.sh]',
            [
                V + 'script: there is no file "nothing.sh" in the resource '
                'roots (none given)'
            ],
        ),
        (
            'validators: [script: {nothing.sh: {output: x}}]',
            [V + 'script["nothing.sh"]: there is no file'],
        ),
        (
            'validators: [script: /etc/passwd]',
            [V + 'script: "/etc/passwd" is'],
        ),
        ('validators: [script: ""]', [V + 'script: it must not be empty']),
        ('validators: [script: ]', [V + 'script: None is none of']),
        ('validators: [script: {}]', [V + 'script: it must not be empty']),
        (
            'validators: [script: {a: , b: }]',
            [V + 'script: '],
        ),
        (
            'validators: [script: {setup.sh: {env: [a]}}]',
            [V + 'script["setup.sh"].env: unknown key; known are: arguments'],
        ),
        (
            'validators: [script: {x: {inline: ""}}]',
            [V + 'script.x.inline: it must not be empty'],
        ),
        (
            'validators: '
            '[script: {setup.sh: {env_vars: [a], arguments: [b]}}]',
            [V + 'script["setup.sh"]: "env_vars" and "arguments" mean'],
        ),
        (
            'validators: [script: {setup.sh: {env_vars: [a b]}}]',
            [V + 'script["setup.sh"].env_vars[0]: \'a b\' is not a name'],
        ),
        (
            'validators: [script: {setup.sh: {output: "a;b"}}]',
            [V + 'script["setup.sh"].output: \'a;b\' is not a name'],
        ),
        (
            'validators: [script: {setup.sh: {timeout: 0}}]',
            [V + 'script["setup.sh"].timeout: 0 is less than'],
        ),
        (
            'validators: [script: {x: [{inline: a}, {inline: b}]}]',
            [V + 'script.x[1].inline: duplicate key'],
        ),
        (
            'validators: [script: {x: {inline: id, output: test_only}}]',
            [V + 'script.x.output: "test_only" is set for every script'],
        ),
        (
            'validators: [script: {x: {inline: id, output: PATH}}]',
            [V + 'script.x.output: "PATH" would change'],
        ),
        # copy_script
        ('validators: [copy_script: x]', [V + 'copy_script: there is no']),
        (
            'validators: [copy_script: {setup.sh: {mode: 1}}]',
            [V + 'copy_script["setup.sh"]: '],
        ),
        ('validators: [copy_script: [a]]', [V + 'copy_script: ']),
        # groups
        ('validators: [all: []]', [V + 'all: it must not be empty']),
        ('validators: [any: ]', [V + 'any: None is not of type']),
        (
            'validators: [any: [all: [package: ""]]]',
            [V + 'any[0].all[0].package: '],
        ),
        # cases
        (
            'validators: [os_case: {debian: []}]',
            [V + "os_case: {'debian': []} is not of type 'array'"],
        ),
        (
            'validators: [os_case: [{debian: [], redhat: []}]]',
            [V + 'os_case[0]: '],
        ),
        (
            'validators: [os_case: [debian: [], debian: []]]',
            [V + 'os_case[1].debian: duplicate key'],
        ),
        (
            'validators: [os_case: [debian: [pakage: a]]]',
            [V + 'os_case[0].debian[0].pakage: unknown validator'],
        ),
        (
            'validators: [argument_case: {argument_name: a, cases: {x: []}}]',
            [
                V + 'argument_case.argument_name: the argument "a" is '
                'neither declared nor set by a step'
            ],
        ),
        (
            'arguments: {a: {default: x, choices: [x]}}\n'
            'validators: [argument_case: {argument_name: a, cases: {y: []}}]',
            [V + 'argument_case.cases.y: the argument "a" can never'],
        ),
        (
            'arguments: {a: {default: x}}\n'
            'validators: [argument_case: {argument_name: a, case: {y: []}}]',
            [
                V + 'argument_case: "cases" is missing',
                V + 'argument_case.case: unknown key',
            ],
        ),
        (
            'validators: [argument_set: {argument_name: a}]',
            [V + 'argument_set: "value" is missing'],
        ),
        (
            'validators: [argument_set: {argument_name: a, value: [x]}]',
            [V + "argument_set.value: ['x'] is not of type"],
        ),
        (
            'validators: [argument_set: {argument_name: distro, value: x}]',
            [V + 'argument_set.argument_name: "distro" is set for every'],
        ),
        (
            'arguments: {a: {default: x, choices: [x]}}\n'
            'validators: [argument_set: {argument_name: a, value: y}]',
            [V + 'argument_set.value: "y" is not one of: x'],
        ),
    ],
)
def test_bad_forms(text, expected):
    found = check(text)
    assert len(found) == len(expected), found
    for told, wanted in zip(found, expected, strict=True):
        assert told.startswith(wanted)


def test_every_problem_is_told_at_once():
    found = check(
        'colour: red\n'
        'arguments: {a: {}}\n'
        'validators: [pakage: x, script: no.sh, any: [package: "--x"]]'
    )
    assert len(found) == 5


@pytest.mark.parametrize('inside', [False, True])
def test_a_list_of_validators_is_bounded(inside):
    many = [{'package': ['nginx']}] * 10_001
    with pytest.raises(exception.InvalidManifest) as caught:
        manifest.load({'validators': [{'all': many}] if inside else many})
    [found] = caught.value.errors
    assert found.path == ('validators[0].all' if inside else 'validators')
    assert 'more than 10000' in found.message


def test_root_keys():
    loaded = manifest.load(
        'description: A server\nos: [ubuntu-22.04, redhat]\nmin_disk: 8\n'
        'elements: [debian-minimal, vm]\nvalidators: []\n'
    )
    assert loaded.elements == ('debian-minimal', 'vm')
    assert loaded.description == 'A server'
    assert loaded.os == ('ubuntu-22.04', 'redhat')
    assert loaded.min_disk == 8


@pytest.mark.parametrize(
    'accepted, fits',
    [
        ('ubuntu', True),
        ('Ubuntu', True),
        ('ubuntu-22.04', True),
        ('ubuntu22', True),
        ('debian', True),
        ('ubuntu-20.04', False),
        ('redhat', False),
    ],
)
def test_the_system_must_be_one_it_is_for(accepted, fits):
    loaded = manifest.load(f'os: [{accepted}]\nvalidators: []\n')
    if fits:
        assert loaded.run(engine.system()).steps == []
        return
    with pytest.raises(exception.DistroNotAccepted):
        loaded.run(engine.system())


# -- files ------------------------------------------------------------------


@pytest.fixture
def directory(tmp_path):
    root = tmp_path / 'recipe'
    (root / 'sub').mkdir(parents=True)
    (root / 'setup.sh').write_text('inside\n')
    (root / 'sub' / 'deep.sh').write_text('deep\n')
    (root / 'directory').mkdir()
    (tmp_path / 'outside.sh').write_text('outside\n')
    (root / 'link.sh').symlink_to(tmp_path / 'outside.sh')
    (root / 'loop.sh').symlink_to('loop.sh')
    (root / 'way-out').symlink_to(tmp_path)
    (root / 'inner-link.sh').symlink_to('sub/deep.sh')
    os.mkfifo(root / 'pipe')
    return root


def script(name):
    return f'validators: [script: "{name}"]\n'


@pytest.mark.parametrize(
    'name, content',
    [
        ('setup.sh', b'inside\n'),
        ('./setup.sh', b'inside\n'),
        ('sub/deep.sh', b'deep\n'),
        ('sub/../setup.sh', b'inside\n'),
        ('inner-link.sh', b'deep\n'),
    ],
)
def test_resources_inside(directory, name, content):
    [step] = manifest.load(script(name), [directory]).validators
    assert step.content == content


@pytest.mark.parametrize(
    'name, words',
    [
        ('../outside.sh', 'lies outside the resource roots'),
        ('sub/../../outside.sh', 'lies outside the resource roots'),
        ('link.sh', 'lies outside the resource roots'),
        ('way-out/outside.sh', 'lies outside the resource roots'),
        ('/etc/passwd', 'is absolute'),
        ('loop.sh', ''),
        ('directory', 'is not a regular file'),
        ('pipe', 'is not a regular file'),
        ('no.sh', 'there is no file "no.sh"'),
        ('a\\0b', 'is not a file name'),
        ('x' * 300, ''),
        ('setup.sh/x', 'there is no file'),
    ],
)
def test_resources_outside(directory, name, words):
    [found] = engine.problems(script(name), resource_roots=[directory])
    assert found.startswith('validators[0].script: ')
    assert words in found


def test_roots_are_searched_in_order(directory, tmp_path):
    other = tmp_path / 'common'
    other.mkdir()
    (other / 'setup.sh').write_text('other\n')
    (other / 'only.sh').write_text('only\n')
    text = 'validators: [script: setup.sh, script: only.sh]\n'
    loaded = manifest.load(text, [directory, other])
    assert [it.content for it in loaded.validators] == [
        b'inside\n',
        b'only\n',
    ]


def test_texts_that_came_along_are_looked_up_first(directory):
    [step] = manifest.load(
        script('setup.sh'), [directory], resources={'setup.sh': 'given'}
    ).validators
    assert step.content == b'given'


def test_a_resource_may_not_be_huge(directory):
    with (directory / 'huge').open('wb') as file:
        file.truncate(3 * 1024 * 1024)
    [found] = engine.problems(script('huge'), resource_roots=[directory])
    assert 'is larger than 2 MiB' in found


def test_a_path_brings_its_directory(directory):
    path = directory / 'image.yaml'
    path.write_text(script('setup.sh'))
    for source in (path, str(path)):
        assert manifest.load(source).validators[0].content == b'inside\n'


def test_a_text_has_no_directory(directory, monkeypatch):
    monkeypatch.chdir(directory)
    [found] = engine.problems(script('setup.sh'))
    assert 'none given' in found


def test_a_mapping_can_be_loaded():
    loaded = manifest.load({'validators': ({'package': 'a'},)})
    assert loaded.validators[0].describe() == 'package a'


@pytest.mark.parametrize(
    'source, words',
    [
        ('/no/such/file.yaml', 'cannot be read: No such file'),
        ('/', 'cannot be read: Is a directory'),
        ('a\0b', 'cannot be read'),
    ],
)
def test_files_that_cannot_be_read(source, words):
    [found] = engine.problems(source)
    assert words in found


def test_a_root_that_is_no_directory(tmp_path):
    found = engine.problems(
        'validators: []\n', resource_roots=[tmp_path / 'x']
    )
    assert found == [f'the resource root {tmp_path}/x is not a directory']


# -- a manifest that stands in a larger document ----------------------------


def test_paths_begin_with_the_place_of_the_manifest():
    text = """
    arguments: {a: {hiden: true}}
    color: red
    validators: [{package: 5}, {script: gone.sh}]
    """
    with pytest.raises(exception.InvalidManifest) as caught:
        manifest.load(text, path='body.manifest')
    assert sorted(error.path for error in caught.value.errors) == [
        'body.manifest.arguments.a.hiden',
        'body.manifest.color',
        'body.manifest.validators[0].package',
        'body.manifest.validators[1].script',
    ]


@pytest.mark.parametrize('source', ['a: [\n', '5\n', {'validators': object()}])
def test_what_is_wrong_as_a_whole_has_the_place_of_the_manifest(source):
    with pytest.raises(exception.InvalidManifest) as caught:
        manifest.load(source, path='manifest')
    assert {error.path for error in caught.value.errors} == {'manifest'}


def test_steps_have_the_place_of_the_manifest():
    loaded = manifest.load(
        'validators: [{package: a}, {all: [{package: b}]}]\n', path='recipe'
    )
    [first, group] = loaded.validators
    assert first.path == 'recipe.validators[0].package'
    [inside] = group.children()
    assert inside.path == 'recipe.validators[1].all[0].package'


def test_resources_may_be_looked_up_in_one_place_only():
    class Only(resource_files.Resources):
        def read(self, name, limit=0):
            return f'content of {name}'.encode()

    loaded = manifest.load('validators: [{script: x}]\n', resources=Only())
    assert loaded.validators[0].content == b'content of x'
