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
"""``subscription``: a Red Hat system is registered, or no longer.

What subscription-manager really does cannot be tried without an account;
the tests run a stub of it.
"""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any
from typing import ClassVar
from typing import Self

from imagebuild import exception
from imagebuild.common import json_schema
from imagebuild.manifest import document
from imagebuild.manifest.validators import base
from imagebuild.manifest.validators import shell
from imagebuild.manifest.validators import state
from imagebuild.manifest.validators import template

_WORD: Mapping[str, Any] = {
    'type': 'string',
    'pattern': r'^[A-Za-z0-9*?][A-Za-z0-9*?._-]*$(?!\n)',
    'x-message': 'is not a name',
}
_WORDS: Mapping[str, Any] = {
    'title': 'a list of names',
    'type': 'array',
    'maxItems': json_schema.MANY,
    'items': _WORD,
    'minItems': 1,
}
#: Properties of "register" that name an argument, and whether it is secret.
_NAMES = {'username': False, 'password': True, 'activation_key': True}
_PAIRS = ({'username', 'password'}, {'org', 'activation_key'})

#: Arguments: repositories. Prints "registered", then enabled ones of them.
LOOK = shell.Script(
    'subscription-manager identity',
    r"""
if ! command -v subscription-manager > /dev/null; then
    echo 'subscription-manager is not installed' >&2
    exit 1
fi
subscription-manager identity > /dev/null 2>&1 || exit 0
echo registered
if [ "$#" -gt 0 ]; then
    enabled=$(subscription-manager repos --list-enabled 2> /dev/null |
        sed -n 's/^Repo ID:[[:space:]]*//p')
    for repo do
        for one in $enabled; do
            # A name may hold wildcards.
            case $one in
                $repo) printf 'repo:%s\n' "$repo"; break ;;
            esac
        done
    done
fi
""",
)
#: Arguments: pools ("auto": whatever fits), "--", repositories. The login is
#: in RHSM_USERNAME and RHSM_PASSWORD, or RHSM_ORG and RHSM_KEY.
REGISTER = shell.Script(
    'subscription-manager register',
    r"""
set -eu
if ! subscription-manager identity > /dev/null 2>&1; then
    if [ -n "${RHSM_KEY:-}" ]; then
        subscription-manager register --org="$RHSM_ORG" \
            --activationkey="$RHSM_KEY"
    elif [ -n "${RHSM_USERNAME:-}" ]; then
        subscription-manager register --username="$RHSM_USERNAME" \
            --password="$RHSM_PASSWORD"
    fi
    # What follows needs neither, and runs plugins.
    unset RHSM_KEY RHSM_PASSWORD
    while [ "$1" != -- ]; do
        if [ "$1" = auto ]; then
            subscription-manager attach --auto
        else
            subscription-manager attach --pool="$1"
        fi
        shift
    done
fi
while [ "$1" != -- ]; do
    shift
done
shift
for repo do
    subscription-manager repos --enable="$repo"
done
""",
)
UNREGISTER = shell.Script(
    'subscription-manager unregister',
    r"""
set -eu
subscription-manager unregister
subscription-manager clean
""",
)


_NOT_REGISTERED = 'the system is not registered'


