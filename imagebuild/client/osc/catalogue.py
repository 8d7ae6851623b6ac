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
"""What there is: ``openstack image recipe|os|destination|driver|builder``."""

from __future__ import annotations

import argparse

from osc_lib import exceptions
from osc_lib.command import command

from imagebuild.client import listings
from imagebuild.client.osc import columns
from imagebuild.client.osc import plugin
from imagebuild.client.osc import terminal


class ListRecipe(terminal.SafeOutput, command.Lister):
    """List the recipes that images can be built from"""

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        found = plugin.client_of(self).recipes.list()
        return columns.table(columns.RECIPES, found)


class ShowRecipe(terminal.SafeOutput, command.ShowOne):
    """Show a recipe and its arguments"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument('name', metavar='<name>')
        parser.add_argument(
            'version',
            metavar='<version>',
            nargs='?',
            help='May be left out if there is only one',
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Shown:
        manager = plugin.client_of(self).recipes
        version = parsed_args.version or _only_version(
            manager, parsed_args.name
        )
        recipe = manager.get(parsed_args.name, version)
        return columns.shown(columns.RECIPE, recipe)


def _only_version(manager: listings.RecipeManager, name: str) -> str:
    found = [item.version for item in manager.list() if item.name == name]
    if len(found) == 1:
        return found[0]
    raise exceptions.CommandError(
        f'The recipe "{name}" has several versions, choose one: '
        f'{", ".join(found)}.'
        if found
        else f'There is no recipe "{name}".'
    )


class ListOperatingSystem(terminal.SafeOutput, command.Lister):
    """List the operating systems that images can be built with"""

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        found = plugin.client_of(self).operating_systems.list()
        return columns.table(columns.OPERATING_SYSTEMS, found)


class ListDestination(terminal.SafeOutput, command.Lister):
    """List the further clouds that images can be uploaded to"""

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        found = plugin.client_of(self).destinations.list()
        return columns.table(columns.DESTINATIONS, found)


class ListDriver(terminal.SafeOutput, command.Lister):
    """List the drivers that make disks, and their options"""

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        found = plugin.client_of(self).drivers.list()
        return columns.table(columns.DRIVERS, found)


class ListBuilder(terminal.SafeOutput, command.Lister):
    """List the conductors, which build images (for administrators)"""

    def get_parser(self, prog_name: str) -> argparse.ArgumentParser:
        parser = super().get_parser(prog_name)
        parser.add_argument(
            '--long', action='store_true', help='Show more of each conductor'
        )
        return parser

    def take_action(self, parsed_args: argparse.Namespace) -> columns.Table:
        found = plugin.client_of(self).conductors.list()
        shown = (
            columns.CONDUCTORS_LONG if parsed_args.long else columns.CONDUCTORS
        )
        return columns.table(shown, found)
