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
"""Options of the disks that drivers make of trees, once for all drivers."""

from __future__ import annotations

from typing import Any

from imagebuild.disks import disk_plan
from imagebuild.disks import root_file_systems
from imagebuild.drivers import option_schema

#: GiB; more than any cloud's root disk, less than ext4's 16 TiB.
LARGEST_SIZE = 8192
#: The same with an MBR.
LARGEST_MBR = disk_plan.MBR_LIMIT // 1024**3
_LONGEST_REFRESH = 24 * 366

FILE_SYSTEM = option_schema.described(
    'File system of the root.',
    {
        'enum': list(root_file_systems.KINDS),
        'x-message': 'is none of ' + ', '.join(root_file_systems.KINDS),
    },
)
PARTITION_TABLE = option_schema.described(
    'Kind of the partition table. A bootable disk starts from BIOS and from '
    'UEFI with either.',
    {
        'enum': list(disk_plan.TABLES),
        'x-message': 'is neither ' + ' nor '.join(disk_plan.TABLES),
    },
)
REFRESH = option_schema.described(
    'Hours for which a base image that was made on a host is used again; 0 '
    'makes one for each build.',
    option_schema.integer(0, _LONGEST_REFRESH, 'hours'),
)
#: A condition of the options: what an MBR has no room for.
MBR_SIZE: dict[str, Any] = {
    'if': {
        'required': ['partition_table'],
        'properties': {'partition_table': {'const': 'mbr'}},
    },
    'then': {
        'properties': {
            'size': {
                'not': {'type': 'number', 'exclusiveMinimum': LARGEST_MBR},
                'x-message': f'is more than {LARGEST_MBR} GiB, which a disk '
                'with an MBR cannot have',
            }
        }
    },
}
