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
"""A manifest as Sahara's plugins publish them, over a made-up system."""

import pytest

from imagebuild import exception
from imagebuild import manifest
from imagebuild.remotes import fake
from tests.unit.manifest import engine

pytestmark = pytest.mark.usefixtures('core_language')

PUBLISHED = """
arguments:
  plugin_version:
    description: The version of the plugin; a number on purpose.
    default: 5.11
    choices: [5.9, 5.11]
  java-distro:
    default: openjdk
    description: The distribution of Java to install. Defaults to openjdk.
    choices:
      - openjdk
      - oracle-java
    required: false
  java-version:
    description: Set by the recipe.
    default: ''
  hdfs_lib_dir:
    default: /opt/hdfs
    description: Where libraries go.
    target_variable: HDFS_LIB_DIR
    required: False

validators:
  - os_case:
      - centos7:
          - package: epel-release
      - redhat:
          - package: nfs-utils
      - ubuntu:
          - script: common/add_apt_repo
          - package:
            - nfs-common
            - ntp:
                version: '1.0'
  - argument_case:
      argument_name: java-distro
      cases:
        openjdk:
          - any:
            - all:
              - package: java-1.8.0-openjdk-devel
              - argument_set:
                  argument_name: java-version
                  value: 1.8.0
            - all:
              - package: java-1.7.0-openjdk-devel
              - argument_set:
                  argument_name: java-version
                  value: 1.7.0
        oracle-java:
          - script: oracle_java
  - script:
      set_java_home:
        arguments:
          - java-version
          - jdk-home
        output: OUTPUT_VAR
  - script:
      store_nfs_version:
        - inline: dpkg -s nfs-common
        - output: nfs-version
  - argument_case:
      argument_name: plugin_version
      cases:
        5.9:
          - package: hadoop-old
        5.11:
          - copy_script: common/functions
          - script:
              install_hdfs:
                env_vars: [HDFS_LIB_DIR, nfs-version, plugin_version]
"""
LISTED = PUBLISHED.replace(
    PUBLISHED[: PUBLISHED.index('validators:')],
    """
arguments:
  - plugin_version:
      description: A number.
      default: 5.11
      choices: [5.9, 5.11]
  - java-distro:
      description: The java distribution.
      default: openjdk
      required: false
      choices:
        - oracle-java
        - openjdk
  - java-version:
    description: As the first specification writes it.
    default: ''
  - hdfs_lib_dir:
    target_variable: HDFS_LIB_DIR
    default: /opt/hdfs
    required: false

""",
)
SCRIPTS = (
    'common/add_apt_repo',
    'common/functions',
    'install_hdfs',
    'oracle_java',
    'set_java_home',
)


@pytest.fixture(params=[PUBLISHED, LISTED], ids=['mapping', 'list'])
def published(request, tmp_path):
    for name in SCRIPTS:
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text('#!/bin/bash\n')
    path = tmp_path / 'images' / 'image.yaml'
    path.write_text(request.param)
    return manifest.load(path)


def system(*args, **kwargs):
    remote = engine.system(*args, **kwargs)
    remote.on_script(b'#!/bin/bash\n')
    remote.on_script('set_java_home', fake.Answer('/usr/lib/jvm\n'))
    remote.on_script(b'dpkg -s nfs-common', fake.Answer('Version: 1\n'))
    return remote


def test_it_runs(published):
    remote = system(
        available=['nfs-common', 'ntp', 'java-1.7.0-openjdk-devel']
    )
    report = published.run(remote)
    assert report.changed
    scripts = {it.argv[0]: it.env for it in remote.commands if it.script}
    assert list(scripts) == [
        'common/add_apt_repo',
        'set_java_home',
        'store_nfs_version',
        'install_hdfs',
    ]
    assert scripts['set_java_home']['java_version'] == '1.7.0'
    assert 'jdk-home' not in scripts['set_java_home']
    last = scripts['install_hdfs']
    assert last['HDFS_LIB_DIR'] == last['hdfs_lib_dir'] == '/opt/hdfs'
    assert last['nfs_version'] == 'Version: 1'
    assert last['plugin_version'] == '5.11'
    assert last['distro'] == 'ubuntu'
    assert remote.removed == ['/tmp/functions']


def test_it_runs_on_the_other_family(published):
    remote = system('centos', '7', available=['epel-release', 'hadoop-old'])
    published.run(
        remote, {'java-distro': 'oracle-java', 'plugin_version': 5.9}
    )
    assert set(remote.installed) == {'epel-release', 'hadoop-old'}
    assert 'oracle_java' in remote.ran()


def test_it_only_looks(published):
    remote = system(installed=['nfs-common'])
    with pytest.raises(exception.NotConforming) as caught:
        published.run(remote, reconcile=False)
    assert [failure.path for failure in caught.value.failures] == [
        'validators[0].os_case[2].ubuntu[1].package',
        'validators[1].argument_case.cases.openjdk[0].any',
    ]
    assert remote.changes() == []
