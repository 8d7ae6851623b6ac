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
import re
import typing

import pytest
from oslo_config import cfg
from oslo_config import generator

from imagebuild import conf as imagebuild_conf
from imagebuild.appliance import appliance_settings
from imagebuild.conf import opts

ALL = [
    (group if isinstance(group, str) else group.name, option)
    for group, options in opts.list_opts()
    for option in options
]
IDS = [f'{group}.{option.name}' for group, option in ALL]


@pytest.fixture
def conf():
    conf = cfg.ConfigOpts()
    imagebuild_conf.register(conf)
    return conf


def read(conf, tmp_path, text):
    path = tmp_path / 'imagebuild.conf'
    path.write_text(text)
    conf(args=[], default_config_files=[str(path)])
    return conf


@pytest.mark.parametrize('group, option', ALL, ids=IDS)
def test_every_listed_option_is_registered(conf, group, option):
    conf(args=[], default_config_files=[])
    section = conf if group == 'DEFAULT' else conf[group]
    assert section[option.dest] == option.default


@pytest.mark.parametrize('group, option', ALL, ids=IDS)
def test_help_is_made_of_sentences(group, option):
    paragraphs = option.help.strip().split('\n\n')
    assert len(paragraphs) > 1, 'what it is, then when to change it'
    for paragraph in paragraphs:
        assert re.match(r'[A-Z`\d]', paragraph), paragraph
        assert paragraph.endswith('.'), paragraph


def test_registering_twice_is_harmless(conf):
    imagebuild_conf.register(conf)


def test_accelerators_are_those_of_the_appliance(conf):
    [option] = [o for _, o in ALL if o.name == 'accelerator']
    assert tuple(option.type.choices) == typing.get_args(
        appliance_settings.Accelerator
    )


def test_defaults_are_those_of_the_appliance(conf):
    conf(args=[], default_config_files=[])
    usual = appliance_settings.ApplianceSettings()
    assert conf.guestfs.accelerator == usual.accelerator
    assert conf.guestfs.network == usual.network
    assert conf.guestfs.launch_timeout == usual.launch_timeout


def test_recipe_path_names_several_directories(conf, tmp_path):
    read(conf, tmp_path, '[DEFAULT]\nrecipe_path = /a\nrecipe_path = /b\n')
    assert conf.recipe_path == ['/a', '/b']


@pytest.mark.parametrize(
    'line',
    ['memory = 10', 'cpus = 0', 'accelerator = hvf', 'run_timeout = 0'],
)
def test_values_that_cannot_work_are_refused(conf, tmp_path, line):
    name = line.partition(' ')[0]
    read(conf, tmp_path, f'[guestfs]\n{line}\n')
    with pytest.raises(cfg.ConfigFileValueError, match=name):
        conf.guestfs[name]


def test_sample_file_names_every_option(tmp_path):
    sample = tmp_path / 'sample.conf'
    generator.main(['--namespace', 'imagebuild', '--output-file', str(sample)])
    text = sample.read_text()
    for _, option in ALL:
        assert re.search(rf'^#{option.name} =', text, re.MULTILINE)


def test_two_configurations_are_two(conf):
    other = cfg.ConfigOpts()
    imagebuild_conf.register(other)
    for each in (conf, other):
        each(args=[], default_config_files=[])
    conf.set_override('launch_timeout', 7, 'guestfs')
    assert other.guestfs.launch_timeout != 7
