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
"""What a conversion takes of this host's disk."""

import json
import os
import pathlib
import shutil

import pytest

from imagebuild import repository
from imagebuild.common import space
from imagebuild.disks import convert
from imagebuild.disks import image_file
from imagebuild.job import channel
from imagebuild.job import main
from imagebuild.job import specs

MIB = 1024 * 1024
DATA = 32 * MIB


@pytest.fixture(scope='module')
def compressed(tmp_path_factory):
    """An image that takes a hundredth of what it holds."""
    place = tmp_path_factory.mktemp('compressed')
    raw, made = place / 'disk.raw', place / 'disk.qcow2'
    with raw.open('wb') as file:
        file.write(b'y\n' * (DATA // 2))
        file.truncate(1024 * MIB)
    info = image_file.ImageInfo(raw, 'raw', 1024 * MIB, 0)
    convert.convert(info, made, 'qcow2', compression='zlib')
    raw.unlink()
    assert made.stat().st_size < MIB
    return image_file.inspect(made)


@pytest.mark.parametrize('wanted', ['raw', 'qcow2', 'vmdk', 'vpc', 'vdi'])
def test_it_takes_at_most(compressed, tmp_path, wanted):
    most = convert.most_bytes(compressed)
    target = tmp_path / f'made.{wanted}'
    convert.convert(compressed, target, wanted)
    assert DATA <= target.stat().st_blocks * 512 <= most < 2 * DATA


def test_it_is_stopped_when_room_is_short(compressed, tmp_path, monkeypatch):
    program = tmp_path / 'bin' / 'qemu-img'
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nexec sleep 600\n')
    program.chmod(0o755)
    monkeypatch.setenv('PATH', str(program.parent), prepend=os.pathsep)
    free = [10 * MIB, 10 * MIB, 5 * MIB - 1]
    monkeypatch.setattr(space, 'free', lambda _: free.pop(0))
    target = tmp_path / 'made'
    with pytest.raises(
        convert.ConversionStopped,
        match='^The conversion to raw was stopped: the disk that it is ',
    ):
        convert.convert(compressed, target, 'raw', reserve=5 * MIB)
    assert free == [] and not target.exists()


def test_an_upload_asks_for_what_the_conversion_takes(
    compressed, tmp_path, monkeypatch
):
    """It would fill the disk, and builds would be stopped for it."""
    images = repository.Repository(tmp_path / 'images')
    facts = repository.Facts('b1', 'p1', 'k', 'qcow2', 1024 * MIB)
    path = shutil.copy(compressed.path, tmp_path)
    artifact = images.put(pathlib.Path(path), facts)
    # There is room for it and the reserve, but not for what it becomes.
    monkeypatch.setattr(space, 'free', lambda _: DATA + 20 * MIB)
    spec = specs.UploadSpec(
        upload_id='u1',
        build_id='b1',
        project_id='p1',
        destination='',
        store='file',
        repository=images.directory,
        artifact=artifact.id,
        disk_format='raw',
        container_format='bare',
        image={
            'name': 'n',
            'visibility': None,
            'protected': None,
            'tags': [],
            'min_ram': 0,
        },
        content_key='k',
        config={
            'repository': {'directory': str(images.directory)},
            'disks': {'space_reserve': 20},
            'file_store': {'folder': str(tmp_path / 'store')},
        },
    )
    monkeypatch.setattr(main, '_end_signals', lambda: None)
    incoming, outgoing = os.pipe()
    events = channel.Events(outgoing, lambda: None)
    document = json.loads(json.dumps(spec.to_document()))
    assert main.work(document, events) == 1
    events.close()
    with open(incoming, 'rb') as file:
        last = [json.loads(line) for line in file][-1]
    assert 'There is not enough room' in last['reason'], last
    assert (last['fault'], last['lacks_room']) == ('service', True)
    assert not list(images.incoming.iterdir())
    assert [each.id for each in images.list_artifacts()] == [artifact.id]
