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
"""The repository: finished images on a conductor's disk.

An image stays here after it was built, so that it can be uploaded to further
clouds, in other formats, or again, without another build. Each file is an
*artifact*, a directory of its own that is locked by whoever uses it; a
conversion is an artifact, too. Nothing else is needed to know what is there:
the database is told (``register_artifact``, ``sync_artifacts``), and believes
the directory.

Several conductors may share one directory, on one host or on a shared file
system. It has an id of its own (``Repository.id``): whoever opens a directory
with the id of an artifact's row has that artifact.

A conductor uses it like this::

    repository = Repository(settings.directory, settings.limits)
    inventory = register(repository)  # once, in the background
    database.sync_artifacts(repository.id, ...)
    artifact = repository.put(path, facts)  # of each build
    with repository.hold(artifact.id) as held:  # of each upload
        upload(held.path)
    bound(repository, may_remove)  # now and then
"""

from imagebuild.repository.artifacts import CORRUPT
from imagebuild.repository.artifacts import LOST
from imagebuild.repository.artifacts import PRESENT
from imagebuild.repository.artifacts import Artifact
from imagebuild.repository.artifacts import Facts
from imagebuild.repository.formats import add_format
from imagebuild.repository.formats import add_once
from imagebuild.repository.limits import Limits
from imagebuild.repository.registration import Inventory
from imagebuild.repository.registration import register
from imagebuild.repository.registration import verify
from imagebuild.repository.retention import bound
from imagebuild.repository.settings import Settings
from imagebuild.repository.store import Held
from imagebuild.repository.store import Repository

__all__ = [
    'CORRUPT',
    'LOST',
    'PRESENT',
    'Artifact',
    'Facts',
    'Held',
    'Inventory',
    'Limits',
    'Repository',
    'Settings',
    'add_format',
    'add_once',
    'bound',
    'register',
    'verify',
]
