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
"""What the tests of disks share: small images and child processes."""

import contextlib
import hashlib
import os
import pathlib
import struct
import subprocess
import sys
import time
from collections.abc import Iterator

ROOT = pathlib.Path(__file__).parents[3]

MIB = 1024 * 1024


def make_image(path: pathlib.Path, fmt: str, *options: str) -> pathlib.Path:
    """An image of 8 MiB whose first MiB is full of 0x11."""
    qemu_img('create', '-f', fmt, *options, str(path), '8M')
    qemu_io(path, fmt, 'write -P 0x11 0 1M')
    return path


def qemu_img(*arguments: str) -> str:
    return subprocess.run(
        ['qemu-img', *arguments], check=True, capture_output=True, text=True
    ).stdout


def qemu_io(path: pathlib.Path, fmt: str, *commands: str) -> str:
    argv = ['qemu-io', '-f', fmt]
    for command in commands:
        argv += ['-c', command]
    done = subprocess.run(
        [*argv, str(path)], check=True, capture_output=True, text=True
    )
    assert 'failed' not in done.stdout, done.stdout
    return done.stdout


def qemu_io_options(options: str, command: str) -> None:
    """Run a command on an image that is given with all its options."""
    argv = ['qemu-io', '--image-opts', '-c', command, options]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    assert 'failed' not in done.stdout, done.stdout


def holds(path: pathlib.Path, fmt: str, *contents: str) -> bool:
    """Whether an image reads as told, such as ``0x11 0 64k``."""
    argv = ['qemu-io', '-r', '-f', fmt]
    for content in contents:
        argv += ['-c', f'read -P {content}']
    done = subprocess.run(
        [*argv, str(path)], check=True, capture_output=True, text=True
    )
    return 'failed' not in done.stdout


def sha256(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def names(directory: pathlib.Path) -> list[str]:
    return sorted(os.listdir(directory))


def is_gone(pid: int) -> bool:
    """Whether a process ends within 20 s; a zombie has."""
    for _ in range(1000):
        try:
            status = pathlib.Path(f'/proc/{pid}/stat').read_text()
        except (FileNotFoundError, ProcessLookupError):
            return True
        if ') Z ' in status:
            return True
        time.sleep(0.02)
    return False


@contextlib.contextmanager
def child(code: str, *arguments: object) -> Iterator['subprocess.Popen[str]']:
    """A Python process that has printed a line and waits for its input."""
    with start(code, *arguments) as process:
        try:
            assert process.stdout and process.stdout.readline()
            yield process
        finally:
            process.kill()


@contextlib.contextmanager
def machine(
    disk: pathlib.Path, fmt: str, *options: str, command: str = 'length'
) -> Iterator['subprocess.Popen[str]']:
    """A qemu process that has a disk open, as a machine would."""
    with subprocess.Popen(
        ['qemu-io', '-f', fmt, *options, str(disk)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin and process.stdout
        process.stdin.write(f'{command}\n')
        process.stdin.flush()
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def start(code: str, *arguments: object) -> 'subprocess.Popen[str]':
    return subprocess.Popen(
        [sys.executable, '-c', code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, 'PYTHONPATH': str(ROOT)},
    )


def qcow2(
    *,
    version: int = 3,
    cluster_bits: int = 16,
    size: int = 8 * MIB,
    crypt: int = 0,
    incompatible: int = 0,
    backing: bytes = b'',
    extensions: tuple[tuple[int, bytes], ...] = (),
    header_length: int = 104,
    l1_size: int = 1,
) -> bytes:
    """A qcow2 header written by hand, with three clusters behind it."""
    body = b''
    for kind, value in extensions:
        padded = value.ljust((len(value) + 7) & ~7, b'\0')
        body += struct.pack('>II', kind, len(value)) + padded
    body += bytes(8)
    start = header_length if version > 2 else 72
    at = start + len(body)
    fixed = struct.pack(
        '>4sIQIIQIIQQIIQ',
        b'QFI\xfb',
        version,
        at if backing else 0,
        len(backing),
        cluster_bits,
        size,
        crypt,
        l1_size,
        3 << 16,
        1 << 16,
        1,
        0,
        0,
    )
    if version > 2:
        fixed += struct.pack('>QQQII', incompatible, 0, 0, 4, header_length)
    return (fixed.ljust(start, b'\0') + body + backing).ljust(4 << 16, b'\0')
