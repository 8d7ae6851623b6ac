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
"""Who can do a job: what the job needs, and what a conductor offers.

One predicate, :func:`missing`, for all who ask: the API when it accepts,
refuses or plans a build or chooses whom to call, the conductors when they
claim, and the list of conductors. Nothing else decides it.

Both sides are stored as JSON and read by other releases. What is not known of
a conductor of an older release is taken to be there where that release could
do it, and what a newer release needs is never taken to be there.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Protocol
from typing import Self

from imagebuild.common import boot_tests
from imagebuild.common import tolerant

#: So many conductors are told of a new build.
MOST_WOKEN = 3


@dataclasses.dataclass(frozen=True)
class Needs:
    """What a conductor must offer to do a job; '' for no matter.

    :ivar driver: name of the driver that makes or opens the disk.
    :ivar os: name in the operator's catalogue; '' for a base image that the
        request names, which is for every conductor.
    :ivar architecture: of the machines that the image is for.
    :ivar isolation: in what the disk must be opened.
    :ivar destination: name of a cloud to upload to; '' is this one.
    :ivar destinations: names of clouds, all of which it must reach; this one
        is left out.
    :ivar holder: name of the only conductor that can, since it has the file.
    :ivar repository: id of the repository that has the file.
    :ivar adopts: name of the driver whose image, which a cloud has made, is
        adopted: who does so must be able to remove it, too.
    :ivar deletion: name of a cloud to delete an image from; '' is this one.
    :ivar base_path: where a base image that is a file of the conductor lies.
    :ivar base: identity of the base image. Where there is a ``base_path``,
        the file there must have it; otherwise it is only preferred that the
        conductor has it already (:func:`preference`).
    :ivar boot_test: firmware of the machine in which it boots the image; or
        the name of the driver, which has its cloud boot it.
    :ivar unknown: what a newer release wrote that this one does not know.
    """

    driver: str = ''
    os: str = ''
    architecture: str = ''
    isolation: str = ''
    destination: str = ''
    destinations: tuple[str, ...] = ()
    holder: str = ''
    repository: str = ''
    adopts: str = ''
    deletion: str = ''
    base_path: str = ''
    base: str = ''
    boot_test: str = ''
    unknown: Mapping[str, Any] = dataclasses.field(
        default_factory=dict, hash=False
    )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` of any release wrote.

        What is not understood is kept, and no conductor of this release is
        able to do it.
        """
        known: dict[str, Any] = {}
        unknown: dict[str, Any] = {}
        for name, value in values.items():
            if name in _LISTS and tolerant.are_names(value):
                known[name] = tuple(sorted({*value} - {''}))
            elif name in _TEXTS and isinstance(value, str):
                known[name] = value
            elif value not in (None, ''):
                unknown[name] = value
        return cls(**known, unknown=unknown)

    def to_dict(self) -> dict[str, Any]:
        """The form that is stored, without what does not matter.

        So equal needs are equal texts in every release, and a need that is
        new in one does not change those of before.
        """
        known = {name: getattr(self, name) for name in (*_TEXTS, *_LISTS)}
        return {
            **{
                name: tolerant.plain(value)
                for name, value in known.items()
                if value
            },
            **self.unknown,
        }

    def canonical(self) -> str:
        """One text for equal needs, such as for a digest of them."""
        return json.dumps(
            self.to_dict(), sort_keys=True, separators=(',', ':')
        )


_LISTS = ('destinations',)
_TEXTS = tuple(
    field.name
    for field in dataclasses.fields(Needs)
    if field.name not in (*_LISTS, 'unknown')
)


def of_base(base: Mapping[str, Any]) -> dict[str, str]:
    """What the base image of a build needs, by the names of needs.

    :param base: as it was resolved, with ``driver_options``, as JSON.
    """
    found: dict[str, str] = {}
    isolation = (base.get('driver_options') or {}).get('isolation')
    if isolation in ('appliance', 'sandbox'):
        found['isolation'] = isolation
    identity = tolerant.text(base.get('identity'))
    if base.get('kind') in ('glance', 'url'):
        found['base'] = identity
    elif base.get('kind') == 'path' and not identity.startswith('path:'):
        # That is how releases before called a file: by its time.
        found['base'] = identity
        found['base_path'] = tolerant.text(base.get('location'))
    return found


class _Build(Protocol):
    @property
    def driver(self) -> str: ...
    @property
    def os(self) -> str: ...
    @property
    def architecture(self) -> str: ...
    @property
    def base(self) -> Mapping[str, Any] | None: ...
    @property
    def request(self) -> Mapping[str, Any]: ...


def of_build(build: _Build) -> Needs:
    """What the job of a build needs."""
    return Needs.from_dict(
        {
            'driver': build.driver,
            'os': build.os,
            'architecture': build.architecture,
            # Its file will be there, so its uploads leave from there.
            'destinations': build.request.get('destinations') or [],
            'boot_test': boot_tests.need(build.request, build.driver),
            **of_base(build.base or {}),
        }
    )


