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
"""Constraints that templates may use, on parameters too.

Heat remembers for a while that a value was found, never that it was not.
"""

from __future__ import annotations

from heat.common import exception
from heat.engine import constraints

from heat_plugin.clients import image_build
from imagebuild.client import exceptions


class _NameConstraint(constraints.BaseCustomConstraint):
    resource_client_name = image_build.CLIENT_NAME
    #: A service that is not reached cannot confirm a name: the user reads
    #: that, not a failure of Heat.
    expected_exceptions = (exception.EntityNotFound, exceptions.ClientError)


class RecipeConstraint(_NameConstraint):
    """``imagebuild.recipe``: a recipe that the service has."""

    resource_getter_name = 'find_recipe'


class OsConstraint(_NameConstraint):
    """``imagebuild.os``: an operating system of the service's catalogue."""

    resource_getter_name = 'find_os'
