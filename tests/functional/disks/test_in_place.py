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
import contextlib
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import get_args

import pytest

from imagebuild import exception
from imagebuild.common import space
from imagebuild.disks import file_copy
from imagebuild.disks import image_file
from imagebuild.disks import in_place
from imagebuild.disks import overlay
from tests.functional.disks import tools

OLD = '0x11 0 1M'
NEW = '0x41 0 64k'

# Packs an image and kills itself at one stage, or, with a second argument
# that is a number, is killed after so many seconds.
VICTIM = """
import os, pathlib, signal, subprocess, sys
from imagebuild.disks import in_place
from imagebuild.disks import overlay

def on_stage(stage):
    if stage == sys.argv[2]:
        os.kill(os.getpid(), signal.SIGKILL)

image = in_place.InPlaceImage(pathlib.Path(sys.argv[1]), on_stage=on_stage)
with image:
    subprocess.run(
        ['qemu-io', '-f', 'qcow2', '-c', 'write -P 0x41 0 64k',
         str(image.overlay)], check=True, stdout=subprocess.DEVNULL)
    image.commit(sparsify=True)
"""


@pytest.fixture(autouse=True)
def temporary(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> pathlib.Path:
    """A temporary directory of the test's own, seen by our code only."""
    directory = tmp_path_factory.mktemp('temporary')
    monkeypatch.setattr(tempfile, 'tempdir', str(directory))
    return directory


def change(image: in_place.InPlaceImage) -> None:
    tools.qemu_io(image.overlay, 'qcow2', f'write -P {NEW}')


@pytest.mark.parametrize('sparsify', [False, True])
@pytest.mark.parametrize('fmt', ['raw', 'qcow2'])
def test_commit(tmp_path: pathlib.Path, fmt: str, sparsify: bool) -> None:
    path = tools.make_image(tmp_path / 'im,age', fmt)
    before = path.stat()
    with in_place.InPlaceImage(path) as image:
        assert image.info == image_file.inspect(path)
        assert image.overlay.parent == image.workspace.path
        change(image)
        assert not image.committed
        image.commit(sparsify=sparsify)
        assert image.committed
    assert tools.names(tmp_path) == ['im,age']
    assert tools.holds(path, fmt, NEW, '0x11 64k 960k', '0 1M 7M')
    after = path.stat()
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        before.st_mode,
        before.st_uid,
        before.st_gid,
    )
    assert after.st_blocks <= before.st_blocks + 256
    with in_place.InPlaceImage(path) as again:
        assert again.info.format == fmt
        assert again.info.virtual_size == 8 * tools.MIB


@pytest.mark.parametrize('how', ['drop', 'error', 'read only'])
@pytest.mark.parametrize('fmt', ['raw', 'qcow2'])
def test_without_commit(
    tmp_path: pathlib.Path, temporary: pathlib.Path, fmt: str, how: str
) -> None:
    path = tools.make_image(tmp_path / 'image', fmt)
    before = path.stat()
    content = tools.sha256(path)
    try:
        image = in_place.InPlaceImage(path, read_only=how == 'read only')
        with image:
            change(image)
            assert tools.holds(image.overlay, 'qcow2', NEW)
            if how == 'read only':
                assert tools.names(tmp_path) == ['image']
                assert image.overlay.is_relative_to(temporary)
            if how == 'error':
                raise KeyboardInterrupt
    except KeyboardInterrupt:
        pass
    after = path.stat()
    assert tools.sha256(path) == content
    assert (after.st_mtime_ns, after.st_ctime_ns, after.st_ino) == (
        before.st_mtime_ns,
        before.st_ctime_ns,
        before.st_ino,
    )
    assert tools.names(tmp_path) == ['image']
    assert tools.names(temporary) == []


def test_read_only_cannot_be_committed(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'image', 'raw')
    with in_place.InPlaceImage(path, read_only=True) as image:
        with pytest.raises(ValueError, match='nothing to commit'):
            image.commit()


