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
"""What the documentation shows is run."""

import dataclasses
import pathlib
import re
import subprocess
import sys
import textwrap
import types

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.cmd import boot
from imagebuild.cmd import bootstrap
from imagebuild.cmd import convert
from imagebuild.cmd import pack
from imagebuild.cmd import validate
from imagebuild.drivers import base
from imagebuild.manifest import document
from imagebuild.manifest import validators
from imagebuild.recipes import search
from imagebuild.remotes import fake

ROOT = pathlib.Path(__file__).parents[2]
USER = ROOT / 'doc' / 'source' / 'user'
CONTRIBUTOR = ROOT / 'doc' / 'source' / 'contributor'
PAGES = [ROOT / 'README.rst', *sorted(USER.rglob('*.rst'))]
SHIPPED = [*search.SHIPPED.glob('*/*/manifest.yaml')]
#: Pages of user/manifest that are not those of a validator.
NOT_VALIDATORS = {'index'}

_BLOCK = re.compile(
    r'^\.\. code-block:: (?P<language>[a-z0-9]+)\n'
    r'(?P<options>(?:[ ]+:[a-z]+:.*\n)*)'
    r'\n(?P<text>(?:(?:[ ]+.*)?\n)+)',
    re.MULTILINE,
)
_CAPTION = re.compile(r':caption: (\S+)')


@dataclasses.dataclass(frozen=True)
class Block:
    page: pathlib.Path
    line: int
    language: str
    caption: str
    text: str

    def __str__(self):
        return f'{self.page.relative_to(ROOT)}:{self.line}'


def blocks(page):
    text = page.read_text() + '\n'
    for match in _BLOCK.finditer(text):
        caption = _CAPTION.search(match['options'])
        yield Block(
            page,
            text.count('\n', 0, match.start()) + 1,
            match['language'],
            caption[1] if caption else '',
            textwrap.dedent(match['text']).rstrip('\n') + '\n',
        )


def is_manifest(block):
    return block.language == 'yaml' and re.search(
        r'^validators:', block.text, re.MULTILINE
    )


EXAMPLES = [
    block for page in PAGES for block in blocks(page) if is_manifest(block)
]


def load(block):
    scripts = {
        other.caption: other.text
        for other in blocks(block.page)
        if other.caption and other.language in ('bash', 'jinja', 'yaml')
    }
    if block.page.name == 'README.rst':
        # A script that the page only names.
        scripts['configure.sh'] = '#!/bin/sh\n'
    return manifest.load(block.text, resources=scripts)


def values(loaded):
    return {item.name: 'x' for item in loaded.arguments if item.required}


@pytest.mark.parametrize('block', EXAMPLES, ids=str)
def test_loads(block):
    loaded = load(block)
    assert loaded.validators
    assert len(loaded.content_key(values(loaded))) == 64
    for argument in loaded.arguments:
        assert argument.description, argument.name


@pytest.mark.parametrize(
    'release', [('debian', '12'), ('ubuntu', '22.04'), ('rhel', '9.4')]
)
@pytest.mark.parametrize('block', EXAMPLES, ids=str)
def test_plan(block, release):
    # Nothing is installed and nothing is there. The looks of validators
    # that parse an answer fail; a plan then says "unknown".
    remote = fake.FakeRemote.of(*release)
    remote.when(lambda command: command.script is None)
    loaded = load(block)
    try:
        steps = loaded.plan(remote, values(loaded))
    except exception.DistroNotAccepted:
        assert loaded.os
        return
    for step in steps:
        assert step.state in ('holds', 'missing', 'unknown')
        assert step.description
    assert not remote.written
    assert not remote.removed


def test_there_are_examples():
    assert len(EXAMPLES) >= len(validators.types())


def test_every_validator_has_a_page_and_an_example():
    pages = {page.stem: page for page in (USER / 'manifest').glob('*.rst')}
    assert pages.keys() - NOT_VALIDATORS == validators.types().keys()
    for name in validators.types():
        texts = [b.text for b in blocks(pages[name]) if is_manifest(b)]
        assert any(f'{name}:' in text for text in texts), name


def test_every_page_of_a_validator_has_the_same_parts():
    for page in (USER / 'manifest').glob('*.rst'):
        if page.stem in NOT_VALIDATORS:
            continue
        text = page.read_text()
        assert text.startswith('=')
        assert text.splitlines()[1] == f'``{page.stem}``'
        assert re.search(r'^Forms?\n=', text, re.MULTILINE), page.stem
        for part in ('Meaning', 'Errors'):
            assert re.search(rf'^{part}\n=', text, re.MULTILINE), page.stem


SCRIPTS = [
    block
    for page in PAGES
    for block in blocks(page)
    if block.language == 'bash' and block.caption
]


@pytest.mark.parametrize('block', SCRIPTS, ids=str)
def test_scripts_are_shell(block):
    subprocess.run(['bash', '-n'], input=block.text, text=True, check=True)


