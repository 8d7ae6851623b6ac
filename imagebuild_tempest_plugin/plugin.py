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
"""What Tempest loads: the entry point tempest.test_plugins."""

import pathlib

from tempest import config
from tempest.test_discover import plugins

from imagebuild_tempest_plugin.config import FEATURE_GROUP
from imagebuild_tempest_plugin.config import FEATURE_OPTS
from imagebuild_tempest_plugin.config import GROUP
from imagebuild_tempest_plugin.config import OPTS
from imagebuild_tempest_plugin.config import SERVICE_AVAILABLE_OPT

_HERE = pathlib.Path(__file__).resolve().parent
_SERVICES = 'imagebuild_tempest_plugin.services'


class ImageBuildTempestPlugin(plugins.TempestPlugin):
    """Tests, options and clients of image builds."""

    def load_tests(self):
        """See TempestPlugin: the directory of the tests, and the top one."""
        return str(_HERE / 'tests'), str(_HERE.parent)

    def register_opts(self, conf):
        """See TempestPlugin."""
        conf.register_opt(SERVICE_AVAILABLE_OPT, group='service_available')
        for group, options in _groups():
            conf.register_group(group)
            conf.register_opts(options, group)

    def get_opt_lists(self):
        """See TempestPlugin: for a sample of tempest.conf."""
        return [
            ('service_available', [SERVICE_AVAILABLE_OPT]),
            *((group.name, options) for group, options in _groups()),
        ]

    def get_service_clients(self):
        """See TempestPlugin: ``os_primary.image_build_v1`` and the like."""
        ours = config.service_client_config('image_build')
        heat = {
            **ours,
            'service': config.CONF.image_build.orchestration_catalog_type,
        }
        return [
            {
                'name': 'image_build_v1',
                'service_version': 'image-build.v1',
                'module_path': f'{_SERVICES}.image_build',
                'client_names': ['ImageBuildClient'],
                **ours,
            },
            {
                # heat-tempest-plugin may be there as well.
                'name': 'image_build_orchestration',
                'service_version': 'image-build.orchestration',
                'module_path': f'{_SERVICES}.orchestration',
                'client_names': ['StacksClient'],
                **heat,
            },
        ]


def _groups():
    return [
        (GROUP, OPTS),
        (FEATURE_GROUP, FEATURE_OPTS),
    ]