def test_two_readers_and_a_packer(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'image', 'qcow2')
    with (
        in_place.InPlaceImage(path, read_only=True),
        in_place.InPlaceImage(path, read_only=True),
        pytest.raises(exception.ImageBusy, match=f'process {os.getpid()}'),
        in_place.InPlaceImage(path),
    ):
        pass


@pytest.mark.parametrize('sparsify', [False, True])
def test_snapshots_are_kept(tmp_path: pathlib.Path, sparsify: bool) -> None:
    path = tools.make_image(tmp_path / 'image', 'qcow2')
    tools.qemu_img('snapshot', '-c', 'clean', str(path))
    with in_place.InPlaceImage(path) as image:
        change(image)
        image.commit(sparsify=sparsify)
    assert tools.holds(path, 'qcow2', NEW)
    tools.qemu_img('snapshot', '-a', 'clean', str(path))
    assert tools.holds(path, 'qcow2', OLD)


@pytest.mark.parametrize('sparsify', [False, True])
def test_compressed_clusters_are_kept(
    tmp_path: pathlib.Path, sparsify: bool
) -> None:
    plain = tools.make_image(tmp_path / 'plain', 'raw')
    path = tmp_path / 'image'
    tools.qemu_img(
        *('convert', '-c', '-f', 'raw', '-O', 'qcow2'),
        *('-o', 'compression_type=zstd', str(plain), str(path)),
    )
    before = path.stat().st_blocks
    with in_place.InPlaceImage(path) as image:
        change(image)
        image.commit(sparsify=sparsify)
    assert tools.holds(path, 'qcow2', NEW, '0x11 64k 960k')
    assert path.stat().st_blocks <= before + 300


@pytest.mark.parametrize('sparsify', [False, True])
@pytest.mark.parametrize('named', ['base', '{}/base'])
def test_backing_link_is_kept(
    tmp_path: pathlib.Path, named: str, sparsify: bool
) -> None:
    base = tools.make_image(tmp_path / 'base', 'raw')
    content = tools.sha256(base)
    path = tmp_path / 'image'
    name = named.format(tmp_path)
    tools.qemu_img(
        *('create', '-f', 'qcow2', '-b', name, '-F', 'raw', str(path))
    )
    with pytest.raises(exception.UnsafeImage, match='not named'):
        with in_place.InPlaceImage(path):
            pass
    with in_place.InPlaceImage(path, allowed_backing=[base]) as image:
        change(image)
        image.commit(sparsify=sparsify)
    assert f'backing file: {name}' in tools.qemu_img('info', str(path))
    assert 'backing file format: raw' in tools.qemu_img('info', str(path))
    assert tools.holds(path, 'qcow2', NEW, '0x11 64k 960k')
    assert tools.sha256(base) == content
    assert path.stat().st_size < tools.MIB


@pytest.mark.parametrize('fmt', ['raw', 'qcow2'])
def test_trimmed_blocks_are_freed(tmp_path: pathlib.Path, fmt: str) -> None:
    path = tools.make_image(tmp_path / 'image', fmt)
    before = path.stat().st_blocks * 512
    with in_place.InPlaceImage(path) as image:
        tools.qemu_io(image.overlay, 'qcow2', 'discard 0 512k')
        image.commit()
    assert tools.holds(path, fmt, '0 0 512k', '0x11 512k 512k')
    assert path.stat().st_blocks * 512 <= before - tools.MIB // 2


