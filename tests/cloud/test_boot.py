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
"""A server really boots from what a stack has built."""

import pathlib
import time
from collections.abc import Iterator

import pytest

from tests.cloud import stacks as stack_tools
from tools.cloud import cloud as clouds

TEMPLATES = pathlib.Path(__file__).parents[2] / 'templates' / 'heat'


@pytest.fixture
def stacks(libvirt_cloud: clouds.Cloud) -> Iterator[stack_tools.Stacks]:
    yield from stack_tools.using(libvirt_cloud)


def test_web_server(
    libvirt_cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    """What README's "Try it with Heat" does."""
    name = 'web'
    stacks.names.append(name)
    libvirt_cloud.openstack(
        *('stack', 'create', name, '--wait', '--timeout', '30'),
        *('--template', str(TEMPLATES / 'web-server.yaml')),
        *('--parameter', 'title=It works'),
    )
    outputs = stacks.outputs(name)
    image = stack_tools.image_of(libvirt_cloud, outputs['image_id'])
    assert image['imagebuild_content_key'] == outputs['content_key']
    end = time.monotonic() + 400
    while 'imagebuild: nginx is up' not in (
        console := libvirt_cloud.openstack(
            'console', 'log', 'show', outputs['server_id']
        )
    ):
        assert time.monotonic() < end, console[-2000:]
        time.sleep(5)
