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
"""Descriptions of images for tests to ask for.

Those of the driver "fake" do at once, or never, what a real one would.
"""

from tempest.lib.common.utils import data_utils

FAKE = 'fake'

#: What the failing build prints.
FAILURE = 'broken on purpose'


def image(system, **more):
    """A small image that nobody has asked for yet.

    :param system: name of its operating system.
    """
    return {
        'name': data_utils.rand_name('image'),
        'os': system,
        'files': [{'path': '/etc/tempest', 'content': data_utils.rand_uuid()}],
        **more,
    }


def slow(driver):
    """What makes a build take longer than any test."""
    if driver == FAKE:
        return {'driver_options': {'seconds': 600}}
    return {'manifest': _script('sleep 600')}


def lasting(driver):
    """What makes a build take some seconds."""
    if driver == FAKE:
        return {'driver_options': {'seconds': 5}}
    return {'manifest': _script('sleep 5')}


def broken(driver):
    """What makes a build fail, by a mistake of who asked for it."""
    if driver == FAKE:
        return {'driver_options': {'fail': f'It is {FAILURE}.'}}
    return {'manifest': _script(f'echo {FAILURE}; exit 7')}


def secret(value):
    """A manifest with a hidden argument, and its value."""
    return {
        'manifest': {
            'arguments': {'secret': {'hidden': True, 'required': True}},
            'validators': [
                {'script': {'keep': {'inline': 'true'}}},
            ],
        },
        'arguments': {'secret': value},
    }


def _script(text):
    return {'validators': [{'script': {'a test': {'inline': text}}}]}