@contextlib.contextmanager
def reads(path: pathlib.Path) -> Iterator[None]:
    """Another build has a file open, as what lies under its disk."""
    node = {
        'driver': 'qcow2',
        'node-name': 'layer',
        'read-only': True,
        'backing': None,
        'file': {'driver': 'file', 'filename': str(path)},
    }
    export = {'type': 'nbd', 'id': 'e', 'node-name': 'layer'}
    socket = path.with_name('socket')
    address = {'addr': {'type': 'unix', 'path': str(socket)}}
    options = [
        *('--blockdev', json.dumps(node)),
        *('--nbd-server', json.dumps(address)),
        *('--export', json.dumps(export)),
    ]
    with subprocess.Popen(['qemu-storage-daemon', *options]) as daemon:
        try:
            for _ in range(3000):
                if socket.exists():
                    break
                time.sleep(0.02)
            assert socket.exists()
            yield
        finally:
            daemon.kill()


@pytest.mark.parametrize('fmt', ['qcow2', 'raw'])
def test_layers_between_image_and_overlay(
    tmp_path: pathlib.Path, fmt: str
) -> None:
    path = tools.make_image(tmp_path / 'image', fmt)
    layer = tmp_path / 'layer'

    def under(image: image_file.ImageInfo) -> image_file.ImageInfo:
        overlay.create(image, layer)
        # Whatever a layer's header names, it is not looked at.
        tools.qemu_io(layer, 'qcow2', 'write -P 0x33 1M 64k')
        tools.qemu_img(
            *('rebase', '-u', '-F', 'raw', '-b', '/nothing', str(layer))
        )
        return image_file.ImageInfo(
            layer, 'qcow2', image.virtual_size, 0, backing=image
        )

    with in_place.InPlaceImage(path, under=under) as image:
        second = image.workspace.path / 'second.qcow2'
        options = f'driver=qcow2,file.filename={image.overlay},backing='
        tools.qemu_io_options(options, 'write -P 0x44 2M 64k')
        kept = tools.sha256(layer), tools.sha256(image.overlay)
        overlay.create(image.disk, second, unopened=True)
        tools.qemu_io_options(
            f'driver=qcow2,file.filename={second},backing=',
            'write -P 0x55 3M 64k',
        )
        top = image_file.ImageInfo(
            second, 'qcow2', image.info.virtual_size, 0, backing=image.disk
        )
        with reads(layer):
            image.commit(disk=top)
        assert kept == (tools.sha256(layer), tools.sha256(image.overlay))
    assert tools.holds(
        path,
        fmt,
        '0x11 0 1M',
        '0x33 1M 64k',
        '0x44 2M 64k',
        '0x55 3M 64k',
    )
    assert image_file.inspect(path).backing is None


@pytest.mark.parametrize('fmt', ['raw', 'qcow2'])
def test_sparsify(tmp_path: pathlib.Path, fmt: str) -> None:
    path = tmp_path / 'image'
    options = ['-o', 'cluster_size=4k'] if fmt == 'qcow2' else []
    tools.qemu_img('create', '-f', fmt, *options, str(path), '8M')
    tools.qemu_io(path, fmt, 'write -P 0x11 0 1M', 'write -P 0 1M 3M')
    with in_place.InPlaceImage(path) as image:
        change(image)
        image.commit(sparsify=True)
    assert tools.holds(path, fmt, NEW, '0 1M 3M')
    assert path.stat().st_blocks * 512 < 2 * tools.MIB
    if fmt == 'qcow2':
        assert 'cluster_size: 4096' in tools.qemu_img('info', str(path))


def test_link_stays_and_its_target_is_replaced(
    tmp_path: pathlib.Path,
) -> None:
    directory = tmp_path / 'elsewhere'
    directory.mkdir()
    path = tools.make_image(directory / 'image', 'raw')
    link = tmp_path / 'link'
    link.symlink_to('elsewhere/image')
    with in_place.InPlaceImage(link) as image:
        change(image)
        image.commit()
    assert os.readlink(link) == 'elsewhere/image'
    assert tools.holds(path, 'raw', NEW)
    assert tools.names(tmp_path) == ['elsewhere', 'link']
    assert tools.names(directory) == ['image']


