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
"""Puts the request id of a build into every log line of its threads."""

from __future__ import annotations

from typing import Protocol

from oslo_context import context


class Subject(Protocol):
    """What lines of a log are about: a build, as the database has it."""

    @property
    def id(self) -> str: ...

    @property
    def project_id(self) -> str: ...

    @property
    def user_id(self) -> str: ...

    @property
    def request_id(self) -> str: ...


def enter(build: Subject) -> None:
    """Make a build the subject of what this thread logs from now on.

    oslo.log's ``logging_context_format_string`` shows the request id, the
    project and, as ``resource_uuid``, the build.
    """
    context.RequestContext(
        request_id=build.request_id or None,
        project_id=build.project_id,
        user_id=build.user_id,
        resource_uuid=build.id,
        overwrite=True,
    )
