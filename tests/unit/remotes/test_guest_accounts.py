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
"""Users and groups of an image, whose tables anybody may have written."""

import pytest

from imagebuild import exception
from imagebuild.remotes import fake
from imagebuild.remotes import guest_accounts
from imagebuild.remotes import guestfs


@pytest.mark.parametrize('number', ['9' * 5000, '4294967295', '²', '-1', ''])
def test_a_number_that_is_none(number: str) -> None:
    lines = [f'x:x:{number}:0::/:/bin/sh', 'amy:x:1000:1000::/:/bin/sh', 'y:']
    remote = fake.FakeRemote(files={'/etc/passwd': '\n'.join(lines)})
    accounts = guest_accounts.Accounts(remote)
    assert accounts.user('amy') == 1000
    with pytest.raises(exception.StepError, match='has no user "x"'):
        accounts.user('x')


def test_a_number_for_a_name() -> None:
    accounts = guest_accounts.Accounts(fake.FakeRemote())
    # As the validator "user" may give it.
    assert accounts.group('4294967294') == 4294967294
    for number in ('4294967295', '9' * 5000):
        with pytest.raises(exception.StepError, match='no group has the num'):
            accounts.group(number)


def test_a_number_that_the_appliance_does_not_take() -> None:
    """Of libguestfs' calls: an int of C."""
    content = 'big:x:2147483648:\nlast:x:2147483647:\n'
    remote = fake.FakeRemote(files={'/etc/group': content})
    most = guestfs.GuestfsRemote.most_owner
    accounts = guest_accounts.Accounts(remote, most)
    assert accounts.group('last') == accounts.group('2147483647') == most
    for name in ('big', '2147483648'):
        with pytest.raises(exception.StepError) as caught:
            accounts.group(name)
        assert str(caught.value) == (
            'the appliance can give a file to no group above 2147483647, and '
            f'{name} is 2147483648; a script can, by chown(1)'
        )
