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
"""The block storage service: volumes, and the images that are made of them.

Asked as the service user, in the service user's project. Only what drivers
need of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import ClassVar

from imagebuild import exception
from imagebuild.clients import rest

#: Attribute of a volume; policies may leave it out.
_PROJECT = 'os-vol-tenant-attr:tenant_id'


class BlockStorage(rest.Service):
    """Cinder; see :class:`rest.Service`."""

    service: ClassVar[str] = 'block-storage'
    thing: ClassVar[str] = 'volume'
    needed: ClassVar[str] = 'servers that boot from a volume need'
    #: Of Ocata. 3.5: the messages about one volume.
    versions: ClassVar[Mapping[str, Any]] = {
        'min_version': '3',
        'max_version': '3.latest',
        'default_microversion': '3.5',
    }

    def create_volume(self, volume: Mapping[str, Any]) -> str:
        """Ask for a volume.

        :param volume: as Cinder's API has it.
        :returns: its id; it is not there yet.
        :raises Refused: with the reason.
        :raises Fault: a quota is used up.
        """
        try:
            answer = self._call('POST', '/volumes', {'volume': dict(volume)})
        except exception.NotFound as error:
            # Of the type, in Cinder's words.
            raise rest.Refused(
                service=self.service, reason=error.kwargs['id']
            ) from error
        with self._translated():
            return str(answer['volume']['id'])

    def volume(self, volume_id: str) -> dict[str, Any]:
        """A volume.

        :raises NotFound: there is none.
        """
        answer = self._call('GET', f'/volumes/{volume_id}')
        with self._translated():
            return rest.as_object(answer['volume'])

    def volumes(
        self, metadata: Mapping[str, str], project: str
    ) -> Iterator[dict[str, Any]]:
        """The volumes of the project that have this metadata.

        Cinder may be configured to list others, too: look at each.

        :param project: id of the service user's project; volumes that are
            said to be in another are left out.
        """
        # Cinder reads it as Python.
        wanted = repr(dict(metadata))
        for each in self._each('/volumes/detail', 'volumes', metadata=wanted):
            if not project or each.get(_PROJECT, project) == project:
                yield each

    def delete_volume(self, volume_id: str) -> None:
        """Have a volume deleted, with the snapshots that were made of it.

        :raises NotFound: there is none.
        :raises Refused: it is in a state in which it cannot be.
        """
        self._call('DELETE', f'/volumes/{volume_id}?cascade=true')

    def set_image_properties(
        self, volume_id: str, properties: Mapping[str, str]
    ) -> None:
        """Say what images of a volume have from their beginning on.

        :raises NotFound: there is no such volume.
        """
        self._act(
            volume_id,
            {'os-set_image_metadata': {'metadata': dict(properties)}},
        )

    def upload(self, volume_id: str, name: str, disk_format: str) -> str:
        """Have an image made of a volume that is attached nowhere.

        :returns: the id of the image, which is not ready yet.
        :raises Refused: the volume is in use, or Glance wants none.
        """
        asked = {
            'image_name': name,
            'disk_format': disk_format,
            'container_format': 'bare',
        }
        answer = self._act(volume_id, {'os-volume_upload_image': asked})
        with self._translated():
            return str(answer['os-volume_upload_image']['image_id'])

    def messages(self, volume_id: str) -> list[str]:
        """What Cinder tells users of what went wrong, the newest first."""
        answer = self._call('GET', f'/messages?resource_uuid={volume_id}')
        with self._translated():
            found = [rest.as_object(each) for each in answer['messages']]
            found.sort(key=lambda each: str(each['created_at']), reverse=True)
            return [str(each['user_message']) for each in found]

    def _act(self, volume_id: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return self._call('POST', f'/volumes/{volume_id}/action', body)

    def _is_full(self, reason: str) -> bool:
        # Its own words differ, and those for too many requests are others.
        words = ('quota', 'larger than maximum allowed limit')
        return any(each in reason.lower() for each in words)

    def _of_answer(self, code: int, reason: str) -> exception.ImageBuildError:
        if code == 413 and not self._is_full(reason):
            # Too many requests.
            code = 429
        return super()._of_answer(code, reason)
