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
import json
import pathlib

from imagebuild.api import openapi
from imagebuild.api import routes

project = 'imagebuild'
copyright = 'imagebuild developers'

extensions = [
    'openstackdocstheme',
    'sphinx.ext.graphviz',
    'sphinxcontrib.openapi',
    'oslo_config.sphinxext',
    'oslo_policy.sphinxext',
    'stevedore.sphinxext',
]
graphviz_output_format = 'svg'
# Samples and a list of fields for each call.
openapi_default_renderer = 'httpdomain'
html_theme = 'openstackdocs'
pygments_style = 'native'

openstackdocs_auto_name = False
openstackdocs_auto_version = False
openstackdocs_use_storyboard = False


def write_openapi(app):
    """Write what the API says about itself, for its reference."""
    path = pathlib.Path(app.srcdir) / 'api' / 'openapi.json'
    text = json.dumps(openapi.document(routes.ROUTES, ''), indent=2)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def setup(app):
    app.connect('builder-inited', write_openapi)
