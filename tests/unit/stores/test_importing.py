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
"""Which methods a plan has, from what is offered, allowed and known."""

import itertools

import pytest

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.stores import base
from imagebuild.stores import importing
from imagebuild.stores import registry

SUM = checksums.Checksum('sha512', 'a' * 128)
OTHER_SUM = checksums.Checksum('sha512', 'b' * 128)
IMAGE = base.ImageProperties(name='web', owner='me')
ALL = frozenset(
    ['glance-direct', 'web-download', 'glance-download', 'copy-image']
)
COPY = base.ImageCopy('image', region='Two', disk_format='qcow2', checksum=SUM)
URL = 'https://images.example.com/artifacts/1/image'


def plan(offer=ALL, allowed=None, image=IMAGE, stores=(), **source):
    return importing.make(
        importing.Offered(frozenset(offer), tuple(stores)),
        allowed or importing.Allowed(),
        importing.Source(**source),
        image,
    )


def methods(*args, **kwargs):
    return [each.method for each in plan(*args, **kwargs).attempts]


def test_everything_is_possible():
    found = plan(
        url=URL,
        file_name='disk',
        copies=(COPY,),
        checksum=SUM,
    )
    assert [each.method for each in found.attempts] == [
        *('glance-download', 'web-download', 'upload', 'glance-direct')
    ]
    first, second, *_ = found.attempts
    assert first.copy == COPY
    assert second.url == URL
    assert (found.impossible, found.why()) == ((), '')


OFFERS = [
    frozenset(some)
    for number in range(4)
    for some in itertools.combinations(importing.IMPORTS, number)
]


@pytest.mark.parametrize('offer', OFFERS, ids=lambda offer: '+'.join(offer))
@pytest.mark.parametrize('file_name', ['', 'disk'])
@pytest.mark.parametrize('copies', [(), (COPY,)], ids=['alone', 'copy'])
@pytest.mark.parametrize('url', ['', 'https://h/f'])
@pytest.mark.parametrize('known', [None, SUM], ids=['unknown', 'known'])
def test_every_method_is_planned_or_has_a_reason(
    offer, file_name, copies, url, known
):
    expected = [
        method
        for method, is_possible in (
            ('glance-download', 'glance-download' in offer and copies),
            (
                'web-download',
                'web-download' in offer and url and (file_name or known),
            ),
            ('upload', file_name),
            ('glance-direct', 'glance-direct' in offer and file_name),
        )
        if is_possible
    ]
    source = {
        'file_name': file_name,
        'copies': copies,
        'url': url,
        'checksum': known,
    }
    if not expected:
        with pytest.raises(exception.EnvironmentFault, match='no way') as no:
            plan(offer, **source)
        assert all(name in str(no.value) for name in importing.METHODS)
        return
    found = plan(offer, **source)
    assert [each.method for each in found.attempts] == expected
    without = {method for method, why in found.impossible if why}
    assert without | set(expected) == set(importing.METHODS)


@pytest.mark.parametrize('order', [*itertools.permutations(importing.IMPORTS)])
def test_the_order_is_the_operators(order):
    allowed = importing.Allowed(methods=order)
    found = plan(allowed=allowed, file_name='disk', copies=(COPY,), url=URL)
    assert tuple(each.method for each in found.attempts) == order
    assert ('upload', 'the operator does not allow it') in found.impossible


def test_an_upload_comes_before_an_import_of_the_same_file():
    """glance-direct is offered by every Glance, and works not in all."""
    assert methods(file_name='disk') == ['upload', 'glance-direct']


@pytest.mark.parametrize(
    'changes, reason',
    [
        ({'region': ''}, 'it is in no region of this cloud'),
        ({'disk_format': 'raw'}, 'it is raw'),
        ({'disk_format': ''}, 'it is of an unknown format'),
        ({'container_format': 'ova'}, 'its container is ova'),
        ({'checksum': None}, 'its checksum is not known'),
        ({'checksum': OTHER_SUM}, 'its checksum is another'),
    ],
)
def test_copies_that_are_not_taken(changes, reason):
    bad = base.ImageCopy(**{**vars(COPY), 'image_id': 'bad', **changes})
    found = plan(file_name='disk', copies=(bad,), checksum=SUM)
    assert dict(found.impossible)['glance-download'] == f'bad: {reason}'
    found = plan(file_name='disk', copies=(bad, COPY), checksum=SUM)
    assert found.attempts[0].copy == COPY


