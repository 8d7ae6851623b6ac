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
import os

import pytest

from imagebuild import exception
from imagebuild.api import deploy

TEXT = """
[DEFAULT]
state_path = {state}
transport_url = fake://
[api]
auth_strategy = noauth
{more}
"""


@pytest.fixture
def write(tmp_path):
    def write(name, more=''):
        path = tmp_path / name
        path.write_text(TEXT.format(state=tmp_path, more=more))
        return str(path)

    return write


def test_files_are_named_by_the_environment(write):
    files = [write('a.conf'), write('b.conf', 'default_limit = 7')]
    conf = deploy.load_conf({'IMAGEBUILD_CONFIG': os.pathsep.join(files)})
    assert conf.api.default_limit == 7


def test_a_file_that_is_not_there(tmp_path):
    name = str(tmp_path / 'no.conf')
    with pytest.raises(exception.InvalidInput, match='no.conf'):
        deploy.load_conf({'IMAGEBUILD_CONFIG': name})


def test_a_file_that_is_not_valid(tmp_path):
    path = tmp_path / 'bad.conf'
    path.write_text('[api\n')
    with pytest.raises(exception.InvalidInput, match='cannot be read'):
        deploy.load_conf({'IMAGEBUILD_CONFIG': str(path)})


def test_the_application_is_made_without_connecting(write):
    conf = deploy.load_conf({'IMAGEBUILD_CONFIG': write('a.conf')})
    assert callable(deploy.load_app(conf))