@dataclasses.dataclass(frozen=True)
class Capability:
    """What a conductor offers.

    :ivar name: its name.
    :ivar drivers: names of drivers that lack nothing on its host.
    :ivar operating_systems: names in the catalogue; empty for all.
    :ivar architectures: of the images that it can build.
    :ivar isolations: in what its host can open disks, each with what is
        missing for it; empty when that is not known.
    :ivar driver_limits: how many builds of a driver it runs at once, for
        those that have a limit of their own.
    :ivar destinations: names of the clouds that it can upload to, besides
        this one.
    :ivar deletions: names of the clouds that it can delete from, besides this
        one: those that take no new images, too.
    :ivar repositories: ids of the repositories of images that it has.
    :ivar destination_documents: of each of them what users are shown, and
        ``projects``; see :meth:`imagebuild.destinations.Destination.public`.
    :ivar driver_schemas: JSON schema of the options of each driver.
    :ivar accelerator: what its guests run on, ``kvm`` or ``tcg``; '' when
        that is not known.
    :ivar free_disk: bytes for work, None when that is not known.
    :ivar free_memory: bytes, None when that is not known.
    :ivar base_files: paths of base images that it has looked at, each with
        the identity of the file; '' where there is none that can be used.
    :ivar boot_tests: firmwares of machines in which it can boot an image, and
        names of drivers that have their cloud boot it, each with what is
        missing for it; empty in a release that boots none.
    :ivar cached_bases: identities of the base images that it has.
    :ivar cached_layers: identities of base images, each with the number of
        layers over it that it has.
    :ivar slots: builds at once.
    """

    name: str = ''
    drivers: tuple[str, ...] = ()
    operating_systems: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    isolations: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict, hash=False
    )
    destinations: tuple[str, ...] = ()
    deletions: tuple[str, ...] = ()
    repositories: tuple[str, ...] = ()
    destination_documents: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict, hash=False, repr=False
    )
    driver_schemas: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict, hash=False, repr=False
    )
    accelerator: str = ''
    free_disk: int | None = None
    free_memory: int | None = None
    base_files: Mapping[str, str] = dataclasses.field(
        default_factory=dict, hash=False
    )
    boot_tests: Mapping[str, tuple[str, ...]] = dataclasses.field(
        default_factory=dict, hash=False
    )
    cached_bases: tuple[str, ...] = ()
    cached_layers: Mapping[str, int] = dataclasses.field(
        default_factory=dict, hash=False
    )
    slots: int = 0
    driver_limits: Mapping[str, int] = dataclasses.field(
        default_factory=dict, hash=False
    )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :meth:`to_dict` of any release wrote.

        What an older release did not write is not known; what a newer one
        adds is of no use to this one.
        """
        architecture = values.get('architecture')
        return cls(
            name=tolerant.text(values.get('name')),
            drivers=tolerant.names(values.get('drivers')),
            operating_systems=tolerant.names(values.get('operating_systems')),
            architectures=tolerant.names(
                values.get('architectures') or architecture
            ),
            isolations={
                name: tolerant.names(lacking)
                for name, lacking in tolerant.items(values.get('isolations'))
            },
            destinations=tolerant.names(values.get('destinations')),
            deletions=tolerant.names(values.get('deletions')),
            repositories=tolerant.names(values.get('repositories')),
            destination_documents=tolerant.documents(
                values.get('destination_documents')
            ),
            driver_schemas=tolerant.documents(values.get('driver_schemas')),
            accelerator=tolerant.text(values.get('accelerator')),
            free_disk=tolerant.number(values.get('free_disk')),
            free_memory=tolerant.number(values.get('free_memory')),
            base_files={
                path: tolerant.text(identity)
                for path, identity in tolerant.items(values.get('base_files'))
            },
            boot_tests={
                name: tolerant.names(lacking)
                for name, lacking in tolerant.items(values.get('boot_tests'))
            },
            cached_bases=tolerant.names(values.get('cached_bases')),
            cached_layers={
                base: tolerant.number(number) or 0
                for base, number in tolerant.items(values.get('cached_layers'))
            },
            slots=tolerant.number(values.get('slots')) or 0,
            driver_limits={
                name: number
                for name, number in tolerant.items(values.get('driver_limits'))
                if type(number) is int
            },
        )

    def to_dict(self) -> dict[str, Any]:
        """The form that is stored: plain JSON."""
        found = dataclasses.asdict(self)
        return {
            name: tolerant.plain(value)
            for name, value in found.items()
            if value is not None
        }


def missing(needs: Needs, capability: Capability) -> list[str]:
    """Say what a conductor lacks for a job.

    :returns: what goes on after its name, such as ``has no driver "x"``;
        empty when it can do it.
    """
    return list(lacking(needs, capability).values())


def lacking(needs: Needs, capability: Capability) -> dict[str, str]:
    """Say what a conductor lacks for a job, by the need.

    :returns: names of fields of the needs, each with what :func:`missing`
        says of it.
    """
    found = {
        name: check(getattr(needs, name), needs, capability)
        for name, check in _CHECKS.items()
        if getattr(needs, name)
    }
    for name in sorted(needs.unknown):
        found[name] = f'does not know the need "{name}" of a newer release'
    return {name: problem for name, problem in found.items() if problem}


def preference(needs: Needs, capability: Capability) -> int:
    """How much a conductor that is able saves by what it has already.

    :returns: 0 for nothing, 1 for the base image, 2 for layers over it,
        which is to have the base image, too.
    """
    if not needs.base:
        return 0
    if capability.cached_layers.get(needs.base, 0) > 0:
        return 2
    if needs.base in capability.cached_bases:
        return 1
    return 0


def free_slots(
    needs: Needs, capability: Capability, running: Mapping[str, int]
) -> int:
    """How many more builds of these needs a conductor has room for.

    :param running: how many it runs, by their drivers.
    """
    free = capability.slots - sum(running.values())
    limit = capability.driver_limits.get(needs.driver)
    if limit is not None:
        free = min(free, limit - running.get(needs.driver, 0))
    return max(0, free)


def to_wake(
    needs: Needs,
    conductors: Iterable[Capability],
    running: Mapping[str, Mapping[str, int]],
    *,
    most: int = MOST_WOKEN,
) -> list[str]:
    """Choose the conductors that are told of a new build.

    Of those that could begin it now: first who is prepared for it, then who
    has little to do. More than one, as what is known of them is some seconds
    old: one may have died, or have no room on its disk.

    :param conductors: those that are up.
    :param running: of each, by its name, as of :func:`free_slots`.
    :returns: names; empty when nobody has a slot for it.
    """
    able = [
        each
        for each in conductors
        if not missing(needs, each)
        and free_slots(needs, each, running.get(each.name, {}))
    ]
    # Those that are equal are not always the same ones.
    random.shuffle(able)
    able.sort(
        key=lambda each: (
            -preference(needs, each),
            sum(running.get(each.name, {}).values()),
        )
    )
    return [each.name for each in able[:most]]


# -- one function for each need: '' where the conductor can ------------------


def _driver(value: str, _needs: Needs, capability: Capability) -> str:
    if value in capability.drivers:
        return ''
    return f'has no driver "{value}"'


def _os(value: str, _needs: Needs, capability: Capability) -> str:
    allowed = capability.operating_systems
    if not allowed or value in allowed:
        return ''
    return f'does not build "{value}"'


def _architecture(value: str, _needs: Needs, capability: Capability) -> str:
    if value in capability.architectures:
        return ''
    known = ', '.join(capability.architectures) or 'nothing'
    return f'builds for {known}, not for {value}'


def _isolation(value: str, _needs: Needs, capability: Capability) -> str:
    # Rows of a release that did not know it say nothing of it.
    if not capability.isolations:
        return ''
    if value not in capability.isolations:
        return f'cannot open disks in the {value}'
    lacks = '; '.join(capability.isolations[value])
    return f'cannot open disks in the {value} ({lacks})' if lacks else ''


def _boot_test(value: str, needs: Needs, capability: Capability) -> str:
    # Before a request was looked at nobody knows who boots its image.
    if needs.driver in capability.boot_tests:
        value = needs.driver
    if value not in capability.boot_tests:
        return f'boots no images ({value})'
    lacks = '; '.join(capability.boot_tests[value])
    return f'boots no images with {value} ({lacks})' if lacks else ''


def _destination(value: str, _needs: Needs, capability: Capability) -> str:
    return _destinations((value,), _needs, capability)


def _destinations(
    value: Sequence[str], _needs: Needs, capability: Capability
) -> str:
    lacking = [
        f'"{name}"' for name in value if name not in capability.destinations
    ]
    return f'does not upload to {" and ".join(lacking)}' if lacking else ''


def _holder(value: str, _needs: Needs, capability: Capability) -> str:
    if value == capability.name:
        return ''
    return f'does not have the file, which is on {value}'


def _repository(value: str, _needs: Needs, capability: Capability) -> str:
    if value in capability.repositories:
        return ''
    return 'does not have the file'


def _deletion(value: str, _needs: Needs, capability: Capability) -> str:
    if value in capability.deletions:
        return ''
    return f'has no destination "{value}"'


def _base_path(value: str, needs: Needs, capability: Capability) -> str:
    # Whoever has not looked yet looks when it takes the job.
    found = capability.base_files.get(value)
    if found is None or found == needs.base or not needs.base:
        return ''
    if not found:
        return 'does not have the file of the base image'
    return 'has another file in the place of the base image'


#: In the order in which it is said what is missing.
_CHECKS = {
    'driver': _driver,
    'adopts': _driver,
    'os': _os,
    'architecture': _architecture,
    'isolation': _isolation,
    'boot_test': _boot_test,
    'destination': _destination,
    'destinations': _destinations,
    'holder': _holder,
    'repository': _repository,
    'deletion': _deletion,
    'base_path': _base_path,
}
