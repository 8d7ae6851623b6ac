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
import pytest

from imagebuild import exception
from imagebuild.clients import answers
from imagebuild.clients import errors
from imagebuild.clients import glance as glance_client
from imagebuild.clients import keystone
from tests import fake_glance

ME, OTHER = 'me', 'other'
CONTENT = bytes(range(256)) * 10_000


@pytest.fixture
def server():
    with fake_glance.FakeGlance() as server:
        yield server


@pytest.fixture
def glance(server):
    return glance_client.Glance.from_config(server.config)


class TestVisibleImage:
    @pytest.mark.parametrize(
        'owner, visibility, member, by_id, by_name',
        [
            (ME, 'private', None, True, True),
            (ME, 'shared', None, True, True),
            (ME, 'community', None, True, True),
            (OTHER, 'public', None, True, True),
            (OTHER, 'community', None, True, False),
            (OTHER, 'private', None, False, False),
            (OTHER, 'shared', None, False, False),
            (OTHER, 'shared', 'accepted', True, True),
            (OTHER, 'shared', 'pending', False, False),
            (OTHER, 'shared', 'rejected', False, False),
            # What was shared once, and is no more.
            (OTHER, 'private', 'accepted', False, False),
        ],
    )
    def test_rules(
        self, server, glance, owner, visibility, member, by_id, by_name
    ):
        record = server.add(
            b'x', name='base', owner=owner, visibility=visibility, tags=['t']
        )
        if member:
            server.members[record['id']] = {ME: member}
        for expected, arguments in (
            (by_id, {'id_or_name': record['id']}),
            (by_name, {'id_or_name': 'base'}),
            (by_name, {'tag': 't'}),
        ):
            if expected:
                found = glance.visible_image(ME, **arguments)
                assert found.id == record['id']
            else:
                with pytest.raises(exception.NotFound):
                    glance.visible_image(ME, **arguments)

    def test_what_is_not_there_and_what_is_not_mine_are_told_alike(
        self, server, glance
    ):
        hidden = server.add(b'x', owner=OTHER)
        absent = hidden['id'].replace(hidden['id'][0], 'e')
        messages = []
        for image_id in (hidden['id'], absent):
            with pytest.raises(exception.NotFound) as caught:
                glance.visible_image(ME, image_id)
            messages.append(str(caught.value).replace(image_id, 'ID'))
        assert messages[0] == messages[1]

    def test_record(self, server, glance):
        record = server.add(
            CONTENT, owner=ME, name='base', disk_format='raw', os_distro='x'
        )
        found = glance.visible_image(ME, record['id'].upper())
        assert found.checksum == f'sha512:{record["os_hash_value"]}'
        assert found.size == len(CONTENT)
        assert found.disk_format == 'raw'
        assert found.properties == {'os_distro': 'x'}

    def test_a_name_that_looks_like_an_id(self, server, glance):
        name = '12345678-1234-1234-1234-123456789abc'
        record = server.add(b'x', owner=ME, name=name)
        assert glance.visible_image(ME, name).id == record['id']

    def test_several_of_one_name(self, server, glance):
        ids = [server.add(b'x', owner=ME, name='base')['id'] for _ in 'ab']
        server.add(b'x', owner=OTHER, name='base')
        with pytest.raises(exception.InvalidInput) as caught:
            glance.visible_image(ME, 'base')
        assert all(image_id in str(caught.value) for image_id in ids)
        assert '2 images' in str(caught.value)

    def test_of_several_only_one_is_active(self, server, glance):
        server.add(owner=ME, name='base')
        record = server.add(b'x', owner=ME, name='base')
        assert glance.visible_image(ME, 'base').id == record['id']

    @pytest.mark.parametrize('status', ['queued', 'deactivated', 'saving'])
    def test_not_active(self, server, glance, status):
        record = server.add(owner=ME, name='base', status=status)
        for reference in (record['id'], 'base'):
            with pytest.raises(exception.InvalidInput, match=status):
                glance.visible_image(ME, reference)

    def test_the_newest_with_a_tag(self, server, glance):
        server.add(b'x', owner=ME, tags=['base'])
        newest = server.add(b'x', owner=ME, tags=['base', 'other'])
        server.add(owner=ME, tags=['base'])
        server.add(b'x', owner=OTHER, tags=['base'])
        assert glance.visible_image(ME, tag='base').id == newest['id']

    @pytest.mark.parametrize('name', ['', 'nothing', '../x', 'a&visibility=b'])
    def test_no_such_name(self, server, glance, name):
        server.add(b'x', owner=ME, name='base')
        with pytest.raises(exception.NotFound):
            glance.visible_image(ME, name)


