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
"""What the API answers with null is null to programs, however it is shown."""

import pytest
from cliff import columns as cliff_columns

from imagebuild.api import samples
from imagebuild.api.schemas import components
from imagebuild.client import channel_records
from imagebuild.client import records
from imagebuild.client.osc import columns

#: Table -> the record that it shows, and what the OpenAPI document calls it.
SHOWN = {
    'BUILD': (records.Build, 'Build'),
    'LONG': (records.Build, 'Build'),
    'ENDED': (records.Build, 'Build'),
    'STEPS_LONG': (records.Step, 'Step'),
    'PLAN': (records.Plan, 'Plan'),
    'PIPELINE': (records.Pipeline, 'Pipeline'),
    'PIPELINES_LONG': (records.Pipeline, 'Pipeline'),
    'CHANNEL': (channel_records.Channel, 'Channel'),
    'CHANNELS_LONG': (channel_records.Channel, 'Channel'),
    'PROMOTIONS': (channel_records.Promotion, 'Promotion'),
    'VALIDATION': (records.Validation, 'Validation'),
    'VALIDATIONS': (records.Validation, 'Validation'),
    'PACKAGES': (records.HeldPackage, 'Package'),
    'UPLOAD': (records.Upload, 'Upload'),
    'UPLOADS': (records.Upload, 'Upload'),
    'RECIPE': (records.Recipe, 'Recipe'),
    'OPERATING_SYSTEMS': (records.OperatingSystem, 'OperatingSystem'),
    'DESTINATIONS': (records.Destination, 'Destination'),
    'DRIVERS': (records.Driver, 'Driver'),
    'CONDUCTORS_LONG': (records.Conductor, 'Conductor'),
}
#: Columns that are not called as what they show.
CALLED = {
    'reason': 'status_reason',
    'image': 'image_id',
    'project': 'project_id',
    **{
        f'{which} {what}': f'{which}_{what}_id'
        for which in ('current', 'previous', 'running')
        for what in ('image', 'build')
    },
}


def may_be_null(schema):
    return 'null' in schema.get('type', ()) or None in schema.get('enum', ())


def nothing_known(schema):
    """An answer in which all is null that may be."""
    if may_be_null(schema):
        return None
    value = samples.sample(schema, components.BY_NAME)
    if not isinstance(value, dict):
        return value
    parts = schema.get('properties', {})
    return value | {name: nothing_known(parts[name]) for name in parts}


def to_programs(value):
    if isinstance(value, cliff_columns.FormattableColumn):
        return value.machine_readable()
    return value


@pytest.mark.parametrize('table', SHOWN)
def test_null_is_null(table):
    kind, name = SHOWN[table]
    schema = components.BY_NAME[name]
    answer = nothing_known(schema)
    names, row = columns.shown(getattr(columns, table), kind.from_dict(answer))
    shown = {
        CALLED.get(column.lower(), column.lower().replace(' ', '_')): value
        for column, value in zip(names, map(to_programs, row), strict=True)
    }
    null = [name for name, value in answer.items() if value is None]
    assert {name: shown.get(name) for name in null} == dict.fromkeys(null)
    for name, value in shown.items():
        if isinstance(value, dict) and isinstance(answer.get(name), dict):
            assert value.items() >= {
                (part, inner)
                for part, inner in answer[name].items()
                if inner is None
            }


def test_no_table_is_missed():
    tables = {
        name
        for name, value in vars(columns).items()
        if name.isupper() and isinstance(value, tuple)
        and value and isinstance(value[0], tuple) and len(value[0]) == 2
    }  # fmt: skip
    # Those that another holds: its longer one.
    held = {'PROJECT', 'LIST', 'STEPS', 'PIPELINES', 'CHANNELS'}
    held |= {'RECIPES', 'CONDUCTORS'}
    assert tables - held == set(SHOWN)


def test_a_boot_test_that_was_is_shown():
    found = {'passed': False, 'reason': 'it was silent'}
    build = records.Build.from_dict({'id': 'a', 'boot_test': found})
    names, row = columns.shown(columns.BUILD, build)
    assert to_programs(row[names.index('boot_test')]) == found


def test_people_see_nothing_of_one_that_was_not():
    build = records.Build.from_dict({'id': 'a', 'boot_test': None})
    names, row = columns.shown(columns.BUILD, build)
    assert row[names.index('boot_test')].human_readable() == ''