def test_a_checksum_of_another_kind():
    """With the file it is compared in the end; without, it cannot be."""
    known = checksums.Checksum('sha256', 'c' * 64)
    assert methods(file_name='disk', copies=(COPY,), checksum=known)[0] == (
        'glance-download'
    )
    with pytest.raises(exception.EnvironmentFault, match='be compared'):
        plan(copies=(COPY,), checksum=known)


@pytest.mark.parametrize(
    'url, reason',
    [
        ('https://me:secret@host/f', 'a secret'),
        ('https://host/f?signature=secret', 'a secret'),
        ('ftp://host/f', 'http'),
        ('file:///etc/passwd', 'http'),
        ('https:///f', 'http'),
    ],
)
def test_urls_that_are_not_given_to_glance(url, reason):
    found = plan(file_name='disk', url=url)
    why = dict(found.impossible)['web-download']
    assert reason in why
    assert url not in why


class TestStores:
    def test_the_first_is_sent_to_and_copied_to_the_others(self):
        allowed = importing.Allowed(stores=('b', 'a'))
        found = plan(allowed=allowed, stores=['a', 'b'], file_name='disk')
        assert (found.store, found.copy_to) == ('b', ('a',))

    def test_one_that_is_not_there(self):
        allowed = importing.Allowed(stores=('a', 'x', 'y'))
        with pytest.raises(
            exception.EnvironmentFault, match=r'x or y; found: a, b\.'
        ):
            plan(allowed=allowed, stores=['a', 'b'], file_name='disk')
        with pytest.raises(exception.EnvironmentFault, match='found: none'):
            plan(allowed=allowed, file_name='disk')

    def test_further_ones_need_copy_image(self):
        offer = ALL - {'copy-image'}
        allowed = importing.Allowed(stores=('a', 'b'))
        with pytest.raises(exception.EnvironmentFault, match='copy-image.*b'):
            plan(offer, allowed, stores=['a', 'b'], file_name='disk')
        allowed = importing.Allowed(stores=('b',))
        assert methods(offer, allowed, stores=['a', 'b'], file_name='disk')


class TestAnswersOfGlance:
    @pytest.mark.parametrize(
        'imports, stores, expected',
        [
            ({}, {}, importing.Offered()),
            ({'import-methods': {}}, {'stores': []}, importing.Offered()),
            (
                {
                    'import-methods': {
                        'type': 'array',
                        'value': ['web-download'],
                    }
                },
                {
                    'stores': [
                        {'id': 'slow'},
                        {'id': 'http', 'read-only': 'true'},
                        {'id': 'fast', 'default': 'true', 'weight': 1},
                    ]
                },
                importing.Offered(
                    frozenset(['web-download']), ('fast', 'slow')
                ),
            ),
        ],
    )
    def test_offer(self, imports, stores, expected):
        assert importing.Offered.from_answers(imports, stores) == expected


class TestOptions:
    def test_those_of_a_destination_come_first(self):
        config = {
            'keystone': {'auth_type': 'none', 'endpoint': 'http://[::1]'},
            'glance': {'import_methods': ['upload']},
            'destination': {'import_methods': ['glance-direct']},
        }
        store = registry.load('glance', config)
        assert store._settings.allowed.methods == ('glance-direct',)
        del config['destination']
        store = registry.load('glance', config)
        assert store._settings.allowed.methods == ('upload',)

    def test_defaults(self):
        assert importing.Allowed.from_section({}) == importing.Allowed()

    def test_all(self):
        section = {
            'import_methods': ['upload', 'upload', 'web-download'],
            'import_stores': ['b', 'a', 'b'],
        }
        assert importing.Allowed.from_section(section) == importing.Allowed(
            ('upload', 'web-download'), ('b', 'a')
        )

    def test_a_method_that_is_none(self):
        with pytest.raises(exception.InvalidInput, match='"swift".*upload'):
            importing.Allowed.from_section({'import_methods': ['swift']})
