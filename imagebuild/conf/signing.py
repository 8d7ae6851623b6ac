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
"""The section ``[signing]``."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    'signing',
    title='Signatures of images',
    help='Images are signed when they are uploaded to this cloud, so that '
    'Glance and Nova can verify them.',
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        'private_key',
        sample_default='/etc/imagebuild/signing.pem',
        help="""
File of the private key that images are signed with.

PEM without a passphrase: RSA, or an elliptic key on secp384r1 or secp521r1.
Every conductor needs it, and only its user may read it. Without this option
and the next one images are not signed.
""",
    ),
    cfg.StrOpt(
        'certificate_uuid',
        sample_default='<id of the secret of Barbican>',
        help="""
Id of the secret of Barbican that holds the certificate of that key.

All who verify must be able to read it: Glance and Nova do so as the user who
uploads or boots. It becomes the property img_signature_certificate_uuid.
""",
    ),
]
