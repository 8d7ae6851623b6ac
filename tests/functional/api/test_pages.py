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
"""A list of large things costs neither side memory."""

import tracemalloc

import pytest
import werkzeug.test

from imagebuild.api import paging
from imagebuild.db import channel_models
from imagebuild.db import models
from imagebuild.db.queries import pages
from tests.functional import api_service

MIB = 1024 * 1024
NUMBER = 12


@pytest.fixture
def service(tmp_path):
    with api_service.running(tmp_path) as found:
        yield found


def _request(name):
    return {'name': name, 'tags': ['a'], 'resources': {'x': 'y' * MIB}}


def _build(database, name):
    database.create_build(
        {
            'project_id': 'default',
            'user_id': 'u',
            'name': name,
            'driver': 'fake',
            'architecture': 'x86_64',
            'request': _request(name),
            'content_key': name,
            'base': {},
            'timeout': 60,
        }
    )


def _pipeline(database, name):
    database.create_pipeline(
        {'project_id': 'default', 'name': name, 'request': _request(name)}
    )


def _validation(database, name):
    database.create_validation(
        {
            'project_id': 'default',
            'name': name,
            'request': _request(name),
            'timeout': 60,
        }
    )


@pytest.mark.parametrize(
    'key, create, request_in',
    [
        ('builds', _build, 'request'),
        ('pipelines', _pipeline, 'image'),
        ('validations', _validation, 'request'),
    ],
)
def test_a_list_of_large_items_is_small(service, key, create, request_in):
    for number in range(NUMBER):
        create(service.database, f'n{number}')
    client = werkzeug.test.Client(service.wsgi)
    url, names = f'/v1/{key}?limit=1000&project_id=default', []
    peak = 0
    while url:
        tracemalloc.start()
        answer = client.get(url, headers={'X-Roles': 'admin'})
        peak = max(peak, tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert answer.status_code == 200, answer.text
        assert len(answer.data) < 64 * 1024
        for item in answer.json[key]:
            shown = {'name': item['name'], 'tags': ['a']}
            assert item[request_in] == shown
            names.append(item['name'])
        url = answer.json.get('next')
    assert sorted(names) == sorted(f'n{number}' for number in range(NUMBER))
    # All of them, each as text and as what was read of it, are 24 MiB.
    assert peak < 16 * MIB
    shown = client.get(f'/v1/{key}/{item["id"]}')
    assert len(shown.json[request_in]['resources']['x']) == MIB


def test_steps_that_have_printed_much(service, monkeypatch):
    monkeypatch.setattr(paging, 'MAX_BYTES', 20_000)
    _build(service.database, 'web')
    [build] = service.database.list_builds()
    for number in range(1, 13):
        service.database.add_step(
            build.id,
            {'attempt': 1, 'number': number, 'output': 'y' * 4000},
        )
    client = werkzeug.test.Client(service.wsgi)
    url, numbers, answers = f'/v1/builds/{build.id}/steps', [], 0
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.text
        assert len(answer.data) < 30_000
        numbers += [each['number'] for each in answer.json['steps']]
        url, answers = answer.json.get('next'), answers + 1
    assert (numbers, answers) == (list(range(1, 13)), 3)
    refused = client.get(f'/v1/builds/{build.id}/steps?marker=x')
    assert refused.status_code == 400


@pytest.mark.parametrize(
    'model, large',
    [
        (
            models.Build,
            'request base secrets boot_test phases status_reason '
            'progress_step',
        ),
        (
            models.Pipeline,
            'request entry secrets dropped_tags status_reason',
        ),
        (models.Validation, 'request results secrets status_reason'),
    ],
)
def test_everything_large_is_counted(model, large):
    text = str(pages.sizes(model))
    for column in large.split():
        assert f'{model.__tablename__}.{column})' in text


@pytest.mark.parametrize('model', [models.Upload, channel_models.Channel])
def test_what_is_listed_without_is_small(model):
    """The most that a page may hold of it is not much."""
    large = {
        column.name
        for column in model.__table__.columns
        if isinstance(column.type, models.Text)
    }
    # 4000 characters at most; see claims.Claim.
    assert large <= {'status_reason'}