class SubscriptionValidator(state.StateValidator):
    """A system is registered with Red Hat, or is not.

    Registering needs a login, which is never written in a manifest: the
    names of hidden arguments are. Pools are attached only together with a
    registration. ``unregister`` belongs in a step of its own, at the end.
    """

    type_name: ClassVar[str] = 'subscription'
    schema: ClassVar[Mapping[str, Any]] = {
        'type': 'object',
        'additionalProperties': False,
        'minProperties': 1,
        'properties': {
            'register': {
                'type': 'object',
                'additionalProperties': False,
                'minProperties': 1,
                'properties': {
                    'username': json_schema.VARIABLE,
                    'password': json_schema.VARIABLE,
                    'activation_key': json_schema.VARIABLE,
                    'org': {'type': ['string', 'integer']},
                },
            },
            'attach': {'anyOf': [{'title': 'auto', 'const': 'auto'}, _WORDS]},
            'repos': _WORDS,
            'unregister': {'const': True},
        },
    }

    def __init__(
        self,
        path: str,
        login: Mapping[str, str],
        pools: Sequence[str] = (),
        repos: Sequence[str] = (),
        unregister: bool = False,
    ) -> None:
        super().__init__(path)
        self.login = dict(login)
        self.pools = tuple(pools)
        self.repos = tuple(repos)
        self.unregister = unregister

    @classmethod
    def from_spec(cls, spec: Any, builder: base.Builder) -> Self:
        login = {
            name: document.as_text(value)
            for name, value in spec.get('register', {}).items()
        }
        unregister = 'unregister' in spec
        if unregister and len(spec) > 1:
            builder.problem('"unregister" stands alone, in a step of its own')
        if 'register' in spec:
            _check_login(login, builder.at('register'))
        elif 'attach' in spec:
            builder.problem('"attach" needs "register"')
        attach = spec.get('attach', ())
        return cls(
            builder.path,
            login,
            ('auto',) if attach == 'auto' else attach,
            spec.get('repos', ()),
            unregister,
        )

    def describe(self) -> str:
        if self.unregister:
            return 'subscription: unregister'
        words = ['register'] if self.login else []
        return 'subscription: ' + state.listed([*words, *self.repos])

    def differences(self, context: base.Context) -> state.Differences:
        return {clause: [clause] for clause in self._clauses(context)}

    def _clauses(self, context: base.Context) -> Iterator[str]:
        if context.distro.family != 'redhat':
            raise exception.StepFailed(
                'subscriptions are for the Red Hat family; this system is '
                + context.distro.os_release.id
            )
        lines = LOOK.run(context, *self.repos).splitlines()
        registered = 'registered' in lines
        if self.unregister:
            if registered:
                yield 'the system is still registered'
            return
        if not registered:
            yield _NOT_REGISTERED
        for repo in self.repos:
            if f'repo:{repo}' not in lines:
                yield f'the repository {repo} is not enabled'

    def change(
        self,
        context: base.Context,
        record: base.StepRecord,
        parts: Collection[str],
    ) -> str:
        # Registering brings repositories, unregistering takes them away.
        context.packages.index_is_stale()
        if self.unregister:
            UNREGISTER.run(context, record=record)
            context.undo.clear()
            return 'unregistered'
        if _NOT_REGISTERED in parts:
            # Red Hat would count it for ever when a later step fails. Before:
            # it may be registered and then find no pool.
            context.undo.append(lambda: UNREGISTER.run(context))
        REGISTER.run(
            context,
            *self.pools,
            '--',
            *self.repos,
            env=self._environment(context),
            record=record,
        )
        return 'registered'

    def _environment(self, context: base.Context) -> dict[str, str]:
        variables = {
            'username': 'RHSM_USERNAME',
            'password': 'RHSM_PASSWORD',
            'activation_key': 'RHSM_KEY',
            'org': 'RHSM_ORG',
        }
        env = {}
        for name, source in self.login.items():
            value = (
                template.render(source, context)
                if name == 'org'
                else context.value(source)
            )
            if not value:
                raise exception.StepFailed(f'no value is set for: {source}')
            env[variables[name]] = value
        return env

    def commands(self, context: base.Context) -> Sequence[str]:
        if self.unregister:
            return ['subscription-manager unregister']
        lines = ['subscription-manager register'] if self.login else []
        lines += [f'subscription-manager attach {name}' for name in self.pools]
        return lines + [
            f'subscription-manager repos --enable={name}'
            for name in self.repos
        ]

    def argument_names(self) -> Sequence[str]:
        return [
            name
            for field, source in self.login.items()
            for name in (
                template.argument_names(source) if field == 'org' else [source]
            )
        ]

    def key(self) -> Any:
        return {
            'subscription': [
                self.login,
                list(self.pools),
                list(self.repos),
                self.unregister,
            ]
        }


def _check_login(login: Mapping[str, str], builder: base.Builder) -> None:
    if set(login) not in _PAIRS:
        builder.problem(
            'either "username" and "password" or "org" and "activation_key" '
            'are needed'
        )
    template.check(login.get('org', ''), builder, 'org')
    for name, secret in _NAMES.items():
        if name not in login:
            continue
        argument = builder.arguments.get(login[name])
        if argument is None:
            # Not repeated: it may be a secret written in the wrong place.
            builder.problem('it is not the name of a declared argument', name)
        elif secret and not argument.hidden:
            builder.problem(
                f'the argument "{argument.name}" must be hidden', name
            )
