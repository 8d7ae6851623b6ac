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
"""Pipelines: their schedule, and of each run one build."""

import concurrent.futures
import datetime

import pytest

from imagebuild import exception
from tests.contract.database import claim
from tests.contract.database import finish
from tests.contract.database import lost_commits
from tests.contract.database import values


def add(database, **others):
    return database.create_pipeline(
        {
            'project_id': 'p1',
            'user_id': 'u1',
            'name': 'web',
            'request': {'name': 'web'},
            'current_tag': 'current',
            **others,
        }
    )


def begin(database, id, conductor='c1'):
    """Begin a run; None when none is due."""
    if database.hold_pipeline(id, conductor, 60) is None:
        return None
    build = database.start_run(id, conductor, values(reuse='never'))
    database.release_pipeline(id, conductor)
    return build


def run(database, id, status='active', **ending):
    """Let it run once."""
    build = begin(database, id)
    finish(database, claim(database, build.id, 'c1'), status, **ending)
    return database.refresh_pipeline(id)


def seconds(later, earlier):
    return (later - earlier).total_seconds()


class PipelineContract:
    def test_an_age_counts_from_the_end_of_the_build(self, database, clock):
        pipeline = add(database, max_age=600)
        assert seconds(pipeline.next_run_at, pipeline.created_at) == 0
        found = run(database, pipeline.id)
        build = database.get_build(found.current_build_id)
        assert seconds(found.next_run_at, build.finished_at) == 600
        assert begin(database, pipeline.id) is None
        clock.forward(600)
        assert begin(database, pipeline.id) is not None

    def test_a_line_of_cron(self, database, clock):
        pipeline = add(database, cron='30 * * * *')
        due = datetime.datetime(2026, 1, 1, 0, 30)  # noqa: DTZ001
        assert pipeline.next_run_at == due
        # Missed times are one run.
        clock.forward(5 * 3600)
        found = run(database, pipeline.id)
        assert seconds(found.next_run_at, due) == 5 * 3600

    def test_failures_wait_longer_and_stop_it(self, database, clock):
        pipeline = add(database, max_age=1000, max_failures=3)
        waits = []
        for _ in range(2):
            found = run(
                database, pipeline.id, 'error', reason='bad', fault='user'
            )
            waits.append(round(seconds(found.next_run_at, database.now())))
            clock.forward(2000)
        assert waits == [300, 600]
        found = run(database, pipeline.id, 'error', reason='bad', fault='user')
        assert (found.status, found.next_run_at) == ('error', None)
        assert found.status_reason == (
            'Stopped after 3 failures in a row, the last one: bad'
        )
        found = database.update_pipeline(pipeline.id, {}, run=True)
        assert (found.status, found.failures) == ('active', 0)
        found = run(database, pipeline.id)
        assert (found.failures, found.status_reason) == (0, '')

    def test_what_was_cancelled_is_no_failure(self, database, clock):
        pipeline = add(database, max_age=1000)
        build = begin(database, pipeline.id)
        database.request_cancel(build.id)
        found = database.refresh_pipeline(pipeline.id)
        assert (found.failures, found.running_build_id) == (0, None)
        assert round(seconds(found.next_run_at, database.now())) == 300

    def test_work_is_seen_by_who_may_do_it(self, database, clock):
        pipeline = add(database, max_age=600)

        def work():
            return [
                (each.id, each.is_run)
                for each in database.pipelines_to_attend()
            ]

        assert work() == [(pipeline.id, True)]
        assert database.hold_pipeline(pipeline.id, 'c1', 60)
        assert work() == []
        assert database.hold_pipeline(pipeline.id, 'c2', 60) is None
        clock.forward(61)
        assert database.hold_pipeline(pipeline.id, 'c2', 60)
        # Not the one that holds it any more.
        database.release_pipeline(pipeline.id, 'c1')
        assert work() == []
        database.release_pipeline(pipeline.id, 'c2')
        build = begin(database, pipeline.id)
        assert work() == []
        finish(database, claim(database, build.id, 'c1'))
        assert work() == [(pipeline.id, False)]
        found = database.refresh_pipeline(pipeline.id)
        assert work() == [(pipeline.id, False)]
        assert database.settle_pipeline(pipeline.id, found.revision, '')
        assert work() == []
        database.delete_build(found.current_build_id)
        assert work() == [(pipeline.id, False)]
        found = database.refresh_pipeline(pipeline.id)
        assert found.current_build_id is None
        # Without an image it is due at once.
        assert found.is_due(database.now())

    def test_names_are_the_projects(self, database):
        add(database)
        with pytest.raises(exception.Conflict, match='"web"'):
            add(database)
        add(database, name='WEB')
        add(database, project_id='p2')
        assert len(database.list_pipelines(project_id='p1')) == 2

    def test_old_tags_are_remembered_until_they_are_gone(self, database):
        pipeline = add(database)
        for tag in ('b', 'c', 'current'):
            found = database.update_pipeline(pipeline.id, {'current_tag': tag})
        assert found.dropped_tags == ['b', 'c']
        assert not database.settle_pipeline(
            pipeline.id, found.revision - 1, ''
        )
        assert database.settle_pipeline(pipeline.id, found.revision, '')
        assert database.get_pipeline(pipeline.id).dropped_tags == []

    def test_of_many_one_begins_a_run(self, crowded):
        pipeline = add(crowded, max_age=600)

        def work(number):
            return begin(crowded, pipeline.id, f'c{number}')

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            builds = [b for b in pool.map(work, range(8)) if b is not None]
        assert len(builds) == 1
        assert len(crowded.list_builds()) == 1


class LostPipelineCommitContract(lost_commits.Losing):
    """The connection breaks at a commit: nothing is done twice."""

    def test_create(self, database, losing):
        losing()
        pipeline = add(database)
        assert database.list_pipelines() == [pipeline]

    def test_hold(self, database, losing):
        pipeline = add(database)
        losing()
        assert database.hold_pipeline(pipeline.id, 'c1', 60)

    def test_start(self, database, losing):
        pipeline = add(database, max_age=600)
        database.hold_pipeline(pipeline.id, 'c1', 60)
        losing()
        build = database.start_run(pipeline.id, 'c1', values(reuse='never'))
        assert [each.id for each in database.list_builds()] == [build.id]
        found = database.get_pipeline(pipeline.id)
        assert found.running_build_id == build.id

    def test_failures_count_once(self, database, losing):
        pipeline = add(database, max_age=600)
        database.hold_pipeline(pipeline.id, 'c1', 60)
        losing()
        database.refuse_run(pipeline.id, 'c1', 'no')
        assert database.get_pipeline(pipeline.id).failures == 1
        database.update_pipeline(pipeline.id, {}, run=True)
        build = begin(database, pipeline.id)
        finish(
            database, claim(database, build.id, 'c1'), 'error', fault='user'
        )
        losing()
        assert database.refresh_pipeline(pipeline.id).failures == 1
