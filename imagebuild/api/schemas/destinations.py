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
"""Destinations."""

from __future__ import annotations

from imagebuild.api.schemas import base

DESTINATION: base.Schema = base.closed(
    {
        'name': base.text('Its name, for "destinations".', 'west'),
        'description': base.text('What it is.', 'Our cloud in the west'),
        'disk_format': base.text(
            'Disk format of images whose request has none.', 'raw'
        ),
        'container_format': base.text(
            'Container format of images whose request has none.', 'bare'
        ),
        'max_image_size': base.count(
            "Bytes that an image's file may have there; 0: no limit.",
            10 * 1024**3,
        ),
    }
)

LIST: base.Schema = base.closed(
    {
        'destinations': base.array(
            base.ref('Destination'),
            'All that the project may use, besides this cloud.',
        )
    }
)
