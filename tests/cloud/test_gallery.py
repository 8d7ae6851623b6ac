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
"""Every template of the gallery on the real Heat.

What is in the images is not looked at here where the driver is fake; the two
whose manifests look into the system are built for real.
"""

import pathlib
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.cloud import people
from tests.cloud import stacks as stack_tools
from tools.cloud import clouds

TEMPLATES = pathlib.Path(__file__).parents[2] / 'templates' / 'heat'
FAKE = {'os': 'fake-1'}
TINY = {'flavor': 'm1.tiny'}


@pytest.fixture(scope='module')
def cloud(
    nova_cloud: clouds.Cloud, minimal_image: pathlib.Path
) -> clouds.Cloud:
    people.offer_base_image(nova_cloud, minimal_image)
    return people.offer_systems(nova_cloud)


@pytest.fixture
def stacks(cloud: clouds.Cloud) -> Iterator[stack_tools.Stacks]:
    yield from stack_tools.using(cloud)


def create(
    stacks: stack_tools.Stacks, template: str, name: str, **parameters: Any
) -> dict[str, Any]:
    """Make a stack as the documentation says.

    :returns: its outputs.
    """
    stacks.names.append(name)
    options = [f'--parameter={key}={parameters[key]}' for key in parameters]
    try:
        stacks.cloud.openstack(
            *('stack', 'create', name, '--wait', '--timeout', '30'),
            *('--template', str(TEMPLATES / f'{template}.yaml')),
            *options,
        )
    except subprocess.CalledProcessError as error:
        pytest.fail(f'{error.stderr}\n{stacks.failures(name)}')
    return stacks.outputs(name)


def is_active(cloud: clouds.Cloud, image_id: str) -> bool:
    image = stack_tools.image_of(cloud, image_id)
    return image is not None and image['status'] == 'active'


def test_web_server(cloud: clouds.Cloud, stacks: stack_tools.Stacks) -> None:
    outputs = create(stacks, 'web-server', 'g-web', **FAKE, **TINY)
    assert is_active(cloud, outputs['image_id'])
    server = stack_tools.server_of(cloud, outputs['server_id'])
    assert outputs['image_id'] in str(server['image'])


def test_image_only_and_a_server_of_it(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    outputs = create(stacks, 'image-only', 'g-image', **FAKE)
    image_id = outputs['image_id']
    image = stack_tools.image_of(cloud, image_id)
    assert image['os_hash_value'] == outputs['os_hash_value']
    create(stacks, 'server-of-image', 'g-server', image=image_id, **TINY)
    stacks.delete('g-server')
    assert is_active(cloud, image_id)


def test_several_servers_from_one_image(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    create(stacks, 'several-servers', 'g-several', count=2, **FAKE, **TINY)
    builds = people.client(cloud).builds.list(os='fake-1', status='active')
    assert len([*builds]) >= 1
    resources = stacks.heat.resources.list('g-several', nested_depth=2)
    kinds = [each.resource_type for each in resources]
    assert kinds.count('OS::Nova::Server') == 2
    assert kinds.count(stack_tools.IMAGE) == 1


def test_test_and_production_share_an_image(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    one = create(stacks, 'shared-image', 'g-test', stage='test', **FAKE)
    two = create(
        stacks, 'shared-image', 'g-production', stage='production', **FAKE
    )
    assert one['image_id'] == two['image_id']
    stacks.delete('g-test')
    assert is_active(cloud, two['image_id'])


def test_images_over_operating_systems(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    outputs = create(
        stacks, 'images-by-os', 'g-by-os', operating_systems='fake-1,heavy'
    )
    assert len(set(outputs['image_ids'])) == 2
    assert all(is_active(cloud, each) for each in outputs['image_ids'])


def test_nested(cloud: clouds.Cloud, stacks: stack_tools.Stacks) -> None:
    create(stacks, 'nested', 'g-nested', **FAKE, **TINY)
    resources = stacks.heat.resources.list('g-nested', nested_depth=3)
    kinds = [each.resource_type for each in resources]
    assert stack_tools.IMAGE in kinds
    assert 'OS::Nova::Server' in kinds


def test_instead_of_user_data(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    create(stacks, 'user-data-after', 'g-after', **FAKE, **TINY)


def test_recipe(cloud: clouds.Cloud, stacks: stack_tools.Stacks) -> None:
    outputs = create(
        *(stacks, 'recipe', 'g-recipe'),
        **{'os': 'tiny', 'maxmemory': '64mb', 'password': 'pa55w0rd'},
    )
    assert is_active(cloud, outputs['image_id'])
    build = next(people.client(cloud).builds.list(os='tiny'))
    assert 'pa55w0rd' not in str(build.raw)
    shown = stacks.heat.stacks.get('g-recipe').parameters
    assert 'pa55w0rd' not in str(shown)


def test_inline_manifest(
    cloud: clouds.Cloud, stacks: stack_tools.Stacks
) -> None:
    outputs = create(
        stacks, 'inline-manifest', 'g-inline', greeting='Welcome back'
    )
    assert is_active(cloud, outputs['image_id'])
