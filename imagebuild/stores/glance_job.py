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
"""What an upload into Glance is given."""

from __future__ import annotations

import dataclasses
import logging
import pathlib
from collections.abc import Mapping
from typing import Any

from imagebuild.common import checksums
from imagebuild.common import transfer_progress
from imagebuild.stores import base
from imagebuild.stores import importing
from imagebuild.stores import sending

LOG = logging.getLogger(__name__)

_HASH = 'sha512'

Content = sending.HashedFile | sending.KnownContent


@dataclasses.dataclass(frozen=True)
class Job:
    """What is to be uploaded.

    :ivar image: as the caller wants it.
    :ivar described: the same and its stamp, with Glance's names.
    :ivar path: of its file; None when there is none.
    :ivar checksum: of the content, if known.
    :ivar elsewhere: where it is, too.
    """

    image: base.ImageProperties
    described: Mapping[str, Any]
    stamp: base.Stamp
    path: pathlib.Path | None = None
    checksum: checksums.Checksum | None = None
    elsewhere: base.Elsewhere = base.Elsewhere()
    on_progress: transfer_progress.OnProgress | None = None
    on_notice: base.OnNotice | None = None

    @property
    def source(self) -> importing.Source:
        """What a plan is made of."""
        return importing.Source(
            self.path.name if self.path else '',
            self.elsewhere.url,
            tuple(self.elsewhere.copies),
            self.checksum,
        )

    def content(self, attempt: importing.Attempt | None = None) -> Content:
        """What is sent, or what has arrived is compared with."""
        if self.path is not None:
            return sending.HashedFile(
                self.path, _HASH, self.checksum, self.on_progress
            )
        copies = self.elsewhere.copies
        known = [self.checksum, *(copy.checksum for copy in copies)]
        if attempt and attempt.copy:
            known = [self.checksum, attempt.copy.checksum]
        return sending.KnownContent([each for each in known if each])

    def notice(self, message: str) -> None:
        """Tell the user."""
        LOG.info('%s', message)
        if self.on_notice:
            self.on_notice(message)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the operator wants of a Glance.

    :ivar allowed: methods and stores.
    :ivar all_stores_must_succeed: an image that is not in all of its stores
        is an error.
    :ivar accept_converted: Glance may make another format of an image.
    :ivar activation_timeout: seconds from the last byte until an image that
        was sent must be active.
    """

    allowed: importing.Allowed = importing.Allowed()
    all_stores_must_succeed: bool = True
    accept_converted: bool = False
    activation_timeout: float = 600.0

    @classmethod
    def from_section(cls, section: Mapping[str, Any]) -> Settings:
        """Read options of ``[glance]``.

        :raises InvalidInput: there is no such method.
        """
        return cls(
            allowed=importing.Allowed.from_section(section),
            all_stores_must_succeed=bool(
                section.get('all_stores_must_succeed', True)
            ),
            accept_converted=bool(section.get('accept_converted', False)),
            activation_timeout=float(section.get('activation_timeout', 600)),
        )
