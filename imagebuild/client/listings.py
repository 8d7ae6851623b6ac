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
"""Recipes, operating systems, conductors and uploads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imagebuild.client import managers
from imagebuild.client import records


class RecipeManager(managers.Manager):
    """``client.recipes``: the recipes that the service has."""

    def list(self) -> Iterator[records.Recipe]:
        """Go through all recipes, one record for each version."""
        return self._pages(records.Recipe, '/recipes', 'recipes')

    def get(self, name: str, version: str) -> records.Recipe:
        """Return one, with its arguments as a JSON schema.

        :raises NotFound: the service has no such recipe.
        :raises Conflict: the recipe is broken.
        """
        path = f'/recipes/{managers.quoted(name)}/{managers.quoted(version)}'
        return self._get(records.Recipe, path, 'recipe')


class OperatingSystemManager(managers.Manager):
    """``client.operating_systems``: the operator's catalogue."""

    def list(self) -> Iterator[records.OperatingSystem]:
        """Go through the names that ``os`` may have."""
        return self._pages(
            records.OperatingSystem, '/operating-systems', 'operating_systems'
        )


class DestinationManager(managers.Manager):
    """``client.destinations``: further clouds to upload to."""

    def list(self) -> Iterator[records.Destination]:
        """Go through those that the project may use."""
        return self._pages(
            records.Destination, '/destinations', 'destinations'
        )


class DriverManager(managers.Manager):
    """``client.drivers``: what makes disks."""

    def list(self) -> Iterator[records.Driver]:
        """Go through those that ``driver`` may name now."""
        return self._pages(records.Driver, '/drivers', 'drivers')


class ConductorManager(managers.Manager):
    """``client.conductors``: who builds. For administrators."""

    def list(self) -> Iterator[records.Conductor]:
        """Go through the conductors that have been seen."""
        return self._pages(records.Conductor, '/conductors', 'conductors')


class PackageManager(managers.Manager):
    """``client.packages``: what is in the images."""

    def list(
        self,
        name: str,
        *,
        version: str | None = None,
        limit: int | None = None,
        marker: str | None = None,
        **filters: Any,
    ) -> Iterator[records.HeldPackage]:
        """Go through the active images that hold a package.

        :param name: of the package, exactly.
        :param version: conditions such as ``<3.0.15`` or ``>=3.0,<3.0.15``,
            compared as the package's ecosystem does.
        :param limit: at most so many in all.
        :param marker: begin after the item with this id.
        :param filters: ``type`` (``deb``, ``pypi`` or ``rpm``), and for
            administrators ``all_projects`` and ``project_id``.
        """
        params = {'name': name, 'version': version, 'marker': marker}
        return self._pages(
            records.HeldPackage,
            '/packages',
            'packages',
            {**params, **filters},
            limit=limit,
        )


class UploadManager(managers.Manager):
    """``client.uploads``: the ways of images to clouds."""

    def list(self, **filters: Any) -> Iterator[records.Upload]:
        """Go through the uploads of the project.

        :param filters: such as ``build_id`` and ``status``.
        """
        return self._pages(records.Upload, '/uploads', 'uploads', filters)

    def get(self, upload_id: str) -> records.Upload:
        """Look an upload up.

        :raises NotFound: there is none.
        """
        return managers.record(
            records.Upload,
            self._transport.json(
                'GET', f'/uploads/{managers.quoted(upload_id)}'
            ),
            'upload',
        )

    def create(
        self,
        build_id: str,
        *,
        destination: str = '',
        disk_format: str | None = None,
    ) -> records.Upload:
        """Send the image of a build to one more cloud."""
        body: dict[str, Any] = {
            'build_id': build_id,
            'destination': destination,
        }
        if disk_format is not None:
            body['disk_format'] = disk_format
        return managers.record(
            records.Upload,
            self._transport.json('POST', '/uploads', json=body),
            'upload',
        )

    def delete(self, upload_id: str) -> None:
        """Take back what an upload brought to its cloud."""
        self._transport.request(
            'DELETE', f'/uploads/{managers.quoted(upload_id)}'
        )
