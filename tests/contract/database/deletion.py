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
"""Images that are to be deleted, as jobs."""

import pytest

from imagebuild import exception
from imagebuild.db import models
from tests.contract.database import delete_image
from tests.contract.database import finish
from tests.contract.database import image_row
from tests.contract.database import insert
from tests.contract.database import lost_commits
from tests.contract.database import start
from tests.contract.database import upload_row
from tests.contract.database import values
from tests.contract.database import without_users
from tests.contract.database.uploads import claim_upload
from tests.contract.database.uploads import finish_upload
from tests.contract.database.uploads import start_uploads


class DeletionContract:
    @pytest.fixture
    def build(self, database):
        """One that is active in this cloud and in another."""
        build = start(database)
        start_uploads(database, build, '', 'north')
        for destination in ('', 'north'):
            build = finish_upload(
                database, claim_upload(database, build, destination)
            )
        return build

    def further(self, database, build):
        [found] = [
            each
            for each in database.list_uploads(build_id=build.id)
            if each.destination
        ]
        return found

    def claimed(self, database, image, conductor='c1'):
        return database.claim(conductor, job=image.id)

    # -- from the build to the end ------------------------------------------

    def test_each_image_is_a_job(self, database, build):
        database.delete_build(build.id)
        here, north = database.deleting_images()
        assert (here.destination, north.destination) == ('', 'north')
        lanes = database.lanes(['delete'])
        assert sorted((each.needs for each in lanes), key=len) == [
            {},
            {'deletion': 'north'},
        ]
        assert {each.project_id for each in lanes} == {'p1'}
        assert database.count_deleting_images() == {'': 1, 'north': 1}
        job = self.claimed(database, here)
        assert (job.id, job.build_id, job.attempt) == (here.id, None, 1)
        assert database.jobs_of('c1', 'delete') == [job]
        assert self.claimed(database, here) is None
        mine = {'conductor': 'c1', 'attempt': 1}
        for theirs in ({'attempt': 2}, {'conductor': 'c2'}):
            assert not database.finish_deletion(here.id, **{**mine, **theirs})
        assert database.finish_deletion(here.id, **mine)
        assert not database.finish_deletion(here.id, **mine)
        gone = database.get_image(here.id)
        assert gone.status == 'deleted' and gone.deleted_at
        assert database.deleting_images() == [north]
        with pytest.raises(exception.NotFound):
            database.get_job(here.id)

    def test_what_is_there_twice_is_deleted_once(self, database, build):
        database.delete_build(build.id)
        for _ in range(2):
            without_users(database)
        assert len(database.lanes(['delete'])) == 2
        for image in database.deleting_images():
            delete_image(database, image)
        assert without_users(database) == []
        assert database.lanes(['delete']) == []

    def test_an_image_outlives_the_rows_of_its_build(
        self, database, build, clock
    ):
        database.delete_build(build.id)
        clock.forward(3600)
        assert database.purge(clock()) == 1
        here, north = database.deleting_images()
        delete_image(database, here)
        job = self.claimed(database, north)
        assert database.requeue_deletion(
            north.id, conductor='c1', attempt=1, reason='It is protected.'
        )
        clock.forward(3600)
        database.purge(clock())
        [north] = database.deleting_images()
        assert north.status_reason == 'It is protected.'
        assert self.claimed(database, north).attempt == job.attempt + 1

    def test_the_row_stays_as_long_as_its_job(self, database, build, clock):
        """Somebody else has found out that the image is gone."""
        database.delete_build(build.id)
        images = database.deleting_images()
        for image in images:
            database.image_deleted(image.id)
        clock.forward(3600)
        database.purge(clock())
        for image in images:
            delete_image(database, image)
        database.purge(clock())
        for image in images:
            with pytest.raises(exception.NotFound):
                database.get_image(image.id)

    def test_the_files_do_not_wait_for_it(self, database, build):
        file = {
            'id': 'a7',
            'build_id': build.id,
            'project_id': 'p1',
            'disk_format': 'raw',
            'size': 5,
            'virtual_size': 5,
            'os_hash_algo': 'sha512',
            'os_hash_value': 'f' * 128,
        }
        database.add_artifact('r1', 'c1', file)
        database.add_artifact(
            'r1', 'c1', {**file, 'id': 'a8', 'source_id': 'a7'}
        )
        assert database.artifacts_of_deleted_builds('r1') == []
        database.delete_build(build.id)
        found = database.artifacts_of_deleted_builds('r1')
        assert {each.id for each in found} == {'a7', 'a8'}
        assert database.retire_artifact('a7') and database.retire_artifact(
            'a8'
        )
        assert database.artifacts_of_deleted_builds('r1') == []

    # -- of the release before ----------------------------------------------

    def test_marked_by_the_release_before(self, database):
        build = finish(database, start(database))
        insert(
            database,
            models.Image(
                id='old',
                project_id='p1',
                content_key='k',
                build_id=build.id,
                image_id='g-old',
                status='deleting',
            ),
        )
        assert database.lanes(['delete']) == []
        assert database.retire_unused_images() == 1
        assert database.retire_unused_images() == 0
        assert self.claimed(database, database.get_image('old'))

    # -- what cannot be deleted yet -----------------------------------------

    def test_tried_again_later(self, database, build, clock):
        database.delete_build(build.id)
        here, north = database.deleting_images()
        self.claimed(database, north)
        mine = {'conductor': 'c1', 'attempt': 1}
        assert not database.requeue_deletion(
            north.id, conductor='c2', attempt=1, reason='no'
        )
        assert database.requeue_deletion(
            north.id, **mine, reason='It is in use.', delay=60
        )
        assert not database.requeue_deletion(north.id, **mine, reason='no')
        assert self.claimed(database, north) is None
        [said] = [i for i in database.deleting_images() if i.destination]
        assert said.status_reason == 'It is in use.'
        clock.forward(61)
        assert database.release_waiting() == 1
        job = self.claimed(database, north, 'c2')
        assert (job.attempt, job.failures) == (2, 2)
        assert database.orphaned_jobs('delete', 30) == [job]
        assert database.requeue_deletion(
            north.id, conductor='c2', attempt=2, counts=False
        )
        job = self.claimed(database, north)
        assert (job.attempt, job.failures) == (3, 2)
        # Nobody has said anything new.
        assert database.get_image(north.id).status_reason == 'It is in use.'

    def test_a_lane_that_waits(self, database, build):
        database.delete_build(build.id)
        [lane] = [each for each in database.lanes(['delete']) if each.needs]
        assert database.note_deletions(lane.id, 'It is away.') == 1
        assert database.note_deletions(lane.id, 'It is away.') == 0
        assert database.note_deletions(lane.id, 'Away.', replace=False) == 0
        assert database.note_deletions(lane.id, 'Nobody has it.') == 1
        here, north = database.deleting_images()
        assert (here.status_reason, north.status_reason) == (
            None,
            'Nobody has it.',
        )
        assert self.further(database, build).status_reason == 'Nobody has it.'

    # -- what users see -----------------------------------------------------

    def test_an_upload_is_seen_until_its_image_is_gone(self, database, build):
        upload = self.further(database, build)
        database.delete_upload(upload.id)
        upload = database.get_upload(upload.id)
        assert (upload.status, upload.status_reason) == ('deleting', '')
        assert database.get_build(build.id).status == 'active'
        [image] = database.deleting_images()
        self.claimed(database, image)
        database.requeue_deletion(
            image.id, conductor='c1', attempt=1, reason='In use.', delay=3600
        )
        assert database.get_upload(upload.id).status_reason == 'In use.'
        [again] = [
            each
            for each in database.get_build(build.id).images
            if each.destination
        ]
        assert (again.status, again.status_reason) == ('deleting', 'In use.')
        # The store would find the image that it is to delete.
        with pytest.raises(exception.Conflict, match='is being deleted'):
            database.add_upload(
                build.id,
                {
                    'id': upload.id,
                    'destination': 'north',
                    'disk_format': 'qcow2',
                    'container_format': 'bare',
                },
            )
        # Who asks once more has it tried at once.
        assert self.claimed(database, image) is None
        database.delete_upload(upload.id)
        delete_image(database, image)
        with pytest.raises(exception.NotFound):
            database.get_upload(upload.id)
        with pytest.raises(exception.NotFound):
            database.delete_upload(upload.id)
        assert len(database.list_uploads(build_id=build.id)) == 1

    def test_of_a_deleted_build(self, database, build):
        database.delete_build(build.id)
        found = database.list_uploads(project_id='p1', status='deleting')
        assert len(found) == 2
        assert database.list_uploads(project_id='p2') == []
        assert database.get_upload(found[0].id) == found[0]
        # It is the build's own, and its build is deleted: that is no matter.
        database.delete_upload(found[0].id)
        for image in database.deleting_images():
            delete_image(database, image)
        assert database.list_uploads() == []

    def test_one_without_an_image_goes_at_once(self, database, build):
        failed = upload_row(database, build_id=build.id, status='error')
        database.delete_upload(failed.id)
        with pytest.raises(exception.NotFound):
            database.get_upload(failed.id)
        assert database.deleting_images() == []

    def test_an_image_that_others_use_is_no_job(self, database, build):
        user = database.create_build(values(content_key=build.content_key))
        database.delete_build(build.id)
        assert without_users(database) == []
        assert database.lanes(['delete']) == []
        database.delete_build(user.id)
        assert len(database.lanes(['delete'])) == 2

    def test_what_a_failed_build_left_elsewhere(self, database, clock):
        build = start(database)
        image_row(database, build, 'east')
        finish(database, build, 'error')
        clock.forward(10)
        assert database.purge(clock()) == 1
        [image] = database.deleting_images()
        delete_image(database, image)


class LostDeletionCommitContract(lost_commits.Losing):
    """The connection breaks at a commit: nothing is done twice."""

    def test_deletion(self, database, losing):
        build = finish(database, start(database))
        losing()
        database.delete_build(build.id)
        [image] = database.deleting_images()
        losing()
        assert database.claim('c1', job=image.id).attempt == 1
        losing()
        assert database.requeue_deletion(
            image.id, conductor='c1', attempt=1, reason='x', delay=1
        )
        assert database.get_job(image.id).attempt == 1
        losing()
        assert database.retire_unused_images() == 0

    def test_the_end(self, database, losing):
        build = finish(database, start(database))
        database.delete_build(build.id)
        [image] = database.deleting_images()
        database.claim('c1', job=image.id)
        losing()
        assert database.finish_deletion(image.id, conductor='c1', attempt=1)
        assert database.get_image(image.id).status == 'deleted'

    def test_of_an_upload(self, database, losing):
        build = finish(database, start(database))
        failed = upload_row(database, build_id=build.id, status='error')
        losing()
        database.delete_upload(failed.id)
