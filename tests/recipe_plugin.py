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
"""A recipe plugin that has tools of its own and no manifest at all."""

SETUP = """
    from setuptools import setup

    setup(
        name='acme-appliance',
        version='1.0',
        py_modules=['acme_appliance'],
        entry_points={
            'imagebuild.recipes': [
                'acme_appliance = acme_appliance:Appliance',
                'acme_wild = acme_appliance:Wild',
                'acme_bad = acme_appliance:Bad',
            ],
        },
    )
"""
MODULE = r"""
    import logging
    import sys
    import time

    from imagebuild import exception
    from imagebuild import manifest

    LOG = logging.getLogger(__name__)


    class Appliance:
        description = 'The appliance of Acme.'

        def get_versions(self):
            return ['1', '2']

        def get_image_arguments(self, version):
            return [
                manifest.Argument('site', 'Where it is.', required=True),
                manifest.Argument('token', hidden=True, default=''),
                manifest.Argument('ports', default='1', type='integer'),
                manifest.Argument('file', default='/etc/acme'),
                manifest.Argument('mode', default='usual',
                                  choices=('usual', 'slow', 'exit', 'leak',
                                           'down')),
            ]

        def pack_image(self, version, remote, reconcile=True,
                       image_arguments=None):
            values = image_arguments
            wanted = f'{version} {values["site"]}\n'.encode()
            if values['mode'] == 'slow':
                print('never ends', flush=True)
                while True:
                    try:
                        time.sleep(60)
                    except Exception:
                        pass
            if values['mode'] == 'exit':
                sys.exit(0)
            if values['mode'] == 'leak':
                raise RuntimeError(f'refused: {values["token"]}')
            print('configuring', values['site'])
            LOG.info('the token is %s', values['token'])
            remote.run(['sh', '-c', 'echo "from inside: $1"', 'sh',
                        values['token'] or 'nothing'])
            try:
                found = remote.read_file(values['file'])
            except exception.RemoteFileNotFound:
                found = b''
            if found == wanted:
                return
            if not reconcile:
                raise exception.StepFailed(
                    f'{values["file"]} is not as wanted')
            remote.write_file(values['file'], wanted)

        def validate_images(self, version, remotes, reconcile=True,
                            image_arguments=None):
            # What only a machine that runs can show.
            print('asking', len(remotes), 'that runs')
            if image_arguments['mode'] == 'down':
                raise exception.StepFailed('the appliance does not answer')
            for remote in remotes:
                self.pack_image(version, remote, reconcile, image_arguments)


    class Wild:
        # Whatever it is asked for, it has an answer of its own.
        @property
        def description(self):
            raise RuntimeError('I do not describe myself')

        def get_versions(self):
            return ['1']

        def get_image_arguments(self, version):
            return [object()]

        def pack_image(self, version, remote, reconcile=True,
                       image_arguments=None):
            pass


    class Bad:
        def get_versions(self):
            raise SystemExit(0)
"""
