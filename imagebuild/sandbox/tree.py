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
"""Files of a mounted guest, whatever links, FIFOs and devices are there.

The operations have the names, arguments and results of a libguestfs handle's
methods, so that the same functions work over either.
"""

from __future__ import annotations


class Tree:
    """A mounted guest's files, reached from a descriptor of its root.

    Every path is looked up with the guest's root as root (openat2(2)), so no
    link leads out of it. RuntimeError, with one line of text, for whatever
    is refused, as libguestfs does.

    :param root: descriptor of the guest's root directory; owned by this
        object.
    """

    def __init__(self, root: int) -> None:
        self._root = root