class TestTrustedImage:
    """What the operator's catalogue names, and who cannot take its place."""

    @pytest.fixture
    def glance(self, server):
        section = {**server.config['glance'], 'trusted_projects': [ME]}
        return glance_client.Glance.from_config(
            {**server.config, 'glance': section}
        )

    @pytest.mark.parametrize('kind', ['id', 'name', 'tag'])
    @pytest.mark.parametrize(
        'owner, visibility, expected',
        [
            (ME, 'private', True),
            (ME, 'shared', True),
            (ME, 'community', True),
            (OTHER, 'public', True),
            (OTHER, 'private', False),
            (OTHER, 'community', False),
            (OTHER, 'shared', False),
        ],
    )
    def test_rules(self, server, glance, kind, owner, visibility, expected):
        record = server.add(
            b'x', name='base', owner=owner, visibility=visibility, tags=['t']
        )
        # Shared with, and accepted by, whoever is trusted.
        server.members[record['id']] = {ME: 'accepted'}
        value = {'id': record['id'], 'name': 'base', 'tag': 't'}[kind]
        if expected:
            assert glance.trusted_image(kind, value).id == record['id']
        else:
            with pytest.raises(exception.NotFound):
                glance.trusted_image(kind, value)

    @pytest.mark.parametrize('visibility', ['private', 'community', 'shared'])
    @pytest.mark.parametrize('status', ['active', 'queued', 'saving'])
    def test_a_member_s_image_of_the_same_name_and_tag(
        self, server, glance, visibility, status
    ):
        mine = server.add(
            b'x', name='base', owner=OTHER, visibility='public', tags=['t']
        )
        for content in (b'evil', b'worse'):
            theirs = server.add(
                content,
                name='base',
                owner='mallory',
                visibility=visibility,
                status=status,
                tags=['t'],
            )
            theirs['status'] = status
        assert glance.trusted_image('name', 'base').id == mine['id']
        assert glance.trusted_image('tag', 't').id == mine['id']

    def test_between_two_of_ours_nobody_else_s_is_taken(self, server, glance):
        old = server.add(b'x', name='base', owner=ME, tags=['t'])
        theirs = server.add(b'y', name='base', owner=OTHER, tags=['t'])
        new = server.add(name='base', owner=ME, tags=['t'], status='saving')
        assert glance.trusted_image('tag', 't').id == old['id']
        old['tags'], old['name'] = [], 'base-old'
        with pytest.raises(exception.NotFound, match='active image'):
            glance.trusted_image('tag', 't')
        with pytest.raises(exception.InvalidInput, match='it is saving'):
            glance.trusted_image('name', 'base')
        server.store(new['id'], b'z')
        for kind, value in (('tag', 't'), ('name', 'base')):
            assert glance.trusted_image(kind, value).id == new['id']
        assert theirs['status'] == 'active'

    def test_a_name_is_no_id_and_an_id_is_no_name(self, server, glance):
        record = server.add(b'x', owner=ME)
        server.add(b'y', owner=ME, name=record['id'])
        assert glance.trusted_image('id', record['id']).id == record['id']
        found = glance.trusted_image('name', record['id'])
        assert found.id != record['id']

    def test_without_the_option_and_a_project_only_public(self, server):
        glance = glance_client.Glance.from_config(server.config)
        record = server.add(b'x', name='base', owner=None)
        with pytest.raises(exception.NotFound):
            glance.trusted_image('name', 'base')
        record['visibility'] = 'public'
        assert glance.trusted_image('name', 'base').id == record['id']


