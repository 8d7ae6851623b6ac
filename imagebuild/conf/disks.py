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
"""Options of the disk files that builds work on."""

import os
from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'disks',
    title='Disk files',
    help='Where and how the disk files of a build are kept.',
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'cache_dir',
        sample_default='$state_path/base-images',
        help="""
Directory in which base images are kept once they have been fetched.

All conductors on a host should share one, so that each image is fetched only
once; it must be on a local file system, and nobody else may look into it,
since it holds images that are private in Glance. Put it on the same file
system as work_dir or a faster one: every build reads from it. It can be
emptied while no build runs; what is missing is fetched again.
""",
    ),
    cfg.IntOpt(
        'cache_size',
        default=20,
        min=0,
        help="""
Room that the base images may take, in GiB.

When a new one does not fit, those that were not used for the longest time
are removed first; images that builds are using stay, and may exceed this
for as long. Make it larger than the base images that are in daily use
together. 0 sets no limit but the disk's.
""",
    ),
    cfg.IntOpt(
        'checksum_max_age',
        default=3600,
        min=0,
        help="""
How long a list of checksums is believed, in seconds.

For base images that the catalogue names by a ``checksum_file``: within this
time requests get the image that was found last, and the distribution's server
is not asked again. A new image is noticed that much later. 0 asks for every
request.
""",
    ),
    cfg.IntOpt(
        'checksum_max_stale',
        default=604800,
        min=0,
        help="""
How long a list of checksums is used while its server fails, in seconds.

Longer than an outage may last. Whoever keeps this host from reaching the
server keeps it on an old image for as long. 0 refuses requests at once.
""",
    ),
    cfg.IntOpt(
        'space_reserve',
        default=512,
        min=0,
        help="""
Room that a build leaves free on the file system of its disk files, in MiB.

A build that would need more than what is free less this reserve is refused
before it starts. The default keeps other programs on the host going while a
disk grows faster than expected. Raise it on a host where others write to the
same file system; 0 switches the reserve off and costs nothing, but a disk
that runs full then stops whatever else writes to it.

A conductor claims no build while there is less room than this and what a
build needs to begin; builds wait, or go to another conductor. When builds
that run have used up the room, the largest of them is stopped.
""",
    ),
    cfg.IntOpt(
        'max_build_size',
        default=100,
        min=0,
        mutable=True,
        help="""
Room that the files of one build may take on the host, in GiB.

They are the changes that it makes to its base image and the finished image;
with "late_commands" of the driver "installer" also the disk that is installed.
A build that exceeds this is stopped, and that is its user's fault. Lower it
where many people share small hosts. 0 sets no limit: one build may then take
all room but the reserve.
""",
    ),
    cfg.IntOpt(
        'max_virtual_size',
        default=1024,
        min=0,
        help="""
Size that the disk of an image may have, in GiB.

It is what the guest sees, and a server needs a disk at least as large; on
the host it takes only what was written. A request for more is refused with
400: by the driver option "size", by the size that Glance knows of the base
image, by min_disk of the recipe or manifest. Whatever shows only when a base
image is there ends the build. Keep it the same in the files of the API and of
the conductors. 0 sets no limit.
""",
    ),
]


def values(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """The section as :class:`imagebuild.drivers.settings.Settings` takes it.

    :returns: plain values that can be written as JSON.
    """
    section = conf[GROUP.name]
    cache_dir = section.cache_dir or os.path.join(
        conf.state_path, 'base-images'
    )
    return {**dict(section), 'cache_dir': cache_dir}
