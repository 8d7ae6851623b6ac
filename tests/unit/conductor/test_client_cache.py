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
from unittest import mock

import pytest

from imagebuild.conductor import client_cache


def test_makes_once():
    clients = client_cache.ClientCache(mock.Mock())
    first = clients._get('store', object)
    assert clients._get('store', object) is first
    assert clients._get('glance', object) is not first


def test_makes_again_when_told_to_forget():
    clients = client_cache.ClientCache(mock.Mock())
    first = clients._get('store', object)
    clients.forget()
    assert clients._get('store', object) is not first


def test_keeps_nothing_of_a_failure():
    def fail():
        raise OSError('away')

    clients = client_cache.ClientCache(mock.Mock())
    with pytest.raises(OSError, match='away'):
        clients._get('store', fail)
    assert clients._get('store', lambda: 1) == 1
