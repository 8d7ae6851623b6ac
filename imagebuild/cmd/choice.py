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
"""What a program is to run: RECIPE VERSION or --manifest, with arguments.

The same for imagebuild-pack and imagebuild-validate.
"""

from __future__ import annotations

import argparse
import dataclasses
import pathlib
import shlex
from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from oslo_config import cfg

from imagebuild import exception
from imagebuild import manifest
from imagebuild import recipes
from imagebuild.cmd import program
from imagebuild.common import small_files
from imagebuild.common import strict_yaml

#: Bytes of a file of arguments.
_LARGEST = 1024 * 1024


@dataclasses.dataclass(frozen=True)
class Program:
    """A program that runs a manifest.

    :ivar name: as it is called.
    :ivar description: one sentence for its help.
    :ivar epilog: the end of its help.
    :ivar add_options: adds its options, :func:`add_options` included.
    :ivar read_configuration: is given the configuration files that are named.
    :ivar missing: says which of its options is required and not given, '' if
        none is.
    """

    name: str
    description: str
    epilog: str
    add_options: Callable[[argparse.ArgumentParser], None]
    read_configuration: Callable[[Sequence[str] | None], cfg.ConfigOpts]
    missing: Callable[[argparse.Namespace, cfg.ConfigOpts], str]


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options that say what is to be run."""
    add = parser.add_argument
    path = pathlib.Path
    add(
        '--manifest',
        metavar='FILE',
        type=path,
        help='a manifest in place of RECIPE VERSION',
    )
    add(
        '--resource-root',
        metavar='DIR',
        type=path,
        action='append',
        help="where the manifest's scripts are looked up "
        "(default: the manifest's directory)",
    )
    add(
        '--recipe-path',
        metavar='DIR',
        type=path,
        action='append',
        default=[],
        help='a directory with recipes of your own',
    )
    add(
        '--arguments-file',
        metavar='FILE',
        type=path,
        help='a YAML or JSON file that maps names of arguments to values; '
        'unlike those of a command line, nobody else on this host sees them',
    )
    add(
        '--config-file',
        metavar='FILE',
        action='append',
        help='a configuration file; later ones take precedence',
    )


def add_limits(parser: argparse.ArgumentParser) -> None:
    """The options for limits of time."""
    parser.add_argument(
        '--timeout',
        metavar='SECONDS',
        type=float,
        help='limit for everything together',
    )
    parser.add_argument(
        '--command-timeout',
        metavar='SECONDS',
        type=float,
        help='limit for each command',
    )


def add_output(parser: argparse.ArgumentParser) -> None:
    """The options for what is printed."""
    add = parser.add_argument
    add(
        '--json',
        action='store_true',
        help='print a report of every step on standard output',
    )
    add(
        '--verbose',
        action='store_true',
        help='print what commands print',
    )
    add('--debug', action='store_true', help='print tracebacks')
    program.add_version(parser)


def refuse_limits(options: argparse.Namespace) -> None:
    """Refuse limits that are none.

    :raises InvalidInput: one of them is not above 0.
    """
    for name in ('timeout', 'command_timeout'):
        limit = getattr(options, name)
        if limit is not None and not limit > 0:
            option = name.replace('_', '-')
            raise exception.InvalidInput(f'--{option}: it must be above 0.')


def bind(
    options: argparse.Namespace, more: Mapping[str, str] | None = None
) -> tuple[manifest.Manifest | recipes.Recipe, manifest.Runnable]:
    """What is to be run, with the values of its arguments.

    :param options: of :func:`parse`.
    :param more: values that take precedence.
    :raises InvalidInput: the values are not acceptable.
    """
    chosen: manifest.Manifest | recipes.Recipe
    if options.loaded is not None:
        chosen = options.loaded
    else:
        chosen = options.found[options.recipe][options.recipe_version]
    given = {
        key.partition(':')[2]: value
        for key, value in vars(options).items()
        if key.startswith('argument:') and value is not None
    }
    try:
        what = chosen.bind({**options.from_file, **given, **(more or {})})
    except exception.InvalidArguments as error:
        separator = '\n  see' if '\n' in str(error) else '; see'
        raise exception.InvalidInput(
            f'{error}{separator} "{options.help_of} --help".'
        ) from None
    return chosen, what


def _arguments_of(path: pathlib.Path) -> dict[str, Any]:
    """Read a file of arguments; no message has a value of it.

    :raises InvalidInput: it cannot be read, or is something else.
    """
    content = small_files.read(
        path, _LARGEST, name=f'The arguments file {path}'
    )
    try:
        found = strict_yaml.parse(content)
    except strict_yaml.InvalidYaml as error:
        raise exception.InvalidInput(
            f'The arguments file {path} is not valid: {error}.'
        ) from None
    if not isinstance(found, dict):
        raise exception.InvalidInput(
            f'The arguments file {path} does not map names to values.'
        )
    for name, value in found.items():
        if value is None or isinstance(value, dict | list):
            raise exception.InvalidInput(
                f'The arguments file {path}: "{name}" is no text or number.'
            )
    # Numbers as they were written.
    return {name: getattr(v, 'text', v) for name, v in found.items()}


def parse(
    argv: Sequence[str], program_: Program
) -> tuple[argparse.Namespace, cfg.ConfigOpts]:
    """Read a command line and the configuration files that it names.

    :returns: the options, for :func:`bind`; ``help_of`` is the command
        whose help lists what there is.
    :raises InvalidInput: something is wrong with it, or with the manifest.
    """
    first = _first_look(argv, program_)
    conf = program_.read_configuration(first.config_file)
    parser = program.Parser(
        prog=program_.name,
        description=program_.description,
        epilog=program_.epilog,
    )
    program_.add_options(parser)
    loaded = None
    found: Mapping[str, Mapping[str, recipes.Recipe]] = {}
    if first.manifest is not None:
        loaded = manifest.load(first.manifest, first.resource_root)
        _add_arguments(parser, loaded.arguments)
    else:
        paths = [*first.recipe_path, *map(pathlib.Path, conf.recipe_path)]
        found = recipes.find(paths)
        _add_recipes(parser, found, argv)
    _refuse_early_arguments(parser, argv, found)
    if _asks_for_version(argv):
        # Nothing would be done, and that would be called a success.
        parser.error('--version stands alone; no argument has that name')
    options, unknown = parser.parse_known_args(argv)
    # Whose help lists what there is.
    if loaded is not None:
        parser.prog += f' --manifest {shlex.quote(str(first.manifest))}'
    named = (
        getattr(options, name, None) for name in ('recipe', 'recipe_version')
    )
    parser.prog = ' '.join([parser.prog, *filter(None, named)])
    if unknown:
        parser.error(f'unrecognized arguments: {" ".join(unknown)}')
    options.from_file = (
        _arguments_of(options.arguments_file) if options.arguments_file else {}
    )
    options.help_of = parser.prog
    options.loaded = loaded
    options.found = found
    missing = program_.missing(options, conf)
    if missing:
        parser.error(f'{missing} is required')
    if loaded is None and options.recipe is None:
        parser.error('RECIPE VERSION or --manifest FILE is required')
    return options, conf


def _refuse_early_arguments(
    parser: argparse.ArgumentParser,
    argv: Sequence[str],
    names: Collection[str],
) -> None:
    """Refuse an unknown option before the name of the recipe.

    argparse would take its value for that name.
    """
    for word in argv:
        if not names or word in names:
            return
        option = word.partition('=')[0]
        if option.startswith('--') and option not in _options_of(parser):
            parser.error(
                f'unrecognized arguments: {option}; those of a recipe '
                'come after its version'
            )


def _options_of(parser: argparse.ArgumentParser) -> Collection[str]:
    return parser._option_string_actions


def _add_arguments(
    parser: argparse.ArgumentParser,
    arguments: Sequence[manifest.Argument],
) -> None:
    """An option for each argument of a manifest."""
    group = parser.add_argument_group('arguments')
    for argument in arguments:
        text = [argument.description]
        if argument.choices:
            text.append(f'One of: {", ".join(argument.choices)}.')
        if argument.required:
            text.append('Required.')
        elif argument.default:
            text.append(f'Default: {argument.default}.')
        shown = ' '.join(part for part in text if part)
        group.add_argument(
            f'--{argument.name}',
            dest=f'argument:{argument.name}',
            metavar='VALUE',
            help=(
                argparse.SUPPRESS
                if argument.hidden
                else shown.replace('%', '%%')
            ),
        )


def _add_recipes(
    parser: argparse.ArgumentParser,
    found: Mapping[str, Mapping[str, recipes.Recipe]],
    argv: Sequence[str],
) -> None:
    """RECIPE VERSION; only the one that is named is read."""
    names = parser.add_subparsers(
        title='recipes',
        metavar='RECIPE',
        dest='recipe',
        parser_class=program.Parser,
    )
    for name, versions in found.items():
        listed = ', '.join(versions)
        of_name = names.add_parser(name, help=f'versions: {listed}')
        numbers = of_name.add_subparsers(
            title='versions',
            metavar='VERSION',
            dest='recipe_version',
            required=True,
            parser_class=program.Parser,
        )
        for version, recipe in versions.items():
            if name not in argv:
                numbers.add_parser(version)
                continue
            description = recipe.description.replace('%', '%%')
            of_version = numbers.add_parser(
                version, help=description, description=description
            )
            # Its manifest is read for that; those of the others are not.
            if version in argv:
                _add_arguments(of_version, recipe.arguments())


def _first_look(argv: Sequence[str], program_: Program) -> argparse.Namespace:
    """The options that decide what further options there are.

    Recipes and manifests have arguments of their own, which become options:
    so where they are has to be known before the parser is complete.

    ``--version`` ends the program here if there is nothing to run.
    """
    parser = program.Parser(
        prog=program_.name, add_help=False, exit_on_error=False
    )
    program_.add_options(parser)
    others = [each for each in argv if not _asks_for_version([each])]
    try:
        known, rest = parser.parse_known_args(others)
    except argparse.ArgumentError:
        return parser.parse_args([])  # the second look reports what is wrong
    if others != list(argv) and not rest and known.manifest is None:
        parser.parse_args(['--version'])
    return known


def _asks_for_version(argv: Sequence[str]) -> bool:
    return any(each.partition('=')[0] == '--version' for each in argv)
