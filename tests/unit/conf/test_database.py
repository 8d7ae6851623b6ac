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
import pytest
from oslo_config import cfg
from oslo_db import options

from imagebuild import conf as imagebuild_conf
from imagebuild.conf import database
from imagebuild.conf import quota
from imagebuild.db import engine
from imagebuild.db import transaction
from imagebuild.db.queries import quotas


@pytest.fixture
def conf():
    conf = cfg.ConfigOpts()
    imagebuild_conf.register(conf)
    conf(args=[], default_config_files=[])
    return conf


def test_sqlite_without_a_connection(conf, tmp_path):
    path = tmp_path / 'imagebuild.conf'
    path.write_text('[DEFAULT]\nstate_path = /a\n')
    conf(args=[], default_config_files=[str(path)])
    assert database.connection(conf) == 'sqlite:////a/imagebuild.sqlite'
    path.write_text('[database]\nconnection = mysql://h/d\n')
    conf(args=[], default_config_files=[str(path)])
    assert database.connection(conf) == 'mysql://h/d'


def test_defaults_are_those_of_the_code(conf):
    assert engine.PoolSettings(**database.pool(conf)) == engine.PoolSettings()
    assert conf.database.retry_for == transaction.Retries().seconds


def test_names_are_those_of_oslo_db():
    theirs = {option.name: option for option in options.database_opts}
    for option in database.OPTS:
        if option.name != 'retry_for':
            assert type(option) is type(theirs[option.name]), option.name


def test_quotas_are_those_of_the_code(conf):
    assert set(quota.limits(conf)) == set(quotas.RESOURCES)
    assert quota.limits(conf)['queued'] == 100
