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
"""Registers ``OS::ImageBuild::Validation``.

heat-engine loads this file under a name of its own and does not start if that
raises ImportError. So the class is elsewhere, and where it cannot be imported
(the client is not installed, say) Heat runs without this one type.
"""

from __future__ import annotations

import logging

try:
    from heat_plugin import machines
except ImportError as error:
    logging.getLogger(__name__).error(
        'OS::ImageBuild::Validation is left out: %s', error
    )
    TYPES: dict[str, type] = {}
else:
    TYPES = {'OS::ImageBuild::Validation': machines.Validation}


def resource_mapping() -> dict[str, type]:
    """Tell Heat what is here."""
    return TYPES
