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

from imagebuild.drivers import base
from imagebuild.sandbox import cgroups
from imagebuild.sandbox import identities
from imagebuild.sandbox import leftovers


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Two groups that are there, and what was removed."""
    removed = []
    monkeypatch.setattr(
        cgroups, 'names', lambda: {'imagebuild-7', 'imagebuild-8', 'x'}
    )
    monkeypatch.setattr(cgroups, 'remove', removed.append)
    claim = identities.claim
    monkeypatch.setattr(
        identities, 'claim', lambda first: claim(first, tmp_path)
    )
    return removed


def test_groups_of_sandboxes_that_are_gone(groups):
    held = identities.claim(7)
    leftovers.sweep()
    assert groups == ['imagebuild-8']
    del held


def test_whoever_cleans_up_after_a_job_sweeps(groups, tmp_path):
    base.sweep(tmp_path)
    assert sorted(groups) == ['imagebuild-7', 'imagebuild-8']


def test_who_may_not_have_sandboxes_has_none(monkeypatch, tmp_path):
    refused = mock.Mock(side_effect=PermissionError)
    monkeypatch.setattr(cgroups, 'names', refused)
    base.sweep(tmp_path)
