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
"""What imagebuild-pack --base leaves when something goes wrong.

What packs the copy is a stand-in; everything before and after it is real.
"""

import contextlib
import errno
import gzip
import hashlib
import lzma
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time

import pytest

from imagebuild import exception
from imagebuild.clients import download
from imagebuild.clients import retries
from imagebuild.cmd import base_choice
from imagebuild.cmd import new_file
from imagebuild.cmd import pack_base
from tests.functional import published_server
from tests.functional.cmd import packing_place

IMAGE = b'disk' * 1024
DIGEST = hashlib.sha256(IMAGE).hexdigest()
CHECKSUM = ('--base-checksum', f'sha256:{DIGEST}')


@pytest.fixture
def server():
    with published_server.Server() as running:
        yield running


@pytest.fixture
def place(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(retries, '_FIRST_PAUSE', 0.05)
    monkeypatch.setattr(base_choice, 'RETRY_TIMEOUT', 0.3)
    (tmp_path / 'base.img').write_bytes(IMAGE)
    return packing_place.Place(tmp_path, capsys, monkeypatch)


# -- base images ------------------------------------------------------------


def qemu_img(*arguments):
    subprocess.run(['qemu-img', *map(str, arguments)], check=True)


def overlay(path):
    base = path.with_name('base.img')
    qemu_img('create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', base, path)


def vmdk(path):
    base = path.with_name('base.img')
    qemu_img('convert', '-O', 'vmdk', base, path)


FILES = {
    'a directory': (pathlib.Path.mkdir, 'it is a directory, not an image'),
    'a pipe': (os.mkfifo, 'it is a pipe (FIFO), not an image file.'),
    'nothing': (lambda path: None, 'there is no such file.'),
    'empty': (pathlib.Path.touch, 'it is empty.'),
    'an overlay': (overlay, 'it refers to the backing file'),
    'of another format': (vmdk, 'it is a VMDK image; convert it to qcow2'),
    'xz': (
        lambda path: path.write_bytes(lzma.compress(IMAGE)),
        'it is compressed with xz; decompress it first.',
    ),
    'gzip': (
        lambda path: path.write_bytes(gzip.compress(IMAGE)),
        'it is compressed with gzip; decompress it first.',
    ),
}


@pytest.mark.parametrize('kind', FILES)
def test_a_file_that_is_no_base_image(place, kind):
    make, message = FILES[kind]
    make(place.path / 'it')
    code, told = place.pack(place.path / 'it')
    assert code == 2
    assert message in told.splitlines()[-1]
    assert (place.left(), place.packed) == ([], [])


# -- web servers ------------------------------------------------------------


def redirection(target):
    def answer(request):
        port = request.server.server_address[1]
        request.send_response(302)
        request.send_header('Location', target.format(port=port))
        request.send_header('Content-Length', '0')
        request.end_headers()

    return answer


#: Pieces of less than 1 MiB are not kept.
LARGE = b'disk' * 1024 * 1024
OF_LARGE = ('--base-checksum', f'sha256:{hashlib.sha256(LARGE).hexdigest()}')


def in_pieces(*, ranges):
    """Breaks off after half a file, unless it is asked for the rest."""

    def answer(request):
        asked = request.headers.get('Range') if ranges else None
        start = int(asked[len('bytes=') : -1]) if asked else 0
        rest = LARGE[start:]
        request.send_response(206 if asked else 200)
        if asked:
            size = len(LARGE)
            value = f'bytes {start}-{size - 1}/{size}'
            request.send_header('Content-Range', value)
        request.send_header('Content-Length', str(len(rest)))
        request.end_headers()
        request.wfile.write(rest if asked else rest[: len(LARGE) // 2])
        request.close_connection = True

    return answer


def test_a_redirection_to_another_host(place, server):
    server.files = {
        '/x.img': redirection('http://localhost:{port}/y.img'),
        '/y.img': IMAGE,
    }
    code, told = place.pack(f'{server.url}/x.img', *CHECKSUM)
    assert code == 0, told
    assert place.packed == [IMAGE]


def test_a_download_goes_on_where_it_broke_off(place, server):
    server.files['/x.img'] = in_pieces(ranges=True)
    code, told = place.pack(f'{server.url}/x.img', *OF_LARGE)
    assert code == 0, told
    assert place.packed == [LARGE]
    # Each message once: a library's log says nothing again.
    assert told.count('the connection broke in the middle of a file') == 1


ANSWERS = {
    'missing': (404, 'cannot be downloaded: 404 Not Found.'),
    'failing': (500, 'it answers 500 Internal Server Error.'),
    'breaking off': (
        in_pieces(ranges=False),
        'the connection broke in the middle of a file.',
    ),
    'a file of this host': (
        redirection('file:///etc/passwd'),
        'it redirects to something else than an http or https URL.',
    ),
    'going round': (
        redirection('/x.img'),
        'cannot be downloaded: Exceeded 5 redirects.',
    ),
    'a page for people': (b'<html>Log in</html>', DIGEST),
}


@pytest.mark.parametrize('kind', ANSWERS)
def test_a_server_that_does_not_give_it(place, server, kind):
    answer, message = ANSWERS[kind]
    server.files['/x.img'] = answer
    code, told = place.pack(f'{server.url}/x.img', *CHECKSUM)
    assert code == 3
    assert message in told.splitlines()[-1]
    assert 'Traceback' not in told
    assert (place.left(), place.packed) == ([], [])


@pytest.mark.parametrize(
    'url, message',
    [
        ('http://127.0.0.1:1/x', 'The 127.0.0.1 service cannot be used: it '
         'refuses connections.'),
        ('http://no-such-host.invalid/x', 'its name is not known (DNS).'),
    ],
)  # fmt: skip
def test_no_server_at_all(place, url, message):
    code, told = place.pack(url, *CHECKSUM)
    assert code == 3
    assert message in told.splitlines()[-1]
    assert place.left() == []


@pytest.mark.parametrize(
    'before, message',
    [
        (0, 'it does not answer in time.'),
        (100, 'the connection broke in the middle of a file.'),
    ],
)
def test_a_server_that_falls_silent(
    place, server, monkeypatch, before, message
):
    limits = download.open_url.__wrapped__.__kwdefaults__
    # With what comes before the silence there is more time.
    monkeypatch.setitem(limits, 'timeouts', (60, 1.5 if before else 0.2))
    over = threading.Event()

    def silent(request):
        if before:
            request.send_response(200)
            request.send_header('Content-Length', str(len(IMAGE)))
            request.end_headers()
            request.wfile.write(IMAGE[:before])
            request.wfile.flush()
        over.wait(60)
        request.close_connection = True

    server.files['/x.img'] = silent
    code, told = place.pack(f'{server.url}/x.img', *CHECKSUM)
    over.set()
    assert code == 3
    assert message in told.splitlines()[-1]
    assert place.left() == []


def test_a_certificate_that_nobody_vouches_for(place):
    certificate = published_server.certificate(place.path)
    with published_server.Server(certificate) as server:
        code, told = place.pack(f'{server.url}/x.img', *CHECKSUM)
    assert code == 3
    assert 'its certificate is not valid: ' in told.splitlines()[-1]


# -- the new file -----------------------------------------------------------


def test_a_file_system_without_hard_links(place, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EPERM, 'Operation not permitted')

    monkeypatch.setattr(os, 'link', refuse)
    code, told = place.pack(place.path / 'base.img')
    assert code == 0, told
    assert (place.path / 'out/x.img').read_bytes() == IMAGE
    assert place.left() == ['x.img']
    new = place.path / 'new'
    new.write_bytes(b'new')
    with pytest.raises(exception.InvalidInput, match='is there already'):
        new_file.put(new, place.path / 'out/x.img', force=False)
    assert (place.path / 'out/x.img').read_bytes() == IMAGE


def test_one_that_came_meanwhile_is_kept(place, monkeypatch):
    output = place.path / 'out/x.img'
    monkeypatch.setattr(
        packing_place.packing, 'pack', lambda *_: output.write_text('mine')
    )
    code, told = place.pack(place.path / 'base.img')
    assert code == 2
    assert 'is there already' in told.splitlines()[-1]
    assert output.read_text() == 'mine'
    assert place.left() == ['x.img']


def test_interrupted_when_all_was_done(place, monkeypatch):
    put = new_file.put

    def late(*args, **kwargs):
        put(*args, **kwargs)
        raise exception.Interrupted(signal='SIGINT')

    monkeypatch.setattr(pack_base.new_file, 'put', late)
    code, told = place.pack(place.path / 'base.img')
    assert code == 0, told
    assert place.printed.endswith('x.img is packed.\n')
    assert place.left() == ['x.img']


ON_A_SMALL_DISK = """
mount -t tmpfs -o size=1M none "$1" && shift || exit 99
"$@"
code=$?
ls -A "$OUT" >&2
exit $code
"""


@pytest.mark.parametrize('compressed', [False, True])
def test_no_room_for_it(place, compressed):
    """What it holds is asked for, however little room it takes itself."""
    base = place.path / 'base.img'
    base.write_bytes(b'disk' * 1024 * 1024)
    if compressed:
        small = place.path / 'small.qcow2'
        qemu_img('convert', '-q', '-c', '-O', 'qcow2', base, small)
        base = small
    out = place.path / 'out'
    done = subprocess.run(
        ['unshare', '--mount', 'sh', '-c', ON_A_SMALL_DISK, 'sh', out,
         *command(place.path, base)],
        env={**os.environ, 'OUT': str(out)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 3, done.stderr
    # Nothing is listed after it.
    last = done.stderr.splitlines()[-1]
    assert f'There is not enough room in {out}: 4.3 MiB are needed' in last


# -- interrupted and killed -------------------------------------------------

PROGRAM = """
import pathlib, sys, time
from imagebuild.cmd import pack
from imagebuild.cmd import packing

def stand_in(spec, monitor):
    here = pathlib.Path(sys.argv[2]).parent
    if (here / 'hold-packing').exists():
        (here / 'reached').touch()
        time.sleep(60)
    return packing.Outcome('packed')

packing.pack = stand_in
sys.exit(pack.main(sys.argv[1:]))
"""
#: In place of qemu-img, ahead in PATH.
QEMU_IMG = """#!/bin/sh
here=$(dirname "$(dirname "$0")")
if [ -e "$here/hold-copying" ] && [ "$1" = convert ]; then
    echo $$ >"$here/reached"
    exec sleep 60
fi
PATH=${PATH#*:} exec qemu-img "$@"
"""


def command(path, base, *options):
    (path / 'a.conf').write_text(
        f'[disks]\ncache_dir = {path}/cache\nspace_reserve = 0\n'
    )
    return [
        sys.executable, '-c', PROGRAM, '--config-file', path / 'a.conf',
        '--manifest', path / 'm.yaml', '--base', base, '--output',
        path / 'out/x.img', *options,
    ]  # fmt: skip


class Holding:
    """Answers, and holds a path once."""

    def __init__(self, place, server):
        self._reached = place.path / 'reached'
        self._hold = place.path
        listed = f'{DIGEST}  x.img\n'.encode()
        server.files = {
            '/S': lambda request: self._answer(request, 'listing', listed),
            '/x.img': lambda request: self._answer(request, 'fetching', IMAGE),
        }

    def _answer(self, request, phase, content):
        request.send_response(200)
        request.send_header('Content-Length', str(len(content)))
        request.end_headers()
        half = len(content) // 2
        request.wfile.write(content[:half])
        if (self._hold / f'hold-{phase}').exists():
            request.wfile.flush()
            self._reached.touch()
            # However late it is interrupted.
            while (self._hold / f'hold-{phase}').exists():
                time.sleep(0.05)
        with contextlib.suppress(OSError):
            request.wfile.write(content[half:])


def wait_for(path, process):
    for _ in range(1200):
        if path.exists():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    raise AssertionError('it was never reached')


def is_running(pid):
    """Whether it is there and not a zombie that nobody waits for."""
    with contextlib.suppress(OSError):
        status = pathlib.Path(f'/proc/{pid}/stat').read_text()
        return status.rpartition(')')[2].split()[0] != 'Z'
    return False


@pytest.mark.parametrize('how', [signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize(
    'phase', ['listing', 'fetching', 'copying', 'packing']
)
def test_nothing_is_left(place, server, phase, how):
    Holding(place, server)
    path = place.path
    (path / 'bin').mkdir()
    (path / 'bin/qemu-img').write_text(QEMU_IMG)
    (path / 'bin/qemu-img').chmod(0o755)
    (path / f'hold-{phase}').touch()
    argv = command(path, f'{server.url}/x.img', '--base-checksum-file', 'S')
    environment = {**os.environ, 'PATH': f'{path}/bin:{os.environ["PATH"]}'}

    def start():
        return subprocess.Popen(
            argv, env=environment, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    with start() as process:
        wait_for(path / 'reached', process)
        process.send_signal(how)
        _, told = process.communicate(timeout=60)
    if how is signal.SIGINT:
        assert process.returncode == 3
        assert told.splitlines()[-1] == (
            'Interrupted by SIGINT; nothing was changed.'
        )
        assert place.left() == []
    (path / f'hold-{phase}').unlink()
    with start() as process:
        _, told = process.communicate(timeout=60)
    assert process.returncode == 0, told
    assert place.left() == ['x.img']
    if phase == 'copying':
        pid = int((path / 'reached').read_text())
        end = time.monotonic() + 30
        while is_running(pid) and time.monotonic() < end:
            time.sleep(0.05)
        assert not is_running(pid)
    assert not list((path / 'cache').glob('*.part'))
