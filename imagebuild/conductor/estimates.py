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
"""How long a build may take, by what earlier ones of its project took."""

from __future__ import annotations

from collections.abc import Mapping

from imagebuild import db
from imagebuild import exception
from imagebuild.common import phases
from imagebuild.common.counts import counted

#: Earlier builds that are looked at; some of them are like this one.
_LOOKED_AT = 50


def expected(database: db.Database, build: db.Build) -> dict[str, float]:
    """How long the phases of a build may take.

    :returns: seconds by phase; empty when that is not known.
    """
    try:
        found = database.earlier_builds(build, _LOOKED_AT)
    except exception.DatabaseUnavailable:
        return {}
    return phases.expected(
        [
            phases.Earlier(
                each.content_key,
                each.name,
                phases.Phases.from_dict(each.phases).spent,
            )
            for each in found
        ],
        build.content_key,
        build.name,
        # Without a name of an operating system the base images differ.
        similar=bool(build.os),
    )


def message(expected: Mapping[str, float]) -> str:
    """How long it may take, for the log."""
    minutes = round(sum(expected.values()) / 60)
    if minutes < 1:
        return 'Earlier builds like this one took less than a minute'
    return (
        f'Earlier builds like this one took about {counted(minutes, "minute")}'
    )
