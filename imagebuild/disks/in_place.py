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
"""Changing an image in place, all or nothing.

What is done to the image goes into an overlay in a workspace beside it.
Without :meth:`InPlaceImage.commit` the overlay is dropped and the image is
what it was, bit for bit and by its times. A commit works on a copy:

1. the original is copied into the workspace (sharing blocks where the file
   system can);
2. the overlay is merged into the copy, the copy made smaller if wanted,
   checked, given owner, mode and extended attributes of the original;
3. the copy is brought to the disk (fsync);
4. the copy is renamed over the original, and the directory brought to the
   disk.

The rename is the only moment at which anything changes: killed before it,
or without power, the old file is there bit for bit, afterwards the complete
new one. After a loss of power between the rename and the end of step 4 it
is one of the two. What a killed run leaves behind is swept by the next.
"""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import pathlib
import tempfile
from collections.abc import Callable
from collections.abc import Sequence
from typing import Literal

from imagebuild import exception
from imagebuild.common import os_errors
from imagebuild.common import space
from imagebuild.disks import convert
from imagebuild.disks import file_copy
from imagebuild.disks import image_file
from imagebuild.disks import lock
from imagebuild.disks import overlay
from imagebuild.disks import qemu_img
from imagebuild.disks import qemu_locks
from imagebuild.disks import replace_check
from imagebuild.disks import sparsifier
from imagebuild.disks import workspaces

LOG = logging.getLogger(__name__)

#: Where a run is: each is reported when it has been reached.
Stage = Literal[
    'locked',
    'workspace made',
    'overlay made',
    'committing',
    'copied',
    'merged',
    'made smaller',
    'checked',
    'on the disk',
    'renamed',
    'done',
]

# A look without changes writes next to nothing into its overlay.
_READING = 64 * 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Scratch:
    """Where the work on an image goes, and the room that it needs.

    :ivar directory: for the overlay; None for the image's own directory, or
        the system's temporary one when the image is only read.
    :ivar growth: bytes that the work is expected to add.
    :ivar reserve: bytes that must stay free on the file systems written to
        when the work is done.
    """

    directory: pathlib.Path | None = None
    growth: int = space.GIB
    reserve: int = 0


