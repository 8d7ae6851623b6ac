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
"""What is in images."""

import datetime

import pytest
import sqlalchemy as sa

from imagebuild import db
from imagebuild import exception
from imagebuild.db import package_models
from tests.contract.database import claim
from tests.contract.database import delete_image
from tests.contract.database import finish
from tests.contract.database import image_row
from tests.contract.database import start
from tests.contract.database import values

OPENSSL = ('deb', 'openssl', '3.0.14-1', 'amd64')
NEWER = ('deb', 'openssl', '3.0.15-1', 'amd64')
NGINX = ('deb', 'nginx', '1.22.1-9', 'amd64')
YAML = ('pypi', 'pyyaml', '6.0', '')


def store(database, build, *packages, document=b'a document', **others):
    return database.store_sbom(
        build.id,
        document,
        packages,
        **{
            'conductor': build.conductor,
            'attempt': build.attempt,
            **others,
        },
    )


def made(database, *packages, document=b'a document', **others):
    """A build whose image holds these."""
    build = start(database, **others)
    assert store(database, build, *packages, document=document)
    return finish(
        database, build, image={**IMAGE, 'image_id': f'g-{build.id}'}
    )


IMAGE = {'disk_format': 'qcow2', 'container_format': 'bare', 'size': 3}


def held(database, name, project_id='p1', **others):
    """The images that hold a package of a name."""
    found = database.package_versions([(None, name)], project_id=project_id)
    return database.images_with(
        [each.id for each in found], **{'limit': 1000, **others}
    )


def builds(found):
    return [each.build_id for each in found]


def rows(database, model):
    query = sa.select(sa.func.count()).select_from(model)
    return database._read_once(lambda session: session.scalar(query))


