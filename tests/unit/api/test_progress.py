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
"""What users see of how far a build is."""

import dataclasses
import datetime

import jsonschema
import pytest

from imagebuild import db
from imagebuild.api import progress
from imagebuild.api.schemas import builds

START = datetime.datetime(2026, 1, 2, 3, 4, 5)
EPOCH = START.replace(tzinfo=datetime.UTC).timestamp()


def shown(after=60, **values):
    """Progress of a build, so many seconds after its start."""
    unset = {field.name: None for field in dataclasses.fields(db.Build)}
    record = db.Build(
        **{
            **unset,
            'status': 'building',
            'progress_done': 1,
            'progress_total': 4,
            'progress_step': 'package nginx',
            'cancel_requested': False,
            'started_at': START,
            **values,
        }
    )
    found = progress.progress(
        record, START + datetime.timedelta(seconds=after)
    )
    jsonschema.validate(found, builds.BUILD['properties']['progress'])
    return found


def in_phase(name, since=30, **others):
    return {'current': name, 'since': EPOCH + since, **others}


def test_a_build_that_waits():
    found = shown(status='queued', started_at=None, progress_total=0)
    assert found['percent'] == 0
    assert found['phases'] == []
    for name in ('phase', 'bytes_done', 'bytes_total', 'elapsed', 'remaining'):
        assert found[name] is None


def test_a_build_that_waits_for_another():
    leader = '25f1b4b2-7e27-4f0b-a1f4-5a7b7f3b2f0e'
    found = shown(status='queued', leader_id=leader, progress_step='')
    assert found['step'] == 'wait for a build of the same content'
    found = shown(status='active', leader_id=leader, progress_step='')
    assert found['step'] == ''


def test_a_build_that_runs():
    expected = {'steps': 50.0, 'convert': 20.0, 'upload': 5.5}
    spent = {'appliance': 12.0, 'base_image': 18.0}
    found = shown(
        phases=in_phase('steps', spent=spent, expected=expected),
    )
    assert found['phase'] == 'steps'
    assert found['elapsed'] == 60
    assert found['remaining'] == 20 + 20 + 6
    assert 0 < found['percent'] < 100
    assert found['phases'] == [
        {'name': 'base_image', 'seconds': 18.0},
        {'name': 'appliance', 'seconds': 12.0},
        {'name': 'steps', 'seconds': 30.0},
    ]


def test_a_download():
    phases = in_phase('base_image', bytes_done=0, bytes_total=100)
    found = shown(phases=phases)
    assert (found['bytes_done'], found['bytes_total']) == (0, 100)
    found = shown(phases={**phases, 'bytes_done': 7, 'bytes_total': 0})
    assert (found['bytes_done'], found['bytes_total']) == (7, None)


@pytest.mark.parametrize('status', ['uploading', 'building', 'deleting'])
def test_all_steps_are_not_the_end(status):
    found = shown(
        9999,
        status=status,
        progress_done=4,
        phases=in_phase('upload', bytes_done=9, bytes_total=9),
    )
    assert 90 <= found['percent'] < 100


def test_an_active_build():
    found = shown(
        9999,
        status='active',
        progress_done=4,
        finished_at=START + datetime.timedelta(seconds=80),
        phases={'current': '', 'spent': {'upload': 3.0}, 'expected': {}},
    )
    assert (found['percent'], found['elapsed']) == (100, 80)
    assert (found['phase'], found['remaining']) == (None, None)
    assert found['phases'] == [{'name': 'upload', 'seconds': 3.0}]


def test_the_phase_that_failed_does_not_go_on():
    ended = START + datetime.timedelta(seconds=40)
    phases = in_phase('convert', expected={'convert': 100.0})
    early, late = (
        shown(after, status='error', finished_at=ended, phases=phases)
        for after in (41, 9999)
    )
    assert early == late
    assert early['phase'] == 'convert' and early['remaining'] is None
    assert early['phases'] == [{'name': 'convert', 'seconds': 10.0}]


def test_nobody_waits_for_a_build_that_is_being_cancelled():
    phases = in_phase('steps', expected={'steps': 100.0})
    assert shown(phases=phases)['remaining'] == 70
    found = shown(phases=phases, cancel_requested=True)
    assert found['remaining'] is None


def test_a_conductor_of_the_release_before():
    found = shown(phases=None, progress_done=4)
    assert found['phase'] == 'steps'
    assert 0 < found['percent'] < 100


def test_clocks_that_differ():
    phases = in_phase('steps', since=90, expected={'steps': 100.0})
    found = shown(-5, phases=phases)
    assert found['elapsed'] == 0
    assert found['remaining'] == 100
