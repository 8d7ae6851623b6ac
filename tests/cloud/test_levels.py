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
"""Heat of the small OpenStack; its Nova: test_heat.py."""

from tools.cloud import clouds


def test_heat_knows_our_resource(heat_cloud: clouds.Cloud) -> None:
    types = heat_cloud.openstack(
        *('orchestration', 'resource', 'type', 'list', '-f', 'value')
    )
    assert 'OS::Heat::RandomString' in types.split()
    assert 'OS::ImageBuild::Image' in types.split()
