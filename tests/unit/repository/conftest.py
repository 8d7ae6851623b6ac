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
"""A repository, and files to put into it."""

import os
import time

import pytest

from imagebuild import repository as kit

HOUR = 3600
KIB = 1024


@pytest.fixture
def make(tmp_path):
    def make(name='images', **limits):
        return kit.Repository(tmp_path / name, kit.Limits(**limits))

    return make


@pytest.fixture
def image(tmp_path):
    """Makes files as builds do."""
    (tmp_path / 'work').mkdir()
    made = []

    def image(size=64 * KIB):
        path = tmp_path / 'work' / f'image{len(made)}'
        path.write_bytes(os.urandom(size))
        made.append(path)
        return path

    return image


@pytest.fixture
def put(image):
    """Puts an image in that was used some time ago."""

    def put(repository, build='b1', *, size=64 * KIB, hours=1.0, **values):
        found = repository.put(image(size), facts(build), **values)
        age(repository, found.id, hours)
        return found

    return put


def facts(build='b1', **values):
    known = {
        'build_id': build,
        'project_id': 'p1',
        'content_key': 'k' * 64,
        'disk_format': 'qcow2',
        'virtual_size': 1024**3,
    }
    return kit.Facts(**known | values)


def age(repository, id, hours):
    when = time.time() - hours * HOUR
    os.utime(repository.directory_of(id) / 'lock', (when, when))


def file_of(repository, id):
    return repository.directory_of(id) / 'image'
