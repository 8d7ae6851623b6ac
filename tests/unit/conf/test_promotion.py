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
"""``[promotion]``: what operators may write there."""

import pytest
from oslo_config import cfg

import imagebuild.conf
from imagebuild.conf import promotion


def read(tmp_path, text):
    path = tmp_path / 'imagebuild.conf'
    path.write_text(f'[promotion]\n{text}\n')
    conf = cfg.ConfigOpts()
    imagebuild.conf.register(conf)
    conf([], project='imagebuild', default_config_files=[str(path)])
    return conf


def test_defaults(tmp_path):
    conf = read(tmp_path, '')
    assert conf.promotion.channels == ['dev', 'test', 'prod']
    assert promotion.is_known(conf, 'prod')
    assert not promotion.is_known(conf, 'live')
    assert not promotion.needs_boot_test(conf, 'prod')


def test_channels_of_ones_own(tmp_path):
    text = 'channels = canary, live\nrequire_boot_test = live'
    conf = read(tmp_path, text)
    assert conf.promotion.channels == ['canary', 'live']
    assert promotion.needs_boot_test(conf, 'live')
    assert not promotion.needs_boot_test(conf, 'canary')
    assert promotion.problems(conf) == []


@pytest.mark.parametrize('name', ['a b', 'prod:web', '-x', 'x' * 33, 'pröd'])
def test_names_that_no_channel_has(tmp_path, name):
    with pytest.raises(ValueError, match='no name of a channel'):
        assert read(tmp_path, f'channels = {name}').promotion.channels


def test_a_demand_of_a_channel_that_there_is_not(tmp_path):
    conf = read(tmp_path, 'require_boot_test = prdo')
    assert promotion.problems(conf) == [
        '[promotion] require_boot_test names "prdo", which is none of '
        '[promotion] channels.'
    ]
