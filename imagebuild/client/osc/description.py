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
"""From options to an image description, the body of a request."""

from __future__ import annotations

import argparse
import base64
import pathlib
from collections.abc import Mapping
from typing import Any

from osc_lib import exceptions

from imagebuild.client.osc import manifest_file
from imagebuild.client.osc import yaml_file

#: Fields that an option gives as they are.
_SINGLE = (
    'os', 'base_image', 'recipe', 'recipe_version', 'driver', 'disk_format',
    'container_format', 'min_disk', 'min_ram', 'visibility', 'protected',
    'timeout',
)  # fmt: skip
#: Those that only a build has.
_OF_BUILDS = ('reuse', 'max_age')
_OF_RECIPES = ('recipe', 'recipe_version')
_LISTS = ('elements', 'tags', 'members', 'destinations')
_FILE_OPTIONS = ('mode', 'owner', 'group')


def load(args: argparse.Namespace) -> dict[str, Any]:
    """Read the options and the files they name.

    Values are validated by the service, which reports all problems at once.

    :raises CommandError: a file cannot be used, or there is no name.
    """
    result = load_fields(args)
    if args.name is not None:
        result['name'] = args.name
    if 'name' not in result:
        raise exceptions.CommandError(
            'The image needs a name: give it on the command line or in the '
            'file of --from.'
        )
    for field in _OF_BUILDS:
        if getattr(args, field) is not None:
            result[field] = getattr(args, field)
    return result


def load_fields(args: argparse.Namespace) -> dict[str, Any]:
    """The same without a name, and what only a build has.

    :returns: what was given, empty when nothing was.
    :raises CommandError: a file cannot be used.
    """
    result: dict[str, Any] = {}
    if args.from_file:
        result = yaml_file.load_mapping(args.from_file, 'description')
    for field in _SINGLE:
        if getattr(args, field) is not None:
            result[field] = getattr(args, field)
    if args.base_channel:
        if args.os is not None:
            raise exceptions.CommandError(
                'The base is one of --os and --base-channel.'
            )
        name, channel = args.base_channel
        result['os'] = {'channel': channel, 'name': name}
    for field in _LISTS:
        _extend(result, field, getattr(args, field) or [])
    _update(result, 'properties', args.properties or {})
    options = _parsed('--driver-option', args.driver_options)
    _update(result, 'driver_options', options)
    _add_boot_test(result, args)
    _add_content(result, args)
    return result


def load_content(args: argparse.Namespace) -> dict[str, Any]:
    """What is in a system, of :func:`options.add_content`.

    :raises CommandError: a file cannot be used.
    """
    result: dict[str, Any] = {
        field: getattr(args, field)
        for field in _OF_RECIPES
        if getattr(args, field) is not None
    }
    _add_content(result, args)
    return result


def _add_content(result: dict[str, Any], args: argparse.Namespace) -> None:
    _extend(result, 'pip_packages', args.pip_packages or [])
    _extend(result, 'packages', [_package(i) for i in args.packages or []])
    _extend(result, 'files', [_file(item) for item in args.files or []])
    _update(result, 'arguments', _arguments(args))
    if args.manifest:
        manifest, texts = manifest_file.load(args.manifest)
        result['manifest'] = manifest
        _update(result, 'resources', texts)


def _extend(result: dict[str, Any], field: str, more: list[Any]) -> None:
    if more:
        known = result.get(field) or []
        if not isinstance(known, list):
            raise exceptions.CommandError(
                f'"{field}" in the file of --from is not a list.'
            )
        result[field] = [*known, *more]


def _update(
    result: dict[str, Any], field: str, more: Mapping[str, Any]
) -> None:
    if more:
        known = result.get(field) or {}
        if not isinstance(known, dict):
            raise exceptions.CommandError(
                f'"{field}" in the file of --from is not a mapping.'
            )
        result[field] = {**known, **more}


def _package(text: str) -> Any:
    name, equals, version = text.partition('=')
    return {name: {'version': version}} if equals else name


def _arguments(args: argparse.Namespace) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if args.arguments_file:
        found = yaml_file.load_mapping(args.arguments_file, 'arguments file')
    # The options were given by hand: they win.
    for name, secret in (args.arguments or {}).items():
        found[name] = secret.text
    return found


def _add_boot_test(result: dict[str, Any], args: argparse.Namespace) -> None:
    options = _parsed('--boot-test-option', args.boot_test_options)
    known = result.get('boot_test')
    if options:
        # True is a test of which nothing is said.
        if isinstance(known, bool):
            del result['boot_test']
        _update(result, 'boot_test', options)
    elif args.boot_test and not known and known != {}:
        result['boot_test'] = True


def _parsed(option: str, values: Mapping[str, str] | None) -> dict[str, Any]:
    """Values of an option, each read as YAML."""
    found = {}
    for name, text in (values or {}).items():
        try:
            found[name] = yaml_file.parse(text)
        except ValueError as error:
            raise exceptions.CommandError(
                f'{option} {name}: {error}.'
            ) from None
    return found


def _file(text: str) -> dict[str, str]:
    """Read ``/etc/motd=motd.txt,mode=0644`` and the file it names."""
    path, equals, rest = text.partition('=')
    properties: dict[str, str] = {}
    while True:
        # From the end: the name of a file may hold commas.
        before, comma, last = rest.rpartition(',')
        key, assigned, value = last.partition('=')
        if not comma or not assigned or key not in _FILE_OPTIONS:
            break
        properties[key] = value
        rest = before
    if not equals or not path or not rest:
        raise exceptions.CommandError(
            f'--file {text}: PATH=LOCALFILE is expected, with '
            f'{", ".join(_FILE_OPTIONS)} after commas if needed.'
        )
    return {'path': path, **_content(pathlib.Path(rest)), **properties}


def _content(path: pathlib.Path) -> dict[str, str]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise exceptions.CommandError(
            f'The file {path} cannot be read: {error.strerror}.'
        ) from None
    # JSON has no bytes, and the service refuses NUL in texts: both go as
    # base64.
    try:
        text = content.decode()
    except UnicodeDecodeError:
        text = '\0'
    if '\0' in text:
        return {'content_base64': base64.b64encode(content).decode('ascii')}
    return {'content': text}
