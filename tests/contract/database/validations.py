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
"""Validations: queued, claimed, ended, cancelled, deleted."""

import pytest

from imagebuild import exception

ME = {'conductor': 'c1', 'attempt': 1}


def add(database, **others):
    return database.create_validation(
        {
            'project_id': 'p1',
            'request': {'hosts': [{'address': '192.0.2.1'}]},
            'secrets': 'sealed',
            'timeout': 60,
            **others,
        }
    )


def claim(database, conductor='c1'):
    for lane in database.lanes(['validate']):
        return database.claim(conductor, lane=lane.id)
    return None


class ValidationContract:
    def test_from_the_queue_to_its_end(self, database):
        made = add(database, name='all')
        assert (made.status, made.results) == ('queued', [])
        job = claim(database)
        assert (job.id, job.kind, job.attempt) == (made.id, 'validate', 1)
        assert claim(database, 'c2') is None
        running = database.get_validation(made.id)
        assert running.status == 'running'
        assert running.started_at
        some = [{'host': 'a', 'result': 'conforms'}]
        assert database.note_results(made.id, some, **ME)
        assert database.get_validation(made.id).results == some
        both = [*some, {'host': 'b', 'result': 'failed'}]
        assert database.finish_validation(
            made.id, 'failed', 'b failed', both, **ME
        )
        ended = database.get_validation(made.id)
        assert (ended.status, ended.status_reason) == ('failed', 'b failed')
        assert (ended.results, ended.secrets) == (both, None)
        assert ended.finished_at
        with pytest.raises(exception.NotFound):
            database.get_job(made.id)

    def test_only_who_has_it_changes_it(self, database):
        made = add(database)
        claim(database)
        other = {'conductor': 'c2', 'attempt': 1}
        assert not database.note_results(made.id, [], **other)
        assert not database.finish_validation(
            made.id, 'passed', '', [], **other
        )
        assert not database.requeue_validation(
            made.id, **other, reason='x', most=3
        )
        state = database.validation_state
        assert state(made.id, **ME) == 'running'
        assert state(made.id, **other) == 'lost'
        assert state(made.id, conductor='c1', attempt=2) == 'lost'

    def test_attempts_have_an_end(self, database):
        made = add(database)
        for attempt in (1, 2):
            assert claim(database).attempt == attempt
            assert database.requeue_validation(
                made.id,
                conductor='c1',
                attempt=attempt,
                reason='it died',
                most=2,
            )
        ended = database.get_validation(made.id)
        assert (ended.status, ended.status_reason) == ('error', 'it died')
        assert ended.secrets is None
        assert claim(database) is None

    def test_to_hand_it_back_is_no_attempt(self, database):
        made = add(database)
        for attempt in (1, 2, 3):
            assert claim(database).attempt == attempt
            assert database.requeue_validation(
                made.id,
                conductor='c1',
                attempt=attempt,
                reason='c1 stops',
                most=1,
                counts=False,
            )
        assert database.get_validation(made.id).status == 'queued'

    def test_cancelled_in_the_queue(self, database):
        made = add(database)
        ended = database.cancel_validation(made.id)
        assert (ended.status, ended.secrets) == ('cancelled', None)
        assert claim(database) is None
        with pytest.raises(exception.Conflict):
            database.cancel_validation(made.id)

    def test_cancelled_while_it_runs(self, database):
        made = add(database)
        claim(database)
        assert database.cancel_validation(made.id).status == 'running'
        assert database.validation_state(made.id, **ME) == 'cancelled'
        with pytest.raises(exception.Conflict):
            database.delete_validation(made.id)
        # Its conductor dies: it does not begin again.
        assert database.requeue_validation(
            made.id, **ME, reason='it died', most=3
        )
        assert database.get_validation(made.id).status == 'cancelled'

    def test_deleted(self, database):
        made = add(database)
        database.delete_validation(made.id)
        assert claim(database) is None
        for call in (database.get_validation, database.delete_validation):
            with pytest.raises(exception.NotFound):
                call(made.id)

    def test_a_project_has_so_many(self, database):
        add(database)
        add(database, project_id='p2')
        with pytest.raises(exception.QuotaExceeded):
            database.create_validation(
                {'project_id': 'p1', 'request': {}, 'timeout': 1}, limit=1
            )

    def test_lists(self, database, clock):
        made = []
        for project in ('p1', 'p2', 'p1'):
            made.append(add(database, project_id=project).id)
            clock.forward(1)
        everything = database.list_validations()
        assert [each.id for each in everything] == made[::-1]
        first = database.list_validations(project_id='p1', limit=1)
        assert [each.id for each in first] == [made[2]]
        rest = database.list_validations(project_id='p1', marker=made[2])
        assert [each.id for each in rest] == [made[0]]
        assert database.list_validations(status='running') == []
        with pytest.raises(exception.NotFound):
            database.list_validations(project_id='p2', marker=made[2])

    def test_old_ones_are_purged(self, database):
        made, other = add(database), add(database)
        ended = database.cancel_validation(made.id)
        assert database.purge_validations(ended.finished_at) == 0
        assert database.purge_validations(database.now()) == 1
        assert [each.id for each in database.list_validations()] == [other.id]
