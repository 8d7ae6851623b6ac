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
"""Lists of checksums as distributions publish them."""

import pytest

from imagebuild import exception
from imagebuild.common import checksum_lists

S256 = 'ab' * 32
S512 = 'cd' * 64
DEBIAN = f'{S512}  debian-12-generic-amd64.json\n{S512}  d.qcow2\n'
UBUNTU = f'{S256} *noble-server-cloudimg-amd64.img\n{S256} *other.img\n'
CENTOS = f"""# CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2: 1 bytes
SHA256 (CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2) = {S256}
"""
FEDORA = f"""# Fedora-Cloud-Base-Generic-42-1.1.x86_64.qcow2: 1 bytes
SHA256 (Fedora-Cloud-Base-Generic-42-1.1.x86_64.qcow2) = {S256}
SHA256 (Fedora-Cloud-Base-UEFI-UKI-42-1.1.x86_64.qcow2) = {S256}
"""
OPENSUSE = f'{S256}  openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2\n'


@pytest.mark.parametrize(
    ('text', 'wanted', 'name', 'checksum'),
    [
        (DEBIAN, 'd.qcow2', 'd.qcow2', f'sha512:{S512}'),
        (
            UBUNTU,
            'noble-server-cloudimg-amd64.img',
            'noble-server-cloudimg-amd64.img',
            f'sha256:{S256}',
        ),
        (
            CENTOS,
            'CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2',
            'CentOS-Stream-GenericCloud-9-latest.x86_64.qcow2',
            f'sha256:{S256}',
        ),
        (
            FEDORA,
            'Fedora-Cloud-Base-Generic-42-*.x86_64.qcow2',
            'Fedora-Cloud-Base-Generic-42-1.1.x86_64.qcow2',
            f'sha256:{S256}',
        ),
        (
            OPENSUSE,
            'openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2',
            'openSUSE-Leap-15.6-Minimal-VM.x86_64-Cloud.qcow2',
            f'sha256:{S256}',
        ),
        (f'{S256}  a\n{S512}  ./a\n', 'a', 'a', f'sha512:{S512}'),
        (f'{S256.upper()}  a\r\n', 'a', 'a', f'sha256:{S256}'),
        (f'{S256}  a\n{S256}  a\n', 'a', 'a', f'sha256:{S256}'),
    ],
)
def test_found(text, wanted, name, checksum):
    found = checksum_lists.find(text.encode(), wanted, 'the list')
    assert found == (name, checksum)


@pytest.mark.parametrize(
    ('text', 'wanted', 'message'),
    [
        ('', 'a', 'has no checksum for a'),
        ('<html>Not found</html>', 'a', 'has no checksum for a'),
        (f'{S256}  b\n', 'a', 'has no checksum for a'),
        (f'{S256}  a\n{"00" * 32}  a\n', 'a', 'two different checksums'),
        (FEDORA, 'Fedora-*', 'several files that Fedora-. could be'),
        # Names that lead elsewhere, or hide, are none.
        (f'{S256}  ../../etc/shadow\n', '*', 'has no checksum'),
        (f'{S256}  /etc/shadow\n', '*', 'has no checksum'),
        (f'{S256}  .hidden\n', '*', 'has no checksum'),
        (f'{S256}  a%2f..%2fb\n', '*', 'has no checksum'),
        (f'SHA512 (a) = {S256}\n', 'a', 'has no checksum'),
        (f'{"ab" * 16}  a\n', 'a', 'has no checksum'),
        (f'{"ab" * 20}  a\n', 'a', 'has no checksum'),
        ('x' * (1024**2 + 1), 'a', 'larger than 1024 KiB'),
    ],
)
def test_refused(text, wanted, message):
    with pytest.raises(exception.EnvironmentFault, match=message):
        checksum_lists.find(text.encode(), wanted, 'the list')
