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
"""The image service, asked as the service user.

Fields and properties of images go through python-glanceclient. Their bytes go
through the same session without it: glanceclient can neither begin in the
middle of a file nor announce the length of the one that it sends, which some
servers want to know.
"""

from __future__ import annotations

import contextlib
import json
import re
import urllib.parse
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol
from typing import Self

import glanceclient
import keystoneauth1.session
import requests
from keystoneauth1 import adapter

from imagebuild import exception
from imagebuild.clients import answers
from imagebuild.clients import download
from imagebuild.clients import errors
from imagebuild.clients import image_imports
from imagebuild.clients import image_pages
from imagebuild.clients import images
from imagebuild.clients import keystone
from imagebuild.clients import visibility

SERVICE = 'image'

_PATCH = 'application/openstack-images-v2.1-json-patch'
#: Tags that a path may end with: a "/" in one finds no route, and a proxy may
#: take others for something else.
_SINGLE_TAG = re.compile(r'[\w:=@+-][\w .:=@+-]*', re.ASCII)
#: More would take too long, one after the other.
_MOST_SINGLE_TAGS = 16

_ADAPTER_OPTIONS = (
    'service_type',
    'service_name',
    'region_name',
    'endpoint_override',
)


class Readable(Protocol):
    """Bytes to be sent, whose number is known."""

    def __len__(self) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...


