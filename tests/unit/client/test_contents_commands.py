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
import json
import types

import pytest
from osc_lib import exceptions as osc_exceptions

from imagebuild.client import exceptions
from imagebuild.client.osc import contents

URL = 'http://images.example:9797/v1'
ID = '9b0c7a52-3f6e-4d43-8a61-0c1de2a7b5f4'
SBOM = {'spdxVersion': 'SPDX-2.3', 'name': 'web\x1b[2J'}


@pytest.fixture
def run(builder):
    def call(command, *line):
        app = types.SimpleNamespace(
            client_manager=types.SimpleNamespace(image_build=builder),
            options=types.SimpleNamespace(),
        )
        made = command(app, None)
        return made.take_action(made.get_parser('x').parse_args(line))

    return call


@pytest.fixture
def build(requests_mock, body):
    requests_mock.get(f'{URL}/builds/{ID}', json=body(id=ID))
    requests_mock.get(f'{URL}/builds/{ID}/sbom', json=SBOM)


def test_sbom_is_printed(run, build, capsys):
    run(contents.ShowSbom, ID)
    printed = capsys.readouterr().out
    assert json.loads(printed) == SBOM
    assert '\x1b' not in printed


def test_sbom_in_a_file(run, build, tmp_path, capsys):
    path = tmp_path / 'web.spdx.json'
    path.write_text('before')
    run(contents.ShowSbom, ID, '--file', str(path))
    assert json.loads(path.read_text()) == SBOM
    assert capsys.readouterr().out == ''


def test_a_file_that_cannot_be_written(run, build, tmp_path):
    with pytest.raises(osc_exceptions.CommandError) as caught:
        run(contents.ShowSbom, ID, '--file', f'{tmp_path}/no/x.json')
    assert str(caught.value) == (
        f'{tmp_path}/no/x.json cannot be written: No such file or directory.'
    )


def test_a_build_without_sbom(run, build, requests_mock):
    error = {'code': 404, 'message': 'There is no SBOM.', 'errors': []}
    requests_mock.get(
        f'{URL}/builds/{ID}/sbom', json={'error': error}, status_code=404
    )
    with pytest.raises(exceptions.NotFound, match='There is no SBOM'):
        run(contents.ShowSbom, ID)


def test_provenance(run, build, requests_mock, capsys):
    statement = {'_type': 'https://in-toto.io/Statement/v1'}
    requests_mock.get(f'{URL}/builds/{ID}/provenance', json=statement)
    run(contents.ShowProvenance, ID)
    assert json.loads(capsys.readouterr().out) == statement


def test_packages_are_listed_page_by_page(run, requests_mock):
    item = {
        'id': 'x',
        'name': 'openssl',
        'version': '3.0.14-1',
        'type': 'deb',
        'architecture': None,
        'image_id': 'g1',
        'destination': '',
        'build_id': ID,
        'build_name': 'web',
        'project_id': 'p1',
    }
    following = f'{URL}/packages?name=openssl&marker=x'
    requests_mock.get(
        f'{URL}/packages',
        [
            {'json': {'packages': [item], 'next': following}},
            {'json': {'packages': [item]}},
        ],
    )
    names, rows = run(
        contents.ListPackage,
        *('--name', 'openssl', '--package-version', '<3.0.15'),
        *('--type', 'deb', '--all-projects'),
    )
    assert len(rows) == 2
    assert names[:3] == ('Name', 'Version', 'Type')
    assert rows[0][:3] == ('openssl', '3.0.14-1', 'deb')
    assert rows[0][-1] == 'p1'
    first, second = requests_mock.request_history
    assert first.qs == {
        'name': ['openssl'],
        'version': ['<3.0.15'],
        'type': ['deb'],
        'all_projects': ['true'],
    }
    assert second.qs == {**first.qs, 'marker': ['x']}
