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
import dataclasses
import hashlib
import json
import os
import threading
import time
from unittest import mock

import pytest

from imagebuild import catalogue
from imagebuild import db
from imagebuild import exception
from imagebuild.clients import glance
from imagebuild.clients import images
from imagebuild.common import checksums
from imagebuild.conductor import base_files
from imagebuild.conductor import capability
from imagebuild.conductor import request_validation
from imagebuild.drivers import base as drivers_base
from imagebuild.stores import base as stores_base

SHA = 'sha256:' + '0' * 64
GIB = 1024**3
ENTRIES = {
    name: catalogue.OperatingSystem(name, driver=driver, image=image)
    for name, driver, image in [
        ('by-name', 'wants', {'name': 'debian'}),
        ('by-tag', 'wants', {'tag': 'newest'}),
        ('by-id', 'wants', {'id': 'i1'}),
        ('by-url', 'wants', {'url': 'http://h/f', 'checksum': SHA}),
        (
            'by-list',
            'wants',
            {'url': 'http://h/d/f', 'checksum_file': 'SHA256SUMS'},
        ),
        ('by-path', 'wants', {'path': '/no/such/file', 'checksum': SHA}),
        ('gone', 'wants', {'path': '/no/such/file'}),
        ('none', 'wants', {}),
        ('scratch', 'makes', {}),
    ]
}
ENTRIES |= {
    isolation: catalogue.OperatingSystem(
        isolation,
        driver='wants',
        driver_options={'isolation': isolation},
        image={'name': 'debian'},
    )
    for isolation in ('appliance', 'sandbox', 'auto')
}


def driver(name, wants_base):
    made = mock.create_autospec(drivers_base.Driver, instance=True)
    made.name, made.wants_base = name, wants_base
    made.takes_elements = not wants_base
    made.combined.side_effect = lambda entry, asked: {**entry, **asked}
    made.base_kinds = ('glance', 'url', 'path')
    made.makes.return_value = 'file'
    made.runs_program.return_value = made.boots = False
    made.disk_size.side_effect = lambda options: options.get('size', 4) * GIB
    made.identity.side_effect = lambda options: f'{name}:{options}'
    return made


@pytest.fixture
def provider(tmp_path):
    made = mock.create_autospec(capability.CapabilityProvider, instance=True)
    made.base_files = base_files.BaseFiles(tmp_path / 'digests')
    known = {'wants': driver('wants', True), 'makes': driver('makes', False)}
    made.driver.side_effect = known.get
    return made


@pytest.fixture
def client():
    made = mock.create_autospec(glance.Glance, instance=True)
    made.visible_image.return_value = made.trusted_image.return_value = (
        images.GlanceImage(
            'i1',
            status='active',
            size=5,
            disk_format='qcow2',
            os_hash_algo='sha512',
            os_hash_value='ab',
        )
    )
    return made


@pytest.fixture
def store():
    return mock.create_autospec(stores_base.Store, instance=True, adopts=True)


@pytest.fixture
def database():
    return mock.create_autospec(db.Database, instance=True)


@pytest.fixture
def configured():
    """In what disks of the trusted are opened, in a list of one."""
    return ['appliance']


@pytest.fixture
def validator(database, provider, store, client, configured, monkeypatch):
    # However slow this host is, a small file is read in time.
    monkeypatch.setattr(base_files, '_SECONDS', 60)
    return Validator(
        database,
        provider,
        open_store=lambda _: store,
        open_glance=lambda: client,
        of_host=request_validation.HostConfiguration(
            max_virtual_size=lambda: 10 * GIB,
            isolation=lambda: configured[0],
            read_catalogue=lambda: catalogue.Catalogue(ENTRIES),
        ),
    )


class Validator(request_validation.RequestValidator):
    """One that is given the entry, as the API does it."""

    def check_request(self, project_id, request, entry=None):
        found = ENTRIES.get(request.get('os', ''))
        found = found or catalogue.OperatingSystem('')
        entry = json.loads(json.dumps(found.to_dict()))
        return super().check_request(project_id, request, entry)


