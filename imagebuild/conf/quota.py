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
"""Options of the limits that a project has."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'quota',
    title='Quotas',
    help='Limits of a project that has none of its own in the database.',
)

OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        'queued',
        default=100,
        min=-1,
        help="""
Builds of one project that may wait in the queue.

A request beyond that is refused with 403. Builds that wait for another one
of the same content count, builds that are answered with an existing image
do not. -1 is no limit: one project can then fill the database, though not
keep others from building.
""",
    ),
    cfg.IntOpt(
        'running',
        default=-1,
        min=-1,
        help="""
Builds of one project that may run at once, on all conductors together.

More of them wait in the queue. By default there is no limit (-1): projects
share the conductors fairly, and one that is alone may have all of them. Set
it when there must always be room for others to begin at once.
""",
    ),
    cfg.IntOpt(
        'stored_bytes',
        default=-1,
        min=-1,
        help="""
Bytes of all images that were built for one project and still exist.

A request is refused with 403 as long as the project has so many; a build
that is running may still go beyond it. An image that several builds share
counts once, in each cloud that it was sent to. By default there is no limit
(-1). Quotas of Glance do not replace it: its limits for a project count for
who makes the image, and that is the service user, not the project.
""",
    ),
    cfg.IntOpt(
        'builds',
        default=10000,
        min=-1,
        help="""
Builds of one project that are kept in the database, however they ended.

A request beyond that is refused with 403 until builds are deleted; one that
is answered with an existing image is a build too. Failed and cancelled builds
go by themselves ([conductor] retention_days), active ones stay. As many
deleted builds of the project may wait for that; beyond it the oldest of them
go at once. -1 is no limit: one project can then fill the database.
""",
    ),
    cfg.IntOpt(
        'request_bytes',
        default=1024**3,
        min=-1,
        help="""
Bytes of the requests of one project's builds that are kept.

A request holds the texts of its files and scripts, which may be megabytes.
One that would go beyond the limit is refused with 403 until builds are
deleted. Requests from before an upgrade to this release count no bytes. -1 is
no limit.
""",
    ),
    cfg.IntOpt(
        'pipelines',
        default=100,
        min=-1,
        help="""
Pipelines of one project.

A request beyond that is refused with 403. The requests of all of them may
hold request_bytes, too, besides those of the builds. -1 is no limit.
""",
    ),
    cfg.IntOpt(
        'channels',
        default=1000,
        min=-1,
        help="""
Channels of one project, counted for each name of an image.

A promotion to one more is refused with 403. -1 is no limit.
""",
    ),
]


def limits(conf: cfg.ConfigOpts) -> dict[str, int]:
    """Return the limits by resource, for Database.create_build.

    :returns: option to limit; -1 is none. Units are those of the options:
        builds, or bytes.
    """
    return {option.name: conf.quota[option.name] for option in OPTS}
