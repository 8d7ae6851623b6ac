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
"""The sections of destinations."""

import json

import pytest
from oslo_config import cfg

from imagebuild import conf as imagebuild_conf
from imagebuild import exception
from imagebuild.conf import destination
from imagebuild.destinations import Destination

TEXT = """
[conductor]
store = file
upload_timeout = 77
upload_attempts = 2
[destination:<name>]
# As in the sample.
[destination:West]
cloud = west
clouds_file = /etc/imagebuild/clouds.yaml
region_name = RegionTwo
valid_interfaces = internal, public
description = Our cloud in the west
disk_format = raw
import_methods = glance-direct, web-download
max_image_size = 3
timeout = 900
attempts = 9
projects = one, two
[destination:archive]
store = file
enabled = false
"""


@pytest.fixture
def read(tmp_path):
    def read(text):
        conf = cfg.ConfigOpts()
        imagebuild_conf.register(conf)
        path = tmp_path / 'imagebuild.conf'
        path.write_text(text)
        conf(args=[], default_config_files=[str(path)])
        return conf

    return read


def test_a_service_has_its_own_cloud_alone(read):
    found = destination.read(read(''))
    assert found == {'': Destination()}


def test_are_read_with_what_conductors_have_for_all(read):
    found = destination.read(read(TEXT))
    assert found == {
        '': Destination(store='file', timeout=77, attempts=2),
        'West': Destination(
            'West',
            cloud='west',
            clouds_file='/etc/imagebuild/clouds.yaml',
            region_name='RegionTwo',
            valid_interfaces=('internal', 'public'),
            description='Our cloud in the west',
            disk_format='raw',
            import_methods=('glance-direct', 'web-download'),
            max_image_size=3 * 1024**3,
            timeout=900,
            attempts=9,
            projects=('one', 'two'),
        ),
        'archive': Destination(
            'archive', store='file', enabled=False, timeout=77, attempts=2
        ),
    }


def test_are_the_same_on_the_other_side_of_a_document(read):
    for each in destination.read(read(TEXT)).values():
        document = json.loads(json.dumps(each.to_document()))
        assert Destination.from_document(document) == each
        later = {**document, 'of_a_later_release': 1, 'projects': None}
        assert Destination.from_document(later).name == each.name


def test_a_reload_brings_takes_and_changes_them(read, tmp_path):
    conf = read('[destination:a]\nstore = file\n[destination:b]\ncloud = b\n')
    assert sorted(destination.read(conf)) == ['', 'a', 'b']
    (tmp_path / 'imagebuild.conf').write_text(
        '[destination:b]\ncloud = other\n[destination:c]\ncloud = c\n'
    )
    conf.mutate_config_files()
    found = destination.read(conf)
    assert sorted(found) == ['', 'b', 'c']
    assert found['b'].cloud == 'other'


@pytest.mark.parametrize(
    'text, message',
    [
        (
            '[destination:a b]\nstore = file\n',
            '[destination:a b]: the name of a destination has up to 63',
        ),
        ('[destination:]\nstore = file\n', '[destination:]: the name'),
        ('[destination:../x]\nstore = file\n', '[destination:../x]: the name'),
        (
            '[destination:a]\ncloud = a\n[destination:A]\ncloud = b\n',
            '[destination:a] and [destination:A] differ in upper and lower '
            'case alone.',
        ),
        (
            '[destination:a]\nattempts = 0\n',
            '[destination:a] attempts: Should be greater than or equal to 1 (',
        ),
        (
            '[destination:a]\ndisk_format = iso\n',
            '[destination:a] disk_format',
        ),
        ('[destination:a]\nenabled = maybe\n', '[destination:a] enabled: '),
        (
            '[destination:a]\nimport_methods = Web Download\n',
            '[destination:a] import_methods: ',
        ),
    ],
)
def test_one_that_cannot_be(read, text, message):
    with pytest.raises(exception.InvalidInput) as caught:
        destination.read(read(text))
    assert message in str(caught.value)
    assert str(caught.value).startswith('The configuration cannot be used: [')


def test_every_option_is_a_field_and_can_be_reloaded():
    fields = set(Destination.__dataclass_fields__)
    assert {option.dest for option in destination.OPTS} == fields - {'name'}
    assert all(option.mutable for option in destination.OPTS)


def test_who_may_use_one():
    assert Destination('a').is_for('one')
    assert Destination('a', projects=('one',)).is_for('one')
    assert not Destination('a', projects=('one',)).is_for('two')
    assert not Destination('a', enabled=False).is_for('one')


@pytest.mark.parametrize(
    'request_, formats',
    [
        ({}, ('raw', 'bare')),
        ({'disk_format': 'vmdk'}, ('vmdk', 'bare')),
        ({'container_format': 'ovf'}, ('raw', 'ovf')),
    ],
)
def test_formats_are_those_of_the_request_first(request_, formats):
    assert Destination('a', disk_format='raw').formats(request_) == formats
    assert Destination().formats({}) == ('qcow2', 'bare')
