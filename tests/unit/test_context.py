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
import json

from imagebuild import context


def test_the_token_does_not_travel():
    who = context.RequestContext(
        auth_token='secret', project_id='p', user_id='u', roles=['member']
    )
    values = who.to_dict()
    assert 'secret' not in json.dumps(values)
    back = context.RequestContext.from_dict(values)
    assert (back.project_id, back.user_id) == ('p', 'u')
    assert back.request_id == who.request_id
    assert back.roles == ['member']


def test_without_an_enforcer_nothing_is_let():
    who = context.RequestContext(project_id='p', roles=['admin'])
    assert not who.may('image-build:builds:list')
