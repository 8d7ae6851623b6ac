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
"""JSON schemas of requests and answers, one module a resource.

The same schemas check requests and make /openapi.json, so the two cannot
disagree.
"""

from __future__ import annotations

from imagebuild.api.schemas import base
from imagebuild.api.schemas import builds
from imagebuild.api.schemas import channels
from imagebuild.api.schemas import components
from imagebuild.api.schemas import conductors
from imagebuild.api.schemas import description
from imagebuild.api.schemas import destinations
from imagebuild.api.schemas import drivers
from imagebuild.api.schemas import operating_systems
from imagebuild.api.schemas import packages
from imagebuild.api.schemas import pipelines
from imagebuild.api.schemas import recipes
from imagebuild.api.schemas import service
from imagebuild.api.schemas import uploads
from imagebuild.api.schemas import validations

__all__ = [
    'base',
    'builds',
    'components',
    'channels',
    'conductors',
    'description',
    'destinations',
    'drivers',
    'operating_systems',
    'packages',
    'pipelines',
    'recipes',
    'service',
    'uploads',
    'validations',
]
