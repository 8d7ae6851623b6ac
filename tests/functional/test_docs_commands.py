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
"""Commands of the documentation, typed as they stand there.

Of what a page needs, the files are those that it shows. Nothing opens a disk:
the programs run up to there, and what they would do is looked at. Commands of
the client are read by their own parsers; that the service takes what they
send is in tests/functional/test_client.py.
"""

import dataclasses
import pathlib
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from imagebuild import recipes
from imagebuild.cmd import boot
from imagebuild.cmd import bootstrap as bootstrap_program
from imagebuild.cmd import convert
from imagebuild.cmd import manage
from imagebuild.cmd import pack
from imagebuild.cmd import pack_base
from imagebuild.cmd import packing
from imagebuild.cmd import standalone
from imagebuild.drivers import bootstrap
from imagebuild.machines import inventory
from tests.functional import test_docs_examples as examples
from tests.unit.client import test_docs as client

SOURCE = examples.ROOT / 'doc' / 'source'
PAGES = [examples.ROOT / 'README.rst', *sorted(SOURCE.rglob('*.rst'))]
_COMMAND = re.compile(
    r'^[ ]+(?:[$#] )?((?:imagebuild-[a-z]+|mkdir|cp|openstack image)'
    r'(?: (?:.*\\\n)*.*)?)$',
    re.MULTILINE,
)
#: Those that say how a command is made, and Glance's own.
_NOT_TYPED = re.compile(
    r'\[(?:OPTION|USER@)\]?|FILE (?:\.\.\.|--manifest FILE .*)$|'
    r'^openstack image list'
)
#: Pages whose commands need what a test of its own installs.
_ELSEWHERE = {'writing-a-recipe-plugin.rst': 'test_recipe_plugins.py'}


@dataclasses.dataclass(frozen=True)
class Command:
    """One command of a page.

    :ivar words: as a shell gives them to the program, its name first.
    """

    page: pathlib.Path
    line: int
    words: tuple[str, ...]

    def __str__(self) -> str:
        return f'{self.page.relative_to(examples.ROOT)}:{self.line}'


def commands(page: pathlib.Path) -> Iterator[Command]:
    text = page.read_text()
    for match in _COMMAND.finditer(text):
        # What another command prints is a word.
        typed = re.sub(r'\$\(.*\)', 'X', match[1].replace('\\\n', ' '))
        if _NOT_TYPED.search(typed):
            continue
        words = []
        for word in shlex.split(typed):
            if word == '|' or word.startswith('>'):
                break
            words.append(word)
        yield Command(page, text.count('\n', 0, match.start()), tuple(words))


#: Those that are run.
PROGRAMS = {
    'imagebuild-pack': pack.main,
    'imagebuild-convert': convert.main,
    'imagebuild-bootstrap': bootstrap_program.main,
}
#: Those whose command line is read: what they do needs a guest or a database.
PARSERS = {
    'imagebuild-boot': boot.make_parser,
    'imagebuild-manage': manage.make_parser,
    'imagebuild-standalone': standalone.make_parser,
}
#: Others: what pages type, as it is.
TYPED = {
    'imagebuild-conductor': [()],
    'imagebuild-status': [('upgrade', 'check')],
    # Its inventory is read below.
    'imagebuild-validate': [('--inventory', 'hosts.yaml', 'redis', '7')],
}

COMMANDS = [command for page in PAGES for command in commands(page)]
LOCAL = [
    page
    for page in PAGES
    if page.name not in _ELSEWHERE
    and any(command.words[0] in PROGRAMS for command in commands(page))
]
OTHERS = [
    command
    for command in COMMANDS
    if command.words[0].startswith('imagebuild')
    and command.words[0] not in PROGRAMS
]
WITH_IMAGES = [
    command for command in COMMANDS if command.words[0] == 'openstack'
]

#: Small ones, for pages that show what becomes of them.
FILES = {
    'elements/web/package-installs.yaml': 'nginx-light:\n',
    'elements/web/install.d/10-web': '#!/bin/bash\necho web > /etc/motd\n',
    'web.pkr.hcl': (
        'build {\n'
        '  sources = ["source.qemu.web"]\n'
        '  provisioner "shell" {\n'
        '    inline = ["apt-get -y install nginx-light"]\n'
        '  }\n'
        '}\n'
    ),
    # As Sahara's plugins have it.
    'resources/images/image.yaml': (
        'arguments:\n'
        '  plugin_version:\n'
        '    default: 2.3.2\n'
        '    choices: [2.3.2]\n'
        'validators:\n'
        '  - script:\n'
        '      common/install_spark:\n'
        '        env_vars: [plugin_version]\n'
        '  - package: ntp\n'
    ),
    'resources/images/common/install_spark': '#!/bin/bash\ntrue\n',
    'packages/one.deb': '',
    # Of no cloud that answers.
    'clouds.yaml': (
        'clouds:\n'
        '  west:\n'
        '    auth:\n'
        '      auth_url: http://127.0.0.1:9/v3\n'
        '      username: me\n'
        '      password: mine\n'
        '      project_name: ours\n'
        '      user_domain_id: default\n'
        '      project_domain_id: default\n'
    ),
    'configure.sh': '#!/bin/bash\ntrue\n',
}
#: The same under other names.
_COPIES = {
    'image.yaml': 'resources/images/image.yaml',
    'common/install_spark': 'resources/images/common/install_spark',
}
#: What a page shows to be refused.
_REFUSED = {'imagebuild-bootstrap --os debian --output debian.qcow2'}


