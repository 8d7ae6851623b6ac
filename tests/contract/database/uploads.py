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
"""From the file of a build to its end: its uploads, as jobs."""

import pytest

from imagebuild import db
from imagebuild import exception
from tests.contract.database import IMAGE
from tests.contract.database import claimable
from tests.contract.database import start
from tests.contract.database import values
from tests.contract.database import without_users

STORED = {
    name: IMAGE[name]
    for name in ('container_format', 'size', 'os_hash_algo', 'os_hash_value')
}
FILE = {
    'id': 'a7',
    'project_id': 'p1',
    'disk_format': 'qcow2',
    'size': 5,
    'virtual_size': 5,
    'os_hash_algo': 'sha512',
    'os_hash_value': 'f' * 128,
}
CAPABLE = {
    'name': 'c1',
    'drivers': ['fake'],
    'architecture': 'x86_64',
    'slots': 2,
    'destinations': ['north'],
}


def start_uploads(
    database, build, *destinations, repository='r1', artifact='a1'
):
    uploads = [
        {
            'id': f'{build.id[:30]}-{name}',
            'destination': name,
            'disk_format': 'qcow2',
            'container_format': 'bare',
        }
        for name in destinations or ('',)
    ]
    return database.start_uploads(
        build.id,
        uploads,
        repository=repository,
        artifact=artifact,
        conductor=build.conductor,
        attempt=build.attempt,
    )


def claim_upload(database, build, destination='', conductor='c1'):
    return database.claim(conductor, job=f'{build.id[:30]}-{destination}')


def finish_upload(database, job, reason='', **others):
    if not reason and 'image' not in others:
        others['image'] = {**STORED, 'image_id': f'g-{job.id[:6]}'}
    return database.finish_upload(
        job.id,
        db.UploadOutcome(reason, **others),
        conductor=job.conductor,
        attempt=job.attempt,
    )


