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

import pytest
from oslo_config import cfg

from imagebuild import context
from imagebuild import exception
from imagebuild import policies
from imagebuild.api import routes
from imagebuild.policies import builds

NAMES = [rule.name for rule in policies.list_rules() if ':' in rule.name]


class Owned:
    def __init__(self, project_id):
        self.project_id = project_id


@pytest.fixture
def make(tmp_path):
    def make(roles, project_id='red', text='', **more):
        path = tmp_path / 'policy.yaml'
        path.write_text(text)
        config = tmp_path / 'imagebuild.conf'
        config.write_text(f'[oslo_policy]\npolicy_file = {path}\n')
        conf = cfg.ConfigOpts()
        conf([], default_config_files=[str(config)])
        enforcer = policies.make_enforcer(conf)
        who = context.RequestContext(
            project_id=project_id, roles=roles, overwrite=False, **more
        )
        who.enforcer = enforcer
        return who

    return make


WRITES = {
    name
    for name in NAMES
    if re.search(r':(create|update|cancel|delete|run|promote|rollback)', name)
}
ADMINS = {
    'image-build:builds:list:all_projects',
    'image-build:builds:create:public',
    'image-build:conductors:list',
}


@pytest.mark.parametrize('name', NAMES)
def test_defaults(make, name):
    own, other = Owned('red'), Owned('blue')
    admin, member = make(['admin']), make(['member', 'reader'])
    reader, stranger = make(['reader']), make(['stranger'])
    assert admin.may(name, own)
    assert admin.may(name, other)
    assert member.may(name, own) is (name not in ADMINS)
    assert reader.may(name, own) is (name not in ADMINS | WRITES)
    assert not stranger.may(name, own)
    assert not member.may(name, other)
    assert not reader.may(name, other)


def test_without_a_target_it_is_about_oneself(make):
    assert make(['reader']).may(builds.LIST)


def test_without_a_project_nothing(make):
    assert not make(['admin'], project_id=None).may(builds.LIST)
    assert not make(['admin'], domain_id='d').may(builds.LIST)


def test_refusal_names_the_rule(make):
    with pytest.raises(exception.Forbidden, match=builds.CREATE):
        make(['reader']).can(builds.CREATE)


def test_operators_decide(make):
    text = '"image-build:builds:create:manifest": "role:trusted"\n'
    assert not make(['member'], text=text).may(builds.CREATE_MANIFEST)
    assert make(['trusted'], text=text).may(builds.CREATE_MANIFEST)


def test_operations_are_routes():
    addresses = {
        (route.method, re.sub(r'<(\w+)>', r'{\1}', route.path))
        for route in routes.ROUTES
    }
    for rule in policies.list_rules():
        for operation in getattr(rule, 'operations', ()):
            where = (operation['method'], operation['path'])
            assert where in addresses, rule.name


def test_every_rule_is_one_of_its_module():
    assert len(set(NAMES)) == len(NAMES)
    assert all(name.startswith('image-build:') for name in NAMES)


def test_a_rule_may_look_at_the_channel(make):
    rule = "rule:project_member and (role:release or not 'prod':%(channel)s)"
    text = f'"{policies.channels.PROMOTE}": "{rule}"\n'
    # As the operators' page has it.
    text += f'"{policies.channels.DELETE}": "rule:{policies.channels.PROMOTE}"'
    own = Owned('red')

    def may(channel, *roles, rule=policies.channels.PROMOTE):
        who = make(['member', *roles], text=text)
        return who.may(rule, own, channel=channel)

    for each in (policies.channels.PROMOTE, policies.channels.DELETE):
        assert may('test', rule=each)
        assert not may('prod', rule=each)
        assert may('prod', 'release', rule=each)
