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
"""A request to validate machines: checked, and what it refers to is read."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

from imagebuild import description
from imagebuild import exception
from imagebuild import policies
from imagebuild import sealing
from imagebuild.api import schemas
from imagebuild.api import validation
from imagebuild.api.api_call import Call
from imagebuild.clients import references
from imagebuild.common import json_schema
from imagebuild.common.counts import counted
from imagebuild.exception import Problem
from imagebuild.machines import networks

_MASK = '***'


def columns(call: Call) -> dict[str, Any]:
    """Validate the body of a call, and read the secrets that it names.

    :returns: columns of the validation.
    :raises Forbidden: a policy does not let the user have it.
    :raises InvalidRequest: every problem of the request.
    :raises ServiceUnavailable: Nova or Barbican does not answer.
    """
    body = call.body
    if body.get('reconcile'):
        call.context.can(policies.validations.RECONCILE)
    if isinstance(body.get('credential'), Mapping) and (
        'key' in body['credential']
    ):
        call.context.can(policies.validations.OPERATORS_KEY)
    problems = list(call.problems)
    validation.refuse(problems)
    conf = call.service.conf.validation
    described = _describe(call, problems)
    problems += _limits(call)
    found = references.References(
        call.context.auth_token or '',
        compute=conf.compute_endpoint,
        key_manager=conf.key_manager_endpoint,
    )
    hosts = _hosts(call, found, problems)
    validation.refuse(problems)
    # Not before all else is well: nothing is read in vain.
    credentials = _credentials(call, found, problems)
    arguments = _hidden_arguments(call, described)
    keys = call.service.conf.encryption_keys
    if (arguments or credentials) and not keys:
        problems.append(
            Problem(
                'credential' if credentials else 'arguments',
                'this service keeps no secrets: its operator has set no '
                'encryption keys',
            )
        )
    validation.refuse(problems)
    request = {**body, 'hosts': hosts}
    if arguments:
        masked = dict.fromkeys(arguments, _MASK)
        request['arguments'] = {**body['arguments'], **masked}
    secrets = {'arguments': arguments, 'credentials': credentials}
    return {
        'name': body.get('name', ''),
        'project_id': call.context.project_id or '',
        'user_id': call.context.user_id or '',
        'request_id': call.context.request_id or '',
        'request': request,
        'secrets': sealing.seal(keys, secrets)
        if arguments or credentials
        else None,
        'timeout': int(body.get('timeout', conf.timeout)),
    }


def _hidden_arguments(
    call: Call, described: description.Description | None
) -> dict[str, Any]:
    """The values of arguments that are secrets."""
    hidden = described.hidden() if described else set()
    given = call.body.get('arguments', {})
    return {
        name: given[name]
        for name in sorted(hidden & set(given))
        if given[name] is not None
    }


def _describe(
    call: Call, problems: list[Problem]
) -> description.Description | None:
    content = {
        name: call.body[name]
        for name in schemas.validations.CONTENT
        if name in call.body
    }
    if not content.keys() - {'arguments', 'resources', 'recipe_version'}:
        problems.append(
            Problem('', 'there is nothing that is to be true of the machines')
        )
        return None
    try:
        return description.load(
            content, recipe_paths=call.service.recipe_paths
        )
    except exception.InvalidManifest as error:
        problems.extend(error.errors)
    except exception.StepError as error:
        problems.append(Problem('recipe', str(error)))
    return None


def _limits(call: Call) -> list[Problem]:
    conf = call.service.conf.validation
    problems = []
    if len(call.body['hosts']) > conf.max_hosts:
        problems.append(
            Problem('hosts', f'there may be at most {conf.max_hosts}')
        )
    if call.body.get('timeout', 0) > conf.timeout:
        problems.append(
            Problem(
                'timeout',
                f'there are at most {counted(conf.timeout, "second")}',
            )
        )
    credential = call.body['credential']
    if 'key' in credential and 'secret' in credential:
        problems.append(Problem('credential', 'with "key" is no "secret"'))
    return problems


def _hosts(
    call: Call, found: references.References, problems: list[Problem]
) -> list[dict[str, Any]]:
    """The machines, each with name, address, port, user and host_key."""
    conf = call.service.conf.validation
    hosts: list[dict[str, Any]] = []
    if len(call.body['hosts']) > conf.max_hosts:
        return hosts
    for number, given in enumerate(call.body['hosts']):
        path = json_schema.join('hosts', number)
        port = int(given.get('port', 22))

        def why_not(address: str, port: int = port) -> str:
            return networks.refusal(
                address, port, conf.allowed_networks, conf.allowed_ports
            )

        host = _where(given, path, found, problems, why_not)
        if host is None:
            continue
        if 'host_key' not in given and not conf.accept_unknown_host_keys:
            problems.append(
                Problem(path, 'the fingerprint of its key, "host_key", is '
                        'needed')
            )  # fmt: skip
        hosts.append(
            {
                **host,
                'port': port,
                'user': given.get('user', 'root'),
                'host_key': given.get('host_key'),
            }
        )
    names = [(host['address'], host['port']) for host in hosts]
    if len(set(names)) < len(names):
        problems.append(Problem('hosts', 'a machine is a duplicate'))
    return hosts


def _where(
    given: Mapping[str, Any],
    path: str,
    found: references.References,
    problems: list[Problem],
    why_not: Callable[[str], str],
) -> dict[str, Any] | None:
    """Name and address of a machine, None with a problem."""
    if ('address' in given) == ('server' in given):
        problems.append(Problem(path, 'it has an "address" or a "server"'))
        return None
    if 'address' in given:
        if why := why_not(given['address']):
            problems.append(Problem(f'{path}.address', why))
            return None
        address = str(networks.read_address(given['address']))
        port = int(given.get('port', 22))
        return {
            'name': address if port == 22 else f'{address} port {port}',
            'address': address,
        }
    try:
        server = found.server(given['server'])
    except references.NotReadable as error:
        problems.append(Problem(f'{path}.server', str(error)))
        return None
    allowed = [each for each in server['addresses'] if not why_not(each)]
    if not allowed:
        problems.append(
            Problem(
                f'{path}.server',
                'none of its addresses is in a network that the operator '
                'allows',
            )
        )
        return None
    return {
        'name': f'{server["name"]} ({allowed[0]})',
        'address': allowed[0],
        'server': given['server'],
    }


def _credentials(
    call: Call, found: references.References, problems: list[Problem]
) -> dict[str, str]:
    secrets: dict[str, str] = {}
    for field, name in schemas.validations.SECRETS.items():
        if field not in call.body['credential']:
            continue
        try:
            text = found.secret(call.body['credential'][field])
        except references.NotReadable as error:
            problems.append(Problem(f'credential.{field}', str(error)))
            continue
        # Whoever stores a password by a shell adds a newline to it.
        secrets[name] = text if name == 'private_key' else text.rstrip('\n')
    return secrets