def test_mode_and_attributes_are_kept(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'image', 'raw')
    path.chmod(0o640)
    os.setxattr(path, 'user.note', b'kept')
    subprocess.run(['setfacl', '-m', 'u:12345:r', str(path)], check=True)
    acl = os.getxattr(path, 'system.posix_acl_access')
    mode = path.stat().st_mode
    with in_place.InPlaceImage(path) as image:
        image.commit()
    assert path.stat().st_mode == mode
    assert os.getxattr(path, 'user.note') == b'kept'
    assert os.getxattr(path, 'system.posix_acl_access') == acl


@pytest.mark.parametrize('fmt', ['raw', 'qcow2'])
def test_scratch_directory(tmp_path: pathlib.Path, fmt: str) -> None:
    path = tools.make_image(tmp_path / 'image', fmt)
    scratch = tmp_path / 'scratch'
    scratch.mkdir()
    with in_place.InPlaceImage(
        path, scratch=in_place.Scratch(scratch)
    ) as image:
        assert image.overlay.is_relative_to(scratch)
        change(image)
        image.commit()
    assert tools.holds(path, fmt, NEW)
    assert tools.names(tmp_path) == ['image', 'scratch']
    assert tools.names(scratch) == []


def test_hard_links_are_refused(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'image', 'raw')
    os.link(path, tmp_path / 'second')
    with pytest.raises(exception.InvalidImage, match='hard links'):
        with in_place.InPlaceImage(path):
            pass
    with in_place.InPlaceImage(path, read_only=True):
        pass


