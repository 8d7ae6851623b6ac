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
"""Which images another Glance may copy."""

import types

import pytest

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.conductor import image_copies
from imagebuild.stores.base import ImageCopy


def sections(store='glance', url='https://keys/v3', region='One'):
    return {
        'destination': {'store': store},
        'keystone': {'auth_url': url},
        'glance': {'region_name': region},
    }


CONFIGS = {
    '': sections(),
    'two': sections(region='Two', url='https://keys/v3/'),
    'nameless': sections(region=None),
    'other': sections(url='https://others/v3'),
    'archive': sections(store='file'),
}


def open_config(destination=''):
    if destination not in CONFIGS:
        raise exception.InvalidInput('There is no such destination.')
    return CONFIGS[destination]


def image(destination, **values):
    return types.SimpleNamespace(
        **{
            'destination': destination,
            'image_id': 'i1',
            'status': 'active',
            'disk_format': 'raw',
            'container_format': 'bare',
            'os_hash_algo': 'sha512',
            'os_hash_value': 'f',
            **values,
        }
    )


def copies(*images, to='two'):
    return image_copies.in_other_regions(images, CONFIGS[to], open_config)


def test_one_of_another_region():
    assert copies(image('')) == [
        ImageCopy(
            'i1',
            'One',
            disk_format='raw',
            checksum=checksums.Checksum('sha512', 'f'),
        )
    ]
    [found] = copies(image('two'), to='')
    assert found.region == 'Two'


@pytest.mark.parametrize(
    'found',
    [
        image('', status='deleting'),
        image('nameless'),
        image('other'),
        image('archive'),
        image('gone'),
    ],
)
def test_ones_that_it_cannot_copy(found):
    assert copies(found) == []
    assert copies(found, image('')) == copies(image(''))


def test_a_checksum_that_is_not_known():
    [found] = copies(image('', os_hash_value=None))
    assert found.checksum is None
    assert copies(image(''), to='archive') == []


IMAGE_ID = '11111111-0000-4000-8000-000000000001'


def test_an_image_that_has_the_file():
    found = image('two', id=IMAGE_ID, build_id='b1', size=5)
    source = image_copies.source(found, open_config)
    assert (source.destination, source.store) == ('two', 'glance')
    assert (source.build_id, source.size) == ('b1', 5)
    assert source.checksum == checksums.Checksum('sha512', 'f')
    assert source.config is CONFIGS['two']
    # One file for all that want it.
    assert source == image_copies.source(found, open_config)


@pytest.mark.parametrize(
    'change', [{'status': 'deleted'}, {'os_hash_value': None}, {'size': None}]
)
def test_one_that_is_gone(change):
    found = image('', **{'id': IMAGE_ID, 'build_id': 'b', 'size': 5} | change)
    with pytest.raises(exception.SourceUnusable, match='in this cloud'):
        image_copies.source(found, open_config)


def test_its_destination_was_taken_out():
    """That is no fault of the user's, and another image may do."""
    found = image('gone', id=IMAGE_ID, build_id='b', size=5)
    with pytest.raises(exception.SourceUnusable, match='no such destination'):
        image_copies.source(found, open_config)