class ContentsContract:
    def test_a_document_is_kept_for_its_build(self, database):
        build = made(database, OPENSSL, document=b'\x00\xff' * 1000)
        assert database.get_sbom(build.id) == b'\x00\xff' * 1000

    def test_a_build_without_one(self, database):
        build = finish(database, start(database))
        with pytest.raises(exception.NotFound):
            database.get_sbom(build.id)
        with pytest.raises(exception.NotFound):
            database.get_sbom('nobody')

    def test_who_has_lost_the_build_stores_nothing(self, database):
        build = start(database)
        assert not store(database, build, OPENSSL, conductor='c2')
        assert not store(database, build, OPENSSL, attempt=2)
        ended = finish(database, start(database), 'error')
        assert not store(database, ended, OPENSSL)
        assert not database.store_sbom(
            'nobody', b'', [], conductor='c1', attempt=1
        )
        assert rows(database, package_models.Sbom) == 0

    def test_another_attempt_takes_its_place(self, database):
        build = start(database)
        store(database, build, OPENSSL, NGINX)
        assert store(database, build, NEWER, document=b'another')
        build = finish(database, build)
        assert database.get_sbom(build.id) == b'another'
        [found] = held(database, 'openssl')
        assert found.package.version == '3.0.15-1'
        assert held(database, 'nginx') == []

    def test_an_attempt_that_ended_leaves_none(self, database):
        build = start(database)
        store(database, build, OPENSSL)
        assert database.requeue_build(
            build.id, conductor='c1', attempt=1, reason='It is dead.'
        )
        # The next one may not be able to list what it has made.
        build = claim(database, build.id, 'c2')
        finish(database, build)
        with pytest.raises(exception.NotFound):
            database.get_sbom(build.id)
        assert held(database, 'openssl') == []

    def test_which_images_hold_a_package(self, database):
        old = made(database, OPENSSL, NGINX, name='old')
        new = made(database, NEWER, YAML)
        other = made(database, OPENSSL, project_id='p2')
        made(database, NGINX)
        found = held(database, 'openssl')
        assert builds(found) == [old.id, new.id]
        first = found[0]
        assert (first.build_name, first.image_id) == ('old', f'g-{old.id}')
        assert (first.destination, first.disk_format) == ('', 'qcow2')
        assert first.package.type == 'deb'
        assert first.package.architecture == 'amd64'
        assert builds(held(database, 'openssl', 'p2')) == [other.id]
        assert len(held(database, 'openssl', None)) == 3
        assert held(database, 'open%') == held(database, 'OpenSSL') == []

    def test_names_of_one_ecosystem(self, database):
        made(database, YAML, ('deb', 'pyyaml', '1', 'all'))
        find = database.package_versions
        assert len(find([(None, 'pyyaml')], project_id='p1')) == 2
        [found] = find([('pypi', 'pyyaml')], project_id='p1')
        assert found.type == 'pypi'
        both = [('deb', 'PyYAML'), ('pypi', 'pyyaml')]
        assert find(both, project_id='p1') == [found]

    def test_an_image_in_several_clouds(self, database):
        build = made(database, OPENSSL)
        image_row(database, build, 'north')
        found = held(database, 'openssl')
        assert sorted(each.destination for each in found) == ['', 'north']
        assert {each.build_id for each in found} == {build.id}

    def test_pages(self, database):
        for number in range(4):
            build = made(database, OPENSSL, NEWER, name=str(number))
            image_row(database, build, 'north')
        whole = held(database, 'openssl')
        assert len(whole) == 16
        pages = []
        while page := held(
            database,
            'openssl',
            limit=3,
            after=pages[-1].place if pages else None,
        ):
            pages += page
        assert pages == whole

    def test_a_build_that_reuses_an_image(self, database):
        build = made(database, OPENSSL, content_key='same')
        second = database.create_build(values(content_key='same'))
        assert second.status == 'active'
        assert database.get_sbom(second.id) == b'a document'
        database.delete_build(build.id)
        [found] = held(database, 'openssl')
        assert found.build_id == second.id
        assert database.get_sbom(second.id) == b'a document'

    def test_a_build_that_waited_for_the_same_content(self, database):
        build = start(database, content_key='same')
        waiting = database.create_build(values(content_key='same'))
        store(database, build, OPENSSL)
        finish(database, build)
        assert database.get_sbom(waiting.id) == b'a document'

    def test_a_build_that_has_no_image_holds_nothing(self, database):
        build = start(database)
        store(database, build, OPENSSL)
        assert database.get_sbom(build.id) == b'a document'
        assert held(database, 'openssl') == []
        finish(database, build, 'error')
        assert held(database, 'openssl') == []

    def test_rows_go_with_the_image(self, database):
        build = made(database, OPENSSL, NGINX)
        kept = made(database, OPENSSL)
        image = database.delete_build(build.id)
        assert builds(held(database, 'openssl')) == [kept.id]
        delete_image(database, image)
        assert rows(database, package_models.Sbom) == 1
        assert rows(database, package_models.SbomPackage) == 1
        database.purge(datetime.datetime(2000, 1, 1))
        assert rows(database, package_models.Package) == 1

    def test_rows_go_with_a_build_without_an_image(self, database, clock):
        build = start(database)
        store(database, build, OPENSSL)
        finish(database, build, 'error')
        clock.forward(3600)
        database.purge(clock.time)
        assert rows(database, package_models.Sbom) == 0
        assert rows(database, package_models.Package) == 0

    def test_an_image_that_outlives_its_build(self, database, clock):
        build = made(database, OPENSSL)
        database.delete_build(build.id)
        clock.forward(3600)
        database.purge(clock.time)
        assert rows(database, package_models.Sbom) == 1
        [image] = database.deleting_images()
        delete_image(database, image)
        assert rows(database, package_models.Sbom) == 0

    def test_as_many_packages_as_a_desktop_has(self, database):
        packages = [('deb', f'x{n}', '1', 'all') for n in range(2500)]
        build = made(database, *packages)
        again = made(database, *packages)
        assert builds(held(database, 'x2499')) == [build.id, again.id]
        assert rows(database, package_models.Package) == 2500
        place = db.PackagePlace(10**9, 0, '')
        assert held(database, 'x1', after=place) == []
