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
import pathlib
import socket
from collections.abc import Callable

import pytest

from imagebuild import exception
from imagebuild.disks import image_file
from tests.functional.disks import tools

SECTOR = bytes(512)
BACKING_FORMAT = 0xE2792ACA
DATA_FILE = 0x44415441


def put(value: bytes, offset: int = 0, size: int = 64 * 1024) -> bytes:
    return (bytes(offset) + value).ljust(size, b'\0')


@pytest.mark.parametrize(
    ('name', 'fmt', 'options'),
    [
        ('a.qcow2', 'qcow2', ()),
        ('wrong-extension.raw', 'qcow2', ()),
        ('old', 'qcow2', ('-o', 'compat=0.10')),
        ('small clusters', 'qcow2', ('-o', 'cluster_size=512')),
        ('large,clusters', 'qcow2', ('-o', 'cluster_size=2M')),
        ('zstd', 'qcow2', ('-o', 'compression_type=zstd')),
        ('l2', 'qcow2', ('-o', 'extended_l2=on')),
        ('json:{}', 'qcow2', ()),
        ('a.img', 'raw', ()),
        ('wrong-extension.qcow2', 'raw', ()),
    ],
)
def test_recognised(
    tmp_path: pathlib.Path, name: str, fmt: str, options: tuple[str, ...]
) -> None:
    made = tools.make_image(tmp_path / 'made', fmt, *options)
    path = made.rename(tmp_path / name)
    info = image_file.inspect(path)
    assert info == image_file.ImageInfo(
        path=path,
        format=fmt,  # type: ignore[arg-type]
        virtual_size=8 * tools.MIB,
        allocated=path.stat().st_blocks * 512,
    )
    assert info.chain == (info,)


def test_snapshots_are_counted(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'a', 'qcow2')
    tools.qemu_img('snapshot', '-c', 'one', str(path))
    assert image_file.inspect(path).snapshots == 1


def test_link_is_resolved(tmp_path: pathlib.Path) -> None:
    path = tools.make_image(tmp_path / 'a', 'raw')
    (tmp_path / 'link').symlink_to('a')
    assert image_file.inspect(tmp_path / 'link').path == path


def test_marker_inside_a_raw_disk_is_content(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'a'
    path.write_bytes(SECTOR + tools.qcow2(backing=b'/etc/passwd'))
    assert image_file.inspect(path).format == 'raw'


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'it is empty'),
        (b'root:x:0:0:\n', 'not a multiple of 512'),
        (put(b'KDMV'), 'VMDK'),
        (put(b'COWD'), 'VMDK'),
        (put(b'# Disk DescriptorFile\n'), 'VMDK'),
        (put(b'vhdxfile'), 'VHDX'),
        (put(b'conectix'), 'VHD'),
        (put(b'') + b'conectix'.ljust(512), 'VHD'),
        (put(b'') + b'koly'.ljust(512), 'DMG'),
        (put(b'\x7f\x10\xda\xbe', 0x40), 'VDI'),
        (put(b'QED\0'), 'QED'),
        (put(b'LUKS\xba\xbe'), 'decrypt it first'),
        (put(b'CD001', 32769), 'ISO 9660'),
        (put(b'ustar', 257), 'tar archive'),
        (put(b'\x1f\x8b\x08'), 'gzip; decompress it first'),
        (put(b'\xfd7zXZ\0'), 'xz; decompress it first'),
        (put(b'\x28\xb5\x2f\xfd'), 'zstd; decompress it first'),
        (put(b'BZh91AY&SY'), 'bzip2; decompress it first'),
        (put(b'PK\x03\x04'), 'zip'),
        (tools.qcow2()[:4], 'cut off'),
        (tools.qcow2()[:71], 'cut off'),
        (tools.qcow2()[:100], 'cut off'),
        (tools.qcow2()[: 2 << 16], 'cut off'),
        (tools.qcow2(l1_size=1 << 24), 'cut off'),
        (tools.qcow2(version=1), 'version 1'),
        (tools.qcow2(version=4), 'version is 4'),
        (tools.qcow2(crypt=1), 'encrypted'),
        (tools.qcow2(crypt=2), 'encrypted'),
        (tools.qcow2(incompatible=1), 'qemu-img check -r all'),
        (tools.qcow2(incompatible=2), 'qemu-img check -r all'),
        (tools.qcow2(incompatible=4), 'data file is missing'),
        (tools.qcow2(incompatible=1 << 40), 'not known here'),
        (tools.qcow2(cluster_bits=8), 'cluster size'),
        (tools.qcow2(cluster_bits=40), 'cluster size'),
        (tools.qcow2(size=0), '0 bytes'),
        (tools.qcow2(header_length=1 << 20), 'claims to be'),
        (tools.qcow2(backing=b'x' * 1024), 'cut off'),
        (
            tools.qcow2(extensions=((BACKING_FORMAT, b'raw'),) * 2),
            'twice',
        ),
    ],
)
def test_refused(tmp_path: pathlib.Path, content: bytes, message: str) -> None:
    path = tmp_path / 'image.raw'
    path.write_bytes(content)
    with pytest.raises(exception.InvalidImage, match=message):
        image_file.inspect(path)


