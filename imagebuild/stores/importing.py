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
"""How an image gets into a Glance: which methods are possible, in what order.

A plan is made of plain values, before anything is sent. It names every method
that is possible, the preferred one first, and says of all others why they are
not: a method that fails is followed by the next one.

================ ============================================================
method           what happens
================ ============================================================
glance-download  Glance fetches the image from the Glance of another region
web-download     Glance fetches the file from a web server
upload           the file is sent to Glance, which stores it: no import
glance-direct    the file is sent to Glance's staging area, and imported
================ ============================================================

Then Glance copies the image to further stores of its own (copy-image).

An upload comes before glance-direct: that needs room for the image twice, a
staging area that all API processes of Glance can reach, and lets plugins of
Glance change the bytes. Clouds that want that name their methods.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import Self
from urllib import parse

from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.stores import base

GLANCE_DOWNLOAD = 'glance-download'
WEB_DOWNLOAD = 'web-download'
UPLOAD = 'upload'
GLANCE_DIRECT = 'glance-direct'
COPY_IMAGE = 'copy-image'

#: All there are, in the order that they have without an operator's word.
METHODS = (GLANCE_DOWNLOAD, WEB_DOWNLOAD, UPLOAD, GLANCE_DIRECT)
#: Those that Glance has to offer.
IMPORTS = (GLANCE_DOWNLOAD, WEB_DOWNLOAD, GLANCE_DIRECT)


@dataclasses.dataclass(frozen=True)
class Offered:
    """What a Glance can do.

    :ivar methods: of import.
    :ivar stores: ids of its stores that can be written to, the default one
        first; none where it has only one, without a name.
    """

    methods: frozenset[str] = frozenset()
    stores: tuple[str, ...] = ()

    @classmethod
    def from_answers(
        cls, imports: Mapping[str, Any], stores: Mapping[str, Any]
    ) -> Self:
        """Read what Glance answers to ``/v2/info/import`` and ``/stores``.

        :param imports: {} where there is no such thing.
        :param stores: likewise.
        """
        methods = (imports.get('import-methods') or {}).get('value') or ()
        writable = [
            store
            for store in stores.get('stores') or ()
            if not _is_true(store.get('read-only'))
        ]
        writable.sort(key=lambda store: not _is_true(store.get('default')))
        return cls(
            methods=frozenset(str(method) for method in methods),
            stores=tuple(str(store['id']) for store in writable),
        )


@dataclasses.dataclass(frozen=True)
class Allowed:
    """What the operator wants of a destination.

    :ivar methods: names of METHODS that may be used, the preferred one first.
    :ivar stores: ids of stores of Glance that the image shall be in, the one
        that it is sent to first; none for Glance's default.
    """

    methods: tuple[str, ...] = METHODS
    stores: tuple[str, ...] = ()

    @classmethod
    def from_section(cls, section: Mapping[str, Any]) -> Self:
        """Read options of ``[glance]``.

        :raises InvalidInput: there is no such method.
        """
        methods = tuple(section.get('import_methods') or METHODS)
        for name in methods:
            if name not in METHODS:
                raise exception.InvalidInput(
                    f'There is no method "{name}" to get an image into '
                    f'Glance; known: {", ".join(METHODS)}.'
                )
        return cls(
            methods=tuple(dict.fromkeys(methods)),
            stores=tuple(dict.fromkeys(section.get('import_stores') or ())),
        )


@dataclasses.dataclass(frozen=True)
class Source:
    """What is known of an image that is to be uploaded.

    :ivar file_name: of the file on this host; '' for none.
    :ivar url: where Glance can fetch the file; '' for nowhere.
    :ivar copies: active images that have the same content.
    :ivar checksum: of the content, if it is known.
    """

    file_name: str = ''
    url: str = ''
    copies: tuple[base.ImageCopy, ...] = ()
    checksum: checksums.Checksum | None = None


@dataclasses.dataclass(frozen=True)
class Attempt:
    """One way that is possible.

    :ivar method: one of METHODS.
    :ivar url: of web-download.
    :ivar copy: of glance-download.
    """

    method: str
    url: str = ''
    copy: base.ImageCopy | None = None


@dataclasses.dataclass(frozen=True)
class Plan:
    """How an image gets into a Glance.

    :ivar attempts: to be made in this order, until one has worked.
    :ivar impossible: (method, why not) of the others.
    :ivar store: id of Glance's store that it goes to; '' for its default.
    :ivar copy_to: ids of those that it is copied to afterwards.
    """

    attempts: tuple[Attempt, ...]
    impossible: tuple[tuple[str, str], ...] = ()
    store: str = ''
    copy_to: tuple[str, ...] = ()

    def why(self) -> str:
        """Why the other methods are not possible, in one line."""
        return '; '.join(f'{name}: {why}' for name, why in self.impossible)


class _Impossible(Exception):  # noqa: N818
    """A method cannot be used; why not."""


@dataclasses.dataclass(frozen=True)
class _Case:
    offer: Offered
    allowed: Allowed
    source: Source
    image: base.ImageProperties


def make(
    offer: Offered,
    allowed: Allowed,
    source: Source,
    image: base.ImageProperties,
) -> Plan:
    """Plan how an image gets into a Glance.

    :param offer: what that Glance can do.
    :param allowed: what the operator wants.
    :param source: what is there.
    :param image: what it shall become.
    :raises EnvironmentFault: there is no way, or a store is not there.
    """
    case = _Case(offer, allowed, source, image)
    _check_stores(case)
    attempts, impossible = [], []
    for method in METHODS:
        if method not in allowed.methods:
            impossible.append((method, 'the operator does not allow it'))
    for method in allowed.methods:
        try:
            attempts.append(_METHODS[method](case))
        except _Impossible as why:
            impossible.append((method, str(why)))
    plan = Plan(
        tuple(attempts),
        tuple(impossible),
        store=next(iter(allowed.stores), ''),
        copy_to=allowed.stores[1:],
    )
    if not attempts:
        raise exception.EnvironmentFault(
            f'There is no way to get the image into Glance: {plan.why()}.'
        )
    return plan


def _check_stores(case: _Case) -> None:
    wanted, found = case.allowed.stores, case.offer.stores
    missing = [store for store in wanted if store not in found]
    if missing:
        raise exception.EnvironmentFault(
            'Glance has no store that can be written to of the name '
            f'{" or ".join(missing)}; found: {", ".join(found) or "none"}.'
        )
    if len(wanted) > 1 and COPY_IMAGE not in case.offer.methods:
        raise exception.EnvironmentFault(
            f'Glance does not offer {COPY_IMAGE}, which would take the image '
            f'to its further stores: {", ".join(wanted[1:])}.'
        )


# -- each method ------------------------------------------------------------


def _glance_download(case: _Case) -> Attempt:
    def suits(copy: base.ImageCopy) -> str:
        if not copy.region:
            return 'it is in no region of this cloud'
        # Glance takes the formats of what it fetches.
        return _formats(copy, case.image) or _is_the_same(copy, case.source)

    _require_offer(case, GLANCE_DOWNLOAD)
    return Attempt(GLANCE_DOWNLOAD, copy=_first(case.source.copies, suits))


def _web_download(case: _Case) -> Attempt:
    _require_offer(case, WEB_DOWNLOAD)
    source = case.source
    url = source.url
    if not url:
        raise _Impossible('there is no URL of the file')
    if not source.file_name and source.checksum is None:
        raise _Impossible('the checksum of the file is not known')
    parts = parse.urlsplit(url)
    if parts.scheme not in ('http', 'https') or not parts.hostname:
        raise _Impossible('the URL of the file is not an http or https one')
    if '@' in parts.netloc or parts.query:
        # It would stand in messages, too.
        raise _Impossible('the URL has a secret, which Glance would log')
    return Attempt(WEB_DOWNLOAD, url=url)


def _upload(case: _Case) -> Attempt:
    _require_file(case)
    return Attempt(UPLOAD)


def _glance_direct(case: _Case) -> Attempt:
    _require_offer(case, GLANCE_DIRECT)
    _require_file(case)
    return Attempt(GLANCE_DIRECT)


_METHODS: Mapping[str, Callable[[_Case], Attempt]] = {
    GLANCE_DOWNLOAD: _glance_download,
    WEB_DOWNLOAD: _web_download,
    UPLOAD: _upload,
    GLANCE_DIRECT: _glance_direct,
}


def _require_offer(case: _Case, method: str) -> None:
    if method not in case.offer.methods:
        raise _Impossible('Glance does not offer it')


def _require_file(case: _Case) -> None:
    if not case.source.file_name:
        raise _Impossible('there is no file on this host')


def _first(
    copies: Sequence[base.ImageCopy],
    suits: Callable[[base.ImageCopy], str],
) -> base.ImageCopy:
    reasons = []
    for copy in copies:
        reason = suits(copy)
        if not reason:
            return copy
        reasons.append(f'{copy.image_id}: {reason}')
    raise _Impossible(', '.join(reasons) or 'there is no active image of it')


def _formats(copy: base.ImageCopy, image: base.ImageProperties) -> str:
    if copy.disk_format != image.disk_format:
        return f'it is {copy.disk_format or "of an unknown format"}'
    if copy.container_format != image.container_format:
        return f'its container is {copy.container_format or "not known"}'
    return ''


def _is_the_same(copy: base.ImageCopy, source: Source) -> str:
    if copy.checksum is None:
        return 'its checksum is not known'
    expected = source.checksum
    if expected is None:
        return ''
    if expected.algo != copy.checksum.algo:
        # It is compared with the file when it has arrived.
        return '' if source.file_name else 'its checksum cannot be compared'
    return '' if copy.checksum == expected else 'its checksum is another'


def _is_true(value: Any) -> bool:
    # Glance says it in words.
    return str(value).lower() == 'true'
