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
"""What can be said of a pipeline before anything is made."""

from __future__ import annotations

from heat.common import exception

from heat_plugin import known_properties
from heat_plugin import messages
from heat_plugin import pipeline_schema
from heat_plugin import request_body
from heat_plugin import schema
from heat_plugin import service_resource
from heat_plugin import validation
from heat_plugin.known_properties import KnownProperties
from imagebuild import client


class CheckedPipeline(service_resource.ServiceResource):
    """The part of the resource that checks its properties."""

    def validate(self) -> None:
        super().validate()
        if not self.stack.strict_validate:
            return
        given = KnownProperties(self.properties)
        if given.has(pipeline_schema.CRON) and given.has(
            pipeline_schema.MAX_AGE
        ):
            raise self._invalid(
                'only one of "cron" and "max_age" can be given'
            )
        image = known_properties.of_map(
            self.properties,
            pipeline_schema.IMAGE,
            pipeline_schema.IMAGE_PROPERTIES,
        )
        if image is not None:
            self._check_image(image)

    def _check_image(self, given: KnownProperties) -> None:
        """Check the image; the service does so, too, if it can at once.

        Placeholders stand for values of resources that do not exist yet;
        problems of placeholders are not reported.

        :raises StackValidationFailed: it has mistakes, or this user may not
            have such an image.
        """
        problems = [*validation.problems(given)]
        if problems:
            raise self._invalid(f'image: {"; ".join(problems)}')
        image = request_body.of_pipeline(given)
        try:
            self.client_plugin().plan({schema.NAME: self.name, **image})
        except client.exceptions.BadRequest as error:
            reported = given.not_of_placeholders(error.errors)
            if error.errors and not reported:
                return
            raise self._invalid(
                messages.clean(f'image: {messages.problems(error, reported)}')
            ) from None
        except client.exceptions.ClientError as error:
            raise self._invalid(
                messages.request_failed(error, self.name)
            ) from None

    def _invalid(self, text: str) -> Exception:
        error: Exception = exception.StackValidationFailed(
            resource=self, message=messages.with_full_stop(text)
        )
        return error
