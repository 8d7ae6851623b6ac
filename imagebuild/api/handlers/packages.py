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
"""Which images hold a package, and what is in the image of a build."""

from __future__ import annotations

import gzip

import flask
from packaging import utils

from imagebuild import db
from imagebuild import exception
from imagebuild import policies
from imagebuild.api import paging
from imagebuild.api import provenance
from imagebuild.api import responses
from imagebuild.api.api_call import Call
from imagebuild.api.handlers import builds
from imagebuild.sbom import versions

PATH = '/v1/packages'


def index(call: Call) -> flask.Response:
    """GET /v1/packages"""
    call.context.can(policies.packages.LIST)
    found = call.database.package_versions(
        _names(call.query['name'], call.query.get('type')),
        project_id=paging.project(call),
    )
    size = paging.limit(call)
    held = call.database.images_with(
        [each.id for each in found if _is_asked_for(call, each)],
        # One more than is shown tells whether there is another page.
        limit=size + 1,
        after=_place(call.query.get('marker')),
    )
    items = [_item(each) for each in held[:size]]
    return responses.ok(
        paging.page(call, 'packages', PATH, items, more=len(held) > size)
    )


def _names(name: str, type: str | None) -> list[tuple[str | None, str]]:
    """The names of a package, each with the type that it is of."""
    # PyYAML, pyyaml and Py.YAML are one project to pip.
    names = [(type, name), ('pypi', utils.canonicalize_name(name))]
    return names if type in (None, 'pypi') else names[:1]


def _is_asked_for(call: Call, package: db.PackageVersion) -> bool:
    asked = call.query.get('version')
    if asked is None:
        return True
    # The schema has seen it.
    conditions = versions.Conditions.parse(asked)
    return conditions.hold(package.type, package.version)


def _place(marker: str | None) -> db.PackagePlace | None:
    if marker is None:
        return None
    package, sbom, image = marker.split('-', 2)
    return db.PackagePlace(int(package), int(sbom), image)


def _item(held: db.HeldPackage) -> dict[str, object]:
    place, package = held.place, held.package
    return {
        'id': f'{place.package}-{place.sbom}-{place.image}',
        'name': package.name,
        'version': package.version,
        'type': package.type,
        'architecture': package.architecture or None,
        'image_id': held.image_id,
        'destination': held.destination,
        'disk_format': held.disk_format,
        'build_id': held.build_id or None,
        'build_name': held.build_name or None,
        'project_id': held.project_id,
    }


def sbom(call: Call, build_id: str) -> flask.Response:
    """GET /v1/builds/{build_id}/sbom"""
    build = builds.visible(call, build_id)
    call.context.can(policies.builds.SBOM, build)
    try:
        document = call.database.get_sbom(build.id)
    except exception.NotFound:
        raise exception.NotFound(
            f'There is no SBOM of build {build.id}: it has not made its '
            'image yet, or its log says why there is none.'
        ) from None
    return responses.json_text(gzip.decompress(document))


def origin(call: Call, build_id: str) -> flask.Response:
    """GET /v1/builds/{build_id}/provenance"""
    build = builds.visible(call, build_id)
    call.context.can(policies.builds.PROVENANCE, build)
    if not build.images:
        raise exception.NotFound(
            f'There is no provenance of build {build.id}: it has no image.'
        )
    images, maker = build.images, build
    if images[0].build_id != build.id:
        try:
            maker = call.database.get_build(images[0].build_id)
        except exception.NotFound:
            # This one is of the same content.
            pass
    return responses.ok(provenance.statement(maker, images, call.root))
