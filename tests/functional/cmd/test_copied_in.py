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
"""``imagebuild-pack --copy-in``; a directory stands for the image."""

import os
import pathlib
import subprocess

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.cmd import copied_in
from imagebuild.remotes import fake


class Image(fake.FakeRemote):
    """Runs commands here; its /srv is a directory of the test."""

    def __init__(self, root: pathlib.Path) -> None:
        super().__init__({'/etc/os-release': 'ID=debian\nVERSION_ID=12\n'})
        self.root = root
        self.seen: list[str] = []
        (root / 'srv').mkdir()
        self.when(lambda command: True, self._really)

    def _really(self, command: fake.Command) -> fake.Answer:
        if command.script is not None:
            self.seen += sorted(
                str(path.relative_to(self.root))
                for path in self.root.rglob('*')
                if path.is_file()
            )
            return fake.Answer()
        done = subprocess.run(
            [
                part if part == '/bin/sh' else self._moved(part)
                for part in command.argv
            ],
            input=command.stdin,
            capture_output=True,
            check=False,
        )
        return fake.Answer(
            done.stdout.decode().replace(str(self.root), ''),
            done.stderr.decode().replace(str(self.root), ''),
            done.returncode,
        )

    def _moved(self, part: str) -> str:
        return f'{self.root}{part}' if part.startswith('/srv') else part


@pytest.fixture
def image(tmp_path: pathlib.Path) -> Image:
    root = tmp_path / 'image'
    root.mkdir()
    return Image(root)


@pytest.fixture
def packages(tmp_path: pathlib.Path) -> pathlib.Path:
    directory = tmp_path / 'host: packages'
    (directory / 'more').mkdir(parents=True)
    (directory / 'one.deb').write_bytes(b'one' * 7)
    (directory / 'more' / "it's; two.deb").write_bytes(b'two')
    (directory / 'empty').touch()
    (directory / 'link.deb').symlink_to('one.deb')
    return directory


def run(
    image: Image, text: str, steps: str = 'script: {x: {inline: x}}'
) -> tuple[manifest.Report, list[str]]:
    doing: list[str] = []
    what = copied_in.WithFiles(
        manifest.load(f'validators:\n  - {steps}\n').bind(),
        copied_in.parse([text]),
        doing.append,
    )
    return what.run(image), doing


def test_files_are_there_while_steps_run(image, packages, monkeypatch):
    monkeypatch.setattr(copied_in, '_CHUNK', 5)
    report, doing = run(image, f'{packages}:/srv/a/b')
    assert report.steps[0].result is manifest.Result.RAN
    assert image.seen == [
        'srv/a/b/empty',
        'srv/a/b/link.deb',
        "srv/a/b/more/it's; two.deb",
        'srv/a/b/one.deb',
    ]
    assert doing == [f'Copying {packages} into the image']
    assert list((image.root / 'srv').iterdir()) == []


def test_contents_are_whole(image, packages, monkeypatch):
    monkeypatch.setattr(copied_in, '_CHUNK', 5)
    found = []

    def look(command):
        found.append((image.root / 'srv/b/one.deb').read_bytes())
        found.append((image.root / 'srv/b/link.deb').read_bytes())
        return fake.Answer()

    image.when(lambda command: command.script is not None, look)
    run(image, f'{packages}:/srv/b')
    assert found == [b'one' * 7] * 2


def test_what_was_made_there_stays(image, packages):
    def leave(command):
        (image.root / 'srv/a/mine').touch()
        return fake.Answer()

    image.when(lambda command: command.script is not None, leave)
    run(image, f'{packages}:/srv/a/b')
    assert [path.name for path in image.root.rglob('*')] == [
        'srv',
        'a',
        'mine',
    ]


def test_nothing_is_replaced(image, packages):
    (image.root / 'srv/b').write_text('mine')
    with pytest.raises(exception.StepFailed) as caught:
        run(image, f'{packages}:/srv/b')
    assert str(caught.value) == '--copy-in: /srv/b is there already'
    assert (image.root / 'srv/b').read_text() == 'mine'


def test_test_only_needs_none(image, packages):
    what = copied_in.WithFiles(
        manifest.load('validators: [script: {x: {inline: x}}]\n').bind(),
        copied_in.parse([f'{packages}:/srv/b']),
        pytest.fail,
    )
    what.run(image, reconcile=False)
    assert image.seen == []
    assert [step.validator for step in what.plan(image)] == ['script']
    assert len(what.content_key()) == 64


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('', 'is not DIRECTORY:PATH'),
        ('x', 'is not DIRECTORY:PATH'),
        (':/srv/b', 'is not DIRECTORY:PATH'),
        ('{host}', 'is not DIRECTORY:PATH'),
        ('{host}:', 'is not DIRECTORY:PATH'),
        ('{host}:/', 'is not DIRECTORY:PATH'),
        ('{host}:srv', 'is not DIRECTORY:PATH'),
        ('{host}:/srv/../etc', 'is not DIRECTORY:PATH'),
        ('{host}:/srv/$(x)', 'is not DIRECTORY:PATH'),
        ('{host}/none:/srv/b', 'none is not a directory'),
        ('{host}/one.deb:/srv/b', 'one.deb is not a directory'),
    ],
)
def test_wrong_values(packages, text, wrong):
    with pytest.raises(exception.InvalidInput) as caught:
        copied_in.parse([text.format(host=packages)])
    assert wrong in str(caught.value)


@pytest.mark.parametrize('what', ['fifo', 'directory', 'nothing'])
def test_files_that_cannot_be_copied(packages, what):
    path = packages / 'more' / 'strange'
    if what == 'fifo':
        os.mkfifo(path)
    else:
        path.symlink_to({'directory': '/etc', 'nothing': 'none'}[what])
    with pytest.raises(exception.InvalidInput, match='is not a regular file'):
        copied_in.parse([f'{packages}:/srv/b'])