@pytest.mark.parametrize(
    'request_, virtual, path',
    [
        ({'os': 'scratch', 'driver_options': {'size': 10}}, 0, None),
        (
            {'os': 'scratch', 'driver_options': {'size': 11}},
            0,
            'driver_options.size',
        ),
        ({'os': 'by-name'}, 10, None),
        ({'os': 'by-name'}, 11, 'os'),
        ({'base_image': 'mine', 'driver': 'wants'}, 11, 'base_image'),
    ],
)
def test_disks_larger_than_the_operator_allows(
    validator, client, request_, virtual, path
):
    found = dataclasses.replace(
        client.trusted_image.return_value, virtual_size=virtual * GIB
    )
    client.visible_image.return_value = found
    client.trusted_image.return_value = found
    problems = validator.check_request('p1', request_)['problems']
    assert [problem['path'] for problem in problems] == (
        [path] if path else []
    )
    for problem in problems:
        assert problem['message'] == (
            'the disk would have 11.0 GiB, and this service makes none of '
            'more than 10.0 GiB'
        )


def test_elements_are_options_of_a_driver_that_takes_them(validator, provider):
    request = {
        'os': 'scratch',
        'elements': ['vm', 'b'],
        'driver_options': {'elements': ['a', 'b']},
    }
    answer = validator.check_request('p1', request)
    assert answer['problems'] == []
    options = {'elements': ['a', 'b', 'vm']}
    assert answer['base']['driver_options'] == options
    makes = provider.driver('makes')
    makes.check_asked.assert_called_once_with(options, options, {})


def test_what_users_may_not_ask_for_is_named_by_its_place(validator, provider):
    provider.driver(
        'makes'
    ).check_asked.side_effect = drivers_base.InvalidDriverOptions(
        [
            exception.Problem('elements[0]', 'one'),
            exception.Problem('elements[2]', 'two'),
            exception.Problem('environment.X', 'three'),
        ]
    )
    request = {
        'os': 'scratch',
        'elements': ['b', 'vm'],
        'driver_options': {'elements': ['a', 'b']},
    }
    found = validator.check_request('p1', request)['problems']
    assert [each['path'] for each in found] == [
        'driver_options.elements[0]',
        'elements[1]',
        'driver_options.environment.X',
    ]


def test_a_driver_that_takes_no_elements_says_so(validator):
    request = {'os': 'by-name', 'elements': ['vm']}
    [problem] = validator.check_request('p1', request)['problems']
    assert problem == {
        'path': 'elements',
        'message': 'the driver "wants" makes nothing of elements; '
        'diskimage_builder does',
    }


@pytest.mark.parametrize(
    'request_, paths',
    [
        ({}, []),
        ({'destinations': [''], 'container_format': 'bare'}, []),
        ({'destinations': ['', 'east']}, ['destinations']),
        ({'destinations': ['east']}, ['destinations']),
        (
            {'disk_format': 'qcow2', 'container_format': 'ova'},
            ['disk_format', 'container_format'],
        ),
    ],
)
def test_what_an_image_of_a_cloud_cannot_be(
    validator, provider, request_, paths
):
    request = {'os': 'scratch', **request_}
    assert validator.check_request('p1', request)['problems'] == []
    provider.driver('makes').makes.return_value = 'image'
    problems = validator.check_request('p1', request)['problems']
    assert [each['path'] for each in problems] == paths
    assert all(
        'driver "makes" has this cloud make the image' in each['message']
        for each in problems
    )


def test_a_driver_of_images_in_glance_alone(validator, provider):
    wants = provider.driver('wants')
    request = {'os': 'by-url'}
    assert validator.check_request('p1', request)['problems'] == []
    wants.base_kinds = ('glance',)
    answer = validator.check_request('p1', request)
    assert answer['problems'] == [
        {
            'path': 'os',
            'message': 'the driver "wants" starts from images in Glance, and '
            'this base image is none',
        }
    ]
    assert validator.check_request('p1', {'os': 'by-id'})['problems'] == []


