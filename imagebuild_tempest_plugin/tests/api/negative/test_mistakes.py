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
"""Descriptions with a mistake: 400, and where it is."""

import json

from tempest import config
from tempest.lib import decorators
from tempest.lib import exceptions as lib_exc
from tempest.lib.common.utils import data_utils

from imagebuild_tempest_plugin.tests.api.negative import base
from imagebuild_tempest_plugin.tests.base import our_client

CONF = config.CONF


class MistakesTest(base.BaseNegativeTest):
    """Nothing is built; the message says what is wrong and where."""

    def assert_refused(self, path, word='', **more):
        """A description with this in it is refused, to build and to plan."""
        request = self.request(**more)
        for call in (self.client.create_build, self.client.plan_build):
            self.assert_wrong(path, word, call, **request)
        found = self.client.list_builds(name=request['name'])
        self.assertEqual([], found['builds'])

    @decorators.idempotent_id('6f531f5d-ea40-4c11-992b-8630b3a6398f')
    @decorators.attr(type=['negative'])
    def test_no_name(self):
        request = self.request()
        del request['name']
        self.assert_wrong('', 'name', self.client.create_build, **request)

    @decorators.idempotent_id('0192f767-e782-45b7-bd6f-13a1af667923')
    @decorators.attr(type=['negative'])
    def test_neither_os_nor_base_image(self):
        request = self.request()
        del request['os']
        self.assert_wrong(
            'os', 'base_image', self.client.create_build, **request
        )

    @decorators.idempotent_id('99f158c5-1101-4ae6-8847-a291b6c81d32')
    @decorators.attr(type=['negative', 'smoke'])
    def test_unknown_os(self):
        self.assert_refused('os', 'templeos', os='templeos')

    @decorators.idempotent_id('11e39526-29b2-4578-b9eb-9a0684ad6540')
    @decorators.attr(type=['negative'])
    def test_unknown_field(self):
        self.assert_refused('colour', colour='red')

    @decorators.idempotent_id('459a9447-c226-49bb-877b-74dba8de4765')
    @decorators.attr(type=['negative'])
    def test_package_is_a_number(self):
        self.assert_refused('packages[1]', packages=['tree', 7])

    @decorators.idempotent_id('2e1cb2b6-387f-4a5d-92fb-2b143a0ad475')
    @decorators.attr(type=['negative'])
    def test_file_without_absolute_path(self):
        file = {'path': 'etc/x', 'content': 'x'}
        self.assert_refused('files[0].path', files=[file])

    @decorators.idempotent_id('b901f553-b162-4669-bc42-0ae11dc8fe93')
    @decorators.attr(type=['negative'])
    def test_file_with_two_contents(self):
        both = {'path': '/x', 'content': 'x', 'content_base64': 'eA=='}
        self.assert_refused('files[0]', files=[both])

    @decorators.idempotent_id('86ab75ef-84ed-46d8-b0f8-31c9e876c49e')
    @decorators.attr(type=['negative'])
    def test_unknown_recipe(self):
        self.assert_refused('recipe', 'no-such', recipe='no-such')

    @decorators.idempotent_id('1478a24a-cf90-4a7c-b600-88d347a2c802')
    @decorators.attr(type=['negative'])
    def test_unknown_argument(self):
        self.assert_refused(
            'arguments.colour',
            manifest={'validators': [{'package': 'tree'}]},
            arguments={'colour': 'red'},
        )

    @decorators.idempotent_id('00e2d8c0-5655-4f28-96e1-568324274c21')
    @decorators.attr(type=['negative'])
    def test_missing_argument(self):
        manifest = {
            'arguments': {'port': {'required': True}},
            'validators': [{'package': 'tree'}],
        }
        self.assert_refused('arguments.port', manifest=manifest)

    @decorators.idempotent_id('21457f49-2f9f-4e66-a387-43e600b47ace')
    @decorators.attr(type=['negative'])
    def test_argument_that_is_no_choice(self):
        manifest = {
            'arguments': {'size': {'choices': ['s', 'm'], 'default': 's'}},
            'validators': [{'package': 'tree'}],
        }
        self.assert_refused(
            'arguments.size', 'm', manifest=manifest, arguments={'size': 'x'}
        )

    @decorators.idempotent_id('eed773c3-6034-4cd7-89e6-fc34659fe5f2')
    @decorators.attr(type=['negative'])
    def test_unknown_validator(self):
        manifest = {'validators': [{'package': 'tree'}, {'pakage': 'tree'}]}
        self.assert_refused(
            'manifest.validators[1].pakage', 'package', manifest=manifest
        )

    @decorators.idempotent_id('28f2559a-96be-4134-ae11-32ff65c2ea6c')
    @decorators.attr(type=['negative'])
    def test_missing_script(self):
        manifest = {'validators': [{'script': 'away.sh'}]}
        self.assert_refused(
            'manifest.validators[0].script', 'away.sh', manifest=manifest
        )

    @decorators.idempotent_id('a3dcfe8e-4c25-4c4f-b9ad-e1f3bb701c09')
    @decorators.attr(type=['negative'])
    def test_unknown_base_image(self):
        request = self.request(base_image=data_utils.rand_uuid())
        del request['os']
        self.assert_wrong(
            'base_image', '', self.client.create_build, **request
        )

    @decorators.idempotent_id('fd262268-215e-4cfa-ad70-b999b342fe43')
    @decorators.attr(type=['negative'])
    def test_unknown_driver(self):
        self.assert_refused('driver', 'magic', driver='magic')

    @decorators.idempotent_id('67b05711-2931-4fcc-8d04-f4714bbfe6f2')
    @decorators.attr(type=['negative'])
    def test_unknown_driver_option(self):
        self.assert_refused(
            'driver_options.colour', driver_options={'colour': 'red'}
        )

    @decorators.idempotent_id('ad50c2f7-4f45-499c-b4ba-25c88aef2eb4')
    @decorators.attr(type=['negative'])
    def test_unknown_disk_format(self):
        self.assert_refused('disk_format', 'qcow2', disk_format='floppy')

    @decorators.idempotent_id('a7229483-2461-4aae-a3a1-76026ab39f19')
    @decorators.attr(type=['negative'])
    def test_unknown_visibility(self):
        self.assert_refused('visibility', 'shared', visibility='none')

    @decorators.idempotent_id('540dc03b-0b39-427e-b242-10e46f08ebd2')
    @decorators.attr(type=['negative'])
    def test_members_of_a_private_image(self):
        self.assert_refused(
            'members', visibility='private', members=[data_utils.rand_uuid()]
        )

    @decorators.idempotent_id('7a03ab48-de55-4eef-8e08-ec64f381a7c2')
    @decorators.attr(type=['negative'])
    def test_reserved_property(self):
        self.assert_refused('properties.owner', properties={'owner': 'me'})

    @decorators.idempotent_id('fb43909f-661f-49bb-abb9-cf198189b515')
    @decorators.attr(type=['negative'])
    def test_negative_min_disk(self):
        self.assert_refused('min_disk', min_disk=-1)

    @decorators.idempotent_id('a832f60a-a9c9-4612-9ec0-ed888998c57d')
    @decorators.attr(type=['negative'])
    def test_timeouts(self):
        self.assert_refused('timeout', timeout=0)
        self.assert_refused('timeout', timeout=10**9)

    @decorators.idempotent_id('9cc8f71b-0676-4751-b6b2-0b4d993d1ff1')
    @decorators.attr(type=['negative'])
    def test_unknown_reuse(self):
        self.assert_refused('reuse', 'always', reuse='sometimes')

    @decorators.idempotent_id('50de7995-2b4b-4b72-8519-fcd655b6e787')
    @decorators.attr(type=['negative'])
    def test_unknown_destination(self):
        self.assert_refused('destinations[0]', 'mars', destinations=['mars'])

    @decorators.idempotent_id('688b156d-79f2-4ebe-8c6b-06fc6300b04e')
    @decorators.attr(type=['negative', 'smoke'])
    def test_all_mistakes_at_once(self):
        request = self.request(
            os='templeos',
            colour='red',
            min_disk=-1,
            recipe='no-such',
            properties={'owner': 'me'},
        )
        problems = self.problems(self.client.create_build, **request)
        self.assertEqual(
            {'os', 'colour', 'min_disk', 'recipe', 'properties.owner'},
            {path for path, _ in problems},
        )