def test_data_file_is_refused(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'image'
    data = tmp_path / 'data'
    option = f'data_file={data}'
    tools.qemu_img('create', '-f', 'qcow2', '-o', option, str(path), '8M')
    with pytest.raises(exception.InvalidImage, match='second file'):
        with in_place.InPlaceImage(path, allowed_backing=[data]):
            pass
    reader = in_place.InPlaceImage(
        path, allowed_backing=[data], read_only=True
    )
    with reader as image:
        assert image.info.data_file == data


@pytest.mark.parametrize('damage', ['cut off', 'table'])
def test_damaged_image_is_refused(tmp_path: pathlib.Path, damage: str) -> None:
    path = tools.make_image(tmp_path / 'image', 'qcow2')
    if damage == 'cut off':
        os.truncate(path, path.stat().st_size // 2)
    else:
        with path.open('rb+') as file:
            file.seek(3 << 16)
            file.write(b'\x80' + b'\x55' * 7)
    with pytest.raises(exception.InvalidImage, match='damaged|cut off'):
        with in_place.InPlaceImage(path):
            pass
    assert tools.names(tmp_path) == ['image']


def test_machine_that_runs(tmp_path: pathlib.Path) -> None:
    # Lazy: while it runs, the image is marked as not closed properly.
    options = ('-o', 'lazy_refcounts=on')
    path = tools.make_image(tmp_path / 'image', 'qcow2', *options)
    with tools.machine(path, 'qcow2', command='write 0 1M') as process:
        for read_only in (True, False):
            with pytest.raises(
                exception.ImageBusy, match=f'process {process.pid}'
            ):
                with in_place.InPlaceImage(path, read_only=read_only):
                    pass


def test_overlay_that_is_still_open(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'image', 'qcow2')
    content = tools.sha256(path)
    with in_place.InPlaceImage(path) as image:
        with (
            tools.machine(image.overlay, 'qcow2'),
            pytest.raises(exception.ImageBusy, match='overlay'),
        ):
            image.commit()
    assert tools.sha256(path) == content
    assert tools.names(tmp_path) == ['image']


@pytest.mark.parametrize('stage', ['committing', 'on the disk'])
@pytest.mark.parametrize('how', ['written', 'renamed', 'removed'])
def test_changed_by_somebody_else(
    tmp_path: pathlib.Path, how: str, stage: str
) -> None:
    path = tools.make_image(tmp_path / 'image', 'raw')

    def interfere() -> None:
        if how == 'written':
            with path.open('rb+') as file:
                file.write(b'theirs')
        elif how == 'renamed':
            other = path.with_name('other')
            other.write_bytes(b'theirs')
            os.replace(other, path)
        else:
            path.unlink()

    def on_stage(reached: in_place.Stage) -> None:
        if reached == stage:
            interfere()

    with in_place.InPlaceImage(path, on_stage=on_stage) as image:
        change(image)
        with pytest.raises(exception.ImageBusy, match='changed it'):
            image.commit()
    assert how == 'removed' or path.read_bytes().startswith(b'theirs')
    assert tools.names(tmp_path) == ([] if how == 'removed' else ['image'])


def test_no_room(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tools.make_image(tmp_path / 'image', 'raw')
    asked: list[int] = []
    monkeypatch.setattr(
        space, 'check', lambda directory, needed: asked.append(needed)
    )
    monkeypatch.setattr(file_copy, 'can_share', lambda *_: False)
    with in_place.InPlaceImage(
        path, scratch=in_place.Scratch(growth=4 * tools.MIB)
    ) as image:
        image.commit()
    allocated = image.info.allocated
    assert asked[:2] == [4 * tools.MIB, allocated + 4 * tools.MIB]
    assert allocated < asked[2] < allocated + tools.MIB


def test_room_is_reserved(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tools.make_image(tmp_path / 'image', 'raw')
    asked: list[int] = []
    monkeypatch.setattr(
        space, 'check', lambda directory, needed: asked.append(needed)
    )
    monkeypatch.setattr(file_copy, 'can_share', lambda *_: True)
    with in_place.InPlaceImage(
        path,
        scratch=in_place.Scratch(growth=4 * tools.MIB, reserve=7 * tools.MIB),
    ) as image:
        image.commit()
    assert asked[:2] == [11 * tools.MIB] * 2
    assert asked[2] >= 7 * tools.MIB


def test_owner_that_cannot_be_given(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_descriptor: int, _mode: int) -> None:
        raise PermissionError(1, 'Operation not permitted')

    path = tools.make_image(tmp_path / 'image', 'raw')
    monkeypatch.setattr(os, 'fchmod', refuse)
    with pytest.raises(exception.UnwritablePath, match='run as its owner'):
        with in_place.InPlaceImage(path):
            pass
    assert tools.names(tmp_path) == ['image']


def test_cancelled(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'image', 'raw')
    content = tools.sha256(path)
    cancelled = [False]
    image = in_place.InPlaceImage(path, cancelled=lambda: cancelled[0])
    with pytest.raises(exception.Interrupted), image:
        change(image)
        cancelled[0] = True
        image.commit()
        # Too quick to be stopped: then it is complete.
        assert tools.holds(path, 'raw', NEW)
        raise exception.Interrupted(signal='nobody')
    if not image.committed:
        assert tools.sha256(path) == content
    assert tools.names(tmp_path) == ['image']


@pytest.mark.parametrize('stage', get_args(in_place.Stage))
@pytest.mark.parametrize('fmt', ['raw', 'qcow2'])
def test_killed_at_any_stage(
    tmp_path: pathlib.Path, fmt: str, stage: str
) -> None:
    path = tools.make_image(tmp_path / 'image', fmt)
    content = tools.sha256(path)
    done = subprocess.run(
        [sys.executable, '-c', VICTIM, str(path), stage],
        env={**os.environ, 'PYTHONPATH': str(tools.ROOT)},
    )
    assert done.returncode == -signal.SIGKILL
    if stage in ('renamed', 'done'):
        assert tools.holds(path, fmt, NEW, '0x11 64k 960k')
        content = tools.sha256(path)
    assert tools.sha256(path) == content
    assert len(tools.names(tmp_path)) == (1 if stage == 'locked' else 2)
    with in_place.InPlaceImage(path, read_only=True):
        pass
    assert tools.names(tmp_path) == ['image']
    assert tools.sha256(path) == content