def test_what_a_guest_must_do_alone(validator, provider):
    request = {'os': 'scratch'}
    assert validator.check_request('p1', request)['by_program'] is False
    provider.driver('makes').runs_program.return_value = True
    answer = validator.check_request('p1', request)
    assert answer['by_program'] is True
    assert 'by_program' not in answer['base']


def test_who_boots_what_is_made(validator, provider):
    request = {'os': 'scratch'}
    assert validator.check_request('p1', request)['boots'] is False
    provider.driver('makes').boots = True
    answer = validator.check_request('p1', request)
    assert answer['boots'] is True
    assert 'boots' not in answer['base']


def test_a_store_that_adopts_nothing(validator, provider, store):
    provider.driver('makes').makes.return_value = 'image'
    store.adopts = False
    answer = validator.check_request('p1', {'os': 'scratch'})
    assert answer['elsewhere'] is True
    [problem] = answer['problems']
    assert problem['path'] == 'driver'
    assert problem['message'].endswith('its store here takes only files')


def test_a_disk_of_the_catalogue_that_is_too_large(validator, provider):
    provider.driver('makes').disk_size.side_effect = lambda _options: 11 * GIB
    [problem] = validator.check_request('p1', {'os': 'scratch'})['problems']
    assert problem['path'] == 'os'


@pytest.mark.parametrize(
    'request_, asked, base',
    [
        (
            {'os': 'by-name'},
            mock.call.trusted_image('name', 'debian'),
            {'kind': 'glance', 'id': 'i1', 'identity': 'sha512:ab'},
        ),
        (
            {'os': 'by-tag'},
            mock.call.trusted_image('tag', 'newest'),
            {'kind': 'glance', 'disk_format': 'qcow2', 'size': 5},
        ),
        (
            {'base_image': 'mine', 'driver': 'wants'},
            mock.call.visible_image('p1', 'mine'),
            {'kind': 'glance', 'os': '', 'driver': 'wants'},
        ),
        (
            {'os': 'by-url'},
            None,
            {'kind': 'url', 'location': 'http://h/f', 'identity': SHA},
        ),
        ({'os': 'by-path'}, None, {'kind': 'path', 'identity': SHA}),
        (
            {'os': 'scratch', 'driver_options': {'a': 1}},
            None,
            {
                'kind': 'none',
                'identity': "makes:{'a': 1}",
                'driver_options': {'a': 1},
            },
        ),
    ],
)
def test_resolves(validator, client, request_, asked, base):
    answer = validator.check_request('p1', request_)
    assert answer['problems'] == []
    assert base.items() <= answer['base'].items()
    if asked is None:
        assert client.mock_calls == []
    else:
        assert client.mock_calls == [asked]


@pytest.mark.parametrize(
    'request_, path',
    [
        ({'os': 'none'}, 'os'),
        ({'driver': 'wants'}, ''),
        ({'os': 'by-url', 'driver': 'magic'}, 'driver'),
        ({'os': 'scratch', 'base_image': 'x'}, 'base_image'),
    ],
)
def test_refuses(validator, request_, path):
    answer = validator.check_request('p1', request_)
    assert answer['base'] is None
    assert [problem['path'] for problem in answer['problems']] == [path]


@pytest.mark.parametrize(
    'request_, path',
    [
        ({'os': 'by-name'}, 'os'),
        ({'base_image': 'x', 'driver': 'wants'}, 'base_image'),
    ],
)
@pytest.mark.parametrize(
    'error',
    [
        exception.NotFound(what='image', id='x'),
        exception.InvalidInput('Two images have that name.'),
    ],
)
def test_an_image_that_is_not_visible(
    validator, client, request_, path, error
):
    client.visible_image.side_effect = error
    client.trusted_image.side_effect = error
    [problem] = validator.check_request('p1', request_)['problems']
    assert problem == {'path': path, 'message': str(error)}


