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
"""Conductors."""

from __future__ import annotations

from imagebuild.api.schemas import base

CONDUCTOR: base.Schema = base.closed(
    {
        'name': base.text('Its name.', 'build-1'),
        'status': base.field(
            {'enum': ['up', 'draining', 'down']},
            'Whether it takes builds; draining: it ends those that it has.',
            'up',
        ),
        'alive': base.field(base.BOOLEAN, 'Whether its heartbeat is recent.'),
        'drivers': base.field(
            {'type': 'array', 'items': base.TEXT},
            'Names of the drivers that it has.',
            ['guestfs'],
        ),
        'operating_systems': base.array(base.TEXT, 'Empty: all.'),
        'architecture': base.text(
            'Of the images that it can build.', 'x86_64'
        ),
        'isolations': base.field(
            {
                'type': 'object',
                'additionalProperties': {'type': 'array', 'items': base.TEXT},
            },
            'In what its host can open disks (appliance, sandbox), each with '
            'what is missing for it: nothing where it can.',
            {'appliance': [], 'sandbox': ['slirp4netns is not installed']},
        ),
        'boot_tests': base.field(
            {
                'type': 'object',
                'additionalProperties': {'type': 'array', 'items': base.TEXT},
            },
            'With what firmware (bios, uefi) it can boot a finished image, '
            'and for which drivers it has their cloud boot it, each with '
            'what is missing for it: nothing where it can.',
            {'bios': [], 'uefi': ['there is no firmware for UEFI']},
        ),
        'architectures': base.array(
            base.TEXT, 'All that it can build images for.'
        ),
        'destinations': base.array(
            base.TEXT, 'Clouds that it can upload to, besides this one.'
        ),
        'accelerator': base.field(
            {'enum': ['kvm', 'tcg', '']},
            'What its guests run on; empty: not known yet.',
            'kvm',
        ),
        'free_disk': base.field(
            {'type': ['integer', 'null'], 'minimum': 0},
            'Bytes that are free where it works; null: not known.',
            53687091200,
        ),
        'free_memory': base.field(
            {'type': ['integer', 'null'], 'minimum': 0},
            'Bytes of memory that are available; null: not known.',
            8589934592,
        ),
        'cached_bases': base.array(
            base.TEXT, 'Checksums of the base images that it has.'
        ),
        'cached_layers': base.field(
            {
                'type': 'object',
                'additionalProperties': {'type': 'integer', 'minimum': 0},
            },
            'Of base images, by what identifies them: how many layers over '
            'each it has.',
            {'sha256:' + '0' * 64: 3},
        ),
        'slots': base.count('Builds at once.', 2),
        'running': base.count('Builds that it has now.', 1),
        'version': base.text('Its version.', '1.0.0'),
        'started_at': base.time('When it started.'),
        'heartbeat_at': base.time('When it sent its last heartbeat.'),
    }
)

LIST: base.Schema = base.closed(
    {'conductors': base.array(base.ref('Conductor'), 'All that are known.')}
)