class InPlaceImage:
    """An image that is looked at or changed, as a context manager.

    :param path: the image. When it is a symbolic link, the file it points
        at is replaced and the link stays.
    :param allowed_backing: backing files that the user named.
    :param read_only: the image is only looked at, others may do so at the
        same time, and nothing is written beside it; :meth:`commit` must not
        be called.
    :param scratch: where the overlay goes, and the room for it.
    :param on_stage: called at each :data:`Stage`.
    :param cancelled: asked now and then; True stops what runs.
    :param under: called with the image when it is locked; returns what the
        overlay is made over: the image, or layers over it.
    :ivar info: what the image is.
    :ivar overlay: the qcow2 file to be given to the appliance. It must be
        closed there before :meth:`commit`.
    :ivar disk: that file, with all that is under it.
    :ivar workspace: the directory around it.
    :ivar committed: the new file is in place.
    """

    info: image_file.ImageInfo
    overlay: pathlib.Path
    disk: image_file.ImageInfo
    workspace: workspaces.Workspace

    def __init__(
        self,
        path: pathlib.Path,
        *,
        allowed_backing: Sequence[pathlib.Path] = (),
        read_only: bool = False,
        scratch: Scratch | None = None,
        on_stage: Callable[[Stage], None] | None = None,
        cancelled: Callable[[], bool] | None = None,
        under: Callable[[image_file.ImageInfo], image_file.ImageInfo]
        | None = None,
    ) -> None:
        self._under = under
        self.committed = False
        self._path = image_file.real_path(path)
        self._allowed_backing = allowed_backing
        self._read_only = read_only
        self._scratch = scratch or Scratch()
        self._on_stage = on_stage
        self._cancelled = cancelled
        self._stack = contextlib.ExitStack()
        self._descriptor = -1
        self._beside: workspaces.Workspace
        self._states: dict[pathlib.Path, replace_check.State | None] = {}

    def __enter__(self) -> InPlaceImage:
        """Lock the image, find out what it is, put an overlay over it.

        :raises InvalidImage: it cannot be packed.
        :raises UnsafeImage: it refers to files that the user did not name.
        :raises ImageBusy: a virtual machine or another run uses it.
        :raises NoSpace: the work will not fit on the disk.
        :raises UnwritablePath: it or its directory cannot be written.
        """
        with self._stack as stack:
            self._lock(stack)
            self._check_room()
            self._make_workspaces(stack)
            qemu = self._qemu()
            qemu.check(self.info)
            self.overlay = self.workspace.path / 'overlay.qcow2'
            under = self._under(self.info) if self._under else self.info
            overlay.create(
                under,
                self.overlay,
                unopened=under is not self.info,
                qemu=qemu,
            )
            size = self.info.virtual_size
            self.disk = image_file.ImageInfo(
                self.overlay, 'qcow2', size, 0, backing=under
            )
            self._stage('overlay made')
            # Nothing failed: what was entered stays until __exit__.
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def commit(
        self,
        *,
        sparsify: bool = False,
        disk: image_file.ImageInfo | None = None,
    ) -> None:
        """Make the overlay's changes part of the image; only once.

        :param sparsify: make the file as small as it can be.
        :param disk: the overlay that was written to last, if it is another
            one over that of :attr:`disk`.
        :raises ImageBusy: the image was changed by somebody else, or the
            overlay is still open; the image is untouched.
        :raises NoSpace: the new file will not fit; untouched likewise.
        :raises DiskFull: nor did it; untouched likewise.
        :raises UnwritablePath: as before.
        :raises HostCommandFailed: qemu-img failed, as before.
        """
        if self._read_only or self.committed:
            raise ValueError('there is nothing to commit to')
        self.disk = disk or self.disk
        self._stage('committing')
        self._refuse_changed()
        self._check_room_for_commit(sparsify=sparsify)
        copy = self._beside.path / 'image'
        with os_errors.on_write(self._path):
            self._build(copy, sparsify=sparsify)
            # As late as can be: the copy took its time.
            self._refuse_changed()
            os.replace(copy, self._path)
            self.committed = True
            self._stage('renamed')
        self._flush_directory()
        self._stage('done')

    def _lock(self, stack: contextlib.ExitStack) -> None:
        self._descriptor = stack.enter_context(
            lock.lock_image(self._path, shared=self._read_only)
        )
        self._stage('locked')
        # First of all: what a killed run left may still have it open.
        for directory in {self._path.parent, self._directory()}:
            workspaces.sweep(self._path, directory=directory)
        qemu_locks.claim(self._descriptor, self._path, shared=self._read_only)
        self.info = image_file.inspect(
            self._path, allowed_backing=self._allowed_backing
        )
        if not self._read_only:
            replace_check.check(self.info)
        self._lock_backing(stack)

    def _lock_backing(self, stack: contextlib.ExitStack) -> None:
        """Keep what is under the image from changing."""
        for under in self.info.chain[1:]:
            descriptor = stack.enter_context(
                lock.lock_image(under.path, shared=True)
            )
            qemu_locks.claim(descriptor, under.path, shared=True)
        self._states = {
            image.path: replace_check.state_of(image.path)
            for image in self.info.chain
        }

    def _directory(self) -> pathlib.Path:
        """Where the overlay goes."""
        if self._scratch.directory:
            return self._scratch.directory
        if self._read_only:
            return pathlib.Path(tempfile.gettempdir())
        return self._path.parent

    def _check_room(self) -> None:
        # More than the whole disk is never written, but a full raw file
        # can be written all over again.
        growth = min(self._scratch.growth, self.info.virtual_size)
        if self._read_only:
            self._need(self._directory(), min(growth, _READING))
            return
        self._need(self._directory(), growth)
        self._need(self._path.parent, self._size_of_copy() + growth)

    def _need(self, directory: pathlib.Path, size: int) -> None:
        space.check(directory, size + self._scratch.reserve)

    def _check_room_for_commit(self, *, sparsify: bool) -> None:
        changes = sum(
            os.stat(image.path).st_blocks * 512
            for image in self.disk.chain
            if image not in self.info.chain
        )
        needed = self._size_of_copy() + changes
        if sparsify and self.info.format == 'qcow2':
            needed += self.info.allocated + changes
        self._need(self._path.parent, needed)

    def _size_of_copy(self) -> int:
        directory = self._path.parent
        shares = file_copy.can_share(self._descriptor, directory)
        return 0 if shares else self.info.allocated

    def _make_workspaces(self, stack: contextlib.ExitStack) -> None:
        directory = self._directory()
        self.workspace = stack.enter_context(
            workspaces.Workspace(self._path, directory=directory)
        )
        self._beside = self.workspace
        if not self._read_only:
            if directory != self._path.parent:
                self._beside = stack.enter_context(
                    workspaces.Workspace(self._path)
                )
            replace_check.try_attributes(
                self._descriptor, self._path, self._beside.path / 'trial'
            )
        self._stage('workspace made')

    def _build(self, copy: pathlib.Path, *, sparsify: bool) -> None:
        """Make the complete new file and bring it to the disk."""
        qemu = self._qemu()
        with copy.open('xb') as target:
            file_copy.copy_content(self._descriptor, target.fileno())
        self._stage('copied')
        overlay.merge(self.disk, self.info, copy, qemu=qemu)
        self._stage('merged')
        if sparsify:
            sparsifier.sparsify(self.info, copy, qemu=qemu)
        self._stage('made smaller')
        qemu.check(self.info, stored_at=copy)
        self._stage('checked')
        with copy.open('rb+') as target:
            file_copy.copy_attributes(self._descriptor, target.fileno())
            os.fsync(target.fileno())
        self._stage('on the disk')

    def _refuse_changed(self) -> None:
        """Somebody who knows no locks may have written to the image."""
        for path, state in self._states.items():
            if replace_check.state_of(path) != state:
                raise exception.ImageBusy(
                    path=path, by=', which has changed it meanwhile'
                )

    def _flush_directory(self) -> None:
        try:
            convert.flush(self._path.parent)
        except OSError as error:
            LOG.warning(
                '%s is in place, but may be lost in a power failure: %s',
                self._path,
                error,
            )

    def _qemu(self) -> qemu_img.QemuImg:
        return qemu_img.QemuImg(self.workspace.record_process, self._cancelled)

    def _stage(self, stage: Stage) -> None:
        if self._on_stage:
            self._on_stage(stage)