def test_all_problems_of_driver_options(validator, provider):
    provider.driver(
        'wants'
    ).validate.side_effect = drivers_base.InvalidDriverOptions(
        [exception.Problem('size', 'no'), exception.Problem('', 'bad')]
    )
    problems = validator.check_request('p1', {'os': 'by-url'})['problems']
    assert [problem['path'] for problem in problems] == [
        'driver_options.size',
        'driver_options',
    ]


@pytest.mark.parametrize('request_', [{'os': 'by-name'}, {'os': 'gone'}])
def test_the_service_s_own_trouble_is_no_problem_of_the_user(
    validator, client, request_
):
    client.trusted_image.side_effect = exception.ServiceUnavailable(
        service='image', reason='away'
    )
    with pytest.raises(exception.EnvironmentFault):
        validator.check_request('p1', request_)


def image(**values):
    known = {field.name: '' for field in dataclasses.fields(db.Image)}
    return db.Image(**{**known, 'id': 'r1', 'status': 'active', **values})


@pytest.mark.parametrize('there', [True, False])
def test_an_image_is_looked_for(validator, database, store, there):
    database.get_image.return_value = image(image_id='i1')
    store.exists.return_value = there
    assert validator.verify_image('r1') is there
    assert database.image_deleted.called is not there


def test_an_image_being_deleted_is_not_used(validator, database, store):
    database.get_image.return_value = image(status='deleting')
    assert not validator.verify_image('r1')
    store.exists.assert_not_called()


def test_a_store_that_is_away_says_nothing(validator, database, store):
    database.get_image.return_value = image()
    store.exists.side_effect = exception.ServiceUnavailable(
        service='image', reason='away'
    )
    with pytest.raises(exception.ServiceUnavailable):
        validator.verify_image('r1')
    database.image_deleted.assert_not_called()


@pytest.mark.parametrize(
    'setting, name, asked, held',
    [
        ('appliance', 'by-name', 'appliance', 'appliance'),
        ('appliance', 'by-name', 'auto', 'auto'),
        ('auto', 'by-name', 'sandbox', 'sandbox'),
        ('auto', 'appliance', 'auto', 'appliance'),
        ('auto', 'appliance', None, 'appliance'),
        ('auto', 'sandbox', 'auto', 'sandbox'),
        ('auto', 'sandbox', 'appliance', 'appliance'),
        ('sandbox', 'auto', 'sandbox', 'sandbox'),
    ],
)
def test_a_request_may_be_stricter(
    validator, configured, setting, name, asked, held
):
    configured[0] = setting
    answer = validator.check_request(
        'p1', {'os': name, 'driver_options': {'isolation': asked}}
    )
    assert answer['problems'] == []
    assert answer['base']['driver_options'] == {'isolation': held}


@pytest.mark.parametrize(
    'setting, request_, path',
    [
        ('appliance', {'os': 'by-name'}, 'driver_options.isolation'),
        ('auto', {'os': 'appliance'}, 'driver_options.isolation'),
        ('sandbox', {'os': 'appliance'}, 'driver_options.isolation'),
        # The operator's own contradiction.
        ('appliance', {'os': 'sandbox'}, 'os'),
        *(
            (
                setting,
                {'base_image': 'mine', 'driver': 'wants'},
                'driver_options.isolation',
            )
            for setting in ('appliance', 'auto', 'sandbox')
        ),
    ],
)
def test_a_request_is_never_less_strict(
    validator, configured, setting, request_, path
):
    configured[0] = setting
    [problem] = validator.check_request(
        'p1', {**request_, 'driver_options': {'isolation': 'sandbox'}}
    )['problems']
    assert problem['path'] == path
    assert 'cannot be opened in the sandbox' in problem['message']


def test_an_own_base_image_with_an_entry_of_the_sandbox(validator, configured):
    configured[0] = 'sandbox'
    answer = validator.check_request(
        'p1', {'os': 'sandbox', 'base_image': 'mine'}
    )
    # The job sees that the request has named it, and nothing was asked for.
    assert answer['problems'] == []
    assert answer['base']['os'] == ''


