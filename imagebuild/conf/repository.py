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
"""The section ``[repository]``."""

import os
from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'repository',
    title='The repository',
    help='Finished images on the disk of a conductor, kept so that they can '
    'be uploaded to further clouds, or in other formats, without another '
    'build.',
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'directory',
        sample_default='$state_path/repository',
        help="""
Directory in which finished images are kept.

Best on the file system of work_dir: then an image is moved there, else it is
copied. Conductors may share it, on one host or on a shared file system that
has locks, such as NFS; an upload can then leave from any of them, also when
the one that built the image is gone. All must run as the same user, which
alone may write to it: images hold secrets of all projects.
""",
    ),
    cfg.IntOpt(
        'max_size',
        default=50,
        min=0,
        help="""
Room that the images may take, in GiB.

Those that were not used for the longest time are removed first. One that is
in use, or has uploads to come, stays, and may exceed this for as long. 0 sets
no limit but the disk's.
""",
    ),
    cfg.IntOpt(
        'max_images',
        default=0,
        min=0,
        help="""
Number of images that are kept.

Conversions to other formats count as images. By default "max_size" alone
limits them; 0 is no limit.
""",
    ),
    cfg.IntOpt(
        'max_age',
        default=7 * 24 * 3600,
        min=0,
        help="""
Seconds after which an image that nobody has used is removed.

As long as it is there, another upload of it needs no build. Time in which no
conductor looked after the directory does not count. 0 keeps images for as
long as there is room.
""",
    ),
    cfg.IntOpt(
        'reserve',
        min=0,
        sample_default='<[disks] space_reserve>',
        help="""
Room that images leave free on their file system, in MiB.

With less, images are removed as with "max_size", and none is copied there. By
default it is what builds leave free. Raise it where builds wait for room on
the same file system.
""",
    ),
]


def values(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """The section as ``imagebuild.repository.Settings`` takes it.

    :returns: plain values that can be written as JSON.
    """
    section = conf[GROUP.name]
    directory = section.directory or os.path.join(
        conf.state_path, 'repository'
    )
    return {**dict(section), 'directory': directory}
