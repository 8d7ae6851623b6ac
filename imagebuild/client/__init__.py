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
"""The client of the image build service.

::

    from imagebuild import client

    builder = client.Client(session=keystoneauth_session)
    build = builder.builds.create(
        name='web', os='debian-12', packages=['nginx']
    )
    build = builder.builds.wait(build.id)
    print(build.status, build.image_id)

It needs keystoneauth1 and tenacity and nothing else: of imagebuild only
modules without dependencies are imported, so that a host which only requests
builds (one that runs Heat, for example) installs none of the service. All of
it may be used from several threads at once.
"""

from __future__ import annotations

from imagebuild.client import exceptions
from imagebuild.client.channel_records import Channel
from imagebuild.client.channel_records import Promotion
from imagebuild.client.client import Client
from imagebuild.client.records import Build
from imagebuild.client.records import BuildImage
from imagebuild.client.records import Conductor
from imagebuild.client.records import Destination
from imagebuild.client.records import Driver
from imagebuild.client.records import LogChunk
from imagebuild.client.records import OperatingSystem
from imagebuild.client.records import Pipeline
from imagebuild.client.records import Plan
from imagebuild.client.records import Progress
from imagebuild.client.records import Recipe
from imagebuild.client.records import Step
from imagebuild.client.records import Upload
from imagebuild.client.records import Validation

__all__ = [
    'Build',
    'BuildImage',
    'Channel',
    'Client',
    'Conductor',
    'Destination',
    'Driver',
    'LogChunk',
    'OperatingSystem',
    'Pipeline',
    'Plan',
    'Progress',
    'Promotion',
    'Recipe',
    'Step',
    'Upload',
    'Validation',
    'exceptions',
]
