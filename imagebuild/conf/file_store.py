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
"""Options of the store ``file``."""

import os
from typing import Any

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'file_store',
    title='Images in a directory',
    help='Where finished images go when [conductor] store is "file".',
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'folder',
        sample_default='$state_path/images',
        help="""
Directory for the finished images.

By default a directory ``images`` in [DEFAULT] state_path. Each image is a
directory of its own with the files image and metadata.json, and is removed
only by the service, when its last build is deleted.
""",
    ),
]


def values(conf: cfg.ConfigOpts) -> dict[str, Any]:
    """The section as :class:`imagebuild.stores.file.FileStore` takes it."""
    directory = conf[GROUP.name].folder
    return {'folder': directory or os.path.join(conf.state_path, 'images')}
