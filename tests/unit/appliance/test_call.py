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
import concurrent.futures
import os
from unittest import mock

import pytest

from imagebuild import appliance as appliances
from imagebuild import exception

#: No kernel gives such an id.
NOBODY = 2**22 + 1


@pytest.fixture
def appliance(tmp_path):
    def appliance(pid):
        handle = mock.Mock()
        handle.get_pid.return_value = pid
        made = appliances.Appliance(handle, 'tcg', tmp_path, None, worker)
        made.started()
        return made

    with concurrent.futures.ThreadPoolExecutor(1) as worker:
        yield appliance


def refuse():
    try:
        raise RuntimeError('qemu killed by signal 9')
    except RuntimeError as error:
        raise exception.InvalidImage(path='x', reason='no sh') from error


def test_what_a_dead_appliance_lacks_is_not_the_images_fault(appliance):
    with pytest.raises(exception.ApplianceFailed, match='failed: qemu killed'):
        appliance(NOBODY).call(refuse)


def test_a_text_of_the_guest_that_is_none(appliance):
    """libguestfs' binding decodes every answer, and every error."""
    with pytest.raises(RuntimeError, match="is no text: 'utf-8'") as caught:
        appliance(os.getpid()).call(b'\xff'.decode)
    assert isinstance(caught.value.__cause__, UnicodeDecodeError)


def test_what_the_image_lacks(appliance, monkeypatch):
    monkeypatch.setattr(appliances.Appliance, 'kill', mock.Mock())
    with pytest.raises(exception.InvalidImage):
        appliance(os.getpid()).call(refuse)
