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
"""Where a service connects to for its users."""

import pytest

from imagebuild.machines import networks

EVERYTHING = ['0.0.0.0/0', '::/0']


@pytest.mark.parametrize(
    ('address', 'allowed', 'said'),
    [
        ('203.0.113.7', ['203.0.113.0/24'], ''),
        ('203.0.114.7', ['203.0.113.0/24'], 'none of the networks'),
        ('203.0.113.7', [], 'allows no machines'),
        ('203.0.113.7', ['rubbish'], 'none of the networks'),
        ('web', EVERYTHING, 'not an IP address'),
        ('fe80::1%eth0', EVERYTHING, 'not an IP address'),
        ('2130706433', EVERYTHING, 'not an IP address'),
        ('203.0.113.7', EVERYTHING, ''),
        ('2001:db8::7', EVERYTHING, ''),
        # Every machine is not this one, nor its metadata service.
        ('127.0.0.1', EVERYTHING, 'none of the networks'),
        ('127.0.0.1', ['126.0.0.0/7'], 'none of the networks'),
        ('0.0.0.0', EVERYTHING, 'none of the networks'),
        ('169.254.169.254', EVERYTHING, 'none of the networks'),
        ('::ffff:169.254.169.254', EVERYTHING, 'none of the networks'),
        ('2002:a9fe:a9fe::1', EVERYTHING, 'none of the networks'),
        ('::1', EVERYTHING, 'none of the networks'),
        ('::', EVERYTHING, 'none of the networks'),
        ('fe80::1', EVERYTHING, 'none of the networks'),
        ('ff02::1', EVERYTHING, 'none of the networks'),
        ('255.255.255.255', EVERYTHING, 'none of the networks'),
        # Who names them means them.
        ('127.0.0.1', ['127.0.0.0/8'], ''),
        ('127.0.0.1', ['127.0.0.1/32'], ''),
        ('169.254.7.7', ['169.254.7.0/24'], ''),
        ('::1', ['::1/128'], ''),
    ],
)
def test_refusal(address: str, allowed: list[str], said: str) -> None:
    found = networks.refusal(address, 22, allowed, [22])
    assert said in found if said else found == ''


def test_ports() -> None:
    found = networks.refusal('203.0.113.7', 23, ['203.0.113.0/24'], [22, 24])
    assert found == 'the operator allows no port 23'
