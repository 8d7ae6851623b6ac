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
"""What all extension points do alike."""

from __future__ import annotations

from imagebuild import exception


def refuse(manager: object, entry_point: object, error: BaseException) -> None:
    """Be stevedore's ``on_load_failure_callback``: say which does not load.

    :raises MissingDependency: always.
    """
    raise exception.MissingDependency(
        what=f'the extension {entry_point}',
        remedy=f'it does not load ({error})',
    ) from error
