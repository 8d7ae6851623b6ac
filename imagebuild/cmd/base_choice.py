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
"""Which base image ``imagebuild-pack --base`` means, found in its options.

Written as ``image`` of a catalogue's entry is: whoever names a URL on the
command line and whoever writes one into the catalogue mean the same.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any
from typing import NoReturn
from urllib import parse

from oslo_config import cfg

from imagebuild import catalogue
from imagebuild import exception
from imagebuild.common import checksums
from imagebuild.common import extras
from imagebuild.common import urls
from imagebuild.drivers import base

_CHECKS = ('checksum', 'checksum_file', 'signature', 'keyring')
_CATALOGUE = 'operating_systems_file'
_GLANCE = 'glance:'
#: What of ``image`` needs a cloud.
_IN_GLANCE = frozenset({'glance', 'id', 'name', 'tag'})
#: Suffixes of files that hold an image, and are none.
_COMPRESSED = (
    '.7z', '.bz2', '.gz', '.lz4', '.ova', '.tar', '.tgz', '.txz', '.xz',
    '.zip', '.zst',
)  # fmt: skip
#: Seconds for which a server that is away is waited for.
RETRY_TIMEOUT = 60


def add_options(group: argparse._ArgumentGroup) -> None:
    """Add the options that say which image it is."""
    add = group.add_argument
    shipped = catalogue.shipped()
    else_shipped = f', else {shipped}' if shipped else ''
    add(
        '--base',
        metavar='BASE',
        help='in place of --image: a base image that is copied first; a '
        'file, an http or https URL, glance:NAME or glance:ID for an image '
        'of a cloud, or a name of the catalogue of operating '
        f'systems ({_CATALOGUE} of the configuration{else_shipped})'.replace(
            '%', '%%'
        ),
    )
    add(
        '--os-cloud',
        metavar='NAME',
        help='the cloud of clouds.yaml whose image it is (default: that of '
        'the environment, OS_CLOUD or the other OS_... variables)',
    )
    add(
        '--base-checksum',
        metavar='ALGORITHM:HEX',
        help='what the base image must have: sha256:... or sha512:...',
    )
    add(
        '--base-checksum-file',
        metavar='URL',
        help='the list that has the checksum, such as SHA512SUMS; may be '
        'relative to the URL of the image',
    )
    add(
        '--base-signature',
        metavar='URL',
        help='the signature of that list, if it is not inside of it',
    )
    add(
        '--base-keyring',
        metavar='FILE',
        type=pathlib.Path,
        help='the public keys that may have signed it, also in place of the '
        "catalogue's",
    )
    add(
        '--no-signature',
        action='store_true',
        help='go on without the signature that the catalogue wants: whoever '
        'answers as the server of the distribution is believed; the checksum '
        'is compared all the same',
    )


@dataclasses.dataclass(frozen=True)
class BaseChoice:
    """A base image as it was named.

    :ivar image: ``image`` of a catalogue's entry.
    :ivar name: in the catalogue, '' for none.
    :ivar catalogue: the file that has that name.
    :ivar notices: what the user should know of it.
    :ivar config: sections of the cloud that it is in, with secrets; empty for
        none.
    """

    image: Mapping[str, Any]
    name: str = ''
    catalogue: str = ''
    notices: tuple[str, ...] = ()
    config: Mapping[str, Mapping[str, Any]] = dataclasses.field(
        default_factory=dict, repr=False
    )

    def resolved(
        self, disks: Mapping[str, object], *, afresh: bool
    ) -> base.BaseImage:
        """Find out what it is now.

        :param disks: section of the configuration, with ``cache_dir``.
        :param afresh: ask whoever publishes it, however new what is known is.
        :raises EnvironmentFault: they do not say.
        """
        image = self.image
        if self.config:
            return self._in_glance()
        if 'path' in image:
            return base.BaseImage(
                kind='path',
                location=image['path'],
                checksum=image.get('checksum', ''),
            )
        location, checksum = image['url'], image.get('checksum', '')
        if not checksum:
            with extras.needed('--base'):
                from imagebuild.drivers import published_images

            published = published_images.Published.from_image(image)
            resolver = published_images.Resolver.from_config({'disks': disks})
            try:
                found = resolver.resolve(published, afresh=afresh)
            except published_images.NoKeyring as error:
                raise type(error)(
                    f'{error} --base-keyring FILE names another place, '
                    '--no-signature goes on without.'
                ) from None
            location, checksum = found.url, found.checksum
        return base.BaseImage(kind='url', location=location, checksum=checksum)

    def _in_glance(self) -> base.BaseImage:
        from imagebuild.drivers import cloud_images

        [(kind, value)] = self.image.items()
        return cloud_images.find(kind, value, self.config)


def given_checks(options: argparse.Namespace) -> Mapping[str, str]:
    """What the command line says of a base image, besides which it is."""
    return {
        name: str(value)
        for name in _CHECKS
        if (value := getattr(options, f'base_{name}')) is not None
    }


def refuse_unknown(options: argparse.Namespace, conf: cfg.ConfigOpts) -> None:
    """Refuse a base image that there is not, whatever else is missing.

    :raises InvalidInput: with what there is.
    """
    if options.base and options.image is None and _is_name(options.base):
        _of_catalogue(options.base, conf)


def choose(options: argparse.Namespace, conf: cfg.ConfigOpts) -> BaseChoice:
    """Read the command line, which has ``--base``.

    :raises InvalidInput: something is wrong with it; nothing was touched.
    """
    chosen = _chosen(options, conf)
    kinds = chosen.image.keys()
    _refuse_compressed(chosen.image.get('url', ''))
    if not kinds & _IN_GLANCE:
        if options.os_cloud is not None:
            refuse('--os-cloud is for images of a cloud')
        return chosen
    with extras.needed('A base image of a cloud', 'clouds'):
        from imagebuild.drivers import cloud_images

    config = cloud_images.sections(
        options.os_cloud or '',
        trusted_projects=conf.glance.trusted_projects,
        retry_timeout=RETRY_TIMEOUT,
    )
    return dataclasses.replace(chosen, config=config)


def _chosen(options: argparse.Namespace, conf: cfg.ConfigOpts) -> BaseChoice:
    found, given = options.base, given_checks(options)
    if options.no_signature and not _is_name(found):
        refuse('--no-signature is for operating systems of the catalogue')
    if found.startswith(_GLANCE):
        if given:
            refuse('the image service has the checksum of its images')
        if not found.removeprefix(_GLANCE):
            refuse('--base: glance: needs the name or the id of an image')
        return BaseChoice({'glance': found.removeprefix(_GLANCE)})
    if '://' in found:
        return BaseChoice(_of_url(found, given))
    if 'checksum' in given:
        checksums.Checksum.parse(given['checksum'])
    if _is_name(found):
        if given.keys() - {'keyring'}:
            refuse('the catalogue has the checksum of an operating system')
        chosen = _of_catalogue(found, conf)
        return _signed(chosen, given.get('keyring'), options.no_signature)
    if given.keys() - {'checksum'}:
        refuse('a file has no list of checksums; use --base-checksum')
    path = str(pathlib.Path(found).absolute())
    return BaseChoice({'path': path, **given})


def refuse(message: str) -> NoReturn:
    """Refuse the command line.

    :raises InvalidInput: always.
    """
    raise exception.InvalidInput(f'{message}; see "imagebuild-pack --help".')


def _is_name(found: str) -> bool:
    """Whether it is a name of the catalogue: neither a URL nor a file."""
    return not (
        '/' in found or found.startswith(_GLANCE) or os.path.lexists(found)
    )


def _of_url(url: str, given: Mapping[str, str]) -> Mapping[str, str]:
    # Without it: there may be a password in it.
    if problem := urls.problem_of(url):
        refuse(f'--base: it {problem}')
    if not {'checksum', 'checksum_file'} & given.keys():
        refuse(
            'a base image of the network needs --base-checksum or '
            '--base-checksum-file'
        )
    if {'checksum', 'checksum_file'} <= given.keys():
        refuse('--base-checksum and --base-checksum-file exclude each other')
    if 'signature' in given and 'keyring' not in given:
        refuse('--base-signature needs --base-keyring')
    if 'keyring' in given and 'checksum_file' not in given:
        refuse('--base-keyring needs --base-checksum-file')
    if 'checksum' in given:
        checksums.Checksum.parse(given['checksum'])
    for name in ('checksum_file', 'signature'):
        if problem := urls.problem_of(_joined(url, given.get(name, ''))):
            refuse(f'--base-{name.replace("_", "-")}: it {problem}')
    return {'url': url, **given}


def _refuse_compressed(url: str) -> None:
    """Refuse by its name what would be refused when it has been fetched."""
    name = parse.urlsplit(url).path.rpartition('/')[2].lower()
    if name.endswith(_COMPRESSED):
        refuse(
            f'--base: {name} is compressed or an archive; download and unpack '
            'it, and give the file, or take the qcow2 image that most '
            'distributions have beside it'
        )


def _joined(url: str, reference: str) -> str:
    try:
        return parse.urljoin(url, reference)
    except ValueError:
        return reference


def _of_catalogue(name: str, conf: cfg.ConfigOpts) -> BaseChoice:
    path, notice = _catalogue_file(conf)
    entries = catalogue.load(path) if path else catalogue.Catalogue({})
    entry = entries.get(name)
    usable = [entry.name for entry in entries if entry.image]
    shown = ', '.join(usable) or 'none'
    if entry is None:
        where = path or conf.operating_systems_file
        raise exception.InvalidInput(
            f'--base: there is no file "{name}", and no operating system of '
            f'that name in {where}; those with a base image there: {shown}.'
        )
    if not entry.image:
        raise exception.InvalidInput(
            f'--base: the operating system "{name}" of {path} is made by the '
            f'driver "{entry.driver}" and has no base image; those with one '
            f'there: {shown}.'
        )
    notices = (notice,) if notice else ()
    return BaseChoice(entry.image, name, str(path), notices)


def _signed(
    chosen: BaseChoice, keyring: str | None, no_signature: bool
) -> BaseChoice:
    """Have its list looked at with other keys, or with none.

    :raises InvalidInput: the list has no signature, or nothing else vouches
        for it.
    """
    image = dict(chosen.image)
    if keyring is None and not no_signature:
        return chosen
    if keyring is not None and no_signature:
        refuse('--base-keyring and --no-signature exclude each other')
    if 'keyring' not in image:
        option = '--no-signature' if no_signature else '--base-keyring'
        refuse(f'{option}: the catalogue has no signature for "{chosen.name}"')
    if keyring is not None:
        image['keyring'] = str(pathlib.Path(keyring).absolute())
        return dataclasses.replace(chosen, image=image)
    for name in ('keyring', 'signature'):
        image.pop(name, None)
    listed = parse.urljoin(image['url'], image['checksum_file'])
    if parse.urlsplit(listed).scheme != 'https':
        refuse(
            f'--no-signature: the list of checksums of "{chosen.name}" does '
            'not come by https, so nothing but its signature vouches for it'
        )
    return dataclasses.replace(
        chosen,
        image=image,
        notices=(
            *chosen.notices,
            f'The signature of the list of checksums of "{chosen.name}" is '
            'not looked at (--no-signature): nothing but https vouches for '
            'it.',
        ),
    )


def _catalogue_file(conf: cfg.ConfigOpts) -> tuple[pathlib.Path | None, str]:
    """The catalogue that is used, and what is to be said of that.

    Who has set the option means that file, there or not.
    """
    path = pathlib.Path(conf.operating_systems_file)
    found = conf.get_location(_CATALOGUE)
    named = found and found.location is not cfg.Locations.opt_default
    if named or os.path.exists(path):
        return path, ''
    shipped = catalogue.shipped()
    if shipped is None:
        return None, ''
    return shipped, (
        f'{path} is not there: the catalogue is that of imagebuild, {shipped}.'
    )
