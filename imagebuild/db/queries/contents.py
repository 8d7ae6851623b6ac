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
"""What is in images: their documents, and which of them hold a package.

A document belongs to the build that has made the image, in however many
stores that is and however many builds have it since. The query begins with
the name, which an index has; versions are compared by those who ask, since no
database knows the rules of the ecosystems.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
from collections.abc import Iterator
from collections.abc import Sequence
from typing import TypeVar

import oslo_db.exception
import sqlalchemy as sa

from imagebuild import exception
from imagebuild.db import package_records as records
from imagebuild.db.models import Build
from imagebuild.db.models import Image
from imagebuild.db.package_models import Package
from imagebuild.db.package_models import Sbom
from imagebuild.db.package_models import SbomPackage
from imagebuild.db.queries import rows
from imagebuild.db.transaction import Session
from imagebuild.db.transaction import reader
from imagebuild.db.transaction import writer

T = TypeVar('T')

#: Type, name, version and architecture.
Key = tuple[str, str, str, str]

_COLUMNS = ('type', 'name', 'version', 'architecture')
#: Values in one statement.
_BATCH = 500
#: Links that are looked at at once, at least.
_FEWEST = 50


@writer
def store_sbom(
    session: Session,
    build_id: str,
    document: bytes,
    packages: Sequence[Key],
    *,
    conductor: str,
    attempt: int,
) -> bool:
    """Keep what is in the image that an attempt has made.

    In the place of what an earlier attempt has left.

    :param document: compressed; at most 16 MiB.
    :param packages: each once.
    :returns: False when this conductor and attempt do not have the build any
        more: nothing was done.
    """
    try:
        build = rows.locked_build(session, build_id)
    except exception.NotFound:
        return False
    if (build.conductor, build.attempt) != (conductor, attempt):
        return False
    if build.status != 'building' or build.deleted_at is not None:
        return False
    remove(session, [build_id])
    sbom = Sbom(build_id=build_id, created_at=session.now, document=document)
    session.add(sbom)
    with _retry_on_conflict():
        session.flush()
        ids = _ids(session, build.project_id, packages)
        for part in _batches(ids):
            session.execute(
                sa.insert(SbomPackage),
                [{'package_id': id, 'sbom_id': sbom.id} for id in part],
            )
    return True


@contextlib.contextmanager
def _retry_on_conflict() -> Iterator[None]:
    """Run the call again when another has made or removed the same package.

    Those of a project wait for each other, so that is the purge.
    """
    try:
        yield
    except (
        oslo_db.exception.DBDuplicateEntry,
        oslo_db.exception.DBReferenceError,
    ) as error:
        raise oslo_db.exception.RetryRequest(error) from error


def _ids(
    session: Session, project_id: str, packages: Sequence[Key]
) -> list[int]:
    """The rows of packages, which are made where they are missing."""
    wanted = {_digest(project_id, key): key for key in packages}
    known: dict[str, int] = {}
    for part in _batches(sorted(wanted)):
        query = sa.select(Package.digest, Package.id)
        found = session.execute(query.where(Package.digest.in_(part)))
        known.update((digest, id) for digest, id in found)
    missing = sorted(wanted.keys() - known.keys())
    for part in _batches(missing):
        made = [
            {
                'digest': digest,
                'project_id': project_id,
                **dict(zip(_COLUMNS, wanted[digest], strict=True)),
            }
            for digest in part
        ]
        session.execute(sa.insert(Package), made)
        query = sa.select(Package.digest, Package.id)
        found = session.execute(query.where(Package.digest.in_(part)))
        known.update((digest, id) for digest, id in found)
    return sorted(known.values())


def _digest(project_id: str, key: Key) -> str:
    # None of them holds a line feed.
    return hashlib.sha256('\n'.join((project_id, *key)).encode()).hexdigest()


def _batches(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), _BATCH):
        yield items[start : start + _BATCH]


@reader
def get_sbom(session: Session, build_id: str) -> bytes:
    """Look up the document of the image that a build has, or is to have.

    :returns: compressed.
    :raises NotFound: there is no such build, or no document.
    """
    build = rows.live_build(session, build_id)
    maker = build.reused_from or build.id
    if build.image_row_id is not None:
        maker = session.get_one(Image, build.image_row_id).build_id
    query = sa.select(Sbom.document).where(Sbom.build_id == maker)
    document = session.scalar(query)
    if document is None:
        raise exception.NotFound(
            what='list of the packages of build', id=build_id
        )
    return document


@reader
def package_versions(
    session: Session,
    names: Sequence[tuple[str | None, str]],
    *,
    project_id: str | None,
) -> list[records.PackageVersion]:
    """Find the packages of a name, at any version.

    They may be without an image.

    :param names: each with the ecosystem, None for any.
    :param project_id: whose; None for all.
    :returns: in the order of their ids.
    """
    query = sa.select(Package).order_by(Package.id)
    query = query.where(
        sa.or_(
            *(
                sa.and_(
                    Package.name == name,
                    sa.true() if type is None else Package.type == type,
                )
                for type, name in names
            )
        )
    )
    if project_id is not None:
        query = query.where(Package.project_id == project_id)
    return [_version(row) for row in session.scalars(query)]


def _version(row: Package) -> records.PackageVersion:
    return rows.record(records.PackageVersion, row)


@reader
def images_with(
    session: Session,
    packages: Sequence[int],
    *,
    limit: int,
    after: records.PackagePlace | None = None,
) -> list[records.HeldPackage]:
    """List the active images that hold packages.

    :param packages: ids, as :func:`package_versions` gives them.
    :param limit: how many at most.
    :param after: go on after this one.
    :returns: by package, and then in the order in which they were made.
    """
    found: list[records.HeldPackage] = []
    for part in _batches(sorted(packages)):
        if after is None or part[-1] >= after.package:
            found += _held(session, part, limit - len(found), after)
        if len(found) == limit:
            break
    return _with_builds(session, found)


def _held(
    session: Session,
    packages: Sequence[int],
    limit: int,
    after: records.PackagePlace | None,
) -> list[records.HeldPackage]:
    """Those of some packages.

    Each step is a query with one condition that has an index. In a join with
    the status of images SQLite, which has no statistics, begins with that: it
    reads every active image.
    """
    query = sa.select(Package).where(Package.id.in_(packages))
    versions = {each.id: _version(each) for each in session.scalars(query)}
    found: list[records.HeldPackage] = []
    last = None if after is None else (after.package, after.sbom - 1)
    while len(found) < limit:
        links = _links(session, packages, last, limit - len(found))
        if not links:
            break
        makers = {link.build_id for link in links}
        images = _active(session, sorted(makers))
        for package, sbom, maker in links:
            for image in images.get(maker, ()):
                place = records.PackagePlace(package, sbom, image.id)
                if after is None or place > after:
                    held = _held_by(place, versions[package], image)
                    found.append(held)
        last = links[-1].package_id, links[-1].sbom_id
    return found[:limit]


def _held_by(
    place: records.PackagePlace,
    version: records.PackageVersion,
    image: Image,
) -> records.HeldPackage:
    return records.HeldPackage(
        place,
        version,
        image.project_id,
        image.image_id,
        image.destination,
        image.disk_format,
        # For now.
        build_id=image.build_id,
    )


def _links(
    session: Session,
    packages: Sequence[int],
    last: tuple[int, int] | None,
    number: int,
) -> Sequence[sa.Row[int, int, str]]:
    """Package, document and maker of some links, in their order.

    :param last: package and document; those after it.
    :param number: how many images are still wanted.
    """
    package, sbom = SbomPackage.package_id, SbomPackage.sbom_id
    query = (
        sa.select(package, sbom, Sbom.build_id)
        .join(Sbom, Sbom.id == sbom)
        .where(package.in_(packages))
        .order_by(package, sbom)
        # Some may have no image any more.
        .limit(min(max(number, _FEWEST), _BATCH))
    )
    if last is not None:
        query = query.where(
            sa.or_(
                package > last[0],
                sa.and_(package == last[0], sbom > last[1]),
            )
        )
    return session.execute(query).all()


def _active(session: Session, makers: Sequence[str]) -> dict[str, list[Image]]:
    """The active images that builds have made, by the build."""
    query = sa.select(Image).where(Image.build_id.in_(makers))
    found: dict[str, list[Image]] = {}
    for image in session.scalars(query.order_by(Image.id)):
        if image.status == 'active':
            found.setdefault(image.build_id, []).append(image)
    return found


def _with_builds(
    session: Session, found: Sequence[records.HeldPackage]
) -> list[records.HeldPackage]:
    """Name a build that is there for each: its maker, or who has it since."""
    makers = sorted({each.build_id for each in found})
    builds: dict[str, tuple[str, str]] = {}
    for part in _batches(makers):
        query = sa.select(Build).where(Build.id.in_(part))
        builds |= {
            each.id: (each.id, each.name)
            for each in session.scalars(query)
            if each.deleted_at is None
        }
    for part in _batches([each for each in makers if each not in builds]):
        builds |= _users(session, part)
    return [_of_build(each, builds.get(each.build_id)) for each in found]


def _users(
    session: Session, makers: Sequence[str]
) -> dict[str, tuple[str, str]]:
    """The oldest build that has an image of each of these."""
    query = sa.select(Image.id, Image.build_id)
    made = session.execute(query.where(Image.build_id.in_(makers)))
    maker_of = {row.id: row.build_id for row in made}
    found: dict[str, tuple[str, str]] = {}
    for part in _batches(sorted(maker_of)):
        users = sa.select(
            Build.id, Build.name, Build.image_row_id, Build.deleted_at
        ).where(Build.image_row_id.in_(part))
        for id, name, row_id, deleted in session.execute(
            users.order_by(Build.created_at, Build.id)
        ):
            if deleted is None and row_id is not None:
                found.setdefault(maker_of[row_id], (id, name))
    return found


def _of_build(
    held: records.HeldPackage, build: tuple[str, str] | None
) -> records.HeldPackage:
    id, name = build or ('', '')
    return dataclasses.replace(held, build_id=id, build_name=name)


# -- the end ----------------------------------------------------------------


def remove(session: Session, build_ids: Sequence[str]) -> None:
    """Remove the documents of builds; their packages go with the purge."""
    for part in _batches(build_ids):
        sboms = sa.select(Sbom.id).where(Sbom.build_id.in_(part))
        ids = list(session.scalars(sboms))
        if ids:
            links = sa.delete(SbomPackage).where(SbomPackage.sbom_id.in_(ids))
            session.change(links)
            session.change(sa.delete(Sbom).where(Sbom.id.in_(ids)))


def remove_former(session: Session, build_id: str) -> None:
    """Remove the document of an attempt that has made no image.

    What the next one makes may hold other packages.
    """
    images = sa.select(Image.id).where(
        Image.build_id == build_id, Image.status != 'deleted'
    )
    if session.scalar(images.limit(1)) is None:
        remove(session, [build_id])


def remove_unused(session: Session, build_ids: Sequence[str]) -> None:
    """Remove the documents of builds that nobody has an image of any more."""
    images = sa.exists().where(
        Image.build_id == Sbom.build_id, Image.status != 'deleted'
    )
    builds = sa.exists().where(Build.id == Sbom.build_id, rows.LIVE)
    for part in _batches(build_ids):
        query = sa.select(Sbom.build_id).where(
            Sbom.build_id.in_(part), ~images, ~builds
        )
        remove(session, list(session.scalars(query)))


def purge_packages(session: Session, limit: int) -> int:
    """Remove packages that no document lists.

    :param limit: how many at most.
    :returns: how many there were.
    """
    unused = ~sa.exists().where(SbomPackage.package_id == Package.id)
    query = sa.select(Package.id).where(unused).order_by(Package.id)
    ids = list(session.scalars(query.limit(limit)))
    removed = 0
    with _retry_on_conflict():
        for part in _batches(ids):
            removed += session.change(
                sa.delete(Package).where(Package.id.in_(part), unused)
            )
    return removed
