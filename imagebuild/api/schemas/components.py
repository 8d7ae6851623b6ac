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
"""The schemas that other schemas refer to by a name."""

from __future__ import annotations

from imagebuild.api.schemas import base
from imagebuild.api.schemas import builds
from imagebuild.api.schemas import channels
from imagebuild.api.schemas import conductors
from imagebuild.api.schemas import destinations
from imagebuild.api.schemas import drivers
from imagebuild.api.schemas import operating_systems
from imagebuild.api.schemas import packages
from imagebuild.api.schemas import pipelines
from imagebuild.api.schemas import recipes
from imagebuild.api.schemas import uploads
from imagebuild.api.schemas import validations

#: Schemas that the OpenAPI document holds under a name.
BY_NAME: dict[str, base.Schema] = {
    'Build': builds.BUILD,
    'Changes': builds.UPDATE,
    'Channel': channels.CHANNEL,
    'Conductor': conductors.CONDUCTOR,
    'Description': builds.CREATE,
    'Destination': destinations.DESTINATION,
    'Driver': drivers.DRIVER,
    'Error': base.ERROR,
    'OperatingSystem': operating_systems.OPERATING_SYSTEM,
    'Package': packages.PACKAGE,
    'Pipeline': pipelines.PIPELINE,
    'Plan': builds.PLAN,
    'Promotion': channels.PROMOTION,
    'Provenance': packages.PROVENANCE,
    'Recipe': recipes.RECIPE,
    'RecipeSummary': recipes.RECIPE_SUMMARY,
    'Sbom': packages.SBOM,
    'Step': builds.STEP,
    'Upload': uploads.UPLOAD,
    'Validation': validations.VALIDATION,
}