class UploadJobContract:
    @pytest.fixture
    def build(self, database):
        request = {'name': 'web', 'destinations': ['', 'north']}
        return start(database, request=request, content_key='k')

    def test_the_file_is_made(self, database, build):
        started = start_uploads(database, build, '', 'north')
        assert started.status == 'uploading'
        # Neither the place nor the quota of a build is taken any more.
        assert database.jobs_of('c1', 'build') == []
        assert database.builds_of('c1') == []
        assert database.orphans(30) == []
        lanes = database.lanes(['upload'])
        assert [lane.needs for lane in lanes] == [
            {'repository': 'r1'},
            {'repository': 'r1', 'destination': 'north'},
        ] or len(lanes) == 2
        rows = database.list_uploads(build_id=build.id)
        assert [(row.destination, row.status) for row in rows] == [
            ('', 'queued'),
            ('north', 'queued'),
        ]

    def test_what_a_cloud_has_made_is_adopted(self, database):
        build = start(database)
        made = {'image_id': 'g-1', 'build_id': build.id, 'attempt': 1}
        upload = {
            'id': f'{build.id[:30]}-',
            'destination': '',
            'disk_format': 'qcow2',
            'container_format': 'bare',
        }
        started = database.start_uploads(
            build.id,
            [upload],
            made=made,
            conductor=build.conductor,
            attempt=build.attempt,
        )
        assert started.status == 'uploading'
        # By whoever has the driver, which can remove it, too.
        [lane] = database.lanes(['upload'])
        assert lane.needs == {'adopts': 'fake'}
        # It is nowhere a file that could be lost.
        lost = database.uploads_without_file(seconds=30, max_attempts=3)
        assert lost == ([], [])
        job = claim_upload(database, build)
        assert job.spec['made'] == made
        assert database.get_job(build.id).result == {'image': made}
        again = database.requeue_upload(
            job.id, conductor='c1', attempt=1, reason='It was away.'
        )
        assert again
        job = claim_upload(database, build)
        assert job.spec['made'] == made
        ended = finish_upload(database, job)
        assert (ended.status, ended.image_id) == (
            'active',
            f'g-{job.id[:6]}',
        )

    def test_who_builds_it_uploads_it(self, database):
        for wanted in (['west', '', 'east'], ['east', 'west'], ['']):
            request = {'name': 'web', 'destinations': wanted}
            database.create_build(values(request=request, reuse='never'))
        needs = [lane.needs for lane in database.lanes(['build'])]
        assert [each.get('destinations') for each in needs].count(None) == 1
        assert [each.get('destinations') for each in needs].count(
            ['east', 'west']
        ) == 1

    def test_only_who_has_it_starts_them(self, database, build):
        other = db.Build(**{**vars(build), 'attempt': 9})
        assert start_uploads(database, other) is None
        database.request_cancel(build.id)
        assert start_uploads(database, build) is None
        assert database.list_uploads(build_id=build.id) == []

    def test_the_last_one_ends_the_build(self, database, build, clock):
        follower = database.create_build(values(content_key='k'))
        start_uploads(database, build, '', 'north')
        here = claim_upload(database, build)
        row = database.get_upload(here.id)
        assert (row.status, row.conductor, row.attempt) == (
            'uploading',
            'c1',
            1,
        )
        assert claim_upload(database, build) is None
        assert finish_upload(database, here).status == 'uploading'
        assert finish_upload(database, here) is None
        north = claim_upload(database, build, 'north', 'c2')
        ended = finish_upload(database, north)
        assert ended.status == 'active' and ended.status_reason == ''
        assert [image.destination for image in ended.images] == ['', 'north']
        assert ended.image_id == f'g-{here.id[:6]}'
        assert ended.os_hash_value == IMAGE['os_hash_value']
        follower = database.get_build(follower.id)
        assert follower.status == 'active'
        assert follower.image_row_id == ended.image_row_id
        assert {row.status for row in database.list_uploads()} == {'active'}

    def test_what_is_there_waits_for_the_rest(self, database, build):
        """Nobody takes it for unused meanwhile, nor when it is requeued."""
        start_uploads(database, build, '', 'north')
        finish_upload(database, claim_upload(database, build))
        assert without_users(database) == []
        north = claim_upload(database, build, 'north')
        database.requeue_upload(
            north.id, conductor='c1', attempt=north.attempt, reason='.'
        )
        assert without_users(database) == []
        ended = finish_upload(database, claim_upload(database, build, 'north'))
        assert ended.status == 'active' and len(ended.images) == 2
        assert without_users(database) == []

    def test_what_is_there_goes_with_its_build(self, database, build):
        start_uploads(database, build, '', 'north')
        finish_upload(database, claim_upload(database, build))
        database.delete_build(build.id)
        [image] = without_users(database)
        assert (image.destination, image.status) == ('', 'deleting')

    def test_a_cloud_may_convert_it(self, database, build):
        start_uploads(database, build)
        job = claim_upload(database, build)
        image = {**STORED, 'image_id': 'g', 'disk_format': 'raw'}
        ended = finish_upload(database, job, image=image)
        assert [each.disk_format for each in ended.images] == ['raw']
        assert database.get_upload(job.id).disk_format == 'raw'

    def test_another_cloud_does_not_matter(self, database, build):
        start_uploads(database, build, '', 'north')
        north = claim_upload(database, build, 'north')
        finish_upload(database, north, 'It is full.', fault='service')
        assert database.get_build(build.id).status == 'uploading'
        ended = finish_upload(database, claim_upload(database, build))
        assert ended.status == 'active'
        assert ended.status_reason == 'Destination "north": It is full.'
        assert [image.destination for image in ended.images] == ['']

    @pytest.mark.parametrize('fault', ['user', 'service'])
    def test_the_own_cloud_does(self, database, build, fault):
        start_uploads(database, build, '', 'north')
        here = claim_upload(database, build)
        finish_upload(database, here, 'Refused.', fault=fault)
        ended = finish_upload(database, claim_upload(database, build, 'north'))
        assert (ended.status, ended.fault) == ('error', fault)
        assert ended.status_reason == 'Refused.'
        assert without_users(database) == []
        database.delete_build(build.id)
        assert len(without_users(database)) == 1

    def test_without_this_cloud_the_first_counts(self, database):
        request = {'name': 'web', 'destinations': ['south', 'north']}
        build = start(database, request=request)
        start_uploads(database, build, 'south', 'north')
        for name in ('north', 'south'):
            ended = finish_upload(
                database, claim_upload(database, build, name)
            )
        assert ended.status == 'active'
        [image] = [i for i in ended.images if i.id == ended.image_row_id]
        assert image.destination == 'south'

    @pytest.mark.parametrize('how', ['cancel', 'delete'])
    @pytest.mark.parametrize('running', [True, False])
    def test_not_wanted_any_more(self, database, build, how, running):
        start_uploads(database, build, '', 'north')
        finish_upload(database, claim_upload(database, build, 'north'))
        if running:
            here = claim_upload(database, build)
        if how == 'cancel':
            database.request_cancel(build.id)
        else:
            database.delete_build(build.id)
        if running:
            now = database.get_build(build.id)
            assert now.cancel_requested
            # It arrives all the same.
            finish_upload(database, here)
        if how == 'cancel':
            assert database.get_build(build.id).status == 'cancelled'
        else:
            with pytest.raises(exception.NotFound):
                database.get_build(build.id)
        assert len(without_users(database)) == 1 + running
        assert database.lanes(['upload']) == []

    def test_an_image_that_others_use_stays(self, database, build):
        start_uploads(database, build, '', 'north')
        finish_upload(database, claim_upload(database, build))
        user = database.create_build(values(content_key='k'))
        assert user.status == 'active' and user.reused_from == build.id
        database.delete_build(build.id)
        assert without_users(database) == []
        assert database.get_build(user.id).image_id

    def test_requeue(self, database, build, clock):
        start_uploads(database, build)
        job = claim_upload(database, build)
        ours = {'conductor': 'c1', 'attempt': 1, 'reason': 'Away.'}
        assert not database.requeue_upload(job.id, **{**ours, 'attempt': 2})
        assert database.requeue_upload(job.id, **ours, delay=60)
        assert not database.requeue_upload(job.id, **ours)
        row = database.get_upload(job.id)
        assert (row.status, row.status_reason) == ('queued', 'Away.')
        assert database.lanes(['upload']) == []
        assert database.release_waiting() == 0
        clock.forward(61)
        assert database.release_waiting() == 1
        job = claim_upload(database, build, conductor='c2')
        assert (job.attempt, job.failures) == (2, 2)
        assert database.requeue_upload(
            job.id, conductor='c2', attempt=2, reason='', counts=False
        )
        job = claim_upload(database, build, conductor='c2')
        assert (job.attempt, job.failures) == (3, 2)
        assert database.orphaned_jobs('upload', 30) == [job]
        assert database.get_build(build.id).attempt == 1

    def test_a_further_upload(self, database, build):
        further = {
            'id': 'further',
            'destination': 'south',
            'disk_format': 'raw',
            'container_format': 'bare',
        }

        def add():
            return database.add_upload(build.id, further)

        with pytest.raises(exception.Conflict):
            add()
        start_uploads(database, build)
        finish_upload(database, claim_upload(database, build))
        # Nobody has its file.
        with pytest.raises(exception.Conflict, match='no conductor keeps'):
            add()
        database.add_artifact('r7', 'c1', {**FILE, 'build_id': build.id})
        assert add().status == 'queued'
        [lane] = database.lanes(['upload'])
        assert lane.needs == {'repository': 'r7', 'destination': 'south'}
        assert not database.retire_artifact(FILE['id'])
        with pytest.raises(exception.Conflict):
            add()
        job = database.claim('c1', job='further')
        again = finish_upload(database, job, 'It is full.')
        assert again.status == 'active'
        assert add().status == 'queued'
        job = database.claim('c1', job='further')
        done = finish_upload(database, job)
        assert {i.destination for i in done.images} == {'', 'south'}
        assert done.image_row_id == again.image_row_id

    def test_nobody_can_make_it(self, database, build, clock):
        start_uploads(database, build, '', 'north')
        finish_upload(database, claim_upload(database, build))
        [lane] = database.lanes(['upload'])
        limits = {'seconds': 60, 'reason': 'c1 has no destination "north".'}
        assert database.end_waiting_uploads(lane.id, **limits) == []
        clock.forward(61)
        north = claim_upload(database, build, 'north')
        # Somebody can.
        assert database.end_waiting_uploads(lane.id, **limits) == []
        database.requeue_upload(
            north.id, conductor='c1', attempt=north.attempt, reason='.'
        )
        assert database.end_waiting_uploads(lane.id, **limits) == []
        clock.forward(61)
        [ended] = database.end_waiting_uploads(lane.id, **limits)
        assert ended.status == 'active' and 'north' in ended.status_reason
        assert database.get_upload(north.id).status == 'error'
        assert database.end_waiting_uploads(lane.id, **limits) == []

    def test_a_file_that_is_lost(self, database, build, clock):
        limits = {'seconds': 30, 'max_attempts': 2}
        start_uploads(database, build, '', 'north')
        finish_upload(database, claim_upload(database, build, 'north'))
        database.register_conductor(CAPABLE)
        # Whoever has it may have been away for a moment.
        assert database.uploads_without_file(**limits) == ([], [])
        clock.forward(60)
        [again], ended = database.uploads_without_file(**limits)
        assert (again.id, again.status, ended) == (build.id, 'queued', [])
        assert database.uploads_without_file(**limits) == ([], [])
        assert database.lanes(['upload']) == []
        assert claimable(database) == [build.id]
        job = database.claim('c1', job=build.id)
        second = database.get_build(build.id)
        assert second.attempt == job.attempt
        start_uploads(database, second, '', 'north')
        # What is there is not sent again.
        assert claim_upload(database, build, 'north') is None
        clock.forward(60)
        again, [ended] = database.uploads_without_file(**limits)
        assert (again, ended.status, ended.fault) == ([], 'error', 'service')
        assert 'No conductor has the image file' in ended.status_reason

    # -- an image gives the file back ---------------------------------------

    @pytest.fixture
    def lost(self, database, build, clock):
        """An upload whose file is lost, while another one has arrived."""
        start_uploads(database, build, '', 'north')
        finish_upload(database, claim_upload(database, build))
        clock.forward(60)
        database.register_conductor({**CAPABLE, 'name': 'c9'})
        return f'{build.id[:30]}-north'

    def sweep(self, database):
        return database.uploads_without_file(seconds=30, max_attempts=2)

    def test_it_comes_from_an_image(self, database, build, lost):
        assert self.sweep(database) == ([], [])
        [lane] = database.lanes(['upload'])
        assert lane.needs == {'destinations': ['north']}
        row = database.get_upload(lost)
        assert (row.status, row.status_reason) == (
            'queued',
            'No conductor has the image file any more; it comes from this '
            'cloud.',
        )
        assert self.sweep(database) == ([], [])
        job = database.claim('c9', job=lost)
        [image] = database.get_build(build.id).images
        assert job.spec['source'] == image.id
        ended = finish_upload(database, job)
        assert ended.status == 'active' and len(ended.images) == 2

    def test_who_reaches_it_is_gone(self, database, build, lost, clock):
        """It does not wait for ever, but is made again by whoever can."""
        assert self.sweep(database) == ([], [])
        clock.forward(60)
        database.register_conductor({**CAPABLE, 'destinations': []})
        [again], ended = self.sweep(database)
        assert (again.id, ended) == (build.id, [])

    def test_who_takes_it_reaches_both(self, database, build, clock):
        """A conductor that is up and does not is of no use."""
        start_uploads(database, build, '', 'north')
        finish_upload(database, claim_upload(database, build))
        clock.forward(60)
        database.register_conductor({**CAPABLE, 'destinations': ['south']})
        [again], ended = self.sweep(database)
        assert (again.id, ended) == (build.id, [])

    @pytest.mark.parametrize(
        'change',
        [
            {'os_hash_value': None},
            {'size': 0},
            {'disk_format': 'vmdk'},
        ],
    )
    def test_images_that_are_of_no_use(self, database, build, clock, change):
        start_uploads(database, build, '', 'north')
        image = {**STORED, 'image_id': 'g', **change}
        finish_upload(database, claim_upload(database, build), image=image)
        clock.forward(60)
        database.register_conductor(CAPABLE)
        [again], _ended = self.sweep(database)
        assert again.id == build.id

    def test_the_image_gives_nothing_back(self, database, build, lost, clock):
        self.sweep(database)
        job = database.claim('c9', job=lost)
        ours = {'conductor': 'c9', 'seconds': 30}
        assert not database.another_source(lost, attempt=7, **ours)
        assert database.another_source(lost, attempt=job.attempt, **ours)
        # Whoever has the file may come back; then nothing is built again.
        [lane] = database.lanes(['upload'])
        assert lane.needs == {'repository': 'r1', 'destination': 'north'}
        assert self.sweep(database) == ([], [])
        clock.forward(60)
        database.register_conductor({**CAPABLE, 'name': 'c9'})
        [again], ended = self.sweep(database)
        assert (again.id, again.status, ended) == (build.id, 'queued', [])

    def test_another_image_does(self, database, clock):
        request = {'name': 'web', 'destinations': ['', 'north', 'south']}
        build = start(database, request=request, content_key='k')
        start_uploads(database, build, '', 'north', 'south')
        finish_upload(database, claim_upload(database, build))
        finish_upload(database, claim_upload(database, build, 'north'))
        clock.forward(60)
        able = {**CAPABLE, 'destinations': ['north', 'south']}
        database.register_conductor(able)
        self.sweep(database)
        lost = f'{build.id[:30]}-south'
        for needs in (['south'], ['north', 'south']):
            [lane] = database.lanes(['upload'])
            assert lane.needs == {'destinations': needs}
            job = database.claim('c1', job=lost)
            assert database.another_source(
                lost, conductor='c1', attempt=job.attempt, seconds=30
            )
        [lane] = database.lanes(['upload'])
        assert lane.needs == {'repository': 'r1', 'destination': 'south'}

    def test_a_further_upload_without_a_file(self, database, build):
        further = {
            'id': 'further',
            'destination': 'north',
            'disk_format': 'raw',
            'container_format': 'bare',
        }
        start_uploads(database, build)
        finish_upload(database, claim_upload(database, build))
        with pytest.raises(exception.Conflict, match='no cloud gives'):
            database.add_upload(build.id, further)
        assert database.list_uploads(status='queued') == []
        database.register_conductor(CAPABLE)
        assert database.add_upload(build.id, further).status == 'queued'
        job = database.claim('c1', job='further')
        assert job.spec['source']
        # There is nothing else to go on from.
        assert not database.another_source(
            'further', conductor='c1', attempt=job.attempt, seconds=30
        )
        done = finish_upload(database, job)
        assert {i.destination for i in done.images} == {'', 'north'}
