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
"""What is fetched inside of a guest: by whichever program it has."""

import base64
import contextlib
import functools
import hashlib
import http.server
import os
import pathlib
import subprocess
import threading

import pytest

from imagebuild.manifest.validators import repository
from imagebuild.recipes import search

APT_HELPER = '/usr/lib/apt/apt-helper'
#: What the scripts need besides what fetches.
TOOLS = (
    *('base64', 'cat', 'cp', 'head', 'mkdir', 'mktemp', 'rm', 'sh'),
    *('sha256sum', 'tr'),
)
FETCHERS = ('curl', 'apt-helper', 'python3')
CONTENT = bytes(range(256)) * 40


@pytest.fixture
def served(tmp_path):
    directory = tmp_path / 'served'
    directory.mkdir()
    (directory / 'file').write_bytes(CONTENT)
    handler = functools.partial(Quiet, directory=str(directory))
    with http.server.ThreadingHTTPServer(('127.0.0.1', 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f'http://127.0.0.1:{server.server_port}'
        server.shutdown()
        thread.join()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(params=FETCHERS)
def fetcher(request):
    return request.param


@pytest.fixture
def run(fetcher, tmp_path):
    """Runs a script where this is the only program that fetches."""
    programs = tmp_path / 'bin'
    programs.mkdir()
    for name in (*TOOLS, *{fetcher} & {'curl', 'python3'}):
        [found, *_] = [
            path
            for path in (pathlib.Path(d, name) for d in ('/usr/bin', '/bin'))
            if path.exists()
        ]
        (programs / name).symlink_to(found)

    def run(text, *arguments, **env):
        if fetcher != 'apt-helper':
            text = text.replace(APT_HELPER, '/nowhere')
        return subprocess.run(
            ['/bin/sh', '-c', text, 'x', *arguments],
            env={'PATH': str(programs), 'HOME': '/', 'no_proxy': '*', **env},
            capture_output=True,
            text=True,
        )

    return run


def test_a_signing_key(run, served):
    done = run(repository.FETCH.text, f'{served}/file', '100000')
    assert done.returncode == 0, done.stderr
    assert base64.b64decode(done.stdout, validate=True) == CONTENT
    done = run(repository.FETCH.text, f'{served}/nothing', '100000')
    # Which key it was the step says.
    assert done.returncode == 1
    assert '404' in done.stderr


def test_a_signing_key_that_is_too_large(run, served):
    """One byte more than the most is enough to say so, or nothing at all."""
    done = run(repository.FETCH.text, f'{served}/file', '100')
    if done.returncode == 0:
        assert len(base64.b64decode(done.stdout)) == 101


def test_a_vendors_file(run, served, tmp_path):
    script = (search.SHIPPED / 'common' / 'fetch.sh').read_text()
    place = tmp_path / 'new' / 'x.deb'
    env = {
        'archive': f'{served}/file',
        'archive_sha256': hashlib.sha256(CONTENT).hexdigest(),
        'fetched_file': str(place),
        'fetched_for': str(tmp_path / 'made'),
    }
    done = run(script, test_only='1', **env)
    assert (done.returncode, place.exists()) == (1, False)
    done = run(script, test_only='0', **env)
    assert done.returncode == 0, done.stderr
    assert place.read_bytes() == CONTENT
    # It is not fetched again; nor when it has been used.
    gone = {**env, 'archive': f'{served}/gone'}
    assert run(script, test_only='0', **gone).returncode == 0
    place.unlink()
    (tmp_path / 'made').touch()
    assert run(script, test_only='1', **gone).returncode == 0
    (tmp_path / 'made').unlink()

    done = run(script, test_only='0', **gone)
    assert done.stderr.splitlines()[-1] == (
        f'the argument archive: {served}/gone cannot be fetched'
    )
    done = run(script, test_only='0', **{**env, 'archive_sha256': '0' * 64})
    assert 'is another file, its SHA-256 is ' in done.stderr
    assert not place.exists()
    done = run(script, test_only='0', **{**env, 'archive': ''})
    assert 'the argument archive is empty' in done.stderr


def test_files_of_the_image(run, tmp_path):
    path = tmp_path / 'key'
    path.write_bytes(CONTENT)
    done = run(repository.FETCH.text, f'file://{path}', '100000')
    assert base64.b64decode(done.stdout) == CONTENT
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    done = run(repository.FETCH.text, f'file://{path}', '100000')
    assert done.returncode == 1
