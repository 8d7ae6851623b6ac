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
import pytest

from imagebuild.conductor import client_cache


def test_makes_once():
    clients = client_cache.ClientCache()
    first = clients.get('store', object)
    assert clients.get('store', object) is first
    assert clients.get('glance', object) is not first


def test_makes_anew_when_told_to_forget():
    clients = client_cache.ClientCache()
    first = clients.get('store', object)
    clients.forget()
    assert clients.get('store', object) is not first


def test_keeps_nothing_of_a_failure():
    def fail():
        raise OSError('away')

    clients = client_cache.ClientCache()
    with pytest.raises(OSError, match='away'):
        clients.get('store', fail)
    assert clients.get('store', lambda: 1) == 1
