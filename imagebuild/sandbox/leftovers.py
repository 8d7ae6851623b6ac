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
"""What the kernel does not remove with the last process of a sandbox.

The watch of a supervisor removes it (:mod:`supervisor`). Where that was
killed, too, the next sandbox does, or whoever cleans up after a job.
"""

from __future__ import annotations

import os

from imagebuild.sandbox import cgroups
from imagebuild.sandbox import identities


def sweep() -> None:
    """Remove control groups whose range of ids no sandbox has.

    :raises OSError: there is no place for locks.
    """
    for name in cgroups.names():
        first = identities.named(name)
        ids = identities.claim(first) if first is not None else None
        if ids is not None:
            cgroups.remove(name)
            os.close(ids.lock)
