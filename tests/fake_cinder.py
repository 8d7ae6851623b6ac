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
"""A block storage service in memory, behind real HTTP.

What the driver ``snapshot`` asks is answered as Cinder 29 answers it: its
messages, statuses and shapes are those of cinder/api, cinder/volume/api.py
and cinder/volume/manager.py. There are no bytes in its volumes.

::

    with FakeGlance() as glance, FakeCinder(glance) as cinder:
        with FakeNova(glance, cinder) as nova:
            cinder.hold.add('upload')
"""

import ast
import dataclasses
import re
import uuid

from tests import json_service

VOLUME = re.compile(r'/volumes/([0-9a-f-]{36})(/action)?')
GIB = 1024**3
#: cinder/image/glance.py, glance_core_properties: not of an image's own.
CORE = (
    *('checksum', 'container_format', 'disk_format', 'image_name'),
    *('image_id', 'min_disk', 'min_ram', 'name', 'size'),
)
#: cinder/image/image_utils.py, GLANCE_RESERVED_NAMESPACES
RESERVED = ('os_glance', 'img_signature', 'signature_verified')
#: Of a record of Glance, what is no property.
OF_GLANCE = (
    *('id', 'status', 'owner', 'visibility', 'protected', 'os_hidden'),
    *('tags', 'created_at', 'schema', 'os_hash_algo', 'os_hash_value'),
    *('virtual_size', 'stores'),
)
NO_BACKEND = (
    'schedule allocate volume:Could not find any available weighted backend.'
)
TOO_LARGE = (
    'copy image to volume:Image used for creating volume exceeds available '
    'space.'
)
NO_UPLOAD = 'copy volume to image:Failed to upload volume to image at backend.'


@dataclasses.dataclass
class Volume:
    """A volume.

    :ivar asked: as it was asked for.
    :ivar image: ``volume_image_metadata``.
    :ivar looks: how often it was looked at in its status.
    """

    id: str
    asked: dict
    image: dict
    status: str = 'creating'
    looks: int = 0
    fault: str = ''
    messages: list = dataclasses.field(default_factory=list)
    image_id: str = ''
    encrypted: bool = False

    def turn(self, status):
        self.status, self.looks = status, 0


