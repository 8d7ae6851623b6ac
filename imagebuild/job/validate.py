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
"""The validation: running machines, many at a time."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Mapping
from typing import Any

from imagebuild import description
from imagebuild import manifest
from imagebuild.job import channel
from imagebuild.job import job_monitor
from imagebuild.job import limits
from imagebuild.job import specs
from imagebuild.machines import checks
from imagebuild.remotes import ssh
from imagebuild.remotes import ssh_connection
from imagebuild.remotes import ssh_settings

#: Bytes that the results of all machines may take as JSON: they are one
#: value in the database, written again when another machine has ended.
_LARGEST = 2 * 1024 * 1024
#: What a result has, in full and the less the larger it would be: how many
#: steps, those that failed first; characters of the output of each, and of a
#: message.
_SHARES = (
    (50, 1000, 4000),
    (50, 300, 1000),
    (20, 0, 500),
    (5, 0, 200),
    (0, 0, 200),
)


def run(
    spec: specs.ValidationSpec,
    events: channel.Events,
    monitor: job_monitor.JobMonitor,
    deadline: limits.Deadline,
) -> dict[str, Any]:
    """Look at machines, or reconcile them.

    :returns: ``result`` of the last event; what came out for each machine is
        an event of its own, ``machine``, when it has ended.
    :raises ImageBuildError: it cannot begin.
    """
    monitor.turn_to('reading the request')
    described = description.load(
        spec.request,
        recipe_paths=[
            pathlib.Path(path)
            for path in spec.config.get('DEFAULT', {}).get('recipe_path', ())
        ],
    )
    login = _login(spec)
    events.hide([*described.secrets(), *_secrets(login)])
    for key in login.keys:
        ssh_connection.private_key(key, login.passphrase)
    monitor.turn_to('the machines')
    wanted = [
        checks.Check(host['name'], _target(host, login, spec), described)
        for host in spec.hosts
    ]
    running = checks.Checks(
        ssh.SshRemote,
        reconcile=bool(spec.request.get('reconcile')),
        parallel=spec.parallel,
    )

    def ended(outcome: checks.Outcome) -> None:
        most = _LARGEST // len(spec.hosts)
        events.send('machine', result=result_of(outcome, most))

    outcomes = running.run(wanted, lambda _: manifest.Monitor(), ended)
    return {'exit_code': checks.exit_code(outcomes)}


def _login(spec: specs.ValidationSpec) -> ssh_settings.Login:
    given = spec.credentials
    return ssh_settings.Login(
        keys=[given['private_key']] if given.get('private_key') else (),
        passphrase=given.get('passphrase'),
        password=given.get('password'),
        sudo_password=given.get('sudo_password'),
    )


def _secrets(login: ssh_settings.Login) -> list[str]:
    return [
        value
        for value in (
            *login.keys,
            login.passphrase,
            login.password,
            login.sudo_password,
        )
        if value
    ]


def _target(
    host: Mapping[str, Any],
    login: ssh_settings.Login,
    spec: specs.ValidationSpec,
) -> ssh_settings.Target:
    pinned = host.get('host_key')
    return ssh_settings.Target(
        ssh_settings.Address(host['address'], host['port'], host['user']),
        login,
        ssh_settings.HostKeys(
            pinned=pinned,
            accept_new=not pinned and spec.accept_unknown_host_keys,
        ),
        settings=ssh_settings.SshSettings(run_timeout=spec.timeout),
    )


def result_of(outcome: checks.Outcome, most: int) -> dict[str, Any]:
    """What came out for a machine, as the API shows it.

    :param most: bytes that it may take as JSON; below 2 KiB it may be larger.
    """
    report = outcome.report
    result: dict[str, Any] = {
        'name': outcome.name,
        'result': str(outcome.result),
        'changed': bool(report and report.reconcile and report.changed),
        'distro': report.distro if report else '',
        'release': report.release if report else '',
        'seconds': round(outcome.seconds, 3),
    }
    for steps, tail, longest in _SHARES:
        result['reason'] = outcome.error[:longest]
        result['steps'] = _steps(report, steps, tail, longest)
        if len(json.dumps(result)) <= most:
            break
    return result


def _steps(
    report: manifest.Report | None, most: int, tail: int, longest: int
) -> list[dict[str, Any]]:
    steps = list(report.steps) if report else []
    if len(steps) > most:
        # sorted is stable: the others stay in their order.
        steps.sort(key=lambda step: step.result != manifest.Result.FAILED)
    return [
        dataclasses.replace(
            step,
            output=step.output[max(len(step.output) - tail, 0) :],
            message=step.message[:longest],
            description=step.description[:longest],
        ).to_dict()
        for step in steps[:most]
    ]
