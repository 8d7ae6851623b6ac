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
"""Processes that write to the directory of layers, and are killed."""

import os

import pytest

from imagebuild.layers import entries
from imagebuild.layers import store as stores

LAYER = entries.Layer(
    uuid='u1',
    parent='',
    base='b',
    virtual_size=1024,
    sha256='',
    stamp=(0, 0, 0),
    created=0.0,
    fetched=None,
    scope='p',
    state={},
)


def make(tmp_path):
    return stores.Store(tmp_path / 'store', stores.Limits())


@pytest.mark.parametrize('what', ['secret', 'facts', 'layer'])
def test_killed_while_it_writes(tmp_path, what):
    """Nothing of it is left when the store is opened again."""
    store, file = make(tmp_path), tmp_path / 'disk'
    file.write_bytes(os.urandom(65536))
    child = os.fork()
    if not child:
        for name in ('replace', 'link', 'rename'):
            setattr(stores.os, name, lambda *_: os._exit(9))
        if what == 'secret':
            (store.directory / 'secret').unlink()
            make(tmp_path)
        elif what == 'facts':
            store.learn('b', {})
        else:
            store.put('n1', file, LAYER)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert list((store.directory / 'incoming').iterdir()) != []
    make(tmp_path)
    found = {path.name for path in store.directory.glob('**/*')}
    assert found == {'secret', 'layers', 'incoming', 'facts'}
