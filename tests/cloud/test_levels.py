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
"""Heat and Nova of the small OpenStack."""

import json
import pathlib

from tools.cloud import cloud as clouds

TEMPLATE = """\
heat_template_version: 2021-04-16
resources:
  text: {type: OS::Heat::RandomString}
  server:
    type: OS::Nova::Server
    properties:
      image: %s
      flavor: m1.tiny
      networks: [{allocate_network: none}]
"""


def test_heat_knows_our_resource(heat_cloud: clouds.Cloud) -> None:
    types = heat_cloud.openstack(
        *('orchestration', 'resource', 'type', 'list', '-f', 'value')
    )
    assert 'OS::Heat::RandomString' in types.split()
    assert 'OS::ImageBuild::Image' in types.split()


def test_a_stack_has_a_server(
    nova_cloud: clouds.Cloud, tmp_path: pathlib.Path
) -> None:
    file = tmp_path / 'image'
    file.write_bytes(bytes(1024))
    image = nova_cloud.openstack(
        *('image', 'create', '--file', str(file), 'stack-image'),
        *('--disk-format', 'raw', '--container-format', 'bare'),
        *('-f', 'value', '-c', 'id'),
    )
    template = tmp_path / 'template.yaml'
    template.write_text(TEMPLATE % image)
    status = nova_cloud.openstack(
        *('stack', 'create', '--wait', '-t', str(template), 'one'),
        *('-f', 'value', '-c', 'stack_status'),
    )
    # Its events are above.
    assert status.splitlines()[-1] == 'CREATE_COMPLETE'
    servers = json.loads(nova_cloud.openstack('server', 'list', '-f', 'json'))
    assert [server['Status'] for server in servers] == ['ACTIVE']
    nova_cloud.openstack('stack', 'delete', '--yes', '--wait', 'one')
    assert nova_cloud.openstack('server', 'list', '-f', 'value') == ''
    nova_cloud.openstack('image', 'delete', image)
