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
"""The page of the commands says what the commands take."""

import pathlib
import re
import shlex

import pytest
from cliff import command
from openstackclient import shell

from imagebuild.client.osc import builds
from imagebuild.client.osc import catalogue
from imagebuild.client.osc import channels
from imagebuild.client.osc import columns
from imagebuild.client.osc import contents
from imagebuild.client.osc import create
from imagebuild.client.osc import pipelines
from imagebuild.client.osc import uploads
from imagebuild.client.osc import validations
from imagebuild.client.osc import wait

ROOT = pathlib.Path(__file__).parents[3]
PAGE = ROOT / 'doc' / 'source' / 'cli' / 'image-build.rst'

COMMANDS = {
    'build create': create.CreateBuild,
    'build plan': create.PlanBuild,
    'build list': builds.ListBuild,
    'build show': builds.ShowBuild,
    'build set': builds.SetBuild,
    'build delete': builds.DeleteBuild,
    'build cancel': builds.CancelBuild,
    'build log': builds.LogBuild,
    'build wait': wait.WaitBuild,
    'build steps': builds.ListStep,
    'build sbom': contents.ShowSbom,
    'build provenance': contents.ShowProvenance,
    'build package list': contents.ListPackage,
    'build upload create': uploads.CreateUpload,
    'build upload list': uploads.ListUpload,
    'build upload show': uploads.ShowUpload,
    'build upload delete': uploads.DeleteUpload,
    'build promote': channels.PromoteBuild,
    'channel list': channels.ListChannel,
    'channel show': channels.ShowChannel,
    'channel history': channels.ListPromotion,
    'channel delete': channels.DeleteChannel,
    'build validate': validations.ValidateMachines,
    'validation list': validations.ListValidation,
    'validation show': validations.ShowValidation,
    'validation cancel': validations.CancelValidation,
    'validation delete': validations.DeleteValidation,
    'pipeline create': pipelines.CreatePipeline,
    'pipeline list': pipelines.ListPipeline,
    'pipeline show': pipelines.ShowPipeline,
    'pipeline set': pipelines.SetPipeline,
    'pipeline pause': pipelines.PausePipeline,
    'pipeline unpause': pipelines.UnpausePipeline,
    'pipeline run': pipelines.RunPipeline,
    'pipeline delete': pipelines.DeletePipeline,
    'recipe list': catalogue.ListRecipe,
    'recipe show': catalogue.ShowRecipe,
    'os list': catalogue.ListOperatingSystem,
    'driver list': catalogue.ListDriver,
    'destination list': catalogue.ListDestination,
    'builder list': catalogue.ListBuilder,
}


def shown():
    text = PAGE.read_text().replace('\\\n', ' ')
    return [
        ' '.join(line.split()[1:])
        for line in text.splitlines()
        if line.strip().startswith('$ openstack')
    ]


def parser_of(name):
    made = COMMANDS[name](None, None)
    return made.get_parser('x')


@pytest.mark.parametrize('line', shown())
def test_shown_commands_parse(line):
    _, _, rest = line.partition(' image ')
    name = next(name for name in COMMANDS if rest.startswith(name))
    assert issubclass(COMMANDS[name], command.Command)
    parser_of(name).parse_args(shlex.split(rest.removeprefix(name)))


def test_every_command_is_shown():
    lines = shown()
    for name in COMMANDS:
        assert any(f' image {name}' in line for line in lines), name


def strings(parser):
    return {
        option
        for action in parser._actions
        for option in action.option_strings
        if option.startswith('--')
    }


def own_options(name):
    """Options that the command itself adds to those of its kind."""
    # These two add none.
    everyones = strings(parser_of('builder list')) | strings(
        parser_of('recipe show')
    )
    return strings(parser_of(name)) - everyones


@pytest.mark.parametrize('name', COMMANDS)
def test_no_option_is_one_of_the_program(name):
    """Which takes its own wherever they are on the line."""
    everyones = strings(shell.OpenStackShell().parser) - {'--help'}
    assert '--version' in everyones
    assert strings(parser_of(name)) & everyones == set()


def test_a_plan_is_shown_with_all_its_rows():
    page = (ROOT / 'doc' / 'source' / 'user' / 'service.rst').read_text()
    [table] = re.findall(
        r'^    \$ openstack image build plan (?:.*\\\n)*.*\n'
        r'((?:    [+|].*\n)+)',
        page,
        re.MULTILINE,
    )
    rows = re.findall(r'^    \| (\w+) ', table, re.MULTILINE)
    assert rows == ['Field', *(name for name, _ in columns.PLAN)]


@pytest.mark.parametrize('name', COMMANDS)
def test_every_option_is_on_the_page(name):
    text = PAGE.read_text()
    for option in own_options(name):
        assert re.search(rf'{option}\b', text), option