@pytest.mark.parametrize('fmt', ['vmdk', 'vhdx', 'vpc', 'vdi', 'qed'])
def test_real_image_of_another_format_is_refused(
    tmp_path: pathlib.Path, fmt: str
) -> None:
    path = tmp_path / 'image.raw'
    tools.qemu_img('create', '-f', fmt, str(path), '8M')
    with pytest.raises(exception.InvalidImage, match='convert it'):
        image_file.inspect(path)


def bind(path: pathlib.Path) -> None:
    directory = os.open(path.parent, os.O_PATH)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(f'/proc/self/fd/{directory}/{path.name}')
    os.close(directory)


@pytest.mark.parametrize(
    ('make', 'message'),
    [
        (lambda path: None, 'no such file'),
        (lambda path: path.symlink_to('nowhere'), 'no such file'),
        (lambda path: path.symlink_to(path.name), 'symbolic links'),
        (lambda path: path.mkdir(), 'a directory'),
        (lambda path: os.mkfifo(path), 'a pipe'),
        (lambda path: path.symlink_to('/dev/null'), 'a character device'),
        (bind, 'a socket'),
    ],
)
def test_other_kinds_of_file_are_refused(
    tmp_path: pathlib.Path,
    make: Callable[[pathlib.Path], None],
    message: str,
) -> None:
    make(tmp_path / 'image')
    with pytest.raises(exception.InvalidImage, match=message):
        image_file.inspect(tmp_path / 'image')


@pytest.mark.parametrize(
    'name',
    [
        '/etc/passwd',
        '../../../../../../../../../etc/passwd',
        'passwd',
        'json:{"driver":"file","filename":"/etc/passwd"}',
        'file:/etc/passwd',
        'nbd://localhost/secret',
        'nbd:unix:/run/socket',
        'fat:rw:/etc',
        '/dev/sda',
    ],
)
@pytest.mark.parametrize('version', [2, 3])
def test_backing_file_of_the_host_is_refused(
    tmp_path: pathlib.Path, name: str, version: int
) -> None:
    path = tmp_path / 'image'
    image = tools.qcow2(
        version=version,
        backing=name.encode(),
        extensions=((BACKING_FORMAT, b'raw'),),
    )
    path.write_bytes(image)
    with pytest.raises(exception.UnsafeImage, match='passwd|nbd|fat|sda'):
        image_file.inspect(path)


def test_backing_file_made_by_qemu_img_is_refused(
    tmp_path: pathlib.Path,
) -> None:
    path = tmp_path / 'image'
    tools.qemu_img(
        *('create', '-f', 'qcow2', '-b', '/etc/passwd', '-F', 'raw'),
        str(path),
    )
    with pytest.raises(exception.UnsafeImage, match='/etc/passwd'):
        image_file.inspect(path)


@pytest.mark.parametrize('name', ['json:{}', 'file:base', 'nbd:base'])
def test_protocol_is_refused_even_when_named(
    tmp_path: pathlib.Path, name: str
) -> None:
    path = tmp_path / 'image'
    path.write_bytes(tools.qcow2(backing=name.encode()))
    (tmp_path / name).write_bytes(SECTOR)
    with pytest.raises(exception.UnsafeImage, match='not a plain file name'):
        image_file.inspect(path, allowed_backing=[tmp_path / name])