class Glance:
    """The image service.

    Every method raises ServiceUnavailable when it, or Keystone, cannot be
    reached or fails. Safe to use from several threads.

    :param session: of the service user.
    :param trusted_projects: ids of the projects whose images the operator's
        catalogue may name besides public ones; None for the service user's
        own.
    :param options: of the adapter: ``region_name``, ``interface``,
        ``endpoint_override``, ...
    :ivar imports: has it fetch and copy images itself.
    """

    def __init__(
        self,
        session: keystoneauth1.session.Session,
        *,
        trusted_projects: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        self._session = session
        self._trusted_projects = trusted_projects
        self._client: Any = glanceclient.Client(
            '2', session=session, **options
        )
        self._adapter = adapter.Adapter(
            session, **{'service_type': SERVICE, **options}
        )
        self.imports = image_imports.Imports(self._adapter, SERVICE)

    @classmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> Self:
        """Make one from configuration values; nothing is contacted yet.

        :param config: sections ``keystone`` (:func:`keystone.session`) and
            ``glance`` (:func:`imagebuild.conf.glance.values`).
        :raises EnvironmentFault: the credentials are not complete.
        """
        section = config.get('glance', {})
        options = {
            name: section[name]
            for name in _ADAPTER_OPTIONS
            if section.get(name)
        }
        if section.get('valid_interfaces'):
            options['interface'] = list(section['valid_interfaces'])
        return cls(
            keystone.session(config.get('keystone', {})),
            trusted_projects=section.get('trusted_projects') or None,
            **options,
        )

    # -- looking ------------------------------------------------------------

    def get(self, image_id: str) -> images.GlanceImage:
        """An image by its id, whoever owns it.

        :raises NotFound: there is none.
        """
        with errors.translated(SERVICE, image_id):
            return images.GlanceImage.from_answer(
                self._client.images.get(image_id)
            )

    def list(self, **filters: str) -> list[images.GlanceImage]:
        """Images by what Glance can filter by, the newest first.

        Of every project and visibility.

        :param filters: ``name``, ``tag``, ``status``, a property, ...
        """
        tag = filters.pop('tag', None)
        # Without it Glance lists no community images.
        wanted: dict[str, Any] = {'visibility': 'all', **filters}
        if tag is not None:
            wanted['tag'] = [tag]
        with errors.translated(SERVICE):
            found = self._client.images.list(
                filters=wanted, sort='created_at:desc'
            )
            return [images.GlanceImage.from_answer(answer) for answer in found]

    def each(self, **filters: str) -> Iterator[images.GlanceImage]:
        """Images of every project and visibility, also hidden ones.

        Read page by page; one may be deleted before the next is taken.

        :param filters: a property, ``owner``, ``status``, ...
        """
        for hidden in ('false', 'true'):
            wanted = {'visibility': 'all', 'os_hidden': hidden, **filters}
            yield from image_pages.each(self._adapter, SERVICE, wanted)

    def user_id(self) -> str:
        """The id of the service user, '' without Keystone."""
        with errors.translated(SERVICE):
            return self._session.get_user_id() or ''

    def project_id(self) -> str:
        """The id of the service user's project, '' without Keystone."""
        with errors.translated(SERVICE):
            return self._session.get_project_id() or ''

    def visible_image(
        self, project_id: str, id_or_name: str = '', *, tag: str = ''
    ) -> images.GlanceImage:
        """Find the base image that a project means.

        By Glance's own rules: a project's own images, public ones, those
        shared with it that it has accepted, and community ones when they
        are asked for by id. Any other is as if it were not there.

        :param project_id: for whom.
        :param id_or_name: an id, or the name of one image only.
        :param tag: instead: the newest active image that has it.
        :raises NotFound: there is no such image for this project.
        :raises InvalidInput: several have the name, or it is not active.
        """
        return visibility.find(self, project_id, id_or_name, tag)

    def trusted_image(
        self, kind: visibility.Kind, value: str
    ) -> images.GlanceImage:
        """Find the base image that the operator's catalogue means.

        Only public images and those of trusted projects; no other project's
        image is ever taken for one of them, whatever it is called.

        :param kind: what the catalogue names it by.
        :param value: its id, the name of one image only, or a tag: then the
            newest active image that has it.
        :raises NotFound: there is no such image.
        :raises InvalidInput: several have the name, or it is not active.
        """
        projects = self._trusted_projects
        if projects is None:
            projects = list(filter(None, [self.project_id()]))
        return visibility.find_trusted(self, projects, kind, value)

    def members(self, image_id: str) -> dict[str, str]:
        """Who an image is shared with: project id to status.

        :raises NotFound: there is no such image.
        """
        with errors.translated(SERVICE, image_id):
            found = self._client.image_members.list(image_id)
            return {member.member_id: member.status for member in found}

    # -- changing -----------------------------------------------------------

    def create(self, **values: Any) -> images.GlanceImage:
        """Make an image that has no data yet.

        :param values: Glance's fields and any properties.
        :raises Refused: Glance does not want it.
        """
        with errors.translated(SERVICE):
            return images.GlanceImage.from_answer(
                self._client.images.create(**values)
            )

    def update(
        self,
        image_id: str,
        *,
        remove_props: Collection[str] = (),
        **values: Any,
    ) -> images.GlanceImage:
        """Change fields and properties of an image.

        Not by glanceclient: with every change it sends the tags it has read,
        and those that somebody adds meanwhile are lost.

        :param remove_props: names of properties that it is to lose.
        :raises NotFound: there is none.
        :raises Refused: Glance does not want it.
        """
        with errors.translated(SERVICE, image_id):
            found = dict(self._client.images.get(image_id).items())
            if not (patch := _patch(found, values, remove_props)):
                return images.GlanceImage.from_answer(found)
            response = self._adapter.patch(
                f'/v2/images/{image_id}',
                data=json.dumps(patch),
                headers={'Content-Type': _PATCH},
                raise_exc=False,
            )
        _refuse(response, image_id)
        return self.get(image_id)

    def add_tags(self, image_id: str, tags: Collection[str]) -> None:
        """Add tags to an image, whoever adds others at the same time.

        Glance's call for a single tag takes a moment: what another one
        changes between two calls of a client is not lost.

        :raises NotFound: there is none.
        :raises Refused: Glance does not want one; others may be there.
        """
        single = {tag for tag in tags if _SINGLE_TAG.fullmatch(tag)}
        if len(single) > _MOST_SINGLE_TAGS:
            single = set()
        if others := set(tags) - single:
            found = self.get(image_id).tags
            self.update(image_id, tags=sorted({*found, *others}))
        for tag in sorted(single):
            path = f'/v2/images/{image_id}/tags/{urllib.parse.quote(tag)}'
            with errors.translated(SERVICE, image_id):
                response = self._adapter.put(path, raise_exc=False)
            _refuse(response, image_id)

    def share(self, image_id: str, members: Sequence[str]) -> None:
        """Share an image with projects; those that have it keep it.

        :raises Refused: Glance does not want it.
        """
        # Only those that it lacks: for the others Glance answers 409.
        missing = set(members) - set(self.members(image_id) if members else ())
        for member in sorted(missing):
            with (
                contextlib.suppress(exception.Conflict),
                errors.translated(SERVICE, image_id),
            ):
                self._client.image_members.create(image_id, member)

    def unshare(self, image_id: str, *, keep: Sequence[str] = ()) -> None:
        """Share an image with nobody but these."""
        for member in sorted(set(self.members(image_id)) - set(keep)):
            with (
                contextlib.suppress(exception.NotFound),
                errors.translated(SERVICE, image_id),
            ):
                self._client.image_members.delete(image_id, member)

    def delete(self, image_id: str) -> None:
        """Remove an image that is not protected; no error if it is gone.

        :raises Conflict: it is in use.
        :raises Refused: it is protected.
        """
        with (
            contextlib.suppress(exception.NotFound),
            errors.translated(SERVICE, image_id),
        ):
            self._client.images.delete(image_id)

    # -- bytes --------------------------------------------------------------

    @contextlib.contextmanager
    def data(
        self, image_id: str, offset: int = 0
    ) -> Iterator[download.Download]:
        """Ask for an image's bytes.

        :param offset: bytes that are there already.
        :returns: they begin at its ``offset``, 0 where the store behind
            Glance cannot begin elsewhere.
        :raises NotFound: there is no such image, or it has no data.
        """
        with errors.translated(SERVICE, image_id):
            response = self._adapter.get(
                f'/v2/images/{image_id}/file',
                headers=download.headers(offset),
                stream=True,
                raise_exc=False,
            )
        with response:
            code = response.status_code
            if code == 204:
                # Glance's answer for an image without data.
                raise exception.NotFound(what='image', id=image_id)
            if code >= 400 and code != 416:
                raise errors.of_answer(SERVICE, code, response.text, image_id)
            yield download.of_response(response, offset, service=SERVICE)

    def send(
        self,
        image_id: str,
        source: Readable,
        *,
        store: str = '',
        answer_timeout: float | None = None,
    ) -> None:
        """Send an image's bytes, once: never from the middle, never again.

        :param source: they are read once, from its start.
        :param store: id of the store of Glance that they go to; '' for its
            default.
        :param answer_timeout: seconds from the last byte until Glance must
            have stored them; None for those of any answer.
        :raises NotFound: there is no such image.
        :raises Conflict: it has data, or somebody else sends them.
        :raises Refused: they are too many, or not what they should be.
        """
        headers = {'x-image-meta-store': store} if store else {}
        path = f'/v2/images/{image_id}/file'
        self._put(path, image_id, source, headers, answer_timeout)

    def stage(
        self,
        image_id: str,
        source: Readable,
        *,
        answer_timeout: float | None = None,
    ) -> None:
        """Send an image's bytes to where :attr:`imports` finds them.

        See :meth:`send`.
        """
        path = f'/v2/images/{image_id}/stage'
        self._put(path, image_id, source, {}, answer_timeout)

    def _put(
        self,
        path: str,
        image_id: str,
        source: Readable,
        headers: Mapping[str, str],
        answer_timeout: float | None,
    ) -> None:
        usual = self._session.timeout
        # The first is of the connection, and of every piece that is sent; the
        # second begins after the last one.
        timeout = (usual, answer_timeout) if answer_timeout else usual
        with errors.translated(SERVICE, image_id):
            # A token that has ended must not be found out by a server that
            # is being sent gigabytes: keystoneauth renews it here.
            self._adapter.get_token()
            response = self._adapter.put(
                path,
                data=source,
                headers={
                    'Content-Type': 'application/octet-stream',
                    'x-openstack-image-size': str(len(source)),
                    **headers,
                },
                timeout=timeout,
                raise_exc=False,
                # Any of these would send what is left of the source as if
                # it were the whole.
                allow_reauth=False,
                connect_retries=0,
                status_code_retries=0,
                redirect=False,
            )
        code = response.status_code
        if code == 401:
            # allow_reauth would have done so: the next attempt gets a new one.
            self._adapter.invalidate()
        if code == 410:
            # Not only "no such image": "adding images is disabled", too.
            raise exception.ServiceUnavailable(
                service=SERVICE,
                reason=f'it answers 410: {answers.message_of(response.text)}',
            )
        _refuse(response, image_id)


def _refuse(response: requests.Response, image_id: str) -> None:
    """Raise the error that an answer is, if it is one."""
    code = response.status_code
    if code >= 300:
        raise errors.of_answer(SERVICE, code, response.text, image_id)


def _patch(
    found: Mapping[str, Any],
    values: Mapping[str, Any],
    remove: Collection[str],
) -> list[dict[str, Any]]:
    """What there is to do about an image; nothing for what it has.

    :param found: the image.
    :param values: fields and properties that it is to have.
    :param remove: properties that it is to lose.
    """
    patch: list[dict[str, Any]] = []
    for name, value in values.items():
        seen = found.get(name)
        if name == 'tags':
            seen, value = sorted(seen or ()), sorted(set(value))
        if name not in found or seen != value:
            op = 'replace' if name in found else 'add'
            patch.append({'op': op, 'path': _pointer(name), 'value': value})
    for name in sorted(set(remove) - set(values)):
        if name in found:
            patch.append({'op': 'remove', 'path': _pointer(name)})
    return patch


def _pointer(name: str) -> str:
    return '/' + name.replace('~', '~0').replace('/', '~1')
