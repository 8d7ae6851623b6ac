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

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from imagebuild import recipes
from imagebuild.api import openapi
from imagebuild.api import routes
from imagebuild.drivers import registry

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
    text = json.dumps(
        openapi.document(routes.ROUTES, '', driver_schemas()), indent=2
    )
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


class DriverOptions(SphinxDirective):
    """The options of our drivers, as they declare them; or of one."""

    optional_arguments = 1

    def run(self):
        lines = StringList()
        for name, schema in driver_schemas().items():
            if self.arguments and name not in self.arguments:
                continue
            lines.extend(StringList([f'``{name}``', ''], source=name))
            for option, about in schema['properties'].items():
                what = facts(about, option in schema.get('required', ()))
                text = [
                    f'    ``{option}``{what}',
                    f'        {about["description"]}',
                    '',
                ]
                lines.extend(StringList(text, source=name))
        found = nodes.container()
        self.state.nested_parse(lines, 0, found)
        return found.children


class RecipeArguments(SphinxDirective):
    """The arguments of one of our recipes, as its manifest declares them."""

    required_arguments = 2
    #: Only those whose names begin with one of these words.
    option_spec = {'only': str.split}

    def run(self):
        recipe = recipes.get(*self.arguments)
        lines = StringList()
        for argument in recipe.arguments():
            if not argument.name.startswith(
                tuple(self.options.get('only', ['']))
            ):
                continue
            what = [argument.type] if argument.type != 'string' else []
            if argument.choices:
                what = [', '.join(f'``{each}``' for each in argument.choices)]
            if argument.hidden:
                what.append('hidden')
            if argument.required:
                what.append('required')
            else:
                what.append(
                    f'default: ``{argument.default}``'
                    if argument.default
                    else 'empty by default'
                )
            text = [
                f'``{argument.name}`` ({"; ".join(what)})',
                f'    {argument.description.replace("*", chr(92) + "*")}',
                '',
            ]
            lines.extend(StringList(text, source=str(recipe)))
        found = nodes.container()
        self.state.nested_parse(lines, 0, found)
        return found.children


def driver_schemas():
    """Of the drivers that this package brings."""
    return {
        name: driver.options.published()
        for name, driver in registry.drivers().items()
        if type(driver).__module__.startswith('imagebuild.')
    }


def facts(about, is_required):
    """What may be given, in a parenthesis."""
    found = []
    if 'enum' in about:
        found.append(', '.join(map(str, about['enum'])))
    elif 'minimum' in about:
        found.append(f'{about["minimum"]} to {about["maximum"]}')
    elif 'type' in about:
        found.append(about['type'])
    if is_required:
        found.append('required')
    elif 'default' in about:
        found.append(f'default: {json.dumps(about["default"])}')
    return f' ({"; ".join(found)})' if found else ''


def setup(app):
    app.connect('builder-inited', write_openapi)
    app.add_directive('driver-options', DriverOptions)
    app.add_directive('recipe-arguments', RecipeArguments)
