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

import pathlib

import pytest

from imagebuild.drivers.bootstrap import apt_sources

Source = apt_sources.AptSource
URI = 'http://mirror.example/debian'


@pytest.mark.parametrize(
    ('line', 'expected'),
    [
        (
            f'deb {URI} bookworm main',
            [Source(URI, 'bookworm', ('main',))],
        ),
        (
            f'  deb\t{URI}/  bookworm main  contrib # mine',
            [Source(URI, 'bookworm', ('main', 'contrib'))],
        ),
        (
            f'deb [ arch=amd64 signed-by=/k.gpg trusted=yes ] {URI} sid main',
            [
                Source(
                    URI,
                    'sid',
                    ('main',),
                    {'Signed-By': '/k.gpg', 'Trusted': 'yes'},
                )
            ],
        ),
        (
            f'deb [check-valid-until=no]{URI} sid main',
            [Source(URI, 'sid', ('main',), {'Check-Valid-Until': 'no'})],
        ),
        (f'deb {URI} ./', [Source(URI, './', ())]),
        (f'deb-src {URI} bookworm main', []),
        (f'# deb {URI} bookworm main', []),
        ('deb', []),
        (f'deb {URI}', []),
        ('', []),
    ],
)
def test_one_line_format(line: str, expected: list[Source]) -> None:
    assert apt_sources.parse_list(line + '\n') == expected


@pytest.mark.parametrize(
    ('text', 'expected'),
    [
        (
            f'Types: deb\nURIs: {URI}\nSuites: a b\nComponents: main x\n',
            [
                Source(URI, 'a', ('main', 'x')),
                Source(URI, 'b', ('main', 'x')),
            ],
        ),
        (
            f'types: deb deb-src\nURIS: {URI}/ http://b.example\n'
            'Suites: a\n#Enabled: no\nComponents: main\nsigned-by: /k.gpg\n',
            [
                Source(URI, 'a', ('main',), {'Signed-By': '/k.gpg'}),
                Source(
                    'http://b.example', 'a', ('main',), {'Signed-By': '/k.gpg'}
                ),
            ],
        ),
        (
            f'Types: deb\nURIs:\n {URI}\nSuites: a\nComponents: main\n'
            'Signed-By:\n -----BEGIN\n .\n\tKEY\n# comment\n -----END\n',
            [
                Source(
                    URI,
                    'a',
                    ('main',),
                    {'Signed-By': '\n-----BEGIN\n\nKEY\n-----END'},
                )
            ],
        ),
        (f'Types: deb-src\nURIs: {URI}\nSuites: a\nComponents: main\n', []),
        (
            f'Enabled: no\nTypes: deb\nURIs: {URI}\nSuites: a\n'
            'Components: main\n\n\n'
            f'Types: deb\nURIs: {URI}\nSuites: b\nComponents: main\n',
            [Source(URI, 'b', ('main',))],
        ),
        (' lost: line\n', []),
        ('', []),
    ],
)
def test_deb822_format(text: str, expected: list[Source]) -> None:
    assert apt_sources.parse_deb822(text) == expected


@pytest.mark.parametrize(
    'source',
    [
        Source(URI, 'bookworm', ('main', 'contrib')),
        Source(URI, 'bookworm', ('main',), {'Signed-By': '/a.gpg /b.gpg'}),
        Source(URI, 'sid', ('main',), {'Signed-By': '\n-----\n\nK\n-----'}),
        Source(URI, 'sid', ('main',), {'Trusted': 'yes'}),
    ],
)
def test_what_is_written_is_read(source: Source) -> None:
    assert apt_sources.parse_deb822(source.deb822()) == [source]


def test_files_are_read_in_order(tmp_path: pathlib.Path) -> None:
    directory = tmp_path / 'sources.list.d'
    directory.mkdir()
    stanza = 'Types: deb\nURIs: {}\nSuites: s\nComponents: main\n'
    (tmp_path / 'sources.list').write_text('deb one s main\n')
    (directory / 'b.list').write_text('deb three s main\n')
    (directory / 'a.sources').write_text(stanza.format('two'))
    (directory / 'c.sources.disabled').write_text(stanza.format('never'))
    (directory / 'd~.list').write_text('deb never s main\n')
    found = apt_sources.read(tmp_path)
    assert [source.uri for source in found] == ['one', 'two', 'three']


def test_a_machine_without_sources(tmp_path: pathlib.Path) -> None:
    assert apt_sources.read(tmp_path / 'none') == []
