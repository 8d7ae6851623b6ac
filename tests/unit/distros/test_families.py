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

from imagebuild import distros
from imagebuild import exception
from imagebuild.distros import os_releases
from imagebuild.remotes import fake


@pytest.mark.parametrize(
    ('name', 'like', 'family'),
    [
        ('debian', (), 'debian'),
        ('ubuntu', ('debian',), 'debian'),
        ('unheard-of', ('ubuntu', 'debian'), 'debian'),
        ('centos', ('rhel', 'fedora'), 'redhat'),
        ('rocky', (), 'redhat'),
        ('ol', (), 'redhat'),
        ('unheard-of', ('fedora',), 'redhat'),
        ('opensuse-leap', ('suse', 'opensuse'), 'suse'),
        ('sles', (), 'suse'),
    ],
)
def test_families(name: str, like: tuple[str, ...], family: str) -> None:
    distro = distros.for_release(os_releases.OsRelease(name, like))
    assert distro.family == family


def test_control_characters_of_the_guest_are_escaped() -> None:
    release = os_releases.parse(
        'ID="deb\x1b[2Jian"\nVERSION_ID=12\x9b\nPRETTY_NAME="a\x1b]0;b\x07"\n'
    )
    assert release.id == r'deb\x1b[2jian'
    assert release.version_id == r'12\x9b'
    assert release.pretty_name == r'a\x1b]0;b\x07'


def test_a_file_that_is_too_large_for_one() -> None:
    """Without a limit one word of 8 MiB would be looked at for hours."""
    remote = fake.FakeRemote()
    content = b'ID=debian\n#' + b'a' * 65536
    remote.files['/etc/os-release'] = fake.File(content)
    with pytest.raises(exception.StepError) as caught:
        os_releases.read(remote)
    assert str(caught.value) == (
        '/etc/os-release has 65547 bytes, and 65536 are the most that are '
        'read of it'
    )
    remote.files['/etc/os-release'] = fake.File(content[:65536])
    assert os_releases.read(remote).id == 'debian'


def test_no_family() -> None:
    with pytest.raises(exception.UnsupportedDistro):
        distros.for_release(os_releases.OsRelease('plan9'))
