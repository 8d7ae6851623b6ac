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
"""The operator's catalogue of operating systems."""

from __future__ import annotations

from imagebuild.api.schemas import base

OPERATING_SYSTEM: base.Schema = base.closed(
    {
        'name': base.text('Its name.', 'debian-12'),
        'description': base.text('What it is.', 'Debian 12 (bookworm)'),
        'architecture': base.text(
            'Processor architecture of its images.', 'x86_64'
        ),
        'driver': base.text('What makes its disks.', 'guestfs'),
        'min_disk': base.count('GiB that a disk of it needs at least.', 2),
    }
)

LIST: base.Schema = base.closed(
    {
        'operating_systems': base.array(
            base.ref('OperatingSystem'), 'All of the catalogue.'
        )
    }
)
