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
"""The dashboard, the alert rules and the units fit the programs."""

import configparser
import datetime
import json
import pathlib
import re
import types
from unittest import mock

import prometheus_client
import pytest
import yaml

from imagebuild.api import metrics as api_metrics
from imagebuild.conductor import metrics as conductor_metrics

ETC = pathlib.Path(__file__).parents[2] / 'etc'
PAGE = ETC.parent / 'doc' / 'source' / 'operator' / 'observe.rst'
_NAME = re.compile(r'\bimagebuild_[a-z_]+\b')
_SELECTED = re.compile(r'(imagebuild_[a-z_]+)\{([^}]*)\}')
_SERIES = ('_bucket', '_sum', '_count', '')


def api_families():
    database = mock.Mock()
    database.count_channels.return_value = {'settled': 1, 'waiting': 0}
    database.count_builds.return_value = {('error', 'service'): 1}
    database.oldest_queued.return_value = datetime.datetime(2026, 1, 1)
    database.list_conductors.return_value = []
    database.list_uploads.return_value = []
    database.count_deleting_images.return_value = {'north': 2}
    database.statistics.return_value = types.SimpleNamespace(
        steps={'package': (1, 2.0)}, reused=0, uploaded_bytes=0
    )
    service = mock.Mock(database=database)
    service.conf.conductor.dead_after = 60
    return list(api_metrics._Collector(service).collect())


@pytest.fixture(scope='module')
def labels():
    """The names of all series, each with the names of its labels."""
    found = {}
    for family in api_families():
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    for value in vars(conductor_metrics).values():
        if isinstance(
            value,
            prometheus_client.Counter
            | prometheus_client.Gauge
            | prometheus_client.Histogram,
        ):
            [family] = value.describe()
            total = '_total' if family.type == 'counter' else ''
            for end in _SERIES:
                found[family.name + total + end] = {*value._labelnames, 'le'}
    return found


def dashboard():
    return json.loads((ETC / 'grafana' / 'imagebuild.json').read_text())


def expressions():
    for panel in dashboard()['panels']:
        for target in panel['targets']:
            yield panel['title'], target['expr']
    rules = yaml.safe_load(
        (ETC / 'prometheus' / 'imagebuild-alerts.yaml').read_text()
    )
    for group in rules['groups']:
        for rule in group['rules']:
            yield rule['alert'], rule['expr']


def test_every_series_exists(labels):
    seen = set()
    for title, expression in expressions():
        names = set(_NAME.findall(expression))
        assert names, title
        assert names <= labels.keys(), title
        seen |= names
        for name, selector in _SELECTED.findall(expression):
            for part in selector.split(','):
                assert part.split('=')[0] in labels[name], title
    assert 'imagebuild_queue_oldest_seconds' in seen


def test_panels_have_ids_of_their_own():
    ids = [panel['id'] for panel in dashboard()['panels']]
    assert len(set(ids)) == len(ids)


def test_every_metric_is_told(labels):
    told = set(_NAME.findall(PAGE.read_text()))
    for name in labels:
        if name.endswith('_created'):
            continue
        assert told & {name.removesuffix(end) for end in _SERIES}, name


@pytest.mark.parametrize('name', ['api', 'conductor'])
def test_units(name):
    unit = configparser.RawConfigParser(strict=False)
    unit.optionxform = str
    unit.read(ETC / 'systemd' / f'imagebuild-{name}.service')
    service = unit['Service']
    assert service['KillMode'] == 'mixed'
    assert service['Restart'] == 'on-failure'
    assert ('imagebuild.wsgi.api:application' in service['ExecStart']) == (
        name == 'api'
    )