class RecipeMistakesTest(base.BaseNegativeTest):
    """Of one recipe of the service."""

    @classmethod
    def skip_checks(cls):
        super().skip_checks()
        if not CONF.image_build.recipe:
            raise cls.skipException('[image_build] recipe is not set')

    def _recipe(self, **more):
        return self.request(
            **{
                'recipe': CONF.image_build.recipe,
                'recipe_version': CONF.image_build.recipe_version,
                **more,
            }
        )

    @decorators.idempotent_id('0dffd25a-6534-4a3e-bdd1-0b8850e098a9')
    @decorators.attr(type=['negative'])
    def test_unknown_version(self):
        request = self._recipe(recipe_version='0.0.no')
        self.assert_wrong(
            'recipe_version', '0.0.no', self.client.create_build, **request
        )

    @decorators.idempotent_id('4f94026a-8e5d-4f47-86e0-da8cfa633dd5')
    @decorators.attr(type=['negative'])
    def test_unknown_argument(self):
        request = self._recipe(arguments={'no_such_argument': 'x'})
        self.assert_wrong(
            'arguments.no_such_argument',
            '',
            self.client.create_build,
            **request,
        )

    @decorators.idempotent_id('0188c515-3756-4f32-ad97-86ddfcad3ea9')
    @decorators.attr(type=['negative'])
    def test_recipe_and_manifest(self):
        request = self._recipe(manifest={'validators': [{'package': 'tree'}]})
        self.assert_wrong(
            'manifest', 'recipe', self.client.create_build, **request
        )


