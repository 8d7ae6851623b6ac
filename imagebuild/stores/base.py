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
"""What a store is: it keeps finished images.

Called by the upload job (``upload``, ``adopt``) and by the conductor
(``delete``, ``exists``, ``find``). Whoever calls has first written down in the
database what it is about to do, and may be killed at any moment; so everything
here may be called again, and ends with one image however often it is.

``tests/contract/store_contract.py`` is this text as tests; every store in
the entry points ``imagebuild.stores`` passes it.
"""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import pathlib
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import artifacts
from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import config_options
from imagebuild.common import transfer_progress
from imagebuild.disks import fetching
from imagebuild.stores import image_change

#: Called with a message for the user.
OnNotice = Callable[[str], None]

BUILD_ID = 'imagebuild_build_id'
UPLOAD_ID = 'imagebuild_upload_id'
CONTENT_KEY = 'imagebuild_content_key'

#: How many images :meth:`Store.list_stamped` yields at most.
MOST_STAMPED = 100_000


@dataclasses.dataclass(frozen=True)
class ImageProperties:
    """An image's fields and properties, named as in Glance.

    :ivar name: not unique.
    :ivar owner: id of the project that the image is for.
    :ivar disk_format: ``qcow2``, ``raw``, ``vmdk``, ``vhd``, ``vdi``.
    :ivar container_format: ``bare`` nearly always.
    :ivar visibility: ``private``, ``shared``, ``community``, ``public``; ''
        for ``private``, or ``shared`` when there are members.
    :ivar protected: it cannot be deleted before this is taken back.
    :ivar members: ids of the projects it is shared with.
    :ivar properties: any others, all text.
    :ivar min_disk: GiB.
    :ivar min_ram: MiB.
    """

    name: str
    owner: str
    disk_format: str = 'qcow2'
    container_format: str = 'bare'
    visibility: str = ''
    protected: bool = False
    tags: Sequence[str] = ()
    members: Sequence[str] = ()
    properties: Mapping[str, str] = dataclasses.field(default_factory=dict)
    min_disk: int = 0
    min_ram: int = 0

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ImageProperties:
        """Read them; None is as if it was not given.

        :param values: names as above; others are refused.
        :raises TypeError: there is a name that is not known, or one of the
            required ones is missing.
        """
        return cls(
            **{
                key: value
                for key, value in values.items()
                if value is not None
            }
        )


@dataclasses.dataclass(frozen=True)
class Stamp:
    """What an image is marked with, so that it is found again.

    :ivar build_id: the build that made it.
    :ivar upload_id: the upload; two images never have the same.
    :ivar content_key: of the build.
    """

    build_id: str
    upload_id: str
    content_key: str = ''

    def properties(self) -> dict[str, str]:
        """The stamp as properties of the image."""
        return {
            BUILD_ID: self.build_id,
            UPLOAD_ID: self.upload_id,
            CONTENT_KEY: self.content_key,
        }

    @classmethod
    def from_properties(cls, properties: Mapping[str, Any]) -> Stamp | None:
        """Read it from the properties of an image; None when it has none."""
        if not properties.get(UPLOAD_ID):
            return None
        return cls(
            build_id=str(properties.get(BUILD_ID) or ''),
            upload_id=str(properties[UPLOAD_ID]),
            content_key=str(properties.get(CONTENT_KEY) or ''),
        )


@dataclasses.dataclass(frozen=True)
class StampedImage:
    """An image with a stamp of this service, complete or not.

    :ivar image_id: the store's name for it.
    :ivar stamp: what it is marked with.
    :ivar status: as Glance calls it: ``active``, ``queued``, ``saving``, ...
    :ivar created_at: ISO 8601, UTC.
    :ivar protected: it is not deleted before this is taken back.
    :ivar hidden: lists of images leave it out.
    """

    image_id: str
    stamp: Stamp
    status: str
    created_at: str
    protected: bool = False
    hidden: bool = False


@dataclasses.dataclass(frozen=True)
class ImageCopy:
    """An active image in Glance that has the content of an upload.

    :ivar image_id: its id.
    :ivar region: of its Glance in the catalog of the cloud that is uploaded
        to; '' when it is in another cloud.
    :ivar disk_format: what it is.
    :ivar container_format: what it is in.
    :ivar checksum: that its Glance has computed.
    """

    image_id: str
    region: str = ''
    disk_format: str = ''
    container_format: str = 'bare'
    checksum: checksums.Checksum | None = None


