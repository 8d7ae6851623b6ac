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
"""What is made of QEMU's end."""

from unittest import mock

import pytest

from imagebuild.boot import machine
from imagebuild.disks import kept_process


def ended(code: int | None) -> machine.Machine:
    """A machine whose process is gone."""
    process = mock.create_autospec(kept_process.KeptProcess, instance=True)
    process.wait.return_value = True
    process.exit_code = code
    process.describe.side_effect = lambda reason: reason
    made = machine.Machine.__new__(machine.Machine)
    made._process = process
    return made


def test_a_machine_that_is_off_is_no_failure() -> None:
    ended(0).check()


@pytest.mark.parametrize('code', [1, 137, None])
def test_a_machine_that_was_ended_is_one(code: int | None) -> None:
    """Nobody writes a code down who was killed with it."""
    with pytest.raises(machine.BootFailed, match='QEMU ended'):
        ended(code).check()