class BadRequestsTest(base.BaseNegativeTest):
    """Wrong before it is looked at as a description."""

    @decorators.idempotent_id('eba1e89a-40bf-4645-a240-2d0abaaadd86')
    @decorators.attr(type=['negative'])
    def test_no_json(self):
        self.assertRaises(
            lib_exc.BadRequest, self.client.post, 'v1/builds', '{no json'
        )

    @decorators.idempotent_id('7b40ad7d-c539-4ea1-854c-b2dbcdaa16b6')
    @decorators.attr(type=['negative'])
    def test_no_object(self):
        self.assertRaises(
            lib_exc.BadRequest, self.client.post, 'v1/builds', '[]'
        )

    @decorators.idempotent_id('ffd259be-1c7e-45fb-a62c-c62afec6d15b')
    @decorators.attr(type=['negative'])
    def test_another_media_type(self):
        headers = {'Content-Type': 'text/plain'}
        body = json.dumps(self.request())
        self.assertRaises(
            lib_exc.InvalidContentType,
            self.client.post,
            'v1/builds',
            body,
            headers,
        )

    @decorators.idempotent_id('d4d788be-9094-49b0-bc55-e3974dae584a')
    @decorators.attr(type=['negative'])
    def test_too_large(self):
        content = 'x' * 2 * 1024**2
        request = self.request(files=[{'path': '/x', 'content': content}])
        self.assertRaises(
            lib_exc.OverLimit, self.client.create_build, **request
        )

    @decorators.idempotent_id('1b195e35-c858-483a-8c15-bdd7444e8916')
    @decorators.attr(type=['negative'])
    def test_method_that_is_not_there(self):
        resp, _ = self.client.raw_request(
            f'{self.client.base_url}/v1/builds',
            'PUT',
            {'X-Auth-Token': self.client.token},
        )
        self.assertEqual(405, resp.status)

    @decorators.idempotent_id('8a3da79a-dcf9-49a1-9c84-36bb17d7be1c')
    @decorators.attr(type=['negative'])
    def test_unknown_microversion(self):
        client = our_client(self.os_primary)
        client.microversion = '99.0'
        error = self.assertRaises(lib_exc.NotAcceptable, client.list_builds)
        self.assertEqual('1.0', error.resp_body['min_version'])
        client.microversion = 'one'
        self.assertRaises(lib_exc.BadRequest, client.list_builds)
