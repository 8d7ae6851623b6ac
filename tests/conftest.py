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
import os
import pathlib
import signal

import pytest

INTEGRATION = pathlib.Path(__file__).parent / 'integration'
UNIT = pathlib.Path(__file__).parent / 'unit'

#: Seconds. Under emulation an appliance starts in 10 s and installs a
#: package in 30 s.
INTEGRATION_TIMEOUT = 1800


# A shell has what it starts in the background ignore SIGINT, and so would
# everything that the tests start.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is in tests/integration, and give it the time it needs.

    This is where root is asked for, once: no test looks for it itself, and
    none is left out.
    """
    others = [item for item in items if not item.path.is_relative_to(UNIT)]
    if others and os.geteuid() != 0:
        raise pytest.UsageError(
            f'{others[0].nodeid}: only tests/unit can be run by others than '
            'root'
        )
    for item in items:
        if item.path.is_relative_to(INTEGRATION):
            item.add_marker('integration')
            if item.get_closest_marker('timeout') is None:
                item.add_marker(pytest.mark.timeout(INTEGRATION_TIMEOUT))
