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
"""The stand-in for a guest's files is one."""

import os
import pathlib

import pytest

from tests.contract import handle_contract
from tests.unit.remotes import local_handle


class TestLocalHandle(handle_contract.InsideContract):
    can_own = os.geteuid() == 0

    @pytest.fixture
    def handle(self, tmp_path: pathlib.Path) -> local_handle.LocalHandle:
        return local_handle.LocalHandle(tmp_path)
