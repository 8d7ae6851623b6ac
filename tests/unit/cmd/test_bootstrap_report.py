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
"""What imagebuild-bootstrap says when it is stopped, or cannot write."""

import errno
import json
import types

import pytest

from imagebuild import exception
from imagebuild.cmd import bootstrap


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Make an image over one that is there; its document and exit code."""
    output = tmp_path / 'x.qcow2'
    output.write_bytes(b'old')

    def call(create):
        monkeypatch.setattr(
            bootstrap, '_create', lambda options, progress: create(output)
        )
        line = ['--os', 'debian-12', '--output', str(output), '--json']
        code = bootstrap.main([*line, '--force'])
        return code, json.loads(capsys.readouterr().out), output.read_bytes()

    return call


def replace(output):
    made = output.with_name('made')
    made.write_bytes(b'new')
    made.replace(output)
    return types.SimpleNamespace(format='qcow2', virtual_size=9, path=output)


def test_made(run):
    code, document, content = run(replace)
    assert (code, content) == (0, b'new')
    assert (document['result'], document['changed']) == ('done', True)
    assert (document['format'], document['size']) == ('qcow2', 3)


@pytest.mark.parametrize(
    'error, message',
    [
        (exception.Interrupted(signal='SIGINT'), 'SIGINT'),
        (exception.DiskFull(path='/x'), '/x'),
        (exception.UnwritablePath(path='/x', reason='read-only'), 'read-only'),
        (OSError(errno.EIO, 'Input/output error'), 'Input/output error'),
    ],
)
def test_an_image_that_is_there_is_not_changed(run, error, message):
    def fail(_output):
        raise error

    code, document, content = run(fail)
    assert (code, content) == (3, b'old')
    assert (document['result'], document['changed']) == ('failed', False)
    assert message in document['error']


def test_a_signal_after_the_image_is_made(run):
    def late(output):
        replace(output)
        raise exception.Interrupted(signal='SIGTERM')

    code, document, content = run(late)
    assert (code, content) == (0, b'new')
    assert (document['result'], document['changed']) == ('done', True)


def test_a_failure_after_the_image_is_replaced(run):
    def late(output):
        replace(output)
        raise exception.DiskFull(path=output)

    code, document, content = run(late)
    assert (code, content) == (3, b'new')
    assert (document['result'], document['changed']) == ('failed', True)
