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
"""The layers of one run."""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import json
import logging
import pathlib
import time
import uuid
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self

from imagebuild import exception
from imagebuild.common import checkpoints
from imagebuild.disks import image_file
from imagebuild.layers import entries
from imagebuild.layers import store as stores

LOG = logging.getLogger(__name__)


#: Files that a disk may come to consist of. Each is one more to be opened and
#: asked for what is not in those above it, and qemu-img is given the name of
#: each in one argument, which has a limit.
_MOST_FILES = 64
#: Why a disk may fail to open and layers have no part in it: they stay.
NEVER_BY_LAYERS = (
    exception.RunTimeout,
    exception.LackOfRoom,
    exception.SandboxFailed,
)
#: Among the facts of a disk: how it was opened, if not as was preferred.
_OPENED = 'opened'


@dataclasses.dataclass(frozen=True)
class Policy:
    """When layers are used and made.

    :ivar min_seconds: work that is worth a layer.
    :ivar package_max_age: seconds after which what was fetched from a
        network is fetched again, 0 for never.
    :ivar use: False: layers are made, and none is used.
    """

    min_seconds: float = 3.0
    package_max_age: float = 24 * 3600.0
    use: bool = True


@dataclasses.dataclass(frozen=True)
class Base:
    """What the first layer lies over.

    :ivar identity: what decides its content.
    :ivar facts: what else decides what the disk is like when it is opened
        (its size, which system on it is meant); plain JSON.
    :ivar from_operator: no user wrote any of it.
    """

    identity: str
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    from_operator: bool = False


