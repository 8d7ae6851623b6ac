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
"""Who asks /healthcheck does not occupy the threads of the API."""

import threading
from concurrent import futures

import pytest

from imagebuild.api import stale_cache


@pytest.mark.parametrize(
    'max_age, known', [(60.0, True), (60.0, False), (-1.0, True)]
)
def test_nobody_waits_for_the_one_that_looks(max_age, known):
    found = stale_cache.StaleCache(max_age=max_age)
    if known:
        assert found.get(lambda: 1) == 1
    looking, go = threading.Event(), threading.Event()

    def look():
        looking.set()
        go.wait(60)
        return 2

    with futures.ThreadPoolExecutor(2) as pool:
        try:
            one = pool.submit(found.get, look)
            assert looking.wait(30)
            other = pool.submit(found.get, lambda: 3)
            expected = 1 if known and max_age > 0 else None
            assert other.result(30) == expected
            assert not one.done()
        finally:
            go.set()
        assert one.result() == 2


def test_two_that_ask_at_once_have_the_same_answer(monkeypatch):
    """As two load balancers do, long after anybody asked last."""
    monkeypatch.setattr(stale_cache, '_SECONDS', 60.0)
    found = stale_cache.StaleCache()
    looking, go = threading.Event(), threading.Event()

    def look():
        looking.set()
        go.wait(60)
        return 2

    with futures.ThreadPoolExecutor(4) as pool:
        try:
            one = pool.submit(found.get, look)
            assert looking.wait(30)
            others = [pool.submit(found.get, lambda: 3) for _ in range(3)]
            # All but two threads go on with their work.
            done, waiting = futures.wait(
                others, timeout=30, return_when=futures.FIRST_COMPLETED
            )
            assert [each.result() for each in done] == [None]
            assert len(waiting) == 2
        finally:
            go.set()
        assert [each.result() for each in (one, *waiting)] == [2, 2, 2]


def test_who_looks_in_vain_frees_the_place():
    found = stale_cache.StaleCache()
    with pytest.raises(ZeroDivisionError):
        found.get(lambda: 1 // 0)
    assert found.get(lambda: 1) == 1
