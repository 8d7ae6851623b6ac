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
"""Templates for Heat, as dicts."""

_VERSION = '2018-08-31'


def image(properties):
    """An image and its outputs."""
    return {
        'heat_template_version': _VERSION,
        'resources': {
            'image': {
                'type': 'OS::ImageBuild::Image',
                'properties': properties,
            }
        },
        'outputs': {
            'image_id': _value({'get_resource': 'image'}),
            **{
                name: _value({'get_attr': ['image', name]})
                for name in ('build_id', 'os_hash_value', 'status')
            },
        },
    }


def server(properties, flavor, network):
    """A server that boots from an image of the same stack.

    :param properties: of the image.
    :param network: '' for none.
    """
    template = image(properties)
    template['resources']['server'] = {
        'type': 'OS::Nova::Server',
        'properties': {
            'image': {'get_resource': 'image'},
            'flavor': flavor,
            'networks': [
                {'network': network} if network else _WITHOUT_NETWORK
            ],
        },
    }
    template['outputs']['server_id'] = _value({'get_resource': 'server'})
    return template


_WITHOUT_NETWORK = {'allocate_network': 'none'}


def _value(value):
    return {'value': value}