class TestData:
    def test_whole(self, server, glance):
        record = server.add(CONTENT)
        with glance.data(record['id']) as source:
            assert (source.offset, source.total) == (0, len(CONTENT))
            assert b''.join(source) == CONTENT

    def test_from_the_middle(self, server, glance):
        record = server.add(CONTENT)
        with glance.data(record['id'], 1000) as source:
            assert (source.offset, source.total) == (1000, len(CONTENT))
            assert b''.join(source) == CONTENT[1000:]

    def test_a_store_that_cannot(self, server, glance):
        server.ranges = False
        record = server.add(CONTENT)
        with glance.data(record['id'], 1000) as source:
            assert source.offset == 0
            assert b''.join(source) == CONTENT

    def test_from_the_end(self, server, glance):
        record = server.add(CONTENT)
        with glance.data(record['id'], len(CONTENT)) as source:
            assert (source.offset, source.total) == (len(CONTENT),) * 2
            assert b''.join(source) == b''

    def test_broken_off(self, server, glance):
        record = server.add(CONTENT)
        server.fail('GET', '/file', 0, after=1000)
        with (
            glance.data(record['id']) as source,
            pytest.raises(exception.ServiceUnavailable, match='broke'),
        ):
            b''.join(source)

    def test_nothing_there(self, server, glance):
        record = server.add()
        for image_id in (record['id'], 'nothing'):
            with pytest.raises(exception.NotFound), glance.data(image_id):
                pass

    def test_away(self, server, glance):
        record = server.add(CONTENT)
        server.fail('GET', '/file', 503)
        with (
            pytest.raises(exception.ServiceUnavailable),
            glance.data(record['id']),
        ):
            pass


class TestErrors:
    @pytest.mark.parametrize(
        'code, kind',
        [
            (400, errors.Refused),
            (401, exception.ServiceUnavailable),
            (403, errors.Refused),
            (404, exception.NotFound),
            (409, exception.Conflict),
            (413, errors.Refused),
            (429, exception.ServiceUnavailable),
            (500, exception.ServiceUnavailable),
            (503, exception.ServiceUnavailable),
        ],
    )
    def test_kinds(self, code, kind):
        error = errors.of_answer('image', code, 'Because.', 'ID')
        assert type(error) is kind
        assert ('Because' in str(error)) != (code == 404)
        assert '..' not in str(error)

    @pytest.mark.parametrize(
        'text, plain',
        [
            ('<html><h1>403 No</h1>  Not\n<b>you</b>.</html>', 'Not you'),
            ('HTTP 413 Request Too Large: It is too large', 'It is too large'),
            ('413 Request Entity Too Large: too large', 'too large'),
            ('', ''),
        ],
    )
    def test_sentences(self, text, plain):
        assert answers.message_of(text) == plain


class TestKeystone:
    def test_password(self):
        session = keystone.session(
            {
                'auth_url': 'https://keystone.example.com/v3',
                'username': 'imagebuild',
                'password': 'secret',
                'project_name': 'service',
                'user_domain_name': 'Default',
                'project_domain_name': 'Default',
                'cafile': '/etc/ca.pem',
                'something': 'else',
            }
        )
        assert session.verify == '/etc/ca.pem'
        assert session.timeout == 60
        assert session.auth.auth_url == 'https://keystone.example.com/v3'

    def test_insecure_and_timeout(self):
        session = keystone.session(
            {'auth_type': 'none', 'insecure': True, 'timeout': 5}
        )
        assert session.verify is False
        assert session.timeout == 5

    @pytest.mark.parametrize(
        'config', [{}, {'auth_type': 'no-such'}, {'username': 'x'}]
    )
    def test_credentials_that_are_none(self, config):
        with pytest.raises(exception.EnvironmentFault, match='keystone'):
            keystone.session(config)

    def test_keystone_is_away(self, server):
        config = {
            'keystone': {
                'auth_url': server.url + '/identity',
                'username': 'x',
                'password': 'y',
            }
        }
        glance = glance_client.Glance.from_config(config)
        for status in (500, 503, 0):
            server.fail('GET', '/identity', status, times=9)
            with pytest.raises(exception.ServiceUnavailable):
                glance.get('x')
