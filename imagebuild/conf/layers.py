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
"""Section ``layers``."""

import os
from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'layers',
    title='Layers',
    help='What steps of earlier builds have left on their disks, kept so that '
    'a build that begins with the same steps need not run them.',
)

OPTS: list[cfg.Opt] = [
    cfg.BoolOpt(
        'enabled',
        default=True,
        help="""
Whether builds keep and use layers.

Editing the last step of a description then costs that step and not a whole
build. Layers take room on this host ("max_size"), and what a build installs
may be as old as "package_max_age". Switch it off where every build must
install the newest packages; a request can do so for itself with "reuse:
never".
""",
    ),
    cfg.StrOpt(
        'directory',
        sample_default='$state_path/layers',
        help="""
Directory in which layers are kept.

All conductors on a host should share one. It must be on a local file system,
best the one of work_dir, so that layers are linked and not copied. Nobody
else may look into it: layers hold what builds of all projects have written,
secrets of their requests included. It can be removed while no build runs.
""",
    ),
    cfg.IntOpt(
        'max_size',
        default=20,
        min=0,
        help="""
Room that the layers may take, in GiB.

Those that were not used for the longest time are removed first; layers that
builds are using stay, and may exceed this for as long. 0 sets no limit but
the disk's.
""",
    ),
    cfg.IntOpt(
        'max_age',
        default=7 * 24 * 3600,
        min=0,
        help="""
Seconds after which a layer that no build has used is removed.

0 keeps layers for as long as there is room.
""",
    ),
    cfg.IntOpt(
        'package_max_age',
        default=24 * 3600,
        min=0,
        help="""
Seconds for which a layer with packages may be used.

It counts from when its oldest packages were installed. Scripts and pip
packages count as packages, since they may fetch something; files, users,
services and the like do not grow old. Lower it where security updates must
be in every new image soon. 0 sets no limit: images may then be made of
packages as old as "max_age" allows, which each use of the layer extends.
""",
    ),
    cfg.FloatOpt(
        'min_seconds',
        default=3.0,
        min=0,
        help="""
Seconds of work after which a layer is kept.

The packages, pip packages and files of a request are each followed by one,
however fast they were. More and smaller layers save more work when a
description is edited, and each takes about 1 MiB beside what was written.
""",
    ),
]


def values(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """The section as :meth:`imagebuild.layers.Settings.from_config` takes it.

    :returns: plain values that can be written as JSON.
    """
    section = conf[GROUP.name]
    directory = section.directory or os.path.join(conf.state_path, 'layers')
    return {**dict(section), 'directory': directory}
