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
"""Checksums, room, copies and conversion: little modules, little tests."""

import hashlib
import json
import os
import pathlib

import pytest

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import processes
from imagebuild.common import space
from imagebuild.common import transfer_progress
from imagebuild.disks import convert
from imagebuild.disks import file_copy
from imagebuild.disks import image_file
from tests.functional.disks import tools


def test_checksums_in_one_pass(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'file'
    path.write_bytes(b'x' * (5 * tools.MIB))
    seen: list[tuple[int, int]] = []
    result = checksums.compute(
        path, on_progress=lambda done, total: seen.append((done, total))
    )
    assert result == {
        name: hashlib.new(name, path.read_bytes()).hexdigest()
        for name in ('sha256', 'sha512')
    }
    assert seen == [
        (4 * tools.MIB, 5 * tools.MIB),
        (5 * tools.MIB, 5 * tools.MIB),
    ]


@pytest.mark.parametrize(
    ('size', 'message'),
    [
        (0, '0 bytes'),
        (1023, '1023 bytes'),
        (1024, '1.0 KiB'),
        (3435973837, '3.2 GiB'),
        (1 << 52, '4096.0 TiB'),
    ],
)
def test_human(size: int, message: str) -> None:
    assert space.human(size) == message


def test_no_room(tmp_path: pathlib.Path) -> None:
    space.check(tmp_path, 1)
    with pytest.raises(exception.NoSpace, match='1024.0 TiB are needed'):
        space.check(tmp_path, 1 << 50)


def test_copy_keeps_holes_and_attributes(tmp_path: pathlib.Path) -> None:
    source = tmp_path / 'source'
    with source.open('wb') as file:
        file.seek(3 * tools.MIB)
        file.write(b'data')
        file.truncate(64 * tools.MIB)
    source.chmod(0o640)
    os.setxattr(source, 'user.note', b'kept')
    target = tmp_path / 'target'
    with source.open('rb') as reader, target.open('xb') as writer:
        file_copy.copy_content(reader.fileno(), writer.fileno())
        file_copy.copy_attributes(reader.fileno(), writer.fileno())
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_blocks * 512 < tools.MIB
    assert target.stat().st_mode & 0o7777 == 0o640
    assert os.getxattr(target, 'user.note') == b'kept'


def test_copy_without_help_of_the_kernel(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_arguments: object) -> int:
        raise OSError(18, 'Invalid cross-device link')

    monkeypatch.setattr(os, 'copy_file_range', refuse)
    source = tmp_path / 'source'
    source.write_bytes(os.urandom(3 * tools.MIB + 5))
    target = tmp_path / 'target'
    with source.open('rb') as reader, target.open('xb') as writer:
        file_copy.copy_content(reader.fileno(), writer.fileno())
    assert target.read_bytes() == source.read_bytes()


@pytest.mark.parametrize('source_format', ['raw', 'qcow2'])
@pytest.mark.parametrize(
    ('fmt', 'compression'),
    [
        ('raw', None),
        ('qcow2', None),
        ('qcow2', 'zlib'),
        ('qcow2', 'zstd'),
        ('vmdk', None),
        ('vpc', None),
        ('vdi', None),
    ],
)
def test_convert(
    tmp_path: pathlib.Path,
    source_format: str,
    fmt: convert.TargetFormat,
    compression: convert.Compression | None,
) -> None:
    source = tools.make_image(tmp_path / 'so,urce', source_format)
    info = image_file.inspect(source)
    target = tmp_path / 'ta,rget'
    target.write_text('old')
    convert.convert(info, target, fmt, compression=compression)
    tools.qemu_img(
        *('compare', '-f', source_format, '-F', fmt),
        *(str(source), f'{target}'),
    )
    assert tools.names(tmp_path) == ['so,urce', 'ta,rget']
    if fmt == 'qcow2':
        described = json.loads(
            tools.qemu_img('info', '--output=json', str(target))
        )['format-specific']['data']
        assert described['compression-type'] == (compression or "zlib")


def test_convert_failure_leaves_nothing(tmp_path: pathlib.Path) -> None:
    source = tools.make_image(tmp_path / 'source', 'raw')
    info = image_file.inspect(source)
    source.unlink()
    with pytest.raises(exception.HostCommandFailed, match='No such file'):
        convert.convert(info, tmp_path / 'target', 'qcow2')
    assert tools.names(tmp_path) == []


@pytest.mark.parametrize(
    ('target', 'fmt', 'compression', 'message'),
    [
        ('target', 'iso', None, 'format "iso"'),
        ('target', 'raw', 'zlib', 'compressed'),
        ('source', 'qcow2', None, 'into itself'),
        ('link', 'qcow2', None, 'into itself'),
    ],
)
def test_convert_refuses(
    tmp_path: pathlib.Path,
    target: str,
    fmt: convert.TargetFormat,
    compression: convert.Compression | None,
    message: str,
) -> None:
    info = image_file.inspect(tools.make_image(tmp_path / 'source', 'raw'))
    (tmp_path / 'link').symlink_to('source')
    with pytest.raises(exception.InvalidInput, match=message):
        convert.convert(info, tmp_path / target, fmt, compression=compression)


def test_processes_that_are_not_there() -> None:
    assert processes.start_time(2**22 + 1) is None
    assert not processes.kill(2**22 + 1, 1)
    assert processes.start_time(os.getpid())


def test_progress_is_told_once_a_second_and_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [1000.0]
    monkeypatch.setattr(transfer_progress.time, 'monotonic', lambda: now[0])
    told: list[tuple[int, int]] = []
    tell = transfer_progress.Throttled(lambda *figures: told.append(figures))
    for done in range(0, 101):
        tell(done, 100)
        now[0] += 0.03
    assert [done for done, _ in told] == [0, 34, 68, 100]
    # Waiting at the end is not moving.
    for _ in range(10):
        tell(100, 100)
        now[0] += 0.03
    assert len(told) == 4