class FakeCinder(json_service.JsonService):
    """The service; its state can be looked at and changed.

    :param glance: where base images are, and those of volumes.
    :ivar volumes: id to volume.
    :ivar made: every volume that ever was.
    :ivar types: of volumes; the first is the default.
    :ivar hold: stages that do not end: ``create``, ``upload``, ``delete``.
    :ivar of_types: the same for the volumes of a type.
    :ivar fault: of the next volumes: they end in error with this message.
    :ivar no_upload: no image of a volume comes to anything.
    :ivar gigabytes: quota.
    :ivar project: of everybody.
    """

    def __init__(self, glance):
        super().__init__()
        self.glance = glance
        self.volumes = {}
        self.made = []
        self.types = ['lvm', 'ceph', 'luks']
        self.hold = set()
        self.of_types = {}
        self.fault = ''
        self.no_upload = False
        self.gigabytes = 1000
        self.project = ''

    def holds(self, volume, stage):
        kind = volume.asked.get('volume_type')
        return stage in self.hold or stage == self.of_types.get(kind)

    # -- for Nova -----------------------------------------------------------

    def attach(self, volume_id):
        """None, or why a server cannot boot from it."""
        with self.lock:
            volume = self.volumes.get(volume_id)
            if volume is None:
                return 'failed to get volume'
            if volume.status != 'available':
                return f'status must be available, is {volume.status}'
            volume.turn('in-use')
            return None

    def detach(self, volume_id):
        with self.lock:
            if volume := self.volumes.get(volume_id):
                volume.turn('available')

    # -- requests -----------------------------------------------------------

    def answer(self, method, path, query, body):
        if (method, path) == ('POST', '/volumes'):
            return self._create(body['volume'])
        if path == '/volumes/detail':
            return self._list(query)
        if path == '/messages':
            return self._messages(query['resource_uuid'])
        if match := VOLUME.fullmatch(path):
            volume = self.volumes.get(match[1])
            if volume is None:
                raise json_service.fault(
                    404,
                    f'Volume {match[1]} could not be found.',
                )
            if match[2]:
                [(action, arguments)] = body.items()
                name = action.replace('-', '_')
                return getattr(self, f'_{name}')(volume, arguments)
            if method == 'DELETE':
                return self._delete(volume, query)
            self._look(volume)
            if volume.id not in self.volumes:
                return self.answer(method, path, query, body)
            return 200, {'volume': self._record(volume)}
        raise json_service.fault(404, 'not a path of this')

    def _create(self, asked):
        image = self.glance.images.get(asked['imageRef'])
        if image is None:
            raise json_service.fault(
                400,
                'Invalid image identifier or unable to access requested '
                'image.',
            )
        kind = asked.get('volume_type') or image.get('cinder_img_volume_type')
        if kind and kind not in self.types:
            raise json_service.fault(
                404,
                f'Volume type with name {kind} could not be found.',
            )
        if asked['size'] < image['min_disk']:
            raise json_service.fault(
                400,
                'Invalid input received: Volume size '
                f'{asked["size"]}GB cannot be smaller than the image minDisk '
                f'size {image["min_disk"]}GB.',
            )
        used = sum(each.asked['size'] for each in self.volumes.values())
        if used + asked['size'] > self.gigabytes:
            raise json_service.fault(
                413,
                'Requested volume or snapshot exceeds allowed gigabytes '
                f'quota. Requested {asked["size"]}G, quota is '
                f'{self.gigabytes}G and {used}G has been consumed.',
                retryAfter='0',
            )
        volume = Volume(
            str(uuid.uuid4()),
            {**asked, 'volume_type': kind or self.types[0]},
            {
                name: str(value)
                for name, value in image.items()
                if name not in OF_GLANCE
            },
            fault=self.fault,
            encrypted=kind == 'luks',
        )
        self.volumes[volume.id] = volume
        self.made.append(volume)
        return 202, {'volume': self._record(volume)}

    def _record(self, volume):
        return {
            'id': volume.id,
            'status': volume.status,
            'size': volume.asked['size'],
            'name': volume.asked['name'],
            'metadata': volume.asked['metadata'],
            'volume_type': volume.asked['volume_type'],
            'encrypted': volume.encrypted,
            'volume_image_metadata': volume.image,
            'os-vol-tenant-attr:tenant_id': self.project,
        }

    def _list(self, query):
        wanted = ast.literal_eval(query['metadata'])
        found = [
            self._record(each)
            for each in self.volumes.values()
            if wanted.items() <= each.asked['metadata'].items()
        ]
        ids = [each['id'] for each in found]
        start = ids.index(query['marker']) + 1 if 'marker' in query else 0
        # Pages of two.
        return 200, {'volumes': found[start : start + 2]}

    def _messages(self, volume_id):
        volume = self.volumes[volume_id]
        return 200, {
            'messages': [
                {
                    'created_at': f'2026-01-01T00:00:{number:02}.000000',
                    'user_message': message,
                    'message_level': 'ERROR',
                    'resource_uuid': volume_id,
                }
                for number, message in enumerate(volume.messages)
            ]
        }

    def _look(self, volume):
        volume.looks += 1
        if volume.looks < 2:
            return
        if volume.status == 'creating' and not self.holds(volume, 'create'):
            if volume.fault:
                volume.messages.append(volume.fault)
            volume.turn('error' if volume.fault else 'available')
        elif volume.status == 'deleting' and not self.holds(volume, 'delete'):
            del self.volumes[volume.id]
        elif volume.status == 'uploading':
            self._go_on(volume)

    def _go_on(self, volume):
        """With an upload; whoever deletes its image ends it."""
        if volume.image_id in self.glance.images:
            if self.holds(volume, 'upload'):
                return
            if self.no_upload:
                del self.glance.images[volume.image_id]
            else:
                self.glance.store(volume.image_id, b'QFI\xfb of a volume')
        if volume.image_id not in self.glance.images:
            volume.messages.append(NO_UPLOAD)
        volume.turn('available')

    def _delete(self, volume, query):
        assert query == {'cascade': 'true'}
        if volume.status not in ('available', 'error'):
            raise json_service.fault(
                400,
                'Invalid volume: Volume status must be available or error or '
                'error_restoring or error_extending or error_managing and '
                'must not be migrating, attached, belong to a group, have '
                'snapshots, awaiting a transfer, or be disassociated from '
                'snapshots after volume transfer.',
            )
        volume.turn('deleting')
        return 202, None

    def _os_set_image_metadata(self, volume, asked):
        volume.image.update(asked['metadata'])
        return 200, {'metadata': volume.image}

    def _os_volume_upload_image(self, volume, asked):
        if volume.status != 'available':
            raise json_service.fault(
                400,
                f'Invalid volume: Volume {volume.id} status must be available',
            )
        if volume.encrypted and asked['disk_format'] != 'raw':
            raise json_service.fault(
                400,
                "An encrypted volume uploaded as an image must use 'raw' "
                "disk_format and 'bare' container_format, which are the "
                'defaults for these options.',
            )
        image = self.glance.add(
            name=asked['image_name'],
            disk_format=asked['disk_format'],
            container_format=asked['container_format'],
            **{
                name: value
                for name, value in volume.image.items()
                if name not in CORE and not name.startswith(RESERVED)
            },
        )
        volume.turn('uploading')
        volume.image_id = image['id']
        answer = {'id': volume.id, 'status': 'uploading'}
        answer['image_id'] = image['id']
        return 202, {'os-volume_upload_image': answer}
