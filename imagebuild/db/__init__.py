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
"""The service's database.

Everything that the API servers and conductors have to agree on is in one
SQL database: SQLite for one machine, MariaDB, MySQL or PostgreSQL for more.
:class:`Database` is the only door to it. It gives out frozen records, keeps
every transaction to one call, retries what the server refused for a moment,
and lets no exception of SQLAlchemy out.

``queries`` holds the queries, one module for each resource: functions over a
session, made methods of :class:`Database` by a decorator
(:func:`transaction.reader`, :func:`transaction.writer`). ``rows`` is what they
share, ``transaction`` how they are run.
"""

from imagebuild.db.api import Database
from imagebuild.db.channel_records import TAG_PREFIX as CHANNEL_TAG_PREFIX
from imagebuild.db.channel_records import Channel
from imagebuild.db.channel_records import Expectation
from imagebuild.db.channel_records import Promotion
from imagebuild.db.package_records import HeldPackage
from imagebuild.db.package_records import PackagePlace
from imagebuild.db.package_records import PackageVersion
from imagebuild.db.pipeline_records import Pipeline
from imagebuild.db.records import Artifact
from imagebuild.db.records import Build
from imagebuild.db.records import Conductor
from imagebuild.db.records import Event
from imagebuild.db.records import Image
from imagebuild.db.records import ImageMark
from imagebuild.db.records import Job
from imagebuild.db.records import Lane
from imagebuild.db.records import Outcome
from imagebuild.db.records import Step
from imagebuild.db.records import Upload
from imagebuild.db.records import UploadOutcome
from imagebuild.db.records import Validation

__all__ = [
    'CHANNEL_TAG_PREFIX',
    'Artifact',
    'Build',
    'Channel',
    'Conductor',
    'Database',
    'Event',
    'HeldPackage',
    'Expectation',
    'Image',
    'ImageMark',
    'Job',
    'Lane',
    'Outcome',
    'PackagePlace',
    'PackageVersion',
    'Pipeline',
    'Promotion',
    'Step',
    'Upload',
    'UploadOutcome',
    'Validation',
]
