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

import pytest

from imagebuild import exception
from imagebuild.drivers import base
from imagebuild.drivers import bootstrap
from imagebuild.drivers import guestfs
from imagebuild.drivers import isolations


def none_missing():
    return []


def two_missing():
    return ['root rights', 'slirp4netns']


@pytest.mark.parametrize('setting', isolations.SETTINGS)
def test_who_is_not_trusted_gets_the_appliance(setting):
    choice = isolations.choose(setting, trusted=False, missing=none_missing)
    assert choice == isolations.Choice('appliance')


@pytest.mark.parametrize(
    'setting, expected',
    [
        ('appliance', isolations.Choice('appliance')),
        ('sandbox', isolations.Choice('sandbox')),
        ('auto', isolations.Choice('sandbox', may_fall_back=True)),
    ],
)
def test_what_is_chosen_for_the_trusted(setting, expected):
    choice = isolations.choose(setting, trusted=True, missing=none_missing)
    assert choice == expected


def test_a_host_without_a_sandbox():
    def choose(setting):
        return isolations.choose(setting, trusted=True, missing=two_missing)

    lacking = 'root rights; slirp4netns'
    assert choose('auto') == isolations.Choice('appliance', reason=lacking)
    assert choose('appliance') == isolations.Choice('appliance')
    with pytest.raises(isolations.NoSandbox, match=lacking) as caught:
        choose('sandbox')
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    'setting, asked, held',
    [
        ('appliance', 'auto', 'appliance'),
        ('appliance', 'appliance', 'appliance'),
        ('sandbox', 'auto', 'sandbox'),
        ('sandbox', 'appliance', 'appliance'),
        ('sandbox', 'sandbox', 'sandbox'),
        ('auto', 'auto', 'auto'),
        ('auto', 'appliance', 'appliance'),
        ('auto', 'sandbox', 'sandbox'),
    ],
)
def test_what_is_asked_for_within_a_setting(setting, asked, held):
    assert isolations.narrowed(setting, asked) == held


def test_nobody_makes_it_weaker():
    with pytest.raises(isolations.SandboxNotGranted, match='appliance only'):
        isolations.narrowed('appliance', 'sandbox')


OFFERED = base.BaseImage(kind='glance', id='i', checksum='sha512:1', os='d')


@pytest.mark.parametrize(
    'image, trusted',
    [
        (base.BaseImage(), True),
        (OFFERED, True),
        # The very same image, named by a request.
        (dataclasses.replace(OFFERED, os=''), False),
        (base.BaseImage(kind='url', location='u', checksum='c'), False),
        (base.BaseImage(kind='url', location='u', checksum='c', os='d'), True),
    ],
)
def test_who_is_trusted(image, trusted):
    assert isolations.is_trusted(image) is trusted


@pytest.mark.parametrize('checksum', ['', 'sha256:1'])
@pytest.mark.parametrize(
    'mode, trusted', [(0o644, True), (0o664, False), (0o646, False)]
)
def test_files_that_others_can_write(tmp_path, mode, checksum, trusted):
    """A checksum is no help: it is compared before the build, not during."""
    path = tmp_path / 'base'
    path.write_bytes(b'x')
    path.chmod(mode)
    image = base.BaseImage(
        kind='path', location=str(path), checksum=checksum, os='d'
    )
    assert isolations.is_trusted(image) is trusted


def test_a_file_that_is_not_there():
    image = base.BaseImage(kind='path', location='/no/such/file', os='d')
    assert not isolations.is_trusted(image)


def test_an_own_base_image_is_never_for_the_sandbox():
    image = base.BaseImage(kind='glance', id='i')
    for asked in ('auto', 'appliance'):
        isolations.refuse_sandbox(image, asked)
    with pytest.raises(isolations.SandboxNotGranted, match='base image'):
        isolations.refuse_sandbox(image, 'sandbox')
    with pytest.raises(exception.InvalidInput):
        isolations.refuse_sandbox(image, 'sandbox')


@pytest.mark.parametrize(
    'driver, options',
    [
        (guestfs.GuestfsDriver(), {}),
        (bootstrap.BootstrapDriver(), {'os': 'debian-12'}),
    ],
)
def test_the_driver_option(driver, options):
    for setting in isolations.SETTINGS:
        driver.validate({**options, 'isolation': setting})
    with pytest.raises(base.InvalidDriverOptions, match='isolation'):
        driver.validate({**options, 'isolation': 'none'})
    if not driver.wants_base:
        # What an image is made of is the same.
        said = driver.identity(options)
        assert driver.identity({**options, 'isolation': 'appliance'}) == said