@dataclasses.dataclass(frozen=True)
class Elsewhere:
    """Where the content of an upload is too, beside the file of this host.

    :ivar copies: images that have the same content already.
    :ivar url: where the cloud may fetch the same file; '' for nowhere.
    """

    copies: Sequence[ImageCopy] = ()
    url: str = ''


@dataclasses.dataclass(frozen=True)
class StoredImage:
    """An image that is complete in its store.

    :ivar image_id: the store's name for it.
    :ivar size: bytes.
    :ivar os_hash_algo: of the checksum that the store knows.
    :ivar os_hash_value: hexadecimal.
    :ivar disk_format: that it has: another one than was sent where the cloud
        converts images; '' when not known.
    """

    image_id: str
    size: int
    os_hash_algo: str
    os_hash_value: str
    disk_format: str = ''


class Store(abc.ABC):
    """Where a finished image goes.

    :cvar name: as in its entry point in the group ``imagebuild.stores``.
    :cvar adopts: whether it takes images that a cloud has made.
    """

    name: ClassVar[str]
    adopts: ClassVar[bool] = False

    @classmethod
    def list_opts(cls) -> config_options.Pairs:
        """The store's own options in the service's configuration file.

        Its sections are given to :meth:`from_config`.
        """
        return ()

    @classmethod
    @abc.abstractmethod
    def from_config(cls, config: Mapping[str, Mapping[str, Any]]) -> Self:
        """Make one; nothing is contacted before it is used.

        :param config: sections by name, values by option.
        :raises InvalidInput: an option is missing or wrong.
        """

    @abc.abstractmethod
    def upload(
        self,
        path: pathlib.Path | None,
        image: ImageProperties,
        stamp: Stamp,
        *,
        checksum: checksums.Checksum | None = None,
        on_progress: transfer_progress.OnProgress | None = None,
        on_notice: OnNotice | None = None,
        elsewhere: Elsewhere = Elsewhere(),
    ) -> StoredImage:
        """Put an image into the store.

        Idempotent by ``stamp.upload_id``: what an earlier call began is
        finished, or removed and started again. When this raises, the next call
        may find a part of the image; :meth:`discard` removes it.

        :param path: the image's file; None when it is on no disk of this
            host any more and is only ``elsewhere``.
        :param image: its fields and properties.
        :param stamp: what it is marked with.
        :param checksum: the file's; compared with what the store computed
            where the store uses that algorithm, and always with what is
            read while it is sent.
        :param on_progress: called a few times a second with bytes done and
            bytes in all.
        :param on_notice: called with messages for the user, such as
            that the store is away and is waited for.
        :param elsewhere: from where a store may take the same content.
        :raises InvalidInput: the store refuses the image for what it is or
            its properties: quota, size, a property, a visibility,
            a member. Its own message is part of it. Trying again is
            of no use.
        :raises ChecksumMismatch: what has arrived is not what was sent. It
            has been removed. Trying again may help.
        :raises ServiceUnavailable: the store is away, or fails, and has
            been for as long as it is waited for; trying again later may
            help.
        :raises EnvironmentFault: the file cannot be read, or the store has no
            way to get the image.
        """

    def adopt(
        self,
        artifact: artifacts.ImageArtifact,
        image: ImageProperties,
        stamp: Stamp,
        *,
        on_notice: OnNotice | None = None,
    ) -> StoredImage:
        """Make an image that a cloud has made the image of an upload.

        It gets the fields, properties, members and owner that an upload
        would have given it, and loses what it says of its origin (of which
        server it is a snapshot, say) and the stamp of the attempt. Its bytes
        and formats stay. Others of the same upload are removed.

        Idempotent by ``stamp.upload_id``. When this raises, the image has the
        stamp of the attempt still, or that of the upload, for
        :meth:`discard`.

        :param artifact: the image; it must be active, and have the stamp.
        :param image: what is to be said about it; its formats are of no
            matter, and it never becomes of use on a smaller disk.
        :param stamp: what it is marked with.
        :param on_notice: as of :meth:`upload`.
        :raises InvalidInput: as for :meth:`upload`.
        :raises ServiceUnavailable: as for :meth:`upload`.
        :raises EnvironmentFault: it is not there, has no data, or is not what
            this attempt has made; or the store adopts nothing.
        """
        raise exception.EnvironmentFault(
            f'The store "{self.name}" takes files, and no image that a cloud '
            'has made.'
        )

    @abc.abstractmethod
    def delete(self, image_id: str, *, hide_undeletable: bool = False) -> None:
        """Remove an image that is not protected; no error if there is none.

        Only images that have a stamp are removed: an id that came out of a
        damaged row never costs somebody else's image. What is protected or in
        use is reported, and left as it is: call again later.

        :param hide_undeletable: what is protected or in use is taken off the
            lists of images (``os_hidden``) before Conflict is raised. Whoever
            knows its id still uses it.
        :raises Conflict: it is in use, or protected.
        :raises Forbidden: there is an image of that id without a stamp.
        :raises ServiceUnavailable: as for :meth:`upload`.
        """

    @abc.abstractmethod
    def update(self, image_id: str, change: image_change.ImageChange) -> None:
        """Change fields and properties of an image.

        What the change does not have stays as the store has it, whoever set
        it there: protection above all. So do bytes, formats and owner. What
        was adopted never gets a smaller ``min_disk`` than it came with. May
        be called again after a failure.

        :raises NotFound: there is no such image.
        :raises InvalidInput: as for :meth:`upload`; what could be changed
            before may be.
        :raises ServiceUnavailable: as for :meth:`upload`.
        """

    def change_tags(
        self,
        image_id: str,
        *,
        add: Collection[str] = (),
        remove: Collection[str] = (),
    ) -> None:
        """Change some tags of an image, and nothing else of it.

        May be called again after a failure. A store without tags does
        nothing.

        :raises NotFound: there is no such image.
        :raises InvalidInput: as for :meth:`upload`; too many tags, say.
        :raises ServiceUnavailable: as for :meth:`upload`.
        """

    @abc.abstractmethod
    def exists(self, image_id: str) -> bool:
        """Whether an image is there, complete and usable.

        :raises ServiceUnavailable: as for :meth:`upload`; not known.
        """

    def is_protected(self, image_id: str) -> bool:
        """Whether :meth:`delete` refuses an image until that is taken back.

        :returns: False for what is not there, and in a store that protects
            nothing.
        :raises ServiceUnavailable: as for :meth:`upload`; not known.
        """
        return False

    def list_stamped(
        self, *, limit: int = MOST_STAMPED
    ) -> Iterator[StampedImage]:
        """Every image of this service, complete or not, hidden or not.

        For whoever looks for leaks: a stamp that no row has. Images of
        another imagebuild service that uses the same store are left out, and
        so are copies that other services made and that inherited a stamp
        (snapshots of servers). They are read page by page; an image that is
        yielded may be deleted before the next one is asked for.

        :param limit: yields no more than this.
        :returns: nothing in a store that cannot list what it has.
        :raises ServiceUnavailable: as for :meth:`upload`, at any time.
        """
        return iter(())

    @abc.abstractmethod
    def find(self, stamp: Stamp) -> StoredImage | None:
        """Find an image by its ``upload_id``.

        :returns: None when there is none that is complete.
        :raises ServiceUnavailable: as for :meth:`upload`.
        """

    def data(
        self, image_id: str, offset: int = 0
    ) -> contextlib.AbstractContextManager[fetching.Stream]:
        """Ask for the bytes of an image, to put them elsewhere.

        For an upload that goes on when the host that had the file is gone.
        Whoever takes them compares the checksum.

        :param offset: bytes that are there already.
        :returns: they begin at its ``offset``, 0 where the store cannot begin
            elsewhere.
        :raises NotFound: there is no such image, or it is not complete.
        :raises EnvironmentFault: the store does not give images back.
        :raises ServiceUnavailable: as for :meth:`upload`.
        """
        raise exception.SourceUnusable(
            where=f'the store "{self.name}"', reason='that store cannot do it'
        )

    @abc.abstractmethod
    def discard(self, stamp: Stamp) -> int:
        """Remove whatever an upload made, complete or not, protected or not.

        For uploads that are cancelled, or given up: nobody was ever given
        what they made.

        :returns: how many images were removed.
        :raises ServiceUnavailable: as for :meth:`upload`.
        """


def protected(image_id: str, *, hidden: bool = False) -> exception.Conflict:
    """What a store raises that is to delete a protected image.

    :param hidden: lists of images leave it out.
    """
    until = ', and hidden until then' if hidden else ''
    return exception.Conflict(
        what='Image',
        id=image_id,
        status='protected',
        reason=f'it is deleted when that is taken back{until}',
    )


def changed_tags(
    tags: Collection[str], add: Collection[str], remove: Collection[str]
) -> list[str]:
    """Tags with some more and without some others, sorted."""
    return sorted((set(tags) - set(remove)) | set(add))
