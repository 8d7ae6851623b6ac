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
"""Many at once: threads and processes."""

import collections
import concurrent.futures
import multiprocessing

from imagebuild import db
from imagebuild import exception
from tests.contract.database import RETRIES
from tests.contract.database import claim
from tests.contract.database import claim_next
from tests.contract.database import claimable
from tests.contract.database import finish
from tests.contract.database import start
from tests.contract.database import values

BUILDS = 200


def in_threads(number, work):
    """Call work(0), work(1), ... at once; their results in order."""
    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        return list(pool.map(work, range(number)))


def claim_all(database, name):
    """Be a conductor: claim and finish until there is nothing left."""
    claimed = []
    while build := claim_next(database, name, running_limit=20):
        claimed.append(build.id)
        database.append_log(build.id, f'claimed by {name}\n')
        database.update_build(
            build.id, {'status': 'uploading'}, conductor=name, attempt=1
        )
        assert finish(database, build).status == 'active'
    return claimed


def claim_all_in_a_process(url, name, answers):
    database = db.Database(url, retries=RETRIES)
    try:
        answers.put((name, claim_all(database, name)))
    except BaseException as error:
        answers.put((name, repr(error)))
        raise
    finally:
        database.close()


def fill(database):
    return [
        database.create_build(values(project_id=f'p{number % 3}')).id
        for number in range(BUILDS)
    ]


def check_none_lost_none_doubled(database, ids, claimed):
    assert sorted(claimed) == sorted(ids)
    assert database.count_builds() == {('active', None): len(ids)}
    for build in database.list_builds():
        assert build.attempt == 1
        assert database.read_log(build.id)[0].count('\n') == 1


class CrowdContract:
    def test_claims_by_threads(self, crowded):
        ids = fill(crowded)
        claimed = in_threads(8, lambda n: claim_all(crowded, f'c{n}'))
        check_none_lost_none_doubled(crowded, ids, sum(claimed, []))

    def test_claims_by_processes(self, crowded, url):
        ids = fill(crowded)
        spawn = multiprocessing.get_context('spawn')
        answers = spawn.Queue()
        processes = [
            spawn.Process(
                target=claim_all_in_a_process, args=(url, f'c{n}', answers)
            )
            for n in range(8)
        ]
        for process in processes:
            process.start()
        found = dict(answers.get(timeout=250) for _ in processes)
        for process in processes:
            process.join()
        assert all(isinstance(ids, list) for ids in found.values()), found
        check_none_lost_none_doubled(crowded, ids, sum(found.values(), []))

    def test_one_claimer_of_many_wins(self, crowded):
        for _ in range(10):
            id = crowded.create_build(values()).id
            got = in_threads(8, lambda n, id=id: claim(crowded, id, f'c{n}'))
            assert sum(build is not None for build in got) == 1

    def test_claimers_of_one_lane_do_not_meet(self, crowded):
        """Each finds another job at its first call."""
        for _ in range(8):
            crowded.create_build(values())
        [lane] = crowded.lanes(['build'])
        got = in_threads(8, lambda n: crowded.claim(f'c{n}', lane=lane.id))
        assert len({job.id for job in got}) == 8

    def test_one_leader_of_many(self, crowded):
        made = in_threads(
            20, lambda n: crowded.create_build(values(content_key='k'))
        )
        leaders = [build for build in made if build.leader_id is None]
        assert len(leaders) == 1
        [leader] = leaders
        followers = {b.id for b in made} - {leader.id}
        assert {b.leader_id for b in made} == {None, leader.id}
        finish(crowded, claim(crowded, leader.id, 'c1'))
        for id in followers:
            assert crowded.get_build(id).reused_from == leader.id

    def test_leaders_that_end_while_others_come(self, crowded):
        """Nobody is left waiting for a build that has ended."""

        def conductor(n):
            if n >= 4:
                return [
                    crowded.create_build(values(content_key='k')).id
                    for _ in range(15)
                ]
            for _ in range(40):
                build = claim_next(crowded, f'c{n}')
                if build is not None:
                    finish(crowded, build, 'error', fault='service')
            return []

        in_threads(12, conductor)
        while build := claim_next(crowded, 'c1'):
            assert claimable(crowded) == []
            finish(crowded, build, 'error', fault='service')
        statuses = collections.Counter(b.status for b in crowded.list_builds())
        assert set(statuses) == {'error'}
        assert sum(statuses.values()) == 120

    def test_quotas_are_exact(self, crowded):
        def create_in(project, quotas):
            try:
                return crowded.create_build(
                    values(project_id=project), quotas=quotas
                )
            except exception.QuotaExceeded:
                return None

        made = in_threads(20, lambda n: create_in('p1', {'queued': 7}))
        made = [build for build in made if build]
        assert len(made) == 7
        kept = in_threads(20, lambda n: create_in('p2', {'builds': 5}))
        assert sum(build is not None for build in kept) == 5
        claimed = in_threads(
            7, lambda n: claim(crowded, made[n].id, 'c1', running_limit=3)
        )
        assert sum(build is not None for build in claimed) == 3

    def test_reuse_and_the_last_user_at_once(self, crowded):
        """An image is given to a new build or deleted, never both."""
        for _ in range(10):
            maker = start(crowded, content_key='k')
            maker = finish(crowded, maker)
            image, user = in_threads(
                2,
                lambda n, maker=maker: (
                    crowded.delete_build(maker.id)
                    if n == 0
                    else crowded.create_build(values(content_key='k'))
                ),
            )
            assert (image is None) == (user.status == 'active')
            gone = crowded.delete_build(user.id)
            assert (gone is None) == (user.status == 'queued')

    def test_many_writers_of_one_log(self, crowded):
        id = crowded.create_build(values()).id
        in_threads(
            8,
            lambda n: [crowded.append_log(id, f'{n}€\n') for _ in range(10)],
        )
        text, size = crowded.read_log(id)
        assert size == len(text.encode()) == 80 * 5
        counts = collections.Counter(text.split())
        assert counts == {f'{n}€': 10 for n in range(8)}

    def test_conductors_register_at_once(self, crowded):
        def register(n):
            crowded.register_conductor(
                {
                    'name': f'c{n % 2}',
                    'drivers': ['fake'],
                    'architecture': 'x86_64',
                    'slots': 1,
                }
            )

        in_threads(10, register)
        assert [c.name for c in crowded.list_conductors()] == ['c0', 'c1']

    def test_reapers_requeue_once(self, crowded):
        build = claim(crowded, crowded.create_build(values()).id, 'c1')
        done = in_threads(
            8,
            lambda n: crowded.requeue_build(
                build.id, conductor='c1', attempt=1, reason='It is dead.'
            ),
        )
        assert done.count(True) == 1
