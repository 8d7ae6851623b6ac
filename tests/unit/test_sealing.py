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

import pytest
from cryptography import fernet

from imagebuild import sealing

KEYS = [sealing.new_key(), sealing.new_key()]


def test_sealed_values_come_back():
    values = {'password': 'ħorse', 'port': 22, 'list': [1]}
    token = sealing.seal(KEYS, values)
    assert 'orse' not in token
    assert sealing.unseal(KEYS, token) == values


def test_a_key_is_replaced():
    token = sealing.seal([KEYS[1]], {'a': 1})
    assert sealing.unseal(KEYS, token) == {'a': 1}
    newer = sealing.seal(KEYS, {'a': 1})
    assert sealing.unseal([KEYS[0]], newer) == {'a': 1}


@pytest.mark.parametrize(
    'keys, match',
    [
        ([], 'names no key'),
        (['short'], '32 bytes'),
        ([fernet.Fernet.generate_key().decode()], 'fits'),
    ],
)
def test_wrong_keys(keys, match):
    token = sealing.seal(KEYS, {'a': 1})
    with pytest.raises(sealing.SealingFailed, match=match):
        sealing.unseal(keys, token)


def test_a_digest_needs_the_key():
    one, other = sealing.new_key(), sealing.new_key()
    digest = sealing.digest([one, other], 'text')
    assert len(digest) == 64
    assert digest == sealing.digest([one], 'text')
    assert digest != sealing.digest([other, one], 'text')
    assert digest != sealing.digest([one], 'texts')
    with pytest.raises(sealing.SealingFailed, match='digested.*no key'):
        sealing.digest([], 'text')
