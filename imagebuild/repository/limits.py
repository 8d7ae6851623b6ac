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
"""How much the repository keeps."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    """How much is kept; 0 is no limit.

    :ivar max_bytes: that the files take on the disk.
    :ivar max_age: seconds that a file may lie unused.
    :ivar max_number: files.
    :ivar reserve: bytes that are left free on the file system.
    """

    max_bytes: int = 0
    max_age: float = 0
    max_number: int = 0
    reserve: int = 0
