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
"""Keeps what is in the image that a build has made.

The job has asked the system on the disk and written the answer down. An image
of which that is not known is an image nevertheless.
"""

from __future__ import annotations

import datetime
import gzip
import json
import logging
import pathlib
from collections.abc import Mapping

from imagebuild import db
from imagebuild import exception
from imagebuild import sbom
from imagebuild.common import small_files
from imagebuild.common.counts import counted
from imagebuild.conductor import claims
from imagebuild.conductor import event_recorder
from imagebuild.conductor import metrics
from imagebuild.conductor.conductor_context import ConductorContext

LOG = logging.getLogger(__name__)

#: Bytes of a compressed document.
_LARGEST = 15 * 1024 * 1024
#: Characters of one as it is shown; 20000 packages of real systems need half.
_LONGEST = 32 * 1024 * 1024


def keep(
    context: ConductorContext,
    build: db.Build,
    directory: pathlib.Path,
    recorder: event_recorder.EventRecorder,
    checksums: Mapping[str, str] | None = None,
) -> None:
    """Put the document of an image into the database, if there is one.

    :param directory: where the job has worked.
    :param checksums: of the file, algorithm to hex digest.
    :raises DatabaseUnavailable: the conductor shuts down.
    """
    path = directory / sbom.FILE_NAME
    if not path.exists():
        # The job has said why.
        metrics.SBOMS.labels('none').inc()
        return
    try:
        contents = sbom.Contents.from_document(
            json.loads(small_files.read(path, sbom.LARGEST_FILE))
        )
    except (KeyError, TypeError, ValueError, exception.ImageBuildError):
        LOG.exception('What is in the image of %s is lost', build.id)
        recorder.note('There is no list of packages: it cannot be read.')
        metrics.SBOMS.labels('none').inc()
        return
    text = _document(contents, build, checksums or {})
    document = gzip.compress(text.encode(), mtime=0)
    # Guests can say what becomes a hundred times as long where it is read.
    if len(document) > _LARGEST or len(text) > _LONGEST:
        recorder.note('There is no list of packages: it is too large.')
        metrics.SBOMS.labels('none').inc()
        return
    context.retry.until_available(
        'what is in an image',
        lambda: context.database.store_sbom(
            build.id,
            document,
            [each.key for each in contents.packages],
            **claims.holder(build),
        ),
    )
    recorder.note(
        f'The image has {counted(len(contents.packages), "package")}.'
    )
    metrics.SBOMS.labels('kept').inc()


def _document(
    contents: sbom.Contents, build: db.Build, checksums: Mapping[str, str]
) -> str:
    subject = sbom.Subject(
        name=build.name,
        id=build.id,
        created=datetime.datetime.now(datetime.UTC),
        checksums=dict(checksums),
    )
    return json.dumps(sbom.document(contents, subject))
