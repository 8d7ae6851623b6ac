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
"""What every recipe that comes with imagebuild must be like."""

import pathlib
import re

import pytest

from imagebuild import exception
from imagebuild import recipes
from imagebuild.manifest import resource_files
from imagebuild.manifest.validators import base
from imagebuild.recipes import search
from imagebuild.remotes import fake

FILES = [
    path
    for path in search.SHIPPED.rglob('*')
    if path.is_file() and path.suffix not in ('.py', '.pyc')
]
RECIPES = [
    recipes.get(path.parent.parent.name, path.parent.name)
    for path in sorted(search.SHIPPED.glob('*/*/manifest.yaml'))
]
#: Of arguments, what a name ends with that is a secret.
SECRETS = ('password', '-key', '-hash', 'token')
#: No secrets, though they are called so.
PUBLIC = {'developer-key', 'signing-key', 'yum-signing-key'}


@pytest.fixture(params=RECIPES, ids=str)
def recipe(request):
    return request.param


def test_there_are_those_of_trove():
    assert {recipe.name for recipe in RECIPES} >= {
        *('cassandra', 'couchbase', 'couchdb', 'db2', 'mariadb', 'mongodb'),
        *('mysql', 'percona', 'postgresql', 'pxc', 'redis', 'vertica'),
    }


def test_other_systems_are_refused(recipe):
    """In one sentence, before anything is done there."""
    remote = fake.FakeRemote.of('opensuse-leap', '15.6')
    with pytest.raises(exception.DistroNotAccepted) as caught:
        recipe.run(remote)
    assert 'debian, redhat' in str(caught.value)
    assert '\n' not in str(caught.value)
    assert not remote.commands and not remote.written


def test_it_says_what_it_is(recipe):
    loaded = recipe.load()
    assert loaded.description.endswith('.')
    assert loaded.os


def test_arguments_are_described(recipe):
    for argument in recipe.arguments():
        assert argument.description.endswith('.'), argument.name
        assert argument.description[0].isupper(), argument.name
        assert len(argument.description) < 300, argument.name


def test_arguments_have_a_form(recipe):
    """No value of theirs makes a line of a file that nobody meant."""
    for argument in recipe.arguments():
        assert argument.type != 'string' or argument.choices, argument.name


@pytest.mark.parametrize(
    'value',
    ['a\nb', 'a\r', '\x1b[2J', 'a\0b', '\u2028', 'x\n[mysqld]\nuser=root\n'],
)
def test_no_argument_takes_more_than_a_line(recipe, value):
    names = [argument.name for argument in recipe.arguments()]
    with pytest.raises(exception.InvalidArguments) as caught:
        recipe.resolve(dict.fromkeys(names, value))
    assert [problem.path for problem in caught.value.errors] == [
        f'arguments.{name}' for name in names
    ]
    assert all(str(problem).isprintable() for problem in caught.value.errors)


@pytest.mark.parametrize(
    'value',
    ['', 'x y', "'; rm -rf /; '", '../..', 'data', '/a/../b', 'ü', '/é'],
)
def test_paths_are_whole(recipe, value):
    wanted = [
        argument.name
        for argument in recipe.arguments()
        if argument.type == 'path' and argument.default != value
    ]
    for name in wanted:
        with pytest.raises(exception.InvalidArguments, match='of type path'):
            recipe.resolve({name: value})


@pytest.mark.parametrize('value', [0, 65536, 70000, -1, 'http', '', '80 '])
def test_ports_are_ports(recipe, value):
    names = {argument.name for argument in recipe.arguments()}
    if 'port' in names:
        with pytest.raises(exception.InvalidArguments, match='of type port'):
            recipe.resolve({'port': value})
    else:
        assert recipe.name == 'vertica'


def test_texts_are_not_put_into_files():
    """Only what has no quotation marks and no spaces is."""
    placed = {
        name
        for path in FILES
        for name in re.findall(r'\{\{ ([a-z0-9-]+) \}\}', path.read_text())
    }
    for recipe in RECIPES:
        for argument in recipe.arguments():
            if argument.type in ('line', 'string') and not argument.choices:
                # That one is given to a program as it is.
                assert argument.name not in placed - {'subscription-org'}


def test_secrets_are_hidden(recipe):
    for argument in recipe.arguments():
        if argument.name in PUBLIC:
            assert not argument.hidden
        elif argument.name.endswith(SECRETS):
            assert argument.hidden, argument.name


def test_it_can_be_used_without_arguments(recipe):
    """The loader has checked defaults against types and choices."""
    required = {item.name for item in recipe.arguments() if item.required}
    values = recipe.resolve(dict.fromkeys(required, 'https://example.org/x'))
    assert len(recipe.bound(values).content_key()) == 64


def test_no_argument_is_unused(recipe):
    used = set()
    for validator in base.walk(recipe.load().validators):
        names = validator.argument_names()
        assert names is not None, validator.path
        used.update(names)
    assert {item.name for item in recipe.arguments()} - used == set()


def test_every_file_is_used(monkeypatch):
    """Also: every script and file that a manifest names is there."""
    read = set()
    whole = resource_files.Resources._content

    def content(self, name, path, limit):
        read.add(path)
        return whole(self, name, path, limit)

    monkeypatch.setattr(resource_files.Resources, '_content', content)
    for recipe in RECIPES:
        recipe.load('anew')
    own = {path for path in FILES if path.name != 'manifest.yaml'}
    assert own - read == set()


def test_scripts_can_be_run_by_themselves():
    for path in FILES:
        if path.suffix == '.sh':
            lines = path.read_text().splitlines()
            assert lines[0] in ('#!/bin/sh', '#!/bin/bash'), path
            assert any(line.startswith('set -eu') for line in lines), path


def test_common_is_no_recipe():
    assert 'common' not in recipes.find()
    assert (search.SHIPPED / 'common').is_dir()
    assert isinstance(search.SHIPPED, pathlib.Path)


def test_units_do_not_wait_for_the_end_of_the_boot():
    """systemd would leave them out: cloud-init's end waits for all units."""
    units = [path for path in FILES if path.suffix == '.service']
    assert units
    for path in units:
        text = path.read_text()
        assert '\nWantedBy=multi-user.target\n' in text, path
        assert not re.search(
            r'^After=.*(cloud-final|cloud-init.target)', text, re.M
        )
