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

from imagebuild import exception
from imagebuild.api import microversion


@pytest.mark.parametrize(
    'header, version',
    [
        (None, microversion.MIN),
        ('', microversion.MIN),
        ('image-build 1.0', microversion.Version(1, 0)),
        ('image-build latest', microversion.MAX),
        ('Image-Build  LATEST', microversion.MAX),
        ('compute 2.90, image-build 1.0', microversion.Version(1, 0)),
        ('compute 2.90', microversion.MIN),
        ('1.0', microversion.MIN),
    ],
)
def test_versions(header, version):
    assert microversion.parse(header) == version


@pytest.mark.parametrize(
    'header',
    ['image-build', 'image-build one', 'image-build 1', 'image-build ١.0'],
)
def test_no_versions(header):
    with pytest.raises(exception.InvalidInput) as caught:
        microversion.parse(header)
    assert caught.value.code == 400


@pytest.mark.parametrize('version', ['0.9', '1.99', '2.0'])
def test_unsupported(version):
    with pytest.raises(microversion.Unsupported) as caught:
        microversion.parse(f'image-build {version}')
    assert caught.value.code == 406


def test_order():
    assert microversion.Version(1, 10) > microversion.Version(1, 9)