def test_name_ends_at_nul_as_for_qemu(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'image'
    path.write_bytes(tools.qcow2(backing=b'/etc/passwd\0/../../base'))
    with pytest.raises(exception.UnsafeImage, match="'/etc/passwd'"):
        image_file.inspect(path, allowed_backing=[tmp_path / 'base'])


@pytest.mark.parametrize('incompatible', [0, 4])
def test_data_file_of_the_host_is_refused(
    tmp_path: pathlib.Path, incompatible: int
) -> None:
    path = tmp_path / 'image'
    image = tools.qcow2(
        incompatible=incompatible, extensions=((DATA_FILE, b'/etc/passwd'),)
    )
    path.write_bytes(image)
    with pytest.raises(exception.UnsafeImage, match='external data file'):
        image_file.inspect(path)


def test_data_file_that_was_named(tmp_path: pathlib.Path) -> None:
    path = tmp_path / 'image'
    data = tmp_path / 'data'
    option = f'data_file={data}'
    tools.qemu_img('create', '-f', 'qcow2', '-o', option, str(path), '8M')
    with pytest.raises(exception.UnsafeImage, match='external data file'):
        image_file.inspect(path)
    info = image_file.inspect(path, allowed_backing=[data])
    assert info.data_file == data


def make_chain(directory: pathlib.Path) -> pathlib.Path:
    """top -> middle (qcow2) -> base (raw), all names relative."""
    tools.make_image(directory / 'base', 'raw')
    under = 'base', 'raw'
    for name in ('middle', 'top'):
        tools.qemu_img(
            *('create', '-f', 'qcow2', '-b', under[0], '-F', under[1]),
            str(directory / name),
        )
        under = name, 'qcow2'
    return directory / 'top'


def test_chain_that_was_named(tmp_path: pathlib.Path) -> None:
    top = make_chain(tmp_path)
    (tmp_path / 'link').symlink_to('middle')
    info = image_file.inspect(
        top, allowed_backing=[tmp_path / 'link', tmp_path / 'base']
    )
    assert [(i.path.name, i.format) for i in info.chain] == [
        ('top', 'qcow2'),
        ('middle', 'qcow2'),
        ('base', 'raw'),
    ]


@pytest.mark.parametrize('named', [[], ['middle'], ['base'], ['top']])
def test_chain_with_one_that_was_not_named(
    tmp_path: pathlib.Path, named: list[str]
) -> None:
    top = make_chain(tmp_path)
    with pytest.raises(exception.UnsafeImage, match='not named'):
        image_file.inspect(
            top, allowed_backing=[tmp_path / name for name in named]
        )


def test_backing_file_recorded_as_raw_is_raw(tmp_path: pathlib.Path) -> None:
    base = tmp_path / 'base'
    base.write_bytes(tools.qcow2(backing=b'/etc/passwd'))
    top = tmp_path / 'top'
    top.write_bytes(
        tools.qcow2(backing=b'base', extensions=((BACKING_FORMAT, b'raw'),))
    )
    info = image_file.inspect(top, allowed_backing=[base])
    assert [i.format for i in info.chain] == ['qcow2', 'raw']


@pytest.mark.parametrize(
    ('recorded', 'message'),
    [
        ((), 'rebase -u -b base -F'),
        (((BACKING_FORMAT, b'vmdk'),), 'vmdk'),
        (((BACKING_FORMAT, b'qcow2'),), 'it is not qcow2'),
    ],
)
def test_backing_format_must_hold(
    tmp_path: pathlib.Path,
    recorded: tuple[tuple[int, bytes], ...],
    message: str,
) -> None:
    base = tmp_path / 'base'
    base.write_bytes(SECTOR)
    top = tmp_path / 'top'
    top.write_bytes(tools.qcow2(backing=b'base', extensions=recorded))
    with pytest.raises(exception.InvalidImage, match=message):
        image_file.inspect(top, allowed_backing=[base])


def test_loop_is_refused(tmp_path: pathlib.Path) -> None:
    for name, under in (('a', b'b'), ('b', b'a')):
        recorded = ((BACKING_FORMAT, b'qcow2'),)
        image = tools.qcow2(backing=under, extensions=recorded)
        (tmp_path / name).write_bytes(image)
    allowed = [tmp_path / 'a', tmp_path / 'b']
    with pytest.raises(exception.InvalidImage, match='its own backing'):
        image_file.inspect(tmp_path / 'a', allowed_backing=allowed)
