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
"""Statuses of builds and uploads, for service and commands alike."""

from __future__ import annotations

#: Every status of a build; a deleted build has none, it is not found.
ALL = (
    'queued', 'building', 'uploading', 'active', 'error', 'cancelled',
    'deleting',
)  # fmt: skip
#: A conductor holds the build.
RUNNING = ('building', 'uploading', 'deleting')
#: Nothing more will happen to the build by itself.
ENDED = ('active', 'error', 'cancelled')
#: The build has ended, and there is no image.
WITHOUT_IMAGE = ('error', 'cancelled')
#: The build may still become an image.
UNFINISHED = ('queued', 'building', 'uploading')
#: A conductor works on the build, which moves.
IN_PROGRESS = ('building', 'uploading')

#: Every status of an upload; ``deleting``: until its image is gone.
UPLOAD = ('queued', 'uploading', 'active', 'error', 'deleting')
#: The upload waits or is under way.
UPLOAD_PENDING = ('queued', 'uploading')

#: Every status of a pipeline; ``error``: stopped after too many failures.
PIPELINE = ('active', 'paused', 'error')

#: Statuses of a validation that has ended. ``passed``: every machine is as
#: described; ``failed``: one is not; ``error``: of one nothing is known.
VALIDATION_ENDED = ('passed', 'failed', 'error', 'cancelled')
VALIDATION = ('queued', 'running', *VALIDATION_ENDED)
