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
import json

import pytest

from imagebuild import exception
from imagebuild import sbom
from imagebuild.cmd import pack
from imagebuild.cmd import pack_sbom
from imagebuild.remotes import fake

ANSWER = 'database\tdeb\ndeb\tii \ttree\t2.1\tamd64\ttree\t2.1\n'


@pytest.fixture
def remote():
    remote = fake.FakeRemote.of('debian', '12')
    remote.on(['/bin/sh', '-c'], fake.Answer(ANSWER))
    return remote


def test_the_file_is_there_when_all_was_good(remote, tmp_path):
    path = tmp_path / 'web.spdx.json'
    path.write_text('before')
    with pack_sbom.written(path, remote, 'web.qcow2'):
        assert path.read_text() == 'before'
    made = json.loads(path.read_text())
    assert [each['name'] for each in made['packages']] == ['web.qcow2', 'tree']
    assert [*tmp_path.iterdir()] == [path]
    assert path.stat().st_mode & 0o444 == 0o444


def test_each_document_has_its_own_name(remote, tmp_path):
    names = set()
    for _ in range(2):
        with pack_sbom.written(tmp_path / 'x', remote, 'web.qcow2'):
            pass
        made = json.loads((tmp_path / 'x').read_text())
        names.add(made['documentNamespace'])
    assert len(names) == 2


def test_no_file_of_what_came_to_nothing(remote, tmp_path):
    with (
        pytest.raises(exception.DiskFull),
        pack_sbom.written(tmp_path / 'x', remote, 'web.qcow2'),
    ):
        raise exception.DiskFull(path='x')
    assert [*tmp_path.iterdir()] == []


def test_an_image_that_does_not_say_is_not_packed(remote, tmp_path):
    remote.on(['/bin/sh', '-c'], fake.Answer('unread\trpm\n'))
    with pytest.raises(sbom.Unreadable) as caught:
        with pack_sbom.written(tmp_path / 'x', remote, 'web.qcow2'):
            raise AssertionError
    assert str(caught.value) == (
        'What is in the image cannot be listed: its rpm database cannot be '
        'read.'
    )
    assert [*tmp_path.iterdir()] == []


def test_without_the_option_nothing_is_asked(tmp_path):
    with pack_sbom.written(None, fake.FakeRemote(), 'web.qcow2'):
        pass


def test_bad_usage(tmp_path, capsys):
    image = tmp_path / 'web.qcow2'
    image.write_bytes(b'x')
    line = ['--image', str(image), '--sbom']
    for options, message in (
        ([f'{tmp_path}/no/x.json'], f'There is no directory {tmp_path}/no.'),
        ([str(tmp_path)], f'{tmp_path} is not a file.'),
        (['x.json', '--plan'], '--sbom and --plan exclude each other'),
    ):
        assert pack.main([*line, *options, 'redis', '7']) == 2
        assert message in capsys.readouterr().err
    assert image.read_bytes() == b'x'
