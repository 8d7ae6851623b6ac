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
from typing import Any
from unittest import mock

import pytest

from imagebuild import exception
from imagebuild import sandbox
from imagebuild.remotes import guest_mounts
from imagebuild.remotes import sandbox as remotes


def test_a_file_system_that_cannot_be_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is damaged: the image's fault, and one sentence."""

    def refuse(*_args: Any, **_kw: Any) -> None:
        raise RuntimeError('/etc/fstab: Input/output error')

    monkeypatch.setattr(guest_mounts, 'mount_all', refuse)
    supervisor = mock.create_autospec(sandbox.Supervisor, instance=True)
    with pytest.raises(exception.InvalidImage, match='/etc/fstab: Input'):
        remotes.SandboxRemote(supervisor, mock.Mock(), image='some.img')
    # Whoever started it ends it, after a look at what serves the disk.
    supervisor.close.assert_not_called()