def write(directory: pathlib.Path, name: str, text: str) -> None:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755 if text.startswith('#!') else 0o644)


def lay_out(page: pathlib.Path, directory: pathlib.Path) -> None:
    """Write the files that a page speaks of, as it shows them."""
    for name, text in FILES.items():
        write(directory, name, text)
    for name, other in _COPIES.items():
        write(directory, name, FILES[other])
    manifests = []
    for block in examples.blocks(page):
        if block.caption:
            write(directory, block.caption, block.text)
        if examples.is_manifest(block):
            manifests.append(block.text)
    shown = manifests[0] if manifests else 'validators: [package: nginx]\n'
    names = ['redis.yaml', 'recipes/motd/1/manifest.yaml']
    if page.name != 'imagebuild-convert.rst':
        names.append('web.yaml')
    for name in names:
        write(directory, name, shown)
    # What "cat user-data" prints.
    shown = (examples.USER / 'imagebuild-convert.rst').read_text()
    match = re.search(r'\$ cat user-data\n((?:(?!    \$).*\n)+)', shown)
    assert match
    text = re.sub('^    ', '', match[1], flags=re.M)
    if page.name != 'imagebuild-convert.rst':
        # Who packs what comes of it would have to give the hash.
        text = re.sub('.*plain_text_passwd.*\n', '', text)
    write(directory, 'user-data', text)


@pytest.fixture
def done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: pathlib.Path
) -> list[packing.PackSpec]:
    """What would have been packed; nothing is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setenv('OS_CLIENT_CONFIG_FILE', str(tmp_path / 'clouds.yaml'))
    seen: list[packing.PackSpec] = []

    def packed(spec: packing.PackSpec, *_: Any) -> packing.Outcome:
        seen.append(spec)
        return packing.Outcome(
            {'pack': 'packed', 'test': 'conforms', 'plan': 'planned'}[
                spec.mode
            ]
        )

    def over_a_base(
        base: Any, spec: packing.PackSpec, *_: Any
    ) -> packing.Outcome:
        return packed(spec)

    def made(
        self: Any, options: Any, output: pathlib.Path, **more: Any
    ) -> bootstrap.FileArtifact:
        output.write_bytes(b'disk')
        return bootstrap.FileArtifact(
            output, format=more['disk_format'], virtual_size=4
        )

    monkeypatch.setattr(packing, 'pack', packed)
    monkeypatch.setattr(pack_base, 'pack', over_a_base)
    monkeypatch.setattr(bootstrap.BootstrapDriver, 'create_disk', made)
    return seen


@pytest.mark.parametrize(
    'page', LOCAL, ids=lambda page: str(page.relative_to(examples.ROOT))
)
def test_programs_of_a_page(
    page: pathlib.Path,
    done: list[packing.PackSpec],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One after the other, in one directory, as somebody would."""
    lay_out(page, tmp_path)
    packs = 0
    for command in commands(page):
        name, *argv = command.words
        if name == 'openstack' or command in OTHERS:
            continue
        if name not in PROGRAMS:
            subprocess.run(command.words, check=True, cwd=tmp_path)
            continue
        code = PROGRAMS[name](argv)
        said = capsys.readouterr().err
        refused = ' '.join(command.words) in _REFUSED
        assert code == (2 if refused else 0), f'{command}: {said}'
        packs += name == 'imagebuild-pack' and '--help' not in argv
    assert len(done) == packs
    for spec in done:
        assert len(spec.what.content_key()) == 64


@pytest.mark.parametrize('command', OTHERS, ids=str)
def test_other_programs_take_what_is_typed(command: Command) -> None:
    name, *argv = command.words
    if name in TYPED:
        assert tuple(argv) in TYPED[name]
    else:
        PARSERS[name]().parse_args(argv)


def test_an_inventory(tmp_path: pathlib.Path) -> None:
    page = (examples.USER / 'imagebuild-validate.rst').read_text()
    match = re.search(r':caption: hosts.yaml\n\n((?: {7,}.*\n)+)', page)
    assert match
    path = tmp_path / 'hosts.yaml'
    path.write_text(match[1])
    entries = inventory.read(path)
    assert [entry.name for entry in entries] == [
        'debian@db1.example.org',
        'db2',
    ]
    recipe = recipes.find()['redis']['7']
    for entry in entries:
        assert entry.arguments
        # What the page has them validated with.
        assert recipe.bind(entry.arguments)


@pytest.mark.parametrize('command', WITH_IMAGES, ids=str)
def test_commands_of_the_client_parse(command: Command) -> None:
    rest = ' '.join(command.words[2:])
    name = max(
        (name for name in client.COMMANDS if rest.startswith(name)), key=len
    )
    argv = command.words[2 + len(name.split()) :]
    client.parser_of(name).parse_args(list(argv))


def test_there_are_commands() -> None:
    assert len(LOCAL) > 10
    assert len(WITH_IMAGES) > 30
    assert len(OTHERS) > 15
    for page, test in _ELSEWHERE.items():
        [path] = SOURCE.rglob(page)
        assert list(commands(path))
        assert (pathlib.Path(__file__).parent / test).exists()
