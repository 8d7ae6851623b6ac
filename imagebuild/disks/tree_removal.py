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
"""Removing a tree in which processes may still be dying."""

from __future__ import annotations

import pathlib
import shutil
import time

#: Seconds; a kill takes milliseconds where nothing hangs in the kernel.
_LONGEST_DYING = 5.0


def discard(tree: pathlib.Path) -> None:
    """Remove a tree whose making was stopped.

    Its processes have been killed and may take a moment to be gone.
    """
    end = time.monotonic() + _LONGEST_DYING
    while tree.exists() and time.monotonic() < end:
        shutil.rmtree(tree, ignore_errors=True)
        time.sleep(0.05)