class Session:
    """Finds layers for one run, and keeps those that it makes.

    Nothing that goes wrong with layers is an error of the run.

    :param scope: whose layers it may use and makes, besides everybody's.
    :param isolations: how the disk may be opened, the preferred one first.
        What was written in one is not opened in another: a hostile script of
        an appliance may have written file systems that no kernel but its own
        is to read. When layers are found, the disk must be opened in
        :attr:`isolation`.
    :ivar tried: a disk was opened over layers.
    """

    def __init__(
        self,
        store: stores.Store,
        base: Base,
        *,
        scope: str,
        isolations: Sequence[str] = ('',),
        policy: Policy | None = None,
    ) -> None:
        self._store = store
        self._base = base
        self._scope = scope
        self._policy = policy or Policy()
        self.from_operator = base.from_operator
        self._preferred = self._isolation = isolations[0]
        opened = (self.facts() or {}).get(_OPENED, '')
        if opened in isolations:
            self._isolation = opened
        self._chain: list[entries.Held] = []
        self._made: list[entries.Held] = []
        self._snapshot: Callable[[pathlib.Path], object] | None = None
        self._top = pathlib.Path()
        self._size = 0
        self._number = 0
        self._finished: list[pathlib.Path] = []
        self._seconds = 0.0
        self._changed = False
        self._lasting = True
        self._stopped = False
        self._failed = False
        self.tried = False
        self._parent: entries.Layer | None = None
        self._executor = concurrent.futures.ThreadPoolExecutor(max_workers=1)
        self._pending: list[concurrent.futures.Future[None]] = []

    # -- the checkpoint ------------------------------------------------------

    @property
    def identity(self) -> str:
        """See :class:`checkpoints.Checkpoint`."""
        return self._identity(self._isolation)

    def _identity(self, isolation: str) -> str:
        known = [self._base.identity, self._base.facts, isolation]
        return json.dumps(known, sort_keys=True)

    def _key(self, isolation: str) -> str:
        return self._store.digest(self._identity(isolation))

    def facts(self) -> Mapping[str, Any] | None:
        """See :class:`checkpoints.Checkpoint`."""
        return self._store.facts(self._key(self._isolation))

    def learn(self, facts: Mapping[str, Any]) -> None:
        """See :class:`checkpoints.Checkpoint`."""
        try:
            self._store.learn(self._key(self._isolation), facts)
        except OSError as error:
            self._stop(error)

    def digest(self, content: str) -> str:
        """See :class:`checkpoints.Checkpoint`."""
        return self._store.digest(content)

    def find(self, key: str, *, operators: bool) -> Mapping[str, Any] | None:
        """See :class:`checkpoints.Checkpoint`."""
        if not self._policy.use:
            return None
        for scope in ('',) if operators else (self._scope, ''):
            held = self._store.take(self._name(scope, key))
            if held is None:
                continue
            if self._fits(held.layer):
                self._chain.append(held)
                return held.layer.state
            held.release()
        return None

    def _name(self, scope: str, key: str) -> str:
        return self._store.digest(json.dumps([scope, key]))

    def _fits(self, layer: entries.Layer) -> bool:
        under = self._chain[-1].layer.uuid if self._chain else ''
        return (
            layer.parent == under
            and layer.base == self._key(self._isolation)
            and not self._is_stale(layer)
        )

    def _is_stale(self, layer: entries.Layer) -> bool:
        limit = self._policy.package_max_age
        if not limit or layer.fetched is None:
            return False
        # A clock that was put back makes it no younger.
        return not 0 <= time.time() - layer.fetched <= limit

    def opened(self) -> bool:
        """See :class:`checkpoints.Checkpoint`."""
        return self._snapshot is not None

    def reached(self, reached: checkpoints.Reached) -> None:
        """See :class:`checkpoints.Checkpoint`."""
        if self._snapshot is None or self._stopped:
            return
        self._seconds += reached.seconds
        self._changed |= reached.changed
        self._lasting &= reached.lasting
        if not (
            reached.needed
            or (
                self._changed
                and (
                    reached.boundary
                    or self._seconds >= self._policy.min_seconds
                )
            )
        ):
            return
        if not self._is_worth_another():
            # What was kept so far is good.
            self._stopped = True
            return
        finished, self._number = self._top, self._number + 1
        made = finished.with_name(f'layer-{self._number}.qcow2')
        try:
            self._snapshot(made)
        except exception.ImageBuildError as error:
            self._stop(error)
            return
        self._finished.append(finished)
        self._top = made
        self._pending.append(
            self._executor.submit(
                self._keep, reached, finished, lasting=self._lasting
            )
        )
        self._seconds, self._changed, self._lasting = 0.0, False, True

    def _is_worth_another(self) -> bool:
        """Whether one more file may stay beside those of this run."""
        if len(self._chain) + len(self._finished) >= _MOST_FILES:
            LOG.info('No more than %d layers are kept', _MOST_FILES)
            return False
        try:
            size = sum(
                path.stat().st_blocks * 512
                for path in (*self._finished, self._top)
            )
            has_room = self._store.has_room(size)
        except OSError as error:
            self._stop(error)
            return False
        if not has_room:
            LOG.info('There is no room for another layer')
        return has_room

    def _keep(
        self,
        reached: checkpoints.Reached,
        disk: pathlib.Path,
        *,
        lasting: bool,
    ) -> None:
        """Put a finished file into the store; in a thread of its own."""
        if self._failed:
            return
        scope = '' if reached.operators else self._scope
        under = self._parent
        fetched = under.fetched if under else None
        layer = entries.Layer(
            uuid=str(uuid.uuid4()),
            parent=under.uuid if under else '',
            base=self._key(self._isolation),
            virtual_size=self._size,
            sha256='',
            stamp=(0, 0, 0),
            created=time.time(),
            fetched=fetched if lasting or fetched else time.time(),
            scope=scope,
            state=reached.state,
            base_image=self._base.identity,
        )
        try:
            held = self._store.put(self._name(scope, reached.key), disk, layer)
        except OSError as error:
            self._stop(error)
            return
        if held is None:
            # What follows would lie over ours, which is not there.
            self._stop('another build makes the same')
            return
        self._made.append(held)
        self._parent = held.layer

    def _stop(self, reason: object) -> None:
        if not self._failed:
            LOG.info('No further layers are kept: %s', reason)
        self._stopped = self._failed = True

    # -- the disk ------------------------------------------------------------

    @property
    def layers(self) -> int:
        """How many layers were found."""
        return len(self._chain)

    @property
    def made(self) -> int:
        """How many were kept; all of them once it is closed."""
        return len(self._made)

    @property
    def isolation(self) -> str:
        """How the disk is to be opened, when there are layers."""
        return self._isolation

    def over(self, base: image_file.ImageInfo) -> image_file.ImageInfo:
        """The image that the overlay is to be made over.

        From here on :attr:`tried` is set: what goes wrong may be the layers'
        fault.

        :param base: the image under all layers.
        :returns: the last layer that was found, over the others; the base
            itself without any.
        """
        self.tried = bool(self._chain)
        image = base
        for held in self._chain:
            path = held.path
            image = image_file.ImageInfo(
                path=path,
                format='qcow2',
                virtual_size=held.layer.virtual_size,
                allocated=path.stat().st_blocks * 512,
                backing=image,
            )
        return image

    @contextlib.contextmanager
    def attached(
        self,
        overlay: pathlib.Path,
        size: int,
        snapshot: Callable[[pathlib.Path], object],
        *,
        isolation: str = '',
    ) -> Iterator[None]:
        """Keep layers: the disk is open, and nothing has run yet.

        When it ends, nothing is read from the overlays any more.

        :param overlay: the file that is written to.
        :param size: bytes of the disk.
        :param snapshot: brings everything to that file, and has further
            writes go to a new overlay at the path that it is given, beside
            the first.
        :param isolation: how the disk was opened.
        """
        if isolation != self._isolation:
            if self._chain:
                raise RuntimeError(
                    f'layers of {self._isolation} were opened in {isolation}'
                )
            self._isolation = isolation
            self._remember_isolation()
        self._top, self._size, self._snapshot = overlay, size, snapshot
        self._parent = self._chain[-1].layer if self._chain else None
        try:
            yield
        except exception.Interrupted:
            self._stop('the build was interrupted')
            raise
        finally:
            self._stopped = True
            concurrent.futures.wait(self._pending)

    def _remember_isolation(self) -> None:
        """For the next session, which has to know it before it looks."""
        known = (
            {}
            if self._isolation == self._preferred
            else {_OPENED: self._isolation}
        )
        try:
            self._store.learn(self._key(self._preferred), known)
        except OSError as error:
            self._stop(error)

    def discard(self) -> None:
        """Use no layers: the disk does not open over those that were found.

        They are removed where nobody else uses them.
        """
        self._policy = dataclasses.replace(self._policy, use=False)
        names = [held.directory.name for held in self._chain]
        for held in self._chain:
            held.release()
        self._chain.clear()
        for name in reversed(names):
            self._store.remove(name)

    def close(self) -> None:
        """Wait until everything is kept, and let the layers go."""
        self._executor.shutdown(wait=True)
        for future in self._pending:
            with contextlib.suppress(concurrent.futures.CancelledError):
                error = future.exception()
                if error is not None:
                    LOG.error('A layer was not kept', exc_info=error)
        for held in (*self._made, *self._chain):
            held.release()
        if self._made:
            with contextlib.suppress(OSError):
                self._store.bound()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()
