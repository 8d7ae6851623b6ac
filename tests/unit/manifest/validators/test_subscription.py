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
"""Over a stub: the real subscription-manager needs an account."""

import pytest

from imagebuild import exception
from imagebuild.manifest.validators import subscription
from imagebuild.remotes import fake
from tests.unit.manifest.validators import guest

LOGIN = 'register: {username: plain, password: secret}'


@pytest.mark.parametrize(
    'text, wrong',
    [
        ('subscription: {}', 'it must not be empty'),
        ('subscription: {unregister: false}', 'subscription.unregister: '),
        ('subscription: {unregister: true, repos: [a]}', 'stands alone'),
        ('subscription: {attach: auto}', '"attach" needs "register"'),
        ('subscription: {repos: [--x]}', 'subscription.repos[0]: '),
        ('subscription: {register: {username: plain}}', 'either "username"'),
        (
            'subscription: {register: {username: plain, password: plain}}',
            'the argument "plain" must be hidden',
        ),
        (
            'subscription: {register: {username: plain, password: Pa55}}',
            'password: it is not the name of a declared argument',
        ),
    ],
)
def test_bad_forms(text: str, wrong: str) -> None:
    [error] = guest.errors(text)
    assert wrong in error
    assert 'Pa55' not in error


def test_other_families() -> None:
    loaded = guest.load(f'subscription: {{{LOGIN}}}')
    assert guest.failure(loaded, guest.debian()) == (
        'subscriptions are for the Red Hat family; this system is debian'
    )


def test_a_failure_does_not_tell_the_password() -> None:
    remote = fake.FakeRemote.of('rhel', '9.4')
    guest.answer(remote, subscription.LOOK)
    guest.answer(remote, subscription.UNREGISTER, fake.Answer(exit_code=1))
    guest.answer(
        remote,
        subscription.REGISTER,
        fake.Answer(stderr='bad login value/hush-hush-hush\n', exit_code=70),
    )
    loaded = guest.load(f'subscription: {{{LOGIN}}}')
    with pytest.raises(exception.StepFailed) as caught:
        loaded.run(remote, {'secret': 'hush-hush-hush'})
    assert 'hush' not in f'{caught.value} {caught.value.output}'
    assert caught.value.command == 'subscription-manager register'
