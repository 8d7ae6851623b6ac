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
import base64
import types

import pytest

from imagebuild import description
from imagebuild import exception
from imagebuild import recipes

RECIPE = """
description: A thing
min_disk: 3
arguments:
  port: {default: 1, choices: [1, 2]}
  key: {required: true, hidden: true}
validators:
- package: thing
- script: setup.sh
"""


@pytest.fixture
def recipe_path(tmp_path):
    for name, version in (('one', '1'), ('two', '1'), ('two', '10')):
        directory = tmp_path / name / version
        directory.mkdir(parents=True)
        (directory / 'manifest.yaml').write_text(RECIPE)
        (directory / 'setup.sh').write_text('true')
    broken = tmp_path / 'broken' / '1'
    broken.mkdir(parents=True)
    (broken / 'manifest.yaml').write_text('validators: 5')
    return tmp_path


@pytest.fixture
def load(recipe_path):
    return lambda **request: description.load(
        request, recipe_paths=[recipe_path]
    )


def paths(loaded):
    return [step.path for step in loaded.steps]


def manifest(*validators, **rest):
    return {'validators': list(validators), **rest}


def test_the_steps_digest_has_no_values(load):
    manifest = {
        'validators': [{'script': {'x': {'inline': 'true'}}}],
        'arguments': {'word': {'default': 'a', 'hidden': True}},
    }
    one = load(manifest=manifest, arguments={'word': 'one'})
    two = load(manifest=manifest, arguments={'word': 'two'})
    assert one.content_key() != two.content_key()
    assert one.steps_digest() == two.steps_digest()
    other = load(manifest=manifest, packages=['tree'])
    assert other.steps_digest() != one.steps_digest()


def test_elements_of_a_request_and_its_manifest(load):
    loaded = load(
        manifest=manifest(elements=['base', 'vm']), elements=['vm', 'mine']
    )
    assert loaded.elements == {
        'base': 'manifest.elements[0]',
        'vm': 'manifest.elements[1]',
        'mine': 'elements[1]',
    }
    assert loaded.names_elements()
    request = {'name': 'x', 'elements': ['vm', 'mine']}
    pinned = description.pinned(loaded, request)
    assert pinned == {'name': 'x', 'elements': ['base', 'vm', 'mine']}
    # As the job loads it, from the request that was pinned.
    again = load(
        manifest=manifest(elements=['base', 'vm']), elements=pinned['elements']
    )
    assert [*again.elements] == [*loaded.elements]


def test_elements_of_a_recipe_are_the_operators(load, recipe_path):
    text = f'elements: [vm]\n{RECIPE}'
    (recipe_path / 'one' / '1' / 'manifest.yaml').write_text(text)
    loaded = load(recipe='one', arguments={'key': 'k'})
    assert loaded.elements == {'vm': 'recipe'}
    assert not loaded.names_elements()


def test_elements_decide_the_content(load):
    def key(**request):
        return load(**request).image_content_key({'identity': 'x'}, {})

    assert key(elements=['vm']) != key()
    assert key(elements=[]) == key()
    assert key(elements=['vm']) == key(manifest=manifest(elements=['vm']))


@pytest.mark.parametrize('given', ['vm', [1], ['a b'], ['vm', 'vm'], {}])
def test_bad_elements(load, given):
    with pytest.raises(exception.InvalidRequest, match='elements'):
        load(elements=given)


def test_nothing_at_all(load):
    loaded = load(name='an image', os='debian-12')
    assert loaded.steps == []
    assert loaded.recipe is None
    assert len(loaded.content_key()) == 64


def test_order_and_places(load):
    loaded = load(
        manifest=manifest({'script': 'a.sh'}, {'package': 'x'}),
        resources={'a.sh': 'true'},
        files=[{'path': '/etc/b', 'content': 'b'}],
        pip_packages=['requests>2'],
        packages=['tree', {'nginx': {'version': '1.2'}}],
    )
    assert paths(loaded) == [
        'packages',
        'pip_packages',
        'files',
        'manifest.validators[0].script',
        'manifest.validators[1].package',
    ]
    assert [step.validator for step in loaded.steps][:3] == [
        'package',
        'pip',
        'file',
    ]
    assert 'nginx (1.2)' in loaded.steps[0].to_dict()['description']


