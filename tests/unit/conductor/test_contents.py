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
"""The document of what is in an image, on its way to the database."""

import gzip
import json
import types

import pytest

from imagebuild import sbom
from imagebuild.conductor import contents
from imagebuild.sbom import packages


class Database:
    def __init__(self):
        self.kept = []

    def store_sbom(self, build_id, document, keys, **claim):
        self.kept.append(json.loads(gzip.decompress(document)))


@pytest.fixture
def keep(tmp_path):
    """Keeps a list; returns the documents and the notes of the log."""

    def keep(*listed):
        database, notes = Database(), []
        found = sbom.Contents.of(listed)
        text = json.dumps(found.to_document())
        (tmp_path / sbom.FILE_NAME).write_text(text)
        contents.keep(
            types.SimpleNamespace(
                database=database,
                retry=types.SimpleNamespace(
                    until_available=lambda _what, call: call()
                ),
            ),
            types.SimpleNamespace(
                id='b1', name='web', conductor='c1', attempt=1
            ),
            tmp_path,
            types.SimpleNamespace(note=notes.append),
        )
        return database.kept, notes

    return keep


def package(number, **more):
    return packages.Package('deb', f'x{number}', '1', 'all', **more)


def test_a_list_is_kept(keep):
    [document], notes = keep(package(1), package(2))
    assert len(document['packages']) == 3
    assert notes == ['The image has 2 packages.']


def test_a_guest_makes_no_document_of_any_length(keep, monkeypatch):
    # Compressed it is small, and whoever reads it needs the whole of it.
    monkeypatch.setattr(contents, '_LONGEST', 1024 * 1024)
    long = 'x' + '+' * 200
    listed = [
        packages.Package('deb', f'{long}{n}', f'1{long}', 'all')
        for n in range(500)
    ]
    kept, notes = keep(*listed)
    assert kept == []
    assert notes == ['There is no list of packages: it is too large.']
    kept, _ = keep(*listed[:100])
    assert len(kept) == 1
