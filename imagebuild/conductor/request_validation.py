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
"""What only a conductor can validate before a request is queued.

The API has no access to drivers, to Glance as the service user, or to files
of this host. It asks here, and a user's mistake is found at once instead of
in an hour.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import os
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any
from typing import cast
from urllib import parse

from imagebuild import db
from imagebuild import exception
from imagebuild.catalogue import Catalogue
from imagebuild.catalogue import OperatingSystem
from imagebuild.clients import images
from imagebuild.clients import visibility
from imagebuild.clients.glance import Glance
from imagebuild.common import boot_tests
from imagebuild.common import space
from imagebuild.conductor import capability
from imagebuild.conductor.conductor_context import OpenStore
from imagebuild.destinations import HERE
from imagebuild.drivers import isolations
from imagebuild.drivers import published_images
from imagebuild.drivers.base import BaseImage
from imagebuild.drivers.base import Driver
from imagebuild.exception import Problem

LOG = logging.getLogger(__name__)

#: Where a request says it.
_ISOLATION = 'driver_options.isolation'
_IN_GLANCE: tuple[visibility.Kind, ...] = ('id', 'name', 'tag')

#: Makes a client of Glance for the service user.
OpenGlance = Callable[[], Glance]


class _Refused(Exception):  # noqa: N818
    """The request cannot be served; with what is wrong.

    :param elsewhere: whether it may be well on another conductor's host.
    """

    def __init__(self, *problems: Problem, elsewhere: bool = False) -> None:
        super().__init__(problems)
        self.problems = problems
        self.elsewhere = elsewhere


@dataclasses.dataclass(frozen=True)
class HostConfiguration:
    """What requests are held against; read when it is needed.

    :ivar max_virtual_size: gives the bytes that a disk may have; 0 for no
        limit.
    :ivar isolation: gives what disks of those who are trusted are opened in.
    :ivar sections: gives the configuration, as jobs are given it.
    :ivar read_catalogue: reads the catalogue of this host, for API servers
        of the release before, which do not send the entry.
    """

    max_virtual_size: Callable[[], int] = int
    isolation: Callable[[], isolations.Setting] = lambda: 'appliance'
    sections: Callable[[], Mapping[str, Any]] = dict
    read_catalogue: Callable[[], Catalogue] = lambda: Catalogue({})


class RequestValidator:
    """Validates requests.

    :param capability_provider: its drivers.
    :param open_store: gives the store of a destination.
    :param open_glance: gives Glance, where there is one.
    :param of_host: gives what this host is configured with.
    """

    def __init__(
        self,
        database: db.Database,
        capability_provider: capability.CapabilityProvider,
        *,
        open_store: OpenStore,
        open_glance: OpenGlance,
        of_host: HostConfiguration | None = None,
    ) -> None:
        self._database = database
        self._capability_provider = capability_provider
        self._open_store = open_store
        self._open_glance = open_glance
        self._of_host = of_host or HostConfiguration()

    def check_request(
        self,
        project_id: str,
        request: Mapping[str, Any],
        entry: Mapping[str, Any] | None = None,
    ) -> dict[str, Any]:
        """See whether a request can be served, and what it starts from.

        :param project_id: whose images ``base_image`` may name.
        :param request: the body, after defaulting.
        :param entry: of the catalogue, as ``OperatingSystem.to_dict()``.
        :returns: ``problems``, each ``{path, message}``; ``elsewhere``,
            whether another conductor may find none; and ``base``: see
            :class:`imagebuild.drivers.base.BaseImage`, and in it
            ``driver_options`` with those of the catalogue; None when there
            are problems; ``by_program``, whether what is described must be
            such that the guest can do it alone; ``boots``, whether the driver
            boots what it makes.
        :raises EnvironmentFault: a file or service that is needed is not
            available here.
        :raises ServiceUnavailable: Glance is needed and is away.
        """
        try:
            base = self._resolve(
                project_id, request, self._entry(request, entry)
            )
        except _Refused as refused:
            problems = [
                {'path': problem.path, 'message': problem.message}
                for problem in refused.problems
            ]
            return {
                'problems': problems,
                'base': None,
                'elsewhere': refused.elsewhere,
            }
        driver = self._capability_provider.driver(base['driver'])
        options = base['driver_options']
        return {
            'problems': [],
            'base': base,
            'elsewhere': False,
            'by_program': bool(driver and driver.runs_program(options)),
            'boots': bool(driver and driver.boots),
        }

    def verify_image(self, image_row_id: str) -> bool:
        """Whether an image can still be used; its row is changed if not.

        :raises ServiceUnavailable: the store cannot be asked.
        """
        try:
            image = self._database.get_image(image_row_id)
        except exception.NotFound:
            return False
        if image.status != 'active':
            return False
        if self._open_store(image.destination).exists(image.image_id):
            return True
        LOG.warning(
            'Image %s of build %s is not in the store any more',
            image.image_id,
            image.build_id,
        )
        self._database.image_deleted(image.id)
        return False

    # -- resolving ----------------------------------------------------------

    def _resolve(
        self,
        project_id: str,
        request: Mapping[str, Any],
        entry: OperatingSystem,
    ) -> dict[str, Any]:
        name = request.get('driver') or entry.driver
        driver = self._capability_provider.driver(name)
        if driver is None:
            problem = Problem('driver', f'there is no driver "{name}"')
            raise _Refused(problem, elsewhere=True)
        given, place = _asked_of(driver, request)
        options = driver.combined(entry.driver_options, given)
        self._narrow_isolation(options, entry, given)
        try:
            driver.validate(options)
            driver.check_asked(given, options, self._of_host.sections())
        except exception.InvalidManifest as error:
            raise _Refused(*map(place, error.errors)) from error
        where = 'os' if entry.name else 'driver'
        if 'size' in given:
            where = 'driver_options.size'
        self._check_size(where, driver.disk_size(options))
        if driver.wants_base:
            base = self._base_image(project_id, request, entry)
        elif request.get('base_image'):
            raise _refused(
                'base_image', f'the driver "{name}" starts from nothing'
            )
        else:
            base = {'kind': 'none', 'identity': driver.identity(options)}
        self._check_destinations(request)
        self._check_adoption(driver, options, request)
        # Whose fault a broken image is depends on who has named it.
        named = '' if request.get('base_image') else entry.name
        found = BaseImage.from_dict({**base, 'driver': name, 'os': named})
        if driver.wants_base and found.kind not in driver.base_kinds:
            raise _refused(
                'base_image' if request.get('base_image') else 'os',
                f'the driver "{name}" starts from images in Glance, and this '
                'base image is none',
            )
        # Who can write to a file is a matter of its host.
        with _refused_at(_ISOLATION, elsewhere=found.kind == 'path'):
            isolations.refuse_sandbox(found, _asked(given))
        return {**found.to_dict(), 'driver_options': options}

    def _narrow_isolation(
        self,
        options: dict[str, Any],
        entry: OperatingSystem,
        given: Mapping[str, Any],
    ) -> None:
        """Let no request be opened in less than the operator has said.

        A job narrows it again, by the configuration of its own host.

        :param options: those of both; ``isolation`` is what holds afterwards.
        """
        if 'isolation' not in options:
            return
        of_entry = _asked(entry.driver_options)
        asked = _asked(given)
        # First what the operator has said everywhere, then what of this host.
        with _refused_at(_ISOLATION):
            isolations.narrowed(of_entry, asked)
        with _refused_at('os', elsewhere=True):
            setting = isolations.narrowed(self._of_host.isolation(), of_entry)
        with _refused_at(_ISOLATION, elsewhere=True):
            isolations.narrowed(setting, asked)
        options['isolation'] = isolations.narrowed(of_entry, asked)

    def _check_size(self, path: str, size: int) -> None:
        limit = self._of_host.max_virtual_size()
        if limit and size > limit:
            raise _refused(
                path,
                f'the disk would have {space.human(size)}, and this service '
                f'makes none of more than {space.human(limit)}',
            )

    def _check_destinations(self, request: Mapping[str, Any]) -> None:
        problems = []
        for number, name in enumerate(request.get('destinations') or ()):
            try:
                self._open_store(name)
            except exception.ImageBuildError as error:
                # Of this host, and with its paths: not for users.
                LOG.error('%s', error)
                problems.append(
                    Problem(
                        f'destinations[{number}]',
                        f'the destination "{name}" cannot be used now',
                    )
                )
        if problems:
            raise _Refused(*problems, elsewhere=True)

    def _check_adoption(
        self,
        driver: Driver,
        options: Mapping[str, Any],
        request: Mapping[str, Any],
    ) -> None:
        """Refuse what an image that a cloud makes cannot be."""
        if driver.makes(options) != 'image':
            return
        makes = f'the driver "{driver.name}" has this cloud make the image'
        problems = []
        if (request.get('destinations') or [HERE]) != [HERE]:
            problems.append(
                Problem(
                    'destinations',
                    f'{makes}: upload it to others when the build is active',
                )
            )
        if request.get('disk_format'):
            problems.append(
                Problem('disk_format', f'{makes}, and chooses its format')
            )
        if request.get('container_format', 'bare') != 'bare':
            problems.append(
                Problem('container_format', f'{makes}: it is bare')
            )
        if request.get(boot_tests.FIELD) and not driver.boots:
            problems.append(
                Problem(
                    boot_tests.FIELD,
                    f'{makes}, and does not have it boot it; it is not '
                    'booted here either',
                )
            )
        if problems:
            raise _Refused(*problems)
        if not self._open_store(HERE).adopts:
            LOG.error(
                'The store of this cloud adopts no image: [conductor] store'
            )
            raise _Refused(
                Problem(
                    'driver', f'{makes}, and its store here takes only files'
                ),
                elsewhere=True,
            )

    def _entry(
        self, request: Mapping[str, Any], entry: Mapping[str, Any] | None
    ) -> OperatingSystem:
        if entry is not None:
            return OperatingSystem.from_dict(entry)
        name = request.get('os') or ''
        if not name:
            return OperatingSystem('')
        catalogue = self._of_host.read_catalogue()
        found = catalogue.get(name)
        if found is None:
            known = ', '.join(catalogue.names()) or 'none'
            raise _refused(
                'os', f'there is no operating system "{name}"; found: {known}'
            )
        return found

    def _trusted(
        self, kind: visibility.Kind, value: str
    ) -> images.GlanceImage:
        return self._open_glance().trusted_image(kind, value)

    def _base_image(
        self,
        project_id: str,
        request: Mapping[str, Any],
        entry: OperatingSystem,
    ) -> dict[str, Any]:
        given = request.get('base_image')
        image = entry.image
        if given:
            return self._in_glance(
                'base_image',
                lambda: self._open_glance().visible_image(
                    project_id, str(given)
                ),
            )
        if 'url' in image:
            location, checksum = image['url'], image.get('checksum', '')
            if not checksum:
                found = self._published(image)
                location, checksum = found.url, found.checksum
            return {
                'kind': 'url',
                'location': location,
                'checksum': checksum,
                'identity': checksum,
            }
        if 'path' in image:
            return self._file(image['path'], image.get('checksum', ''))
        for kind in _IN_GLANCE:
            if kind in image:
                return self._in_glance(
                    'os', functools.partial(self._trusted, kind, image[kind])
                )
        raise _refused(
            'os' if entry.name else '',
            'a base image is needed, and none is named',
        )

    def _published(self, image: Mapping[str, str]) -> published_images.Found:
        """The image that a list of checksums has now."""
        published = published_images.Published.from_image(image)
        resolver = published_images.Resolver.from_config(
            self._of_host.sections()
        )
        try:
            return resolver.resolve(published)
        except exception.EnvironmentFault as error:
            # It names a keyring of this host: not for users.
            LOG.error('%s', error)
            host = parse.urlsplit(published.checksum_file).hostname
            problem = Problem(
                'os',
                f'the list of checksums of its base image, of {host}, cannot '
                'be used now; the log of the conductor says why',
            )
            raise _Refused(problem, elsewhere=True) from error

    def _file(self, path: str, checksum: str) -> dict[str, Any]:
        """A base image that is a file of hosts of conductors."""
        files = self._capability_provider.base_files
        if checksum:
            # Read when it is built, if it is here; another one may have it.
            files.look(path, checksum)
            identity = checksum
        else:
            identity = files.identity(path)
        found: dict[str, Any] = {
            'kind': 'path',
            'location': path,
            'checksum': identity,
            'identity': identity,
        }
        with contextlib.suppress(OSError):
            found['size'] = os.stat(path).st_size
        return found

    def _in_glance(
        self, path: str, find: Callable[[], images.GlanceImage]
    ) -> dict[str, Any]:
        try:
            image = find()
        except exception.InvalidInput as error:
            raise _refused(path, str(error)) from error
        self._check_size(path, image.virtual_size)
        return {
            'kind': 'glance',
            'id': image.id,
            'checksum': image.checksum,
            'size': image.size,
            'disk_format': image.disk_format,
            'identity': image.checksum or f'glance:{image.id}',
        }


def _refused(path: str, message: str) -> _Refused:
    return _Refused(Problem(path, message))


def _asked(options: Mapping[str, Any]) -> isolations.Setting:
    return cast(isolations.Setting, options.get('isolation') or 'auto')


@contextlib.contextmanager
def _refused_at(path: str, *, elsewhere: bool = False) -> Iterator[None]:
    try:
        yield
    except isolations.SandboxNotGranted as error:
        raise _Refused(
            Problem(path, str(error)), elsewhere=elsewhere
        ) from error


def _asked_of(
    driver: Driver, request: Mapping[str, Any]
) -> tuple[dict[str, Any], Callable[[Problem], Problem]]:
    """The driver's options of a request, its elements among them.

    :returns: them, and what says where in the request a problem is.
    """
    given = dict(request.get('driver_options') or {})
    elements = request.get('elements') or []
    if elements and not driver.takes_elements:
        raise _refused(
            'elements',
            f'the driver "{driver.name}" makes nothing of elements; '
            'diskimage_builder does',
        )
    own = given.get('elements')
    own = own if isinstance(own, list) else []
    more = [name for name in elements if name not in own]
    if more:
        given['elements'] = [*own, *more]
    places = {
        f'elements[{len(own) + number}]': f'elements[{elements.index(name)}]'
        for number, name in enumerate(more)
    }

    def place(problem: Problem) -> Problem:
        if problem.path in places:
            return Problem(places[problem.path], problem.message)
        return _below('driver_options', problem)

    return given, place


def _below(path: str, problem: Problem) -> Problem:
    """The same problem of something that lies at a path of the request."""
    dot = '' if problem.path[:1] in ('', '[') else '.'
    return Problem(f'{path}{dot}{problem.path}', problem.message)