def test_none_is_as_good_as_left_out(load):
    request = dict.fromkeys(
        ['packages', 'files', 'manifest', 'resources', 'recipe', 'arguments']
    )
    assert load(**request).content_key() == load().content_key()


def test_recipe(load):
    loaded = load(recipe='one', arguments={'key': 's', 'port': 2})
    assert loaded.recipe == ('one', '1')
    assert loaded.min_disk == 3
    assert loaded.values == {'port': '2', 'key': 's'}
    assert loaded.hidden() == {'key'}
    assert loaded.secrets() == ['s']
    assert paths(loaded) == [
        'recipe.validators[0].package',
        'recipe.validators[1].script',
    ]


def test_recipe_version_may_be_a_number(load):
    loaded = load(recipe='two', recipe_version=10, arguments={'key': 's'})
    assert loaded.recipe == ('two', '10')


def test_what_a_manifest_says_is_kept(load):
    loaded = load(manifest=manifest(os=['debian'], min_disk=4))
    assert list(loaded.os) == ['debian']
    assert loaded.min_disk == 4


MISTAKES = [
    ({'packages': 'tree'}, 'packages', "is not of type 'array'"),
    ({'packages': [5]}, 'packages[0]', 'is none of: a package name'),
    ({'packages': ['a b']}, 'packages[0]', 'is not a package name'),
    ({'packages': ['--yes']}, 'packages[0]', 'is not a package name'),
    ({'packages': [{'a': {'vers': '1'}}]}, 'packages[0].a.vers', 'unknown'),
    (
        {'packages': ['b', {'a': {'version': 1.1}}]},
        'packages[1].a.version',
        'write the version of "a" in quotation marks: 1.1 may have been',
    ),
    (
        {'packages': ['a', {'a': {'version': '1'}}]},
        'packages',
        'two different versions',
    ),
    ({'packages': ['a'] * 1001}, 'packages', 'more than 1000 entries'),
    ({'pip_packages': ['a', '-r x']}, 'pip_packages[1]', 'not a requirement'),
    ({'pip_packages': [{}]}, 'pip_packages[0]', "is not of type 'string'"),
    ({'files': {}}, 'files', "is not of type 'array'"),
    ({'files': ['/a']}, 'files[0]', "is not of type 'object'"),
    ({'files': [{'content': ''}]}, 'files[0]', '"path" is missing'),
    (
        {'files': [{'path': 'etc/a', 'content': ''}]},
        'files[0].path',
        'it is not an absolute path',
    ),
    (
        {'files': [{'path': '/a/../b', 'content': ''}]},
        'files[0].path',
        'not a normalized path',
    ),
    (
        {
            'files': [
                {'path': '/a', 'content': ''},
                {'path': '/a', 'content': 'b'},
            ]
        },
        'files[1].path',
        'duplicate of files[0]',
    ),
    (
        {'files': [{'path': '/a'}]},
        'files[0]',
        'exactly one of "content" and "content_base64"',
    ),
    (
        {'files': [{'path': '/a', 'content': '', 'content_base64': ''}]},
        'files[0]',
        'exactly one of "content" and "content_base64"',
    ),
    (
        {'files': [{'path': '/a', 'content_base64': '%'}]},
        'files[0].content_base64',
        'it is not base64',
    ),
    (
        {'files': [{'path': '/a', 'content': '', 'mode': '888'}]},
        'files[0].mode',
        'is not a mode',
    ),
    (
        {'files': [{'path': '/a', 'content': '', 'mode': 420}]},
        'files[0].mode',
        'write it as a text, such as "0644"',
    ),
    (
        {'files': [{'path': '/a', 'content': '', 'owner': 'a b'}]},
        'files[0].owner',
        'is not a name or number of a user',
    ),
    (
        {'files': [{'path': '/a', 'content': '', 'template': True}]},
        'files[0].template',
        'unknown key',
    ),
    (
        {'files': [{'path': '/a', 'content': 'x' * (2 * 1024**2 + 1)}]},
        'files[0].content',
        'it is larger than 2 MiB',
    ),
    (
        {
            'files': [
                {'path': f'/{n}', 'content': 'x' * 2 * 1024**2}
                for n in range(9)
            ]
        },
        'files',
        'together they are larger than 16 MiB',
    ),
    ({'recipe': 'nine'}, 'recipe', 'there is no recipe "nine"; known are: '),
    ({'recipe': []}, 'recipe', 'it is not a name'),
    ({'recipe': 'two'}, 'recipe_version', 'choose one of: 1, 10'),
    (
        {'recipe': 'two', 'recipe_version': '2'},
        'recipe_version',
        'has no version "2"; found: 1, 10',
    ),
    ({'recipe_version': '1'}, 'recipe_version', 'nothing without "recipe"'),
    ({'recipe': 'broken'}, 'recipe', 'of this service is broken'),
    ({'recipe': '../..'}, 'recipe', 'there is no recipe'),
    (
        {'recipe': 'one', 'manifest': manifest()},
        'manifest',
        'exclude each other',
    ),
    ({'recipe': 'one'}, 'arguments.key', 'a value is required'),
    (
        {'recipe': 'one', 'arguments': {'key': 'k', 'port': 3}},
        'arguments.port',
        '"3" is not one of: 1, 2',
    ),
    (
        {'recipe': 'one', 'arguments': {'key': 'k', 'prot': 1}},
        'arguments.prot',
        'unknown argument; known are: port, key',
    ),
    (
        {'recipe': 'one', 'arguments': {'key': ['k']}},
        'arguments.key',
        'the value is not a text or number',
    ),
    (
        {'recipe': 'one', 'arguments': {'key': 'k' * 110_000}},
        'arguments.key',
        'the value is longer than 100 KiB',
    ),
    ({'arguments': {'a': 1}}, 'arguments.a', 'known are: none'),
    ({'arguments': ['a']}, 'arguments', 'not a mapping of names to values'),
    ({'manifest': 'validators: []'}, 'manifest', 'send it as JSON'),
    ({'manifest': {}}, 'manifest', '"validators" is missing'),
    (
        {'manifest': manifest({'pakage': 'a'})},
        'manifest.validators[0].pakage',
        'unknown validator',
    ),
    (
        {'manifest': manifest(arguments={'a': {'hiden': True}})},
        'manifest.arguments.a.hiden',
        'unknown key',
    ),
    (
        {'manifest': manifest({'script': 'a.sh'})},
        'manifest.validators[0].script',
        'there is no "a.sh" in "resources", which holds: nothing',
    ),
    (
        {'manifest': manifest({'script': '/etc/passwd'})},
        'manifest.validators[0].script',
        'there is no "/etc/passwd" in "resources"',
    ),
    (
        {'manifest': manifest({'script': '../setup.sh'})},
        'manifest.validators[0].script',
        'there is no "../setup.sh" in "resources"',
    ),
    (
        {'manifest': manifest(), 'resources': {'a.sh': ''}},
        'resources["a.sh"]',
        'no step of the manifest names it',
    ),
    ({'resources': {}}, 'resources', 'they are for a "manifest" only'),
    (
        {'manifest': manifest(), 'resources': []},
        'resources',
        'not a mapping of name to text',
    ),
    (
        {
            'manifest': manifest({'script': 'a.sh'}),
            'resources': {'a.sh': ['x']},
        },
        'resources["a.sh"]',
        'it is not a text',
    ),
    (
        {'manifest': manifest({'file': {'/a': {'content': '', 'mode': 4}}})},
        'manifest.validators[0].file["/a"].mode',
        'write it as a text',
    ),
    ({'packages': ['\ud800']}, 'packages', 'invalid Unicode'),
    ({'packages': [object()]}, 'packages', 'a value of type object'),
    (
        {'manifest': manifest(*[[[]] * 40_000] * 3)},
        'manifest',
        'it has more than 100000 values',
    ),
    (
        {'manifest': manifest({'script': 'x' * 5 * 1024**2})},
        'manifest',
        'it is larger than 4 MiB',
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    'request_, path, words',
    MISTAKES,
    ids=[f'{path}: {words}' for _, path, words in MISTAKES],
)
def test_mistakes(load, request_, path, words):
    with pytest.raises(exception.InvalidRequest) as caught:
        load(**request_)
    [problem] = caught.value.errors
    assert problem.path == path
    assert words in problem.message
    assert '\n' not in problem.message


def test_all_mistakes_at_once(load):
    with pytest.raises(exception.InvalidRequest) as caught:
        load(
            packages=[5],
            pip_packages=['-r x'],
            files=[{'path': 'a', 'mode': 'x'}],
            recipe='one',
            resources={},
            arguments={'port': 3, 'color': 'red'},
        )
    assert [problem.path for problem in caught.value.errors] == [
        'packages[0]',
        'pip_packages[0]',
        'files[0].path',
        'files[0]',
        'files[0].mode',
        'resources',
        'arguments.color',
        'arguments.port',
        'arguments.key',
    ]


def test_not_more_problems_than_one_reads(load):
    with pytest.raises(exception.InvalidRequest) as caught:
        load(packages=['a b'] * 500)
    assert len(caught.value.errors) == 101
    assert caught.value.errors[-1].message == ('400 more problems not shown')


def test_a_hidden_value_is_not_repeated(load):
    arguments = {'a': {'hidden': True, 'required': True, 'type': 'integer'}}
    with pytest.raises(exception.InvalidRequest) as caught:
        load(manifest=manifest(arguments=arguments), arguments={'a': 's3cret'})
    assert 's3cret' not in str(caught.value)


def test_a_recipe_path_that_is_gone_is_the_services_fault(tmp_path):
    with pytest.raises(exception.EnvironmentFault):
        description.load({'recipe': 'a'}, recipe_paths=[tmp_path / 'gone'])


# -- the content key --------------------------------------------------------

SAME = [
    ({'packages': ['a', 'b']}, {'packages': ['b', 'a', 'b']}),
    ({'packages': ['a']}, {'packages': [{'a': {}}]}),
    ({'packages': ['a']}, {'packages': [{'a': None}]}),
    (
        {'files': [{'path': '/a', 'content': 'x'}]},
        {
            'files': [
                {
                    'group': 'root',
                    'owner': 'root',
                    'mode': '0644',
                    'content_base64': base64.b64encode(b'x').decode(),
                    'path': '/a',
                }
            ]
        },
    ),
    (
        {'manifest': manifest({'service': {'a': 'masked', 'b': 'enabled'}})},
        {'manifest': manifest({'service': {'b': 'enabled', 'a': 'masked'}})},
    ),
    (
        {
            'manifest': manifest(
                {
                    'file': {
                        '/b': {'content': '', 'mode': '0600'},
                        '/a': {'content': ''},
                    }
                }
            )
        },
        {
            'manifest': manifest(
                {
                    'file': {
                        '/a': {'mode': '0644', 'content': ''},
                        '/b': {'mode': '0600', 'content': ''},
                    }
                }
            )
        },
    ),
    (
        {'manifest': manifest({'package': {'a': None, 'b': {}}})},
        {'manifest': manifest({'package': {'b': None, 'a': {}}})},
    ),
    (
        {'manifest': manifest(arguments={'a': {'default': 1}})},
        {
            'manifest': manifest(arguments=[{'a': {'default': '1'}}]),
            'arguments': {'a': 1},
        },
    ),
    (
        {'recipe': 'one', 'arguments': {'key': 'k'}},
        {
            'recipe_version': 1,
            'recipe': 'one',
            'arguments': {'port': '1', 'key': 'k'},
        },
    ),
]


@pytest.mark.parametrize('one, other', SAME)
def test_equal_content_has_one_key(load, one, other):
    assert load(**one).content_key() == load(**other).content_key()


DIFFERENT = [
    ({'packages': ['a']}, {'packages': ['b']}),
    ({'packages': ['a']}, {'packages': [{'a': {'version': '1'}}]}),
    ({'packages': ['a']}, {'pip_packages': ['a']}),
    (
        {'files': [{'path': '/a', 'content': 'x'}]},
        {'files': [{'path': '/a', 'content': 'x', 'mode': '0600'}]},
    ),
    (
        {'recipe': 'one', 'arguments': {'key': 'k'}},
        {'recipe': 'one', 'arguments': {'key': 'l'}},
    ),
    (
        {
            'manifest': manifest({'script': 'a'}),
            'resources': {'a': 'true'},
        },
        {
            'manifest': manifest({'script': 'a'}),
            'resources': {'a': 'false'},
        },
    ),
]


@pytest.mark.parametrize('one, other', DIFFERENT)
def test_other_content_has_another_key(load, one, other):
    assert load(**one).content_key() != load(**other).content_key()


def key(request=(), **base):
    loaded = description.load({'packages': ['a']})
    base = {'identity': 'sha256:1', 'driver': 'guestfs', 'os': 'x'} | base
    return loaded.image_content_key(base, dict(request))


@pytest.mark.parametrize(
    'request_',
    [
        {'disk_format': 'qcow2', 'container_format': 'bare'},
        {'driver': 'guestfs', 'driver_options': {}},
        {'disk_format': None, 'driver_options': None},
        # In what it is opened.
        {'driver_options': {'isolation': 'appliance'}},
        {'name': 'n', 'tags': ['t'], 'visibility': 'public', 'min_disk': 5},
        {'timeout': 5, 'max_age': 1, 'os': 'y', 'reuse': 'always'},
        {'destinations': ['']},
        {'boot_test': None},
    ],
)
def test_what_is_not_content(request_):
    assert key(request_) == key()


def test_where_it_goes_to():
    """An image of this cloud alone is not one that others have, too."""
    both = key({'destinations': ['', 'west']})
    assert both == key({'destinations': ['west', '']})
    assert len({both, key(), key({'destinations': ['west']})}) == 3
    # There, what names no format may be something else.
    assert both != key({'destinations': ['', 'west'], 'disk_format': 'qcow2'})


@pytest.mark.parametrize(
    'request_, base',
    [
        ({'disk_format': 'raw'}, {}),
        ({'container_format': 'docker'}, {}),
        ({'driver_options': {'size': 5}}, {}),
        ({'architecture': 'aarch64'}, {}),
        ({'boot_test': {'firmware': 'bios'}}, {}),
        ({}, {'identity': 'sha256:2'}),
        ({}, {'driver': 'bootstrap'}),
    ],
)
def test_what_is_content(request_, base):
    assert key(request_, **base) != key()


def test_the_order_of_driver_options_is_not_content():
    assert key({'driver_options': {'a': 1, 'b': 2}}) == key(
        {'driver_options': {'b': 2, 'a': 1}}
    )


# -- a recipe that is a plugin ----------------------------------------------


def test_a_plugin_that_is_broken(monkeypatch, load):
    def arguments(_version):
        raise RuntimeError('boom')

    plugin = types.SimpleNamespace(get_image_arguments=arguments)
    recipe = recipes.PluginRecipe('gadget', '1', plugin)
    monkeypatch.setattr(
        recipes, 'find', lambda _paths: {'gadget': {'1': recipe}}
    )
    with pytest.raises(exception.InvalidRequest, match='is broken'):
        load(recipe='gadget')