def test_recipe_in_python():
    [block] = [
        block
        for block in blocks(USER / 'writing-a-recipe-plugin.rst')
        if block.language == 'python'
    ]
    names = {}
    exec(compile(block.text, str(block), 'exec'), names)
    remote = fake.FakeRemote.of('debian', '12')
    arguments = {'name': 'you'}
    with pytest.raises(exception.StepFailed):
        names['pack_image']('1', remote, False, arguments)
    names['pack_image']('1', remote, True, arguments)
    names['validate_images']('1', [remote], False, arguments)
    assert remote.read_file('/etc/hello') == b'Hello you\n'
    assert names['get_versions']() == ['1']
    assert [item.name for item in names['get_image_arguments']('1')] == [
        'name'
    ]


@pytest.fixture
def rootfs(monkeypatch):
    """The driver of contributor/writing-a-driver."""
    [block] = [
        block
        for block in blocks(CONTRIBUTOR / 'writing-a-driver.rst')
        if block.caption == 'imagebuild_rootfs.py'
    ]
    module = types.ModuleType('imagebuild_rootfs')
    # Where dataclasses look names up.
    monkeypatch.setitem(sys.modules, module.__name__, module)
    exec(compile(block.text, str(block), 'exec'), module.__dict__)
    return module


def test_a_driver(rootfs, tmp_path):
    driver = rootfs.RootfsDriver()
    assert not driver.missing_to_make()
    with pytest.raises(base.InvalidDriverOptions, match='not the name of a'):
        driver.validate({'archive': '../x.tar'})
    assert [name for name, _ in driver.list_opts()]
    sections = {'rootfs': {'directory': str(tmp_path)}}
    options = {'archive': 'gold.tar'}
    driver.validate(options)
    with pytest.raises(exception.InvalidInput, match='no archive gold.tar'):
        driver.create_disk(options, tmp_path / 'x', sections=sections)
    (tmp_path / 'tree' / 'etc').mkdir(parents=True)
    (tmp_path / 'tree' / 'etc' / 'os-release').write_text('ID=debian\n')
    subprocess.run(
        ['tar', '-C', tmp_path / 'tree', '-cf', tmp_path / 'gold.tar', '.'],
        check=True,
    )
    assert driver.on_this_host(options, sections)
    # It came to the boot loader, which the archive does not have.
    with pytest.raises(exception.InvalidInput, match='lacks a kernel with'):
        driver.create_disk(options, tmp_path / 'x', sections=sections)
    assert not (tmp_path / 'x').exists()
    making = driver.making(options, sections)
    plain = dataclasses.replace(making, bootable=False)
    driver.making = lambda *_: plain
    made = driver.create_disk(options, tmp_path / 'x', sections=sections)
    assert made.path.is_file()


@pytest.fixture
def timezone(monkeypatch):
    """The validator of contributor/writing-a-validator, registered."""
    found = {
        block.caption: block
        for block in blocks(CONTRIBUTOR / 'writing-a-validator.rst')
        if block.language == 'python'
    }
    names = {'__name__': 'imagebuild_timezone'}
    block = found['imagebuild_timezone.py']
    exec(compile(block.text, str(block), 'exec'), names)
    types = validators.types() | {'timezone': names['TimezoneValidator']}
    monkeypatch.setattr(validators, 'types', lambda: types)
    return found['test_imagebuild_timezone.py']


def test_validator(timezone):
    names = {}
    exec(compile(timezone.text, str(timezone), 'exec'), names)
    names['test_timezone']()
    for wrong in ('/etc/passwd', '../x', 5):
        with pytest.raises(exception.InvalidManifest):
            manifest.load({'validators': [{'timezone': wrong}]})


def test_every_recipe_has_a_page_that_tells_its_arguments():
    """The directive makes them from the manifest (doc/source/conf.py)."""
    found = recipes.find()
    for name in {path.parent.parent.name for path in SHIPPED}:
        page = (USER / 'recipes' / f'{name}.rst').read_text()
        [version] = re.findall(
            rf'^\.\. recipe-arguments:: {name} (\S+)$', page, re.MULTILINE
        )
        assert version in found[name]
        for each in found[name]:
            assert re.search(rf'\b{re.escape(each)}\b', page), (name, each)
        assert '\nWhat was tried\n' in page, name


def test_blocks_are_yaml():
    for page in PAGES:
        for block in blocks(page):
            if block.language == 'yaml':
                document.parse(block.text)


#: Programs that have a page of their own -> what it is called.
REFERENCES = {
    boot: 'imagebuild-boot',
    bootstrap: 'bootstrap',
    convert: 'imagebuild-convert',
    pack: 'imagebuild-pack',
    validate: 'imagebuild-validate',
}
_OPTION = re.compile(r'(?<![\w-])--[a-z][a-z-]+')


@pytest.mark.parametrize(
    ('program', 'name'), REFERENCES.items(), ids=REFERENCES.values()
)
def test_a_page_has_the_options_of_its_program(capsys, program, name):
    assert program.main(['--help']) == 0
    shown = set(_OPTION.findall(capsys.readouterr().out))
    page = (USER / f'{name}.rst').read_text()
    assert shown - set(_OPTION.findall(page)) == set()
    described = set()
    for line in re.findall(r'^``--.*``$', page, re.MULTILINE):
        described.update(_OPTION.findall(line))
    assert described - shown == set()
    assert {'--debug', '--help', '--version'} <= shown