@pytest.mark.parametrize(
    'request_, elsewhere',
    [
        # Which drivers are installed, and the setting of this host.
        ({'os': 'by-url', 'driver': 'magic'}, True),
        ({'os': 'sandbox'}, True),
        ({'os': 'by-name', 'driver_options': {'isolation': 'sandbox'}}, True),
        # The same everywhere.
        ({'os': 'none'}, False),
        ({'os': 'scratch', 'driver_options': {'size': 11}}, False),
        (
            {'os': 'appliance', 'driver_options': {'isolation': 'sandbox'}},
            False,
        ),
    ],
)
def test_whether_another_conductor_may_do_it(validator, request_, elsewhere):
    answer = validator.check_request('p1', request_)
    assert len(answer['problems']) == 1
    assert answer['elsewhere'] is elsewhere


@pytest.mark.parametrize(
    'request_, path',
    [({'os': 'scratch'}, None), ({'os': 'plan-9'}, 'os')],
)
def test_an_api_server_of_the_release_before(validator, request_, path):
    """It sends no entry: the catalogue of this host is looked at."""
    answer = request_validation.RequestValidator.check_request(
        validator, 'p1', request_
    )
    paths = [problem['path'] for problem in answer['problems']]
    assert paths == ([path] if path else [])


def a_file(tmp_path, **image):
    path = tmp_path / 'base.qcow2'
    path.write_bytes(b'base')
    return catalogue.OperatingSystem(
        'file', driver='wants', image={'path': str(path), **image}
    )


def test_a_file_is_identified_by_its_digest(validator, tmp_path):
    """Wherever it was copied to, and whenever."""
    entry = a_file(tmp_path)
    digest = 'sha256:' + hashlib.sha256(b'base').hexdigest()
    for number in range(2):
        os.utime(entry.image['path'], (number, number))
        base = request_validation.RequestValidator.check_request(
            validator, 'p1', {'os': 'file'}, entry.to_dict()
        )['base']
        assert base['identity'] == base['checksum'] == digest
        assert (base['kind'], base['size']) == ('path', 4)


def test_a_file_that_takes_long_to_read(validator, tmp_path, monkeypatch):
    go = threading.Event()
    compute = checksums.compute

    def slow(*args, **more):
        assert go.wait(60)
        return compute(*args, **more)

    monkeypatch.setattr(checksums, 'compute', slow)
    monkeypatch.setattr(base_files, '_SECONDS', 0.1)
    entry = a_file(tmp_path).to_dict()

    def check():
        return request_validation.RequestValidator.check_request(
            validator, 'p1', {'os': 'file'}, entry
        )

    for _ in range(2):
        with pytest.raises(exception.ServiceUnavailable, match='retry'):
            check()
    go.set()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            assert check()['base']['kind'] == 'path'
            return
        except exception.EnvironmentFault:
            continue
    raise AssertionError('it was never read')


def test_what_a_list_has_now_is_the_image(validator, requests_mock, tmp_path):
    disks = {'cache_dir': str(tmp_path / 'cache')}
    validator._of_host = dataclasses.replace(
        validator._of_host, sections=lambda: {'disks': disks}
    )
    request = {'os': 'by-list'}
    listed = 'http://h/d/SHA256SUMS'
    requests_mock.get(listed, status_code=503)
    found = validator.check_request('p', request)
    assert found['base'] is None
    assert found['elsewhere']
    [problem] = found['problems']
    assert problem['path'] == 'os'
    assert problem['message'].startswith(
        'the list of checksums of its base image, of h, cannot be used now'
    )
    requests_mock.get(listed, text=f'{"1" * 64}  f\n')
    base = validator.check_request('p', request)['base']
    # In the content key.
    assert base['identity'] == base['checksum'] == f'sha256:{"1" * 64}'
    assert base['location'] == 'http://h/d/f'
    # And not asked for again by the next request.
    requests_mock.get(listed, status_code=503)
    assert validator.check_request('p', request)['base'] == base
