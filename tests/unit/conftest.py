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
"""Unit tests start no process and open no database.

What does is in tests/functional: it takes its time, and depends on the host.
"""

import pathlib
import sys
from collections.abc import Iterator

import pytest

_HERE = pathlib.Path(__file__).parent
#: What Python tells of as it happens (sys.addaudithook).
_REFUSED = frozenset(
    {
        'os.exec',
        'os.fork',
        'os.forkpty',
        'os.posix_spawn',
        'os.system',
        'sqlite3.connect',
        'subprocess.Popen',
    }
)


class _Guard:
    """Refuses it while a unit test runs, and remembers that it did."""

    def __init__(self) -> None:
        self.is_on = False
        self.seen: list[str] = []

    def __call__(self, event: str, arguments: tuple[object, ...]) -> None:
        if event in _REFUSED and self.is_on:
            self.seen.append(f'{event} {arguments[:1]}')
            raise RuntimeError(f'{event} in tests/unit')


_guard = _Guard()
# A hook stays for as long as the process runs.
sys.addaudithook(_guard)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Called around each test of the run, its fixtures included."""
    _guard.is_on = item.path.is_relative_to(_HERE)
    try:
        return (yield)
    finally:
        _guard.is_on = False


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Called around each test here: fail it if it took a refusal lightly."""
    _guard.seen.clear()
    try:
        return (yield)
    finally:
        if _guard.seen:
            pytest.fail(
                f'a test for tests/functional: {", ".join(_guard.seen)}',
                pytrace=False,
            )
