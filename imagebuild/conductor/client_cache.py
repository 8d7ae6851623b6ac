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
"""Clients of other services, made at the first use and kept.

A new one would log in at Keystone, and connect, for each question.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any
from typing import TypeVar

T = TypeVar('T')


class ClientCache:
    """Clients by name; used by all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._made: dict[str, Any] = {}

    def get(self, name: str, make: Callable[[], T]) -> T:
        """The client of this name.

        :param make: makes it; what it raises is raised, and nothing kept.
        """
        with self._lock:
            if name not in self._made:
                self._made[name] = make()
            made: T = self._made[name]
            return made

    def forget(self) -> None:
        """Make all anew when they are next wanted."""
        with self._lock:
            self._made.clear()
